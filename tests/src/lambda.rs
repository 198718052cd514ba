//! AWS Lambda without AWS: its Extensions API as a script, and its own emulator.
//!
//! | module | gives |
//! |---|---|
//! | [`api`] | the Extensions API as a script |
//! | [`extension`] | a running `weir-extension` before it |
//! | [`emulator`] | AWS's emulator with extension, shim and a real function |
//! | [`environment`] | a light environment, of which there may be hundreds |
//! | [`storm`], [`drill`] | many of them starting at once, and moving over step by step |
//! | [`overhead`] | what the extension costs |
//! | [`numbers`] | the page with all of that |
//! | [`parts`] | what that is made of |
//! | [`processes`] | the processes in an emulated environment |

pub mod api;
pub mod drill;
pub mod emulator;
pub mod environment;
pub mod extension;
pub mod numbers;
pub mod overhead;
pub mod parts;
pub mod processes;
pub mod storm;

pub use api::{Answer, ScriptedApi};
pub use emulator::{Emulator, Function};
pub use extension::Extension;
