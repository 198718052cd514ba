//! AWS Lambda without AWS: its Extensions API as a script, and its own emulator.

pub mod api;
pub mod extension;

pub use api::{Answer, ScriptedApi};
pub use extension::Extension;
