//! What the public specification files cannot say: several sources of hellos, and
//! orders nobody thought of.

use proptest::prelude::*;

use super::*;
use crate::topology::snapshot::{Node, TopologyVersion};
use crate::topology::verdict::{Phase, StateChangeKind};

fn address(text: &str) -> NodeAddress {
    NodeAddress::parse(text).unwrap()
}

fn member(kind: NodeKind, hosts: &str) -> Hello {
    Hello {
        kind,
        set_name: Some("rs".into()),
        hosts: hosts.split(',').map(address).collect(),
        wire: (0, 17),
        ..Hello::default()
    }
}

fn elected(election: u8, hosts: &str) -> Hello {
    Hello {
        election_id: Some([election; 12]),
        set_version: Some(1),
        ..member(NodeKind::Primary, hosts)
    }
}

struct Subject {
    deployment: Deployment,
    start: Instant,
}

impl Subject {
    fn new(hosts: &str) -> Self {
        let hosts = hosts.split(',').map(address).collect();
        let deployment = Deployment::new(&Seeds {
            hosts,
            ..Seeds::default()
        });
        Self {
            deployment,
            start: Instant::now(),
        }
    }

    fn hear(&mut self, source: HelloSource, node: &str, started: u64, hello: Hello) -> bool {
        let started = self.start + Duration::from_millis(started);
        self.deployment.on_hello(
            &address(node),
            hello,
            Heard {
                source,
                started,
                at_ms: 0,
            },
        )
    }

    fn fail(&mut self, node: &str, timed_out: bool, at: u64) -> Option<Down> {
        let at = self.start + Duration::from_millis(at);
        self.deployment
            .on_monitor_failure(&address(node), timed_out, "failed", at)
    }

    fn primary(&self) -> Option<String> {
        self.deployment
            .snapshot(0)
            .primary()
            .map(|node| node.address.to_string())
    }

    fn node(&self, node: &str) -> Node {
        self.deployment
            .snapshot(0)
            .node(&address(node))
            .unwrap()
            .clone()
    }
}

#[test]
fn a_connection_may_bring_the_news_of_an_election() {
    let mut subject = Subject::new("a,b");
    assert!(subject.hear(HelloSource::Monitor, "a", 0, elected(1, "a,b")));
    assert_eq!(subject.primary().as_deref(), Some("a:27017"));
    assert!(subject.hear(HelloSource::Connection, "b", 10, elected(2, "a,b")));
    assert_eq!(
        subject.primary().as_deref(),
        Some("b:27017"),
        "no heartbeat was needed"
    );
    assert!(
        subject
            .node("a")
            .error
            .unwrap()
            .contains("b:27017 is the primary now")
    );
    // The old primary's monitor has not noticed yet.
    subject.hear(HelloSource::Monitor, "a", 20, elected(1, "a,b"));
    assert_eq!(subject.primary().as_deref(), Some("b:27017"));
    assert_eq!(subject.node("a").kind, NodeKind::Unknown);
    assert!(subject.hear(
        HelloSource::Monitor,
        "a",
        30,
        member(NodeKind::Secondary, "a,b")
    ));
    assert_eq!(subject.node("a").kind, NodeKind::Secondary);
}

#[test]
fn an_answer_that_was_overtaken_is_ignored() {
    let mut subject = Subject::new("a");
    assert!(subject.hear(HelloSource::Monitor, "a", 20, elected(1, "a")));
    assert!(!subject.hear(
        HelloSource::Connection,
        "a",
        10,
        member(NodeKind::Secondary, "a")
    ));
    assert_eq!(subject.primary().as_deref(), Some("a:27017"));
    // One process counts its changes, which orders its answers whatever the clock says.
    let version = |counter| {
        Some(TopologyVersion {
            process_id: [9; 12],
            counter,
        })
    };
    let counted = |counter| Hello {
        topology_version: version(counter),
        ..elected(1, "a")
    };
    assert!(subject.hear(HelloSource::Monitor, "a", 30, counted(5)));
    assert!(!subject.hear(HelloSource::Connection, "a", 40, counted(4)));
    assert!(subject.hear(HelloSource::Connection, "a", 25, counted(6)));
}

#[test]
fn a_dead_node_lives_again_by_its_monitor_or_by_a_later_connection() {
    let mut subject = Subject::new("a");
    subject.hear(HelloSource::Monitor, "a", 0, elected(1, "a"));
    assert_eq!(
        subject.fail("a", false, 100),
        Some(Down {
            timed_out: false,
            generation: 1
        })
    );
    assert!(
        !subject.hear(HelloSource::Connection, "a", 90, elected(1, "a")),
        "before its death"
    );
    assert!(subject.hear(HelloSource::Connection, "a", 101, elected(1, "a")));
    assert!(subject.fail("a", false, 200).is_some());
    // The driver's events come in order, whatever our clock says of their times.
    assert!(subject.hear(HelloSource::Monitor, "a", 199, elected(1, "a")));
}

