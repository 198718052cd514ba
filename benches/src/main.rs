//! Measurements. Not part of this version: `weir demo` shows the first numbers.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!("weir-benches: nothing to measure in this version; try `weir demo`");
    ExitCode::FAILURE
}
