//! `weir check`: are the settings right, does the upstream let Weir in, and what must the
//! applications write?
//!
//! | file | its part |
//! |---|---|
//! | [`report`] | what was found, as data; the shape of `--json` |
//! | `text` | the report for people |
//! | `look` | asks the upstream |
//! | `judge` | what follows from what was seen; pure |
//! | `advice` | each failure in a sentence that says what to change; pure |

use std::error::Error as _;
use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use futures_util::future::join_all;
use serde_json::json;

use crate::cli::args::CheckArgs;
use crate::cli::{EXIT_USAGE, refuse};
use crate::config::env::ProcessEnvironment;
use crate::config::settings::name;
use crate::config::{Config, ListenerConfig, Problem, Problems, tls};
use crate::downstream::front::new_process_id;
use crate::upstream::auth::Unusable;
use crate::upstream::{Connector, SetupError};

mod advice;
mod judge;
mod look;
pub mod report;
mod text;

pub use report::CheckReport;

/// Checks, prints, and tells how it went: 0 fine, 1 trouble with an upstream, 2 wrong settings.
pub async fn run(args: CheckArgs) -> ExitCode {
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

/// Looks at the upstream of every listener, each for no longer than `limit`.
///
/// # Errors
/// Settings that no upstream could mend.
pub(crate) async fn check(
    config: &Config,
    show_secrets: bool,
    limit: Duration,
) -> Result<CheckReport, Problems> {
    let mut connectors = Vec::new();
    let mut problems = Vec::new();
    for listener in &config.listeners {
        match connector(listener) {
            Ok(connector) => connectors.push(connector),
            Err(error) => problems.extend(error),
        }
    }
    if !problems.is_empty() {
        return Err(Problems(problems));
    }
    let mut report = CheckReport::of(config, show_secrets);
    let listeners = config.listeners.iter().zip(connectors);
    let looks = report.listeners.iter_mut().zip(listeners);
    join_all(looks.map(|(report, (listener, connector))| async move {
        if let Some(own) = advice::own_address(listener) {
            report.problems.push(own);
            return;
        }
        match look::look(&listener.upstream, connector, limit).await {
            Ok(found) => report.add(listener, &found),
            Err(error) => {
                let cause = error
                    .source()
                    .map_or_else(String::new, |cause| format!(": {cause}"));
                report.problems.push(format!("--upstream: {error}{cause}"));
            }
        }
    }))
    .await;
    Ok(report)
}

/// What connects to the listener's upstream; its TLS files, and those towards clients, are read.
fn connector(listener: &ListenerConfig) -> Result<Connector, Vec<Problem>> {
    let problem = |flag: &str, wrong: String, mend: &str| {
        Problem::new(format!("listener {}: --{flag}", listener.name), wrong, mend)
    };
    let mut problems = Vec::new();
    if let Some(Err(error)) = listener.tls.as_ref().map(tls::server_config) {
        problems.push(problem(
            name::TLS_CERTIFICATE,
            error.to_string(),
            "correct it",
        ));
    }
    match Connector::new(&listener.upstream, new_process_id()) {
        Ok(connector) if problems.is_empty() => return Ok(connector),
        Ok(_) => {}
        Err(error) => {
            let mend = match error {
                SetupError::Tls(_) => "correct the file or its name in the connection string",
                SetupError::Login(Unusable::Password(_)) => {
                    "choose another password, or authMechanism=SCRAM-SHA-1"
                }
                SetupError::Login(Unusable::Keys(_)) => {
                    "write id:secret@ before the host, or give this process a role"
                }
            };
            problems.push(problem(name::UPSTREAM, error.to_string(), mend));
        }
    }
    Err(problems)
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
mod tests;
