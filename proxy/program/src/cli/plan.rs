//! `weir plan`, the capacity planner: a name kept for a later version.

use std::process::ExitCode;

use crate::cli::not_in_this_version;

/// Says that it is not there.
pub(crate) fn run() -> ExitCode {
    not_in_this_version("plan", "the capacity planner")
}
