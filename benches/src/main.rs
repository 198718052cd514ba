//! Measurements: Weir beside a direct connection and HAProxy in TCP mode, over
//! one real mongod, in one run.
//!
//! | module | its part |
//! |---|---|
//! | [`args`] | what to measure |
//! | [`server`] | the server, and the addresses of the proxies before it |
//! | [`contender`] | one running proxy, or none |
//! | [`generator`] | the clients, in a process of their own |
//! | [`connection`] | one client socket |
//! | [`process`] | CPU time and memory of a process |
//! | [`measure`] | one load through one contender |
//! | [`cell`] | what was measured of one load, and its medians |
//! | [`suite`] | which loads for which contenders |
//! | [`targets`] | what the design asks, and how far it is met |
//! | [`text`] | tables as text and as Markdown |
//! | [`table`] | the result as text and as docs/results/benchmarks.md |
//!
//! The program starts itself again as the generator and as Weir, so that what
//! is measured is what was built with it.

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser as _;
use tikv_jemallocator::Jemalloc;

mod args;
mod cell;
mod connection;
mod contender;
mod generator;
mod measure;
mod process;
mod server;
mod suite;
mod table;
mod targets;
mod text;

/// The same as the `weir` program's.
#[global_allocator]
static ALLOCATOR: Jemalloc = Jemalloc;

fn main() -> ExitCode {
    let mut arguments: Vec<OsString> = std::env::args_os().collect();
    let role = arguments.get(1).and_then(|role| role.to_str());
    if role == Some(contender::AS_WEIR) {
        arguments.remove(1);
        return weir_program::run(arguments);
    }
    let done = match role {
        Some(generator::AS_GENERATOR) => generator::run(arguments.get(2)),
        _ => suite::run(&args::Args::parse()),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("weir-benches: {error:#}");
            ExitCode::FAILURE
        }
    }
}