#[test]
fn a_failure_is_told_once_and_its_timeout_too() {
    let mut subject = Subject::new("a");
    subject.hear(HelloSource::Monitor, "a", 0, elected(1, "a"));
    assert_eq!(
        subject.fail("a", false, 100),
        Some(Down {
            timed_out: false,
            generation: 1
        })
    );
    assert_eq!(subject.fail("a", false, 200), None);
    assert_eq!(
        subject.fail("a", true, 300),
        Some(Down {
            timed_out: true,
            generation: 1
        })
    );
    assert_eq!(subject.fail("a", true, 400), None);
    assert_eq!(subject.fail("a", false, 500), None);
    assert_eq!(subject.fail("b", true, 500), None, "not a member");
    assert_eq!(subject.node("a").generation, 1);
    assert_eq!(subject.node("a").wire, Some((0, 17)), "still known");
}

#[test]
fn a_monitor_failure_outranks_a_suspicion() {
    let mut subject = Subject::new("a");
    subject.hear(HelloSource::Monitor, "a", 0, elected(1, "a"));
    let now = subject.start + Duration::from_millis(50);
    let node = address("a");
    subject
        .deployment
        .on_network_error(&node, 0, Phase::Ready, false, "reset", now);
    assert!(subject.node("a").suspended);
    assert_eq!(
        subject.fail("a", true, 100),
        Some(Down {
            timed_out: true,
            generation: 2
        })
    );
    assert!(!subject.node("a").suspended);
    let stale = StateChangeKind::ShuttingDown;
    let change = subject
        .deployment
        .on_state_change(&node, 1, stale, None, "bye", now);
    assert!(!change.mark_unknown);
}

#[test]
fn a_load_balancer_is_known_by_what_answers_behind_it() {
    let seeds = Seeds {
        hosts: vec![address("lb")],
        load_balanced: true,
        ..Seeds::default()
    };
    let mut subject = Subject {
        deployment: Deployment::new(&seeds),
        start: Instant::now(),
    };
    assert_eq!(subject.node("lb").kind, NodeKind::LoadBalancer);
    assert_eq!(subject.node("lb").wire, None);
    let hello = Hello {
        kind: NodeKind::Mongos,
        wire: (0, 21),
        ..Hello::default()
    };
    assert!(subject.hear(HelloSource::Connection, "lb", 0, hello));
    assert_eq!(subject.node("lb").kind, NodeKind::LoadBalancer);
    assert_eq!(subject.node("lb").wire, Some((0, 21)));
    assert_eq!(subject.deployment.kind(), TopologyKind::LoadBalanced);
}

#[test]
fn who_is_dropped_is_told_why() {
    let standalone = Hello {
        kind: NodeKind::Standalone,
        wire: (0, 17),
        ..Hello::default()
    };
    let renamed = Hello {
        me: Some(address("inner:1")),
        ..member(NodeKind::Secondary, "inner:1")
    };
    let foreign = Hello {
        set_name: Some("other".into()),
        ..member(NodeKind::Primary, "a")
    };
    for (hello, reason) in [
        (
            standalone.clone(),
            "a:27017 is not a member of a replica set",
        ),
        (renamed, "a:27017 calls itself inner:1"),
        (
            foreign,
            "a:27017 is a member of replica set other, not of rs",
        ),
    ] {
        let seeds = Seeds {
            hosts: vec![address("a")],
            set_name: Some("rs".into()),
            ..Seeds::default()
        };
        let mut subject = Subject {
            deployment: Deployment::new(&seeds),
            start: Instant::now(),
        };
        subject.hear(HelloSource::Monitor, "a", 0, hello);
        let snapshot = subject.deployment.snapshot(0);
        assert_eq!(snapshot.notice.as_deref(), Some(reason));
        assert_eq!(snapshot.node(&address("a")), None);
    }
    // The only seed stays, so that start-up can say that it is a standalone.
    let mut subject = Subject::new("a");
    subject.hear(HelloSource::Monitor, "a", 0, standalone);
    assert!(subject.deployment.snapshot(0).is_standalone());
    assert_eq!(subject.deployment.kind(), TopologyKind::Single);
}

#[test]
fn a_server_that_is_too_old_is_named() {
    let mut subject = Subject::new("a");
    subject.hear(
        HelloSource::Monitor,
        "a",
        0,
        Hello {
            wire: (0, 8),
            ..elected(1, "a")
        },
    );
    let reason = subject.deployment.snapshot(0).incompatible.unwrap();
    assert!(
        reason.starts_with("a:27017 speaks wire version 8, Weir needs at least 9"),
        "{reason}"
    );
}

