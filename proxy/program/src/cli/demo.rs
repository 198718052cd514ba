//! `weir demo`: a runtime of its own for the quick start.

use std::process::ExitCode;
use std::time::Duration;

use tokio::runtime::Builder;

use weir_demo::{DemoArgs, Setting};

/// How long threads that still wait for a child process may hold up the end.
const END_LIMIT: Duration = Duration::from_millis(500);

/// Shows the demo to its end. Clients and Weir share all cores, as they would
/// on one machine.
pub(crate) fn run(args: DemoArgs) -> ExitCode {
    let runtime = match Builder::new_multi_thread().enable_all().build() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("weir: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let code = runtime.block_on(weir_demo::run(args, Setting::of_this_process()));
    // Interrupted while mongod was being fetched or started, a thread still
    // waits for that; its watcher ends the process and removes the folder.
    runtime.shutdown_timeout(END_LIMIT);
    ExitCode::from(code)
}
