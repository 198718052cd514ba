//! The Rust driver.
fn main() {}
