//! SEAMS: subcommands whose work lives in other modules. Each function here is replaced by a
//! call into the module named beside it.

use std::process::ExitCode;

use clap::Args;

use crate::cli::args::{BenchArgs, CheckArgs, PlanArgs};
use crate::config::Config;

/// SEAM: `crate::demo::DemoArgs`.
#[derive(Args, Clone, Debug)]
pub struct DemoArgs {}

/// SEAM: `crate::Proxy::run(config)`.
pub(crate) async fn serve(config: Config) -> ExitCode {
    drop(config);
    missing("serve")
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

/// SEAM: `crate::demo::run`.
pub(crate) async fn demo(_args: DemoArgs) -> ExitCode {
    missing("demo")
}

fn missing(what: &str) -> ExitCode {
    eprintln!("weir: {what} is not part of this build");
    ExitCode::FAILURE
}
