//! Weir inside of an AWS Lambda environment, as an external extension.
//!
//! It serves the function's driver on loopback, and all that is Lambda's own is here: the life
//! of an environment with its freezes, its deadlines and its end. A failure of the extension
//! must never be one of the function: whatever goes wrong inside, it goes on answering Lambda,
//! says in one log line what to do, and serves nobody, so that the shim leaves the function's
//! own connection string in place.
//!
//! | file | its part |
//! |---|---|
//! | [`surroundings`] | what the environment says; the only file that reads it |
//! | [`settings`] | the table of variables, read leniently: a wrong value is a warning |
//! | [`sizes`] | how many connections there are; pure |
//! | [`upstream`] | which connection string the extension uses; pure |
//! | [`serving`] | settings become a listening Weir |
//! | [`api`] | the four calls of the Extensions API |
//! | [`lifecycle`] | what is to be done when; a pure state machine |
//! | [`environment`] | carries that out, until the end |
//! | [`afterwards`] | what is done when an invocation is over |
//! | [`ways`] | looks after the ways to the database |
//! | [`fallback`] | when the shared Weir is gone past; pure |
//! | [`telemetry`] | when an invocation is over |
//! | [`counters`] | what was done, as CloudWatch metrics |
//! | [`log`] | log lines with the request's id |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::surroundings::Surroundings;

mod afterwards;
mod api;
mod counters;
mod environment;
mod fallback;
mod lifecycle;
mod log;
mod serving;
mod settings;
mod sizes;
mod surroundings;
mod telemetry;
mod upstream;
mod ways;

/// Always successful: another exit code would fail the function.
fn main() -> ExitCode {
    let argument = std::env::args_os().nth(1);
    match argument.as_ref().and_then(|argument| argument.to_str()) {
        Some("--version") => {
            println!("weir-extension {}", env!("CARGO_PKG_VERSION"));
            return ExitCode::SUCCESS;
        }
        Some("--help" | "-h") => {
            print!("{}", settings::help());
            return ExitCode::SUCCESS;
        }
        _ => {}
    }
    let surroundings = Surroundings::read();
    log::start(surroundings.get("WEIR_LOG_FILTER"));
    std::panic::set_hook(Box::new(log::of_panic));
    if !lives(|| environment::run(&surroundings)) {
        // The function lives on with its own connection string.
        lives(|| environment::idle(&surroundings));
    }
    ExitCode::SUCCESS
}

/// Runs one life of the extension; `false`: it came to a bad end.
fn lives<F: Future<Output = ()>>(life: impl FnOnce() -> F) -> bool {
    let run = || {
        let runtime = Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(life());
                // Threads that resolve names are not waited for.
                runtime.shutdown_background();
                true
            }
            Err(error) => {
                tracing::error!(%error, "weir-extension has no runtime");
                false
            }
        }
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(false)
}
