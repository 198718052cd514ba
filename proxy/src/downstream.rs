//! To be written.

pub mod auth;
