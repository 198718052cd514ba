//! From what was seen to problems, remarks and the verdict.

use std::io;
use std::sync::Arc;

use super::config;
use crate::check::probe_upstream::{Connections, Found, Visit};
use crate::check::report::{CheckReport, ListenerReport};
use crate::topology::snapshot::STANDALONE;
use crate::topology::{Hello, Node, NodeAddress, NodeKind, Snapshot, Tags, TopologyKind};
use crate::upstream::ConnectError;
use crate::upstream::auth::LoginError;

type Outcome = Result<Visit, ConnectError>;

fn address(text: &str) -> NodeAddress {
    NodeAddress::parse(text).unwrap()
}

fn node(name: &str, kind: NodeKind) -> Node {
    Node {
        address: address(name),
        kind,
        rtt: None,
        least_rtt: None,
        tags: Tags::default(),
        last_write: None,
        last_update: None,
        wire: Some((0, 17)),
        limits: None,
        session_timeout_minutes: None,
        topology_version: None,
        error: None,
        suspended: false,
        generation: 0,
    }
}

fn snapshot(kind: TopologyKind, nodes: Vec<Node>) -> Snapshot {
    Snapshot {
        kind,
        nodes,
        set_name: Some("rs0".to_owned()),
        incompatible: None,
        notice: None,
        revision: 1,
    }
}

fn visited() -> Outcome {
    Ok(Visit {
        mechanism: Some("SCRAM-SHA-256"),
        connections: Connections::Told {
            current: 3,
            available: 1_000,
        },
        ..Visit::default()
    })
}

fn refused() -> Outcome {
    Err(ConnectError::Login(LoginError::Refused {
        code: 18,
        message: "Authentication failed.".to_owned(),
    }))
}

fn unreachable() -> Outcome {
    Err(ConnectError::Network(
        io::ErrorKind::ConnectionRefused.into(),
    ))
}

async fn judged(
    upstream: &str,
    snapshot: Snapshot,
    visits: Vec<(&str, Outcome)>,
) -> ListenerReport {
    let config = config(upstream, "127.0.0.1:27099").await;
    let mut report = CheckReport::of(&config, false).listeners.remove(0);
    let visits = visits.into_iter();
    let found = Found {
        snapshot: Arc::new(snapshot),
        visits: visits.map(|(node, visit)| (address(node), visit)).collect(),
    };
    report.add(&config.listeners[0], &found);
    report
}

const LOGIN: &str = "mongodb://app:pw@a:1,b:2/?replicaSet=rs0";

fn pair() -> Snapshot {
    let nodes = vec![
        node("a:1", NodeKind::Primary),
        node("b:2", NodeKind::Secondary),
    ];
    snapshot(TopologyKind::ReplicaSetWithPrimary, nodes)
}

#[tokio::test]
async fn a_healthy_set_is_ok() {
    let report = judged(LOGIN, pair(), vec![("a:1", visited()), ("b:2", visited())]).await;
    assert!(report.serves && report.problems.is_empty(), "{report:?}");
    assert!(report.remarks.is_empty(), "{report:?}");
    let login = report.login.unwrap();
    assert_eq!((login.accepted_by, login.error), (2, None));
    assert_eq!(login.mechanism.as_deref(), Some("SCRAM-SHA-256"));
}

#[tokio::test]
async fn a_wrong_password_is_one_problem_of_all_nodes() {
    let report = judged(LOGIN, pair(), vec![("a:1", refused()), ("b:2", refused())]).await;
    assert!(!report.serves);
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(report.problems[0].starts_with("a:1, b:2: user app"));
    assert!(report.login.unwrap().error.is_some());
}

#[tokio::test]
async fn a_dead_secondary_is_a_problem_that_lets_weir_serve() {
    let report = judged(
        LOGIN,
        pair(),
        vec![("a:1", visited()), ("b:2", unreachable())],
    )
    .await;
    assert!(report.serves);
    assert_eq!(report.problems.len(), 1, "{:?}", report.problems);
    assert!(report.problems[0].starts_with("b:2: nothing listens there"));
}

