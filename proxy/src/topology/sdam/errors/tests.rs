//! The table of errors, row by row.

use std::time::Duration;

use super::*;
use crate::topology::hello::Hello;
use crate::topology::sdam::{Heard, HelloSource, Seeds};
use crate::topology::snapshot::{Node, NodeKind};

const PROCESS: [u8; 12] = [1; 12];
const OTHER_PROCESS: [u8; 12] = [2; 12];

fn version(process_id: [u8; 12], counter: i64) -> Option<TopologyVersion> {
    Some(TopologyVersion {
        process_id,
        counter,
    })
}

/// A set of one primary, heard once with `topologyVersion` 5, and its clock.
struct Subject {
    deployment: Deployment,
    address: NodeAddress,
    start: Instant,
}

impl Subject {
    fn new(wire: i32, load_balanced: bool) -> Self {
        let address = NodeAddress::parse("a").unwrap();
        let seeds = Seeds {
            hosts: vec![address.clone()],
            load_balanced,
            ..Seeds::default()
        };
        let deployment = Deployment::new(&seeds);
        let mut subject = Self {
            deployment,
            address,
            start: Instant::now(),
        };
        let hello = Hello {
            wire: (0, wire),
            ..subject.primary(version(PROCESS, 5))
        };
        assert!(subject.hear(HelloSource::Monitor, 0, hello));
        subject
    }

    fn primary(&self, topology_version: Option<TopologyVersion>) -> Hello {
        Hello {
            kind: NodeKind::Primary,
            set_name: Some("rs".into()),
            hosts: vec![self.address.clone()],
            wire: (0, 17),
            topology_version,
            ..Hello::default()
        }
    }

    fn at(&self, ms: u64) -> Instant {
        self.start + Duration::from_millis(ms)
    }

    fn hear(&mut self, source: HelloSource, started: u64, hello: Hello) -> bool {
        let heard = Heard {
            source,
            started: self.at(started),
            at_ms: 0,
        };
        self.deployment
            .on_hello(&self.address.clone(), hello, heard)
    }

    fn network(&mut self, generation: u64, phase: Phase, timed_out: bool) -> StateChange {
        let (address, now) = (self.address.clone(), self.at(1_000));
        self.deployment
            .on_network_error(&address, generation, phase, timed_out, "broken", now)
    }

    fn state_change(
        &mut self,
        generation: u64,
        kind: StateChangeKind,
        version: Option<TopologyVersion>,
    ) -> StateChange {
        let (address, now) = (self.address.clone(), self.at(1_000));
        self.deployment
            .on_state_change(&address, generation, kind, version, "changed", now)
    }

    fn node(&self) -> Node {
        self.deployment.snapshot(0).nodes[0].clone()
    }
}

fn kept(generation: u64) -> StateChange {
    StateChange {
        mark_unknown: false,
        clear_pool: false,
        generation,
    }
}

#[test]
fn network_errors() {
    for (phase, timed_out, condemns) in [
        (Phase::Connecting, false, false),
        (Phase::Connecting, true, false),
        (Phase::LoggingIn, false, true),
        (Phase::LoggingIn, true, true),
        (Phase::Ready, false, true),
        (Phase::Ready, true, false),
    ] {
        let mut subject = Subject::new(17, false);
        let change = subject.network(0, phase, timed_out);
        let expected = StateChange {
            mark_unknown: condemns,
            clear_pool: condemns,
            generation: u64::from(condemns),
        };
        assert_eq!(change, expected, "{phase:?}, timed out: {timed_out}");
        assert_eq!(subject.node().suspended, condemns);
        assert_eq!(subject.node().kind == NodeKind::Unknown, condemns);
        assert_eq!(
            subject.deployment.kind() == TopologyKind::ReplicaSetNoPrimary,
            condemns
        );
    }
}

#[test]
fn state_changes_and_what_they_clear() {
    use StateChangeKind::{NotPrimary, Recovering, ShuttingDown};
    for (wire, kind, clear_pool) in [
        (17, NotPrimary, false),
        (17, Recovering, false),
        (17, ShuttingDown, true),
        (7, NotPrimary, true),
        (7, Recovering, true),
        (7, ShuttingDown, true),
    ] {
        let mut subject = Subject::new(wire, false);
        let change = subject.state_change(0, kind, version(PROCESS, 6));
        let generation = u64::from(clear_pool);
        assert_eq!(
            change,
            StateChange {
                mark_unknown: true,
                clear_pool,
                generation
            },
            "{kind:?}"
        );
        assert_eq!(subject.node().error.as_deref(), Some("changed"));
        assert_eq!(
            subject.node().wire,
            Some((0, wire)),
            "limits outlive the verdict"
        );
    }
}

