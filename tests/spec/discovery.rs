//! *Server Discovery and Monitoring*: discovery, and errors of operations.

use std::time::{Duration, Instant};

use serde_json::Value;
use weir::topology::hello::Hello;
use weir::topology::sdam::{Deployment, Heard, HelloSource, MIN_WIRE_VERSION, Seeds};
use weir::topology::{NodeAddress, Phase, Snapshot, StateChangeKind};

use crate::{Outcome, json, outcome, run};

const FOLDER: &str = "server-discovery-and-monitoring";

#[test]
fn replica_sets() {
    run(&format!("{FOLDER}/rs"), 70, check);
}

#[test]
fn sharded_clusters() {
    run(&format!("{FOLDER}/sharded"), 8, check);
}

#[test]
fn single_servers() {
    run(&format!("{FOLDER}/single"), 17, check);
}

#[test]
fn errors_of_operations() {
    run(&format!("{FOLDER}/errors"), 80, check);
}

#[test]
fn load_balancers() {
    run(&format!("{FOLDER}/load-balanced"), 1, check);
}

#[test]
fn monitoring_events() {
    run(&format!("{FOLDER}/monitoring"), 0, check);
}

#[test]
fn against_a_live_server() {
    for folder in ["integration", "unified"] {
        run(&format!("{FOLDER}/{folder}"), 0, |_, _| {
            Outcome::Skipped("tests of a driver's client")
        });
    }
}

fn check(_: &str, fixture: &Value) -> Outcome {
    let phases = fixture["phases"].as_array().unwrap();
    if phases
        .iter()
        .any(|phase| phase["outcome"].get("events").is_some())
    {
        return Outcome::Skipped("events of a driver");
    }
    if phases.iter().any(expects_old_servers) {
        return Outcome::Skipped("servers older than Weir can use");
    }
    let mut subject = Subject::new(fixture["uri"].as_str().unwrap());
    outcome(phases.iter().enumerate().try_for_each(|(index, phase)| {
        subject.play(phase);
        subject
            .compare(&phase["outcome"])
            .map_err(|why| format!("phase {index}: {why}"))
    }))
}

/// Whether a phase wants a server to be compatible that is too old for Weir.
fn expects_old_servers(phase: &Value) -> bool {
    let is_old = |response: &Value| {
        response[1]["maxWireVersion"]
            .as_i64()
            .is_some_and(|max| max < i64::from(MIN_WIRE_VERSION))
    };
    phase["outcome"]["compatible"] == true
        && phase["responses"]
            .as_array()
            .into_iter()
            .flatten()
            .any(is_old)
}

/// A deployment and a clock that moves with every step.
struct Subject {
    deployment: Deployment,
    now: Instant,
}

impl Subject {
    fn new(uri: &str) -> Self {
        Self {
            deployment: Deployment::new(&seeds(uri)),
            now: Instant::now(),
        }
    }

    fn tick(&mut self) -> Instant {
        self.now += Duration::from_millis(1);
        self.now
    }

    fn play(&mut self, phase: &Value) {
        for response in phase["responses"].as_array().into_iter().flatten() {
            self.answer(&address(&response[0]), &response[1]);
        }
        for error in phase["applicationErrors"].as_array().into_iter().flatten() {
            self.fail(error);
        }
    }

    /// A heartbeat; an empty reply is a network error.
    fn answer(&mut self, address: &NodeAddress, reply: &Value) {
        let (started, bytes) = (self.tick(), json::to_document(reply).to_vec().unwrap());
        match Hello::parse(&bytes) {
            Ok(hello) => {
                let heard = Heard {
                    source: HelloSource::Monitor,
                    started,
                    at_ms: 0,
                };
                self.deployment.on_hello(address, hello, heard);
            }
            Err(error) => {
                self.deployment
                    .on_monitor_failure(address, false, &error.to_string(), started);
            }
        }
    }