#[tokio::test]
async fn no_primary_is_said() {
    let nodes = vec![node("b:2", NodeKind::Secondary)];
    let seen = snapshot(TopologyKind::ReplicaSetNoPrimary, nodes);
    let report = judged(LOGIN, seen, vec![("b:2", visited())]).await;
    assert!(!report.serves);
    assert!(report.problems[0].contains("no primary"), "{report:?}");
}

#[tokio::test]
async fn a_standalone_is_refused_with_the_words_of_the_start() {
    let plain = "mongodb://a:1";
    let nodes = vec![node("a:1", NodeKind::Standalone)];
    let seen = snapshot(TopologyKind::Single, nodes);
    let report = judged(plain, seen, vec![("a:1", visited())]).await;
    assert_eq!(report.problems, [STANDALONE]);
    // With replicaSet in the string the host is dropped, and only its own hello tells.
    let mut visit = visited().unwrap();
    visit.hello.kind = NodeKind::Standalone;
    let seen = snapshot(TopologyKind::ReplicaSetNoPrimary, Vec::new());
    let report = judged(LOGIN, seen, vec![("a:1", Ok(visit))]).await;
    assert_eq!(report.problems, [STANDALONE]);
    assert!(!report.serves && report.topology.is_none());
}

#[tokio::test]
async fn a_wrong_set_name_comes_with_the_right_one() {
    let visit = Visit {
        hello: Hello {
            kind: NodeKind::Primary,
            set_name: Some("orders".to_owned()),
            ..Hello::default()
        },
        ..Visit::default()
    };
    let seen = snapshot(TopologyKind::ReplicaSetNoPrimary, Vec::new());
    let report = judged(LOGIN, seen, vec![("a:1", Ok(visit))]).await;
    assert!(
        report.problems[0].contains("write replicaSet=orders"),
        "{report:?}"
    );
}

#[tokio::test]
async fn a_missing_login_is_a_problem_and_a_missing_role_is_not() {
    let visit = || {
        Ok(Visit {
            connections: Connections::Forbidden,
            ..Visit::default()
        })
    };
    let report = judged("mongodb://a:1,b:2", pair(), vec![("a:1", visit())]).await;
    assert!(!report.serves);
    assert!(report.problems[0].contains("demands a login"), "{report:?}");
    let report = judged(LOGIN, pair(), vec![("a:1", visit())]).await;
    assert!(report.serves && report.problems.is_empty(), "{report:?}");
    assert!(report.remarks[0].contains("clusterMonitor"), "{report:?}");
}

#[tokio::test]
async fn little_room_and_another_weir_are_remarks() {
    let visit = Visit {
        weir: Some("0.1.0".to_owned()),
        connections: Connections::Told {
            current: 495,
            available: 5,
        },
        ..Visit::default()
    };
    let report = judged(LOGIN, pair(), vec![("a:1", Ok(visit))]).await;
    assert!(report.problems.is_empty());
    // Two monitors and the connection that asked are among the 495 and leave again.
    assert!(report.remarks[0].contains("room for 8 more"), "{report:?}");
    assert!(report.remarks[1].contains("a Weir itself"), "{report:?}");
    let nodes = &report.topology.as_ref().unwrap().nodes;
    assert_eq!(nodes[0].version.as_deref(), Some("Weir 0.1.0"));
}

#[tokio::test]
async fn an_uninitiated_set_is_told_how_to_begin() {
    let seen = snapshot(TopologyKind::Unknown, vec![node("a:1", NodeKind::Ghost)]);
    let report = judged("mongodb://a:1", seen, Vec::new()).await;
    assert!(report.problems[0].contains("rs.initiate()"), "{report:?}");
}
