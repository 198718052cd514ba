//! The one rule for connection strings. It says which variable or JSON key holds the string, which
//! options stay when the string is pointed at Weir, and which share of the environments changes. The
//! shim, the Lambda extension and the proxy use it.
//!
//! The library has no dependencies, because the shim is loaded before every cold start.
//!
//! | module | its part |
//! |---|---|
//! | [`settings`] | the settings of the shim, from environment variables; pure |
//! | [`chosen`] | the percentage; pure |
//! | [`uri`] | the text of a connection string; pure |
//! | [`json`] | strings inside a JSON object; pure |
//! | [`strings`] | which variables and keys hold connection strings; pure |
//! | [`target`] | where Weir listens; pure |
//! | [`rewrite`] | points one connection string at Weir; pure |
//! | [`plan`] | what changes in an environment, and the messages about it; pure |
//! | [`probe`] | checks whether Weir is there |
//! | [`install`] | copies the shim into a shared volume |

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