    fn fail(&mut self, error: &Value) {
        let (now, address) = (self.tick(), address(&error["address"]));
        let current = self.generation(&address);
        let generation = error["generation"].as_u64().unwrap_or(current);
        let phase = match error["when"].as_str().unwrap() {
            "beforeHandshakeCompletes" => Phase::LoggingIn,
            _ => Phase::Ready,
        };
        if error["type"] != "command" {
            let timed_out = error["type"] == "timeout";
            self.deployment
                .on_network_error(&address, generation, phase, timed_out, "broken", now);
            return;
        }
        let response = &error["response"];
        let code = response["code"].as_i64().map(|code| code as i32);
        let message = response["errmsg"].as_str().unwrap_or_default();
        // An error inside writeErrors or an ok reply is the operation's affair.
        if response["ok"] == 1 && response.get("writeConcernError").is_none() {
            return;
        }
        if let Some(kind) = StateChangeKind::of(code, message) {
            let version = json::topology_version(&response["topologyVersion"]);
            self.deployment
                .on_state_change(&address, generation, kind, version, message, now);
        }
    }

    fn generation(&self, address: &NodeAddress) -> u64 {
        self.deployment
            .snapshot(0)
            .node(address)
            .map_or(0, |node| node.generation)
    }

    fn compare(&self, expected: &Value) -> Result<(), String> {
        let found = self.deployment.snapshot(0);
        let kind = json::topology_kind(expected["topologyType"].as_str().unwrap());
        equal("topologyType", &found.kind, &kind)?;
        equal(
            "setName",
            &found.set_name.as_deref(),
            &expected["setName"].as_str(),
        )?;
        let timeout = expected["logicalSessionTimeoutMinutes"].as_i64();
        equal(
            "logicalSessionTimeoutMinutes",
            &found.session_timeout_minutes(),
            &timeout,
        )?;
        if let Some(compatible) = expected["compatible"].as_bool() {
            equal("compatible", &found.incompatible.is_none(), &compatible)?;
        }
        let (election, version) = self.deployment.newest_election();
        if let Some(max) = expected.get("maxElectionId") {
            equal("maxElectionId", &election, &json::object_id(max))?;
        }
        if let Some(max) = expected.get("maxSetVersion") {
            equal("maxSetVersion", &version, &max.as_i64())?;
        }
        compare_servers(&found, expected)
    }
}

fn compare_servers(found: &Snapshot, expected: &Value) -> Result<(), String> {
    let servers = expected["servers"].as_object().unwrap();
    let mut addresses: Vec<_> = servers
        .keys()
        .map(|server| NodeAddress::parse(server).unwrap())
        .collect();
    addresses.sort();
    let known: Vec<_> = found
        .nodes
        .iter()
        .map(|node| node.address.clone())
        .collect();
    equal("servers", &known, &addresses)?;
    for (server, expected) in servers {
        let node = found.node(&NodeAddress::parse(server).unwrap()).unwrap();
        equal(
            server,
            &node.kind,
            &json::node_kind(expected["type"].as_str().unwrap()),
        )?;
        if let Some(version) = expected.get("topologyVersion") {
            equal(
                server,
                &node.topology_version,
                &json::topology_version(version),
            )?;
        }
        if let Some(generation) = expected["pool"]["generation"].as_u64() {
            equal(
                &format!("generation of {server}"),
                &node.generation,
                &generation,
            )?;
        }
    }
    Ok(())
}

fn equal<T: PartialEq + std::fmt::Debug>(
    what: &str,
    found: &T,
    expected: &T,
) -> Result<(), String> {
    if found == expected {
        Ok(())
    } else {
        Err(format!("{what}: {found:?}, expected {expected:?}"))
    }
}

fn address(value: &Value) -> NodeAddress {
    NodeAddress::parse(value.as_str().unwrap()).unwrap()
}

/// The few parts of a connection string the fixtures use.
fn seeds(uri: &str) -> Seeds {
    let rest = uri.strip_prefix("mongodb://").unwrap();
    let (hosts, options) = rest.split_once('/').unwrap_or((rest, ""));
    let options = options.split_once('?').map_or("", |(_, options)| options);
    let option = |name: &str| {
        let mut pairs = options.split('&').filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    };
    Seeds {
        hosts: hosts
            .split(',')
            .map(|host| NodeAddress::parse(host).unwrap())
            .collect(),
        direct: option("directConnection") == Some("true"),
        set_name: option("replicaSet").map(str::to_owned),
        load_balanced: option("loadBalanced") == Some("true"),
    }
}
