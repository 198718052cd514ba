//! *Server Selection* and *Max Staleness*.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::Value;
use weir::route::read_preference::{Mode, ReadPreference};
use weir::route::select::{choose, in_window, suitable};
use weir::topology::{Node, NodeAddress, Snapshot, Tags};

use crate::{Outcome, json, outcome, run};

/// The default of the specification: 15 ms.
const LOCAL_THRESHOLD: Duration = Duration::from_millis(15);

#[test]
fn server_selection() {
    run("server-selection/server_selection", 51, |_, fixture| {
        outcome(check_selection(fixture))
    });
}

#[test]
fn max_staleness() {
    run("max-staleness", 31, |_, fixture| {
        outcome(check_selection(fixture))
    });
}

#[test]
fn in_latency_window() {
    run("server-selection/in_window", 8, |_, fixture| {
        outcome(check_frequencies(fixture))
    });
}

#[test]
fn round_trip_times() {
    run("server-selection/rtt", 0, |_, _| {
        Outcome::Skipped("the driver averages round trips")
    });
}

#[test]
fn selection_logging() {
    run("server-selection/logging", 0, |_, _| {
        Outcome::Skipped("log messages of a driver")
    });
}

fn check_selection(fixture: &Value) -> Result<(), String> {
    let snapshot = snapshot(&fixture["topology_description"]);
    let heartbeat = fixture["heartbeatFrequencyMS"].as_u64().unwrap_or(10_000);
    let heartbeat = Duration::from_millis(heartbeat);
    let preference = if fixture["operation"] == "write" {
        ReadPreference::PRIMARY
    } else {
        preference(&fixture["read_preference"])
    };
    let candidates = suitable(&snapshot, &preference, heartbeat);
    if fixture["error"] == true {
        return match candidates {
            Err(_) => Ok(()),
            Ok(found) => Err(format!("an error was expected, {found:?} were suitable")),
        };
    }
    let candidates = candidates.map_err(|error| error.to_string())?;
    same(&snapshot, &candidates, &fixture["suitable_servers"])?;
    let candidates = in_window(&snapshot, &candidates, LOCAL_THRESHOLD);
    same(&snapshot, &candidates, &fixture["in_latency_window"])
}

fn check_frequencies(fixture: &Value) -> Result<(), String> {
    let snapshot = snapshot(&fixture["topology_description"]);
    let mut in_use = BTreeMap::new();
    for state in fixture["mocked_topology_state"].as_array().unwrap() {
        let index = snapshot.position(&address(&state["address"])).unwrap();
        in_use.insert(
            index,
            usize::try_from(state["operation_count"].as_u64().unwrap()).unwrap(),
        );
    }
    let candidates = suitable(
        &snapshot,
        &ReadPreference::mode(Mode::Nearest),
        Duration::from_secs(10),
    )
    .unwrap();
    let candidates = in_window(&snapshot, &candidates, LOCAL_THRESHOLD);
    let iterations = fixture["iterations"].as_u64().unwrap();
    let mut chosen = BTreeMap::<usize, u64>::new();
    for round in 0..iterations {
        let index = choose(&candidates, scramble(round), |index| in_use[&index]).unwrap();
        *chosen.entry(index).or_default() += 1;
    }
    let tolerance = fixture["outcome"]["tolerance"].as_f64().unwrap();
    for (server, expected) in fixture["outcome"]["expected_frequencies"]
        .as_object()
        .unwrap()
    {
        let index = snapshot
            .position(&NodeAddress::parse(server).unwrap())
            .unwrap();
        let found = chosen.get(&index).copied().unwrap_or(0) as f64 / iterations as f64;
        let expected = expected.as_f64().unwrap();
        // 0 and 1 are meant exactly.
        let tolerance = if expected == 0.0 || expected == 1.0 {
            0.0
        } else {
            tolerance
        };
        if (found - expected).abs() > tolerance {
            return Err(format!(
                "{server}: chosen with frequency {found}, expected {expected}"
            ));
        }
    }
    Ok(())
}

/// A fixed sequence of well-mixed numbers (SplitMix64).
fn scramble(round: u64) -> u64 {
    let mut mixed = (round + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

fn same(snapshot: &Snapshot, found: &[usize], expected: &Value) -> Result<(), String> {
    let mut expected: Vec<_> = expected
        .as_array()
        .unwrap()
        .iter()
        .map(|server| address(&server["address"]))
        .collect();
    expected.sort();
    let found: Vec<_> = found
        .iter()
        .map(|index| snapshot.nodes[*index].address.clone())
        .collect();
    if found == expected {
        Ok(())
    } else {
        Err(format!("found {found:?}, expected {expected:?}"))
    }
}

fn preference(value: &Value) -> ReadPreference {
    let mode = match value["mode"].as_str().unwrap_or("Primary") {
        "Primary" => Mode::Primary,
        "PrimaryPreferred" => Mode::PrimaryPreferred,
        "Secondary" => Mode::Secondary,
        "SecondaryPreferred" => Mode::SecondaryPreferred,
        "Nearest" => Mode::Nearest,
        other => panic!("no such mode: {other}"),
    };
    let sets = value["tag_sets"].as_array().into_iter().flatten();
    ReadPreference {
        mode,
        tag_sets: sets.map(|set| pairs(set).collect()).collect(),
        max_staleness: value["maxStalenessSeconds"]
            .as_u64()
            .map(Duration::from_secs),
    }
}

fn snapshot(description: &Value) -> Snapshot {
    let mut nodes: Vec<_> = description["servers"]
        .as_array()
        .unwrap()
        .iter()
        .map(node)
        .collect();
    nodes.sort_by(|a, b| a.address.cmp(&b.address));
    Snapshot {
        kind: json::topology_kind(description["type"].as_str().unwrap()),
        nodes,
        set_name: None,
        incompatible: None,
        notice: None,
        revision: 0,
    }
}

fn node(server: &Value) -> Node {
    Node {
        address: address(&server["address"]),
        kind: json::node_kind(server["type"].as_str().unwrap()),
        rtt: server["avg_rtt_ms"]
            .as_f64()
            .map(|rtt| Duration::from_secs_f64(rtt / 1000.0)),
        least_rtt: None,
        tags: Tags::new(pairs(&server["tags"])),
        last_write: json::long(&server["lastWrite"]["lastWriteDate"]),
        last_update: server["lastUpdateTime"].as_i64(),
        wire: None,
        limits: None,
        session_timeout_minutes: None,
        topology_version: None,
        error: None,
        suspended: false,
        generation: 0,
    }
}

fn pairs(value: &Value) -> impl Iterator<Item = (String, String)> {
    let fields = value.as_object().into_iter().flatten();
    fields.map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned()))
}

fn address(value: &Value) -> NodeAddress {
    NodeAddress::parse(value.as_str().unwrap()).unwrap()
}
