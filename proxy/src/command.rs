//! What a message asks for, read once from its raw bytes. Pure.

pub mod facts;

pub mod kind;

pub mod outcome;

pub use facts::{Facts, FactsError, Span};
pub use kind::Treatment;
pub use outcome::Outcome;
