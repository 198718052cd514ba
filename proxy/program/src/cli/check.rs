//! `weir check`: are the settings right, does the upstream let Weir in, and what must the
//! applications write?
//!
//! [`weir::check`] does the checking. This module prints the report and chooses the exit code.
//! `text` is the report for people.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::CheckArgs;
use crate::cli::{EXIT_USAGE, refuse};
use weir::check::check;
use weir::config::env::ProcessEnvironment;
use weir::config::{Config, Problems};

mod text;

/// Checks, prints, and tells how it went: 0 fine, 1 trouble with an upstream, 2 wrong settings.
pub(crate) async fn run(args: CheckArgs) -> ExitCode {
    let terminal = io::stderr().is_terminal();
    let checked = match Config::load(&args.settings.0, &ProcessEnvironment, terminal).await {
        Ok(config) => check(&config, args.show_secrets, args.timeout).await,
        Err(problems) => Err(problems),
    };
    let report = match checked {
        Ok(report) => report,
        Err(problems) if args.json => {
            println!("{}", problems_json(&problems));
            return ExitCode::from(EXIT_USAGE);
        }
        Err(problems) => return refuse(&problems),
    };
    match report.to_json() {
        Ok(json) if args.json => println!("{json}"),
        _ => print!("{}", text::of(&report)),
    }
    if report.is_ok() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Wrong settings, for machines.
fn problems_json(problems: &Problems) -> String {
    let problems = problems.0.iter().map(
        |problem| json!({ "place": problem.place, "message": problem.message, "hint": problem.hint }),
    );
    let value = json!({
        "ok": false,
        "version": env!("CARGO_PKG_VERSION"),
        "configuration": problems.collect::<Vec<_>>(),
    });
    format!("{value:#}")
}

#[cfg(test)]
mod tests;
