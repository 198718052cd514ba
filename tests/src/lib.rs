//! harness

pub mod spec;
