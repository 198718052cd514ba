//! What a request asks for and what a reply says, read from the raw bytes. Pure.
//!
//! | module | its part |
//! |---|---|
//! | `facts` | what routing, queueing and error labels need to know about a request |
//! | `kind` | how Weir treats each command |
//! | `outcome` | what a reply says about its operation, its cursor and its node |

pub mod facts;
pub mod kind;
pub mod outcome;

#[cfg_attr(not(feature = "internals"), allow(unused_imports))]
pub use facts::Span;
pub use facts::{Facts, FactsError};
pub use kind::Treatment;
pub use outcome::Outcome;
