//! Are the settings right, does the upstream let Weir in, and what must the applications write?
//!
//! | module | its part |
//! |---|---|
//! | [`report`] | what was found, as data; the shape of `weir check --json` |
//! | `probe_upstream` | asks the upstream |
//! | `judge` | what follows from what was seen; pure |
//! | `advice` | each failure in a sentence that says what to change; pure |

use std::{error::Error as _, time::Duration};

use futures_util::future::join_all;

use crate::config::{Config, ListenerConfig, Problem, Problems, settings::name, tls};
use crate::downstream::frontend::new_process_id;
use crate::upstream::auth::Unusable;
use crate::upstream::{Connector, SetupError};

mod advice;
mod judge;
mod probe_upstream;
pub mod report;

#[cfg(test)]
mod tests;

pub use report::CheckReport;

/// Looks at the upstream of every listener, each for no longer than `limit`.
///
/// # Errors
/// Settings that are wrong whatever the upstream is.
pub async fn check(
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
        match probe_upstream::probe_upstream(&listener.upstream, connector, limit).await {
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
    let problem = |flag: &str, wrong: String, hint: &str| {
        Problem::new(format!("listener {}: --{flag}", listener.name), wrong, hint)
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
            let hint = match error {
                SetupError::Tls(_) => "correct the file or its name in the connection string",
                SetupError::Login(Unusable::Password(_)) => {
                    "choose another password, or authMechanism=SCRAM-SHA-1"
                }
                SetupError::Login(Unusable::Credentials(_)) => {
                    "write id:secret@ before the host, or give this process a role"
                }
            };
            problems.push(problem(name::UPSTREAM, error.to_string(), hint));
        }
    }
    Err(problems)
}
