//! AWS Lambda without AWS: its Extensions API as a script, its own emulator, and another one.
//!
//! | module | gives |
//! |---|---|
//! | [`api`] | the Extensions API as a script |
//! | [`extension`] | a running `weir-extension` before it |
//! | [`function`] | a function in each language |
//! | [`emulator`] | AWS's emulator with extension, shim and a real function |
//! | [`cargo_lambda`] | cargo-lambda's emulator with the same |
//! | [`quota`] | as little CPU time as a small function gets |
//! | [`environment`] | a light environment, of which there may be hundreds |
//! | [`parts`] | what all that is made of |
//! | `http` | one request to a server that is only here |
//! | [`processes`] | the processes in an emulated environment |

pub mod api;
pub mod cargo_lambda;
pub mod emulator;
pub mod environment;
pub mod extension;
pub mod function;
mod http;
pub mod parts;
pub mod processes;
pub mod quota;

pub use api::{Answer, ScriptedApi};
pub use cargo_lambda::CargoLambda;
pub use emulator::Emulator;
pub use extension::Extension;
pub use function::{Function, Language};
