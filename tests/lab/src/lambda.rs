//! The Lambda extension in numbers.
//!
//! | module | gives |
//! |---|---|
//! | [`storm`], [`drill`] | many environments starting at once, and moving over step by step |
//! | [`overhead`] | what the extension costs |
//! | [`numbers`] | the page with all of that |

pub mod drill;
pub mod numbers;
pub mod overhead;
pub mod storm;
