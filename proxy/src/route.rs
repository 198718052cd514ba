//! Which node may serve an operation; pure.

pub mod read_preference;
pub mod select;