#[test]
fn a_state_change_that_is_known_already_changes_nothing() {
    for (reported, is_news) in [
        (version(PROCESS, 4), false),
        (version(PROCESS, 5), false),
        (version(PROCESS, 6), true),
        (version(OTHER_PROCESS, 1), true),
        (None, true),
    ] {
        let mut subject = Subject::new(17, false);
        let change = subject.state_change(0, StateChangeKind::NotPrimary, reported);
        assert_eq!(change.mark_unknown, is_news, "{reported:?}");
        assert_eq!(subject.node().suspended, is_news, "{reported:?}");
    }
}

#[test]
fn errors_of_a_stale_generation_say_nothing() {
    let mut subject = Subject::new(17, false);
    assert_eq!(subject.network(0, Phase::Ready, false).generation, 1);
    // Nineteen more sockets of the same generation notice the same death.
    for _ in 0..19 {
        assert_eq!(subject.network(0, Phase::Ready, false), kept(1));
    }
    assert!(subject.hear(
        HelloSource::Connection,
        1_001,
        subject.primary(version(PROCESS, 5))
    ));
    let shutdown = StateChangeKind::ShuttingDown;
    assert_eq!(
        subject.state_change(0, shutdown, version(PROCESS, 9)),
        kept(1)
    );
    assert_eq!(subject.node().kind, NodeKind::Primary);
    assert!(subject.network(1, Phase::Ready, false).mark_unknown);
}

#[test]
fn a_suspicion_without_a_version_ends_with_a_hello_asked_for_later() {
    for source in [HelloSource::Monitor, HelloSource::Connection] {
        let mut subject = Subject::new(17, false);
        subject.network(0, Phase::Ready, false);
        let hello = subject.primary(version(PROCESS, 6));
        assert!(
            !subject.hear(source, 999, hello.clone()),
            "asked for before the error"
        );
        assert!(!subject.hear(source, 1_000, hello.clone()));
        assert!(subject.node().suspended);
        assert!(subject.hear(source, 1_001, hello));
        assert!(!subject.node().suspended);
        assert_eq!(subject.node().error, None);
    }
}

#[test]
fn a_suspicion_with_a_version_ends_with_a_hello_that_has_seen_it() {
    for (started, hello, ends) in [
        // The same process says whether it has seen the change: time is no matter.
        (500, version(PROCESS, 6), false),
        (2_000, version(PROCESS, 6), false),
        (500, version(PROCESS, 7), true),
        (500, version(PROCESS, 8), true),
        // Another process may be the one before or the one after.
        (500, version(OTHER_PROCESS, 1), false),
        (2_000, version(OTHER_PROCESS, 1), true),
        (500, None, false),
        (2_000, None, true),
    ] {
        let mut subject = Subject::new(17, false);
        subject.state_change(0, StateChangeKind::NotPrimary, version(PROCESS, 7));
        let believed = subject.hear(HelloSource::Monitor, started, subject.primary(hello));
        assert_eq!(believed, ends, "started {started}, {hello:?}");
        assert_eq!(subject.node().suspended, !ends);
    }
}

#[test]
fn behind_a_load_balancer_no_node_is_marked() {
    let mut subject = Subject::new(17, true);
    let cleared = StateChange {
        mark_unknown: false,
        clear_pool: true,
        generation: 0,
    };
    assert_eq!(subject.network(0, Phase::Connecting, false), kept(0));
    assert_eq!(subject.network(0, Phase::Ready, true), kept(0));
    assert_eq!(subject.network(0, Phase::Ready, false), cleared);
    let change = |subject: &mut Subject, kind| subject.state_change(0, kind, None);
    assert_eq!(change(&mut subject, StateChangeKind::NotPrimary), kept(0));
    assert_eq!(change(&mut subject, StateChangeKind::ShuttingDown), cleared);
    assert_eq!(subject.node().kind, NodeKind::LoadBalancer);
}

#[test]
fn an_unknown_node_is_no_reason_to_do_anything() {
    let mut subject = Subject::new(17, false);
    subject.address = NodeAddress::parse("b").unwrap();
    assert_eq!(
        subject.network(0, Phase::Ready, false),
        StateChange::default()
    );
    let shutdown = subject.state_change(0, StateChangeKind::ShuttingDown, None);
    assert_eq!(shutdown, StateChange::default());
}
