//! Weir inside of an AWS Lambda environment, as an external extension.
//!
//! It serves the function's driver on loopback. This package holds everything that is specific to
//! Lambda: freezes, deadlines and the end of an environment.
//!
//! A failure of the extension must never become a failure of the function. After a failure the
//! extension still answers Lambda, and one log line says what to do. It accepts no clients, so that
//! the shim keeps the function's own connection string.
//!
//! | module | its part |
//! |---|---|
//! | [`mod@env`] | the environment variables; the only file that reads them |
//! | [`settings`] | the table of settings; a wrong value is a warning, not an error |
//! | [`connection_budget`] | how many connections an environment holds; pure |
//! | [`upstream`] | which connection string the extension uses; pure |
//! | [`start`] | builds a listening Weir from the settings |
//! | [`api`] | the calls of the Extensions API |
//! | [`lifecycle`] | what to do after each event; a pure state machine |
//! | [`environment`] | carries out the steps of `lifecycle` |
//! | [`post_invoke`] | the work at the end of an invocation |
//! | [`failover`] | watches the shared Weir and the fallback upstream |
//! | [`fallback`] | when to use the fallback upstream; pure |
//! | [`telemetry`] | Lambda's reports that an invocation is over |
//! | [`emf`] | counters as CloudWatch metrics |
//! | [`log`] | log lines with the id of the invocation |

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::process::ExitCode;

use tokio::runtime::Builder;

use crate::env::Env;

mod api;
mod connection_budget;
mod emf;
mod env;
mod environment;
mod failover;
mod fallback;
mod lifecycle;
mod log;
mod post_invoke;
mod settings;
mod start;
mod telemetry;
mod upstream;

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
    let env = Env::read();
    log::start(env.get("WEIR_LOG_FILTER"));
    std::panic::set_hook(Box::new(log::of_panic));
    if !lives(|| environment::run(&env)) {
        // The function works on with its own connection string.
        lives(|| environment::idle(&env));
    }
    ExitCode::SUCCESS
}

/// Runs `life` to its end. `false`: it panicked, or there was no runtime for it.
fn lives<F: Future<Output = ()>>(life: impl FnOnce() -> F) -> bool {
    let run = || {
        let runtime = Builder::new_current_thread().enable_all().build();
        match runtime {
            Ok(runtime) => {
                runtime.block_on(life());
                // Does not wait for threads that resolve names.
                runtime.shutdown_background();
                true
            }
            Err(error) => {
                tracing::error!(%error, "weir-extension cannot start its runtime");
                false
            }
        }
    };
    catch_unwind(AssertUnwindSafe(run)).unwrap_or(false)
}
