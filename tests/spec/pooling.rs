//! *Connection Monitoring and Pooling*: its format of fixtures, run against the
//! state machine of a pool.

mod driver;

use serde_json::Value;

use crate::{Outcome, outcome, run};
use driver::Driver;

/// What Weir's pool does not do, or does elsewhere, by the name of the fixture.
const SKIPPED: [(&str, &[&str]); 6] = [
    (
        "about events that only a driver's pool publishes",
        &["pool-create", "pool-create-with-options", "pool-close"],
    ),
    (
        "about paused pools: Weir holds operations outside the pool while a node is unusable",
        &["pool-ready", "pool-clear-ready"],
    ),
    (
        "about who clears: the topology, which knows of no second error",
        &["pool-clear-paused"],
    ),
    (
        "about interrupting, which the state machine does not do; see the tests of the pool",
        &["pool-clear-interrupt-immediately"],
    ),
    (
        "about handshakes in progress, which Weir leaves to their time limit",
        &["pool-clear-interrupting-pending-connections"],
    ),
    (
        "about closed pools: a pool of Weir's is dropped when its last user has gone",
        &["pool-checkout-error-closed"],
    ),
];

#[test]
fn pooling() {
    run("connection-monitoring-and-pooling", 25, |name, fixture| {
        if name.starts_with("logging/") {
            return Outcome::Skipped("about log messages of a driver");
        }
        let skipped = SKIPPED.iter().find(|(_, names)| names.contains(&name));
        match skipped {
            Some((reason, _)) => Outcome::Skipped(reason),
            None => outcome(check(fixture)),
        }
    });
}

fn check(fixture: &Value) -> Result<(), String> {
    let mut driver = Driver::new(fixture);
    let operations = fixture["operations"].as_array().unwrap();
    let failed = operations
        .iter()
        .find_map(|operation| driver.run(operation).err());
    let expected = fixture["error"]["type"].as_str();
    if failed.as_deref() != expected {
        return Err(format!("ended with {failed:?}, expected was {expected:?}"));
    }
    let ignored = fixture["ignore"].as_array();
    let ignored = |event: &&Value| ignored.is_some_and(|all| all.contains(&event["type"]));
    let seen: Vec<_> = driver
        .events()
        .iter()
        .filter(|event| !ignored(event))
        .collect();
    let expected = fixture["events"].as_array().unwrap();
    // Further events may follow those that a fixture lists.
    let same = seen.len() >= expected.len()
        && expected
            .iter()
            .zip(&seen)
            .all(|(expected, seen)| matches(expected, seen));
    if same {
        return Ok(());
    }
    let lines = |events: &mut dyn Iterator<Item = &Value>| {
        events
            .map(|event| format!("\n    {event}"))
            .collect::<String>()
    };
    Err(format!(
        "expected:{}\n  seen:{}",
        lines(&mut expected.iter()),
        lines(&mut seen.into_iter())
    ))
}

/// 42 stands for anything.
fn matches(expected: &Value, seen: &Value) -> bool {
    let fields = expected.as_object().unwrap();
    let about = |name: &str| !matches!(name, "address" | "options");
    fields
        .iter()
        .filter(|(name, _)| about(name))
        .all(|(name, value)| *value == seen[name] || (*value == 42 && !seen[name].is_null()))
}
