//! The Lambda extension. Not part of this version: the program says so and ends, so that
//! nobody puts it into a layer by mistake.

use std::process::ExitCode;

fn main() -> ExitCode {
    eprintln!(
        "weir-extension {}: not part of this version",
        env!("CARGO_PKG_VERSION")
    );
    ExitCode::FAILURE
}
