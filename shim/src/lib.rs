//! The one rule for connection strings: which variable or JSON key holds the string, what stays in
//! it and what is left out when it is pointed at a Weir, and which share of the environments is
//! moved. The shim, the Lambda extension and the proxy use it.
//!
//! Nothing here depends on another crate, because the shim is loaded before every cold start.
//!
//! | module | its part |
//! |---|---|
//! | [`settings`] | what the environment tells the shim; pure |
//! | [`chosen`] | the percentage; pure |
//! | [`uri`] | the text of a connection string; pure |
//! | [`json`] | strings inside a JSON object; pure |
//! | [`strings`] | which variables and keys hold connection strings; pure |
//! | [`target`] | where Weir listens; pure |
//! | [`rewrite`] | a driver's string becomes the string for a Weir; pure |
//! | [`plan`] | what is changed in an environment, and what to say about it; pure |
//! | [`probe`] | whether Weir is there |
//! | [`install`] | the copy in a shared volume |

pub mod chosen;
pub mod install;
pub mod json;
pub mod plan;
pub mod probe;
pub mod rewrite;
pub mod settings;
pub mod strings;
pub mod target;
pub mod uri;