#[test]
fn the_driver_adds_and_drops_what_only_it_knows() {
    let mut subject = Subject::new("a");
    let mongos = || Hello {
        kind: NodeKind::Mongos,
        wire: (0, 17),
        ..Hello::default()
    };
    subject.hear(HelloSource::Monitor, "a", 0, mongos());
    subject.deployment.add(&address("b"));
    subject.deployment.add(&address("a"));
    assert_eq!(
        subject.node("a").kind,
        NodeKind::Mongos,
        "adding a known one changes nothing"
    );
    subject.hear(HelloSource::Monitor, "b", 0, mongos());
    subject.deployment.forget(&address("a"));
    let snapshot = subject.deployment.snapshot(0);
    assert_eq!(snapshot.nodes.len(), 1);
    assert_eq!(
        (snapshot.kind, snapshot.nodes[0].kind),
        (TopologyKind::Sharded, NodeKind::Mongos)
    );
}

/// One step in the life of a set of three.
#[derive(Clone, Debug)]
enum Step {
    Hello {
        node: usize,
        election: Option<u8>,
        monitor: bool,
    },
    Down {
        node: usize,
        timed_out: bool,
    },
    Broken {
        node: usize,
        stale: bool,
    },
    SteppedDown {
        node: usize,
    },
}

fn step() -> impl Strategy<Value = Step> {
    let node = 0_usize..3;
    prop_oneof![
        4 => (node.clone(), proptest::option::of(1_u8..6), any::<bool>())
            .prop_map(|(node, election, monitor)| Step::Hello { node, election, monitor }),
        1 => (node.clone(), any::<bool>())
            .prop_map(|(node, timed_out)| Step::Down { node, timed_out }),
        1 => (node.clone(), any::<bool>()).prop_map(|(node, stale)| Step::Broken { node, stale }),
        1 => node.prop_map(|node| Step::SteppedDown { node }),
    ]
}

proptest! {
    /// Whatever happens: one primary at most, the kind tells whether there is one, no
    /// election is believed after a newer one, generations never go back.
    #[test]
    fn a_replica_set_stays_consistent(steps in proptest::collection::vec(step(), 1..80)) {
        const NODES: [&str; 3] = ["a", "b", "c"];
        let mut subject = Subject::new("a,b,c");
        let (mut newest, mut generations) = (0, [0; 3]);
        for (at, step) in (1_u64..).zip(steps) {
            let now = subject.start + Duration::from_millis(at);
            match step {
                Step::Hello { node, election, monitor } => {
                    let source = if monitor { HelloSource::Monitor } else { HelloSource::Connection };
                    let hello = election.map_or_else(
                        || member(NodeKind::Secondary, "a,b,c"),
                        |election| elected(election, "a,b,c"),
                    );
                    subject.hear(source, NODES[node], at, hello);
                    newest = newest.max(election.unwrap_or(0));
                    let is_primary = subject.node(NODES[node]).kind == NodeKind::Primary;
                    prop_assert_eq!(is_primary, election == Some(newest) && newest > 0);
                }
                Step::Down { node, timed_out } => {
                    subject.fail(NODES[node], timed_out, at);
                }
                Step::Broken { node, stale } => {
                    let current = subject.node(NODES[node]).generation;
                    let generation = if stale { current.wrapping_sub(1) } else { current };
                    let before = subject.node(NODES[node]);
                    subject.deployment.on_network_error(
                        &address(NODES[node]), generation, Phase::Ready, false, "reset", now,
                    );
                    if stale && current > 0 {
                        prop_assert_eq!(before, subject.node(NODES[node]));
                    }
                }
                Step::SteppedDown { node } => {
                    let generation = subject.node(NODES[node]).generation;
                    subject.deployment.on_state_change(
                        &address(NODES[node]), generation, StateChangeKind::NotPrimary, None, "", now,
                    );
                    prop_assert_eq!(subject.node(NODES[node]).kind, NodeKind::Unknown);
                }
            }
            let snapshot = subject.deployment.snapshot(0);
            let is_primary = |node: &&Node| node.kind == NodeKind::Primary;
            let primaries = snapshot.nodes.iter().filter(is_primary).count();
            prop_assert!(primaries <= 1);
            prop_assert_eq!(primaries == 1, snapshot.kind == TopologyKind::ReplicaSetWithPrimary);
            for (last, node) in generations.iter_mut().zip(&snapshot.nodes) {
                prop_assert!(node.generation >= *last);
                *last = node.generation;
            }
        }
    }
}
