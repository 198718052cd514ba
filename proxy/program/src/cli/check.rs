//! `weir check`: are the settings right, does the upstream let Weir in, and what must the
//! applications write?
//!
//! The checking itself is [`weir::check`]; here stand its printing and the exit code.

use std::io::{self, IsTerminal};
use std::process::ExitCode;

use serde_json::json;

use crate::cli::args::CheckArgs;
use crate::cli::{EXIT_USAGE, refuse};
use weir::check::check;
use weir::config::env::ProcessEnvironment;
use weir::config::{Config, Problems};

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
        _ => print!("{}", report.to_text()),
    }
    if report.is_fine() {
        ExitCode::SUCCESS
    } else {
        ExitCode::FAILURE
    }
}

/// Wrong settings, for machines.
fn problems_json(problems: &Problems) -> String {
    let problems = problems.0.iter().map(
        |problem| json!({ "place": problem.place, "wrong": problem.wrong, "mend": problem.mend }),
    );
    let value = json!({
        "fine": false,
        "version": env!("CARGO_PKG_VERSION"),
        "configuration": problems.collect::<Vec<_>>(),
    });
    format!("{value:#}")
}

#[cfg(test)]
mod tests {
    use weir::config::Problem;

    use super::*;

    #[test]
    fn wrong_settings_have_a_shape_for_machines_too() {
        let problems = Problems(vec![Problem::new("--listen", "is odd", "mend it")]);
        let json: serde_json::Value = serde_json::from_str(&problems_json(&problems)).unwrap();
        assert_eq!(json["fine"], false);
        assert_eq!(json["configuration"][0]["mend"], "mend it");
    }
}
