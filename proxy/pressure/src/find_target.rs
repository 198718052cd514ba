//! Finds out about the deployments what `weir check` would, before anything is measured.

use std::time::Duration;

use crate::{PressureArgs, Target};
use weir::check::check;
use weir::check::report::NodeReport;
use weir::config::Problems;
use weir::topology::NodeAddress;
use weir_kit::screen::Screen;

/// The exit code for a wrong command line or configuration.
const EXIT_USAGE: u8 = 2;
/// Longest wait for a deployment to be known.
const LOOK_LIMIT: Duration = Duration::from_secs(15);
/// The roles of nodes that take the load.
const TAKES_LOAD: [&str; 3] = ["primary", "mongos", "load balancer"];

/// Why nothing is measured.
pub(super) struct Failure {
    /// What is wrong, and what to change.
    pub(super) text: String,
    /// The exit code.
    pub(super) code: u8,
}

/// The deployment to measure, and the one to compare it with.
pub(super) async fn targets(
    args: &PressureArgs,
    screen: &Screen,
) -> Result<(Target, Option<Target>), Failure> {
    // Every pool is checked before anything is measured.
    for pool in &args.pools {
        let config = Target::load(&args.target, Some(*pool)).await;
        let config = config.map_err(|problems| wrong(&problems, "--target"))?;
        let allowed = config
            .listeners
            .first()
            .map(|listener| listener.max_connections);
        if allowed != usize::try_from(*pool).ok() {
            return Err(Failure {
                text: format!(
                    "maxPoolSize in --target allows no pool of {pool}: remove it from the string"
                ),
                code: EXIT_USAGE,
            });
        }
    }
    screen.step("Looking at the target");
    let target = look(&args.target, "--target").await?;
    let compare = match &args.compare {
        Some(uri) => {
            screen.step("Looking at what to compare it with");
            Some(look(uri, "--compare").await?)
        }
        None => None,
    };
    Ok((target, compare))
}

/// Finds out what `weir check` would, and gives up with its advice.
async fn look(uri: &str, flag: &str) -> Result<Target, Failure> {
    let config = Target::load(uri, None).await;
    let config = config.map_err(|problems| wrong(&problems, flag))?;
    let report = check(&config, false, LOOK_LIMIT).await;
    let report = report.map_err(|problems| wrong(&problems, flag))?;
    let found = report.listeners.into_iter().next().unwrap_or_default();
    let failure = |text: String| Failure {
        text: text.replace("--upstream", flag),
        code: 1,
    };
    let nodes = found
        .topology
        .as_ref()
        .map_or(&[][..], |topology| &topology.nodes);
    let takes_load =
        |node: &&NodeReport| TAKES_LOAD.contains(&node.role.as_str()) && node.error.is_none();
    let node = nodes.iter().find(takes_load).filter(|_| found.serves);
    let node = node.and_then(|node| Some((node, NodeAddress::parse(&node.address)?)));
    let Some((node, address)) = node else {
        let why = match found.problems.is_empty() {
            true => "no node that takes operations was found".to_owned(),
            false => found.problems.join("\n      "),
        };
        return Err(failure(format!("{flag} cannot be measured: {why}")));
    };
    Ok(Target {
        uri: uri.to_owned(),
        shown: found.upstream,
        kind: found
            .topology
            .as_ref()
            .map_or_else(String::new, |topology| topology.kind.clone()),
        version: node.version.clone(),
        node: address,
        connections: node.connections.map(|now| (now.current, now.available)),
        config,
    })
}

fn wrong(problems: &Problems, flag: &str) -> Failure {
    let text = problems.to_string().replace("--upstream", flag);
    Failure {
        text: text.replace("--max-connections", "--pools"),
        code: EXIT_USAGE,
    }
}
