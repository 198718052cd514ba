//! `weir bench pressure`: a runtime of its own for the measurement.

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::{Builder, Runtime};

use crate::cli::args::{BenchArgs, BenchCommand};

/// How long threads that still wait for something may hold up the end.
const END_LIMIT: Duration = Duration::from_millis(500);

/// Measures to its end. Clients and Weir share all cores.
pub(crate) fn run(args: &BenchArgs) -> ExitCode {
    let BenchCommand::Pressure(args) = &args.command;
    match runtime() {
        Ok(runtime) => {
            let code = runtime.block_on(weir_pressure::run(args));
            runtime.shutdown_timeout(END_LIMIT);
            ExitCode::from(code)
        }
        Err(error) => {
            eprintln!("weir: no runtime: {error}");
            ExitCode::FAILURE
        }
    }
}

fn runtime() -> std::io::Result<Runtime> {
    Builder::new_multi_thread().enable_all().build()
}
