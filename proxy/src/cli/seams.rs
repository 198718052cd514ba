//! SEAMS: subcommands whose work lives in other modules. Each function here is replaced by a
//! call into the module named beside it.

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};

use crate::cli::args::{BenchArgs, CheckArgs, PlanArgs};
use crate::config::Config;
use crate::proxy::{Proxy, StartError};

/// Runs the proxy until it is drained.
pub(crate) async fn serve(config: Config) -> ExitCode {
    drop(crate::admin::recorder());
    let proxy = match Proxy::bind(config).await {
        Ok(proxy) => proxy,
        Err(error) => return failed(&error),
    };
    let drain = proxy.drain();
    tokio::spawn(async move {
        while signalled().await.is_ok() {
            drain.begin();
        }
    });
    match proxy.run().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

fn failed(error: &StartError) -> ExitCode {
    eprintln!("weir: {error}");
    ExitCode::FAILURE
}

/// Waits for SIGTERM or SIGINT.
async fn signalled() -> std::io::Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    tokio::select! {
        _ = terminate.recv() => Ok(()),
        _ = interrupt.recv() => Ok(()),
    }
}

/// SEAM: fills a `crate::cli::check::CheckReport` from the live upstream.
pub(crate) async fn check(_args: CheckArgs) -> ExitCode {
    missing("check")
}

/// SEAM: the capacity planner.
pub(crate) async fn plan(_args: PlanArgs) -> ExitCode {
    missing("plan")
}

/// SEAM: the pressure bench.
pub(crate) async fn bench(_args: BenchArgs) -> ExitCode {
    missing("bench")
}

fn missing(what: &str) -> ExitCode {
    eprintln!("weir: {what} is not part of this build");
    ExitCode::FAILURE
}
