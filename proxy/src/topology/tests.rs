//! The handle: what is published, when, and which events it brings.

use super::*;

fn address(text: &str) -> NodeAddress {
    NodeAddress::parse(text).unwrap()
}

fn topology() -> Topology {
    Topology::new(&Seeds {
        hosts: vec![address("a"), address("b")],
        ..Seeds::default()
    })
}

fn hello(kind: NodeKind, hosts: &str) -> Hello {
    Hello {
        kind,
        set_name: Some("rs".into()),
        hosts: hosts.split(',').map(address).collect(),
        wire: (0, 17),
        ..Hello::default()
    }
}

fn drain(events: &mut mpsc::UnboundedReceiver<TopologyEvent>) -> Vec<TopologyEvent> {
    std::iter::from_fn(|| events.try_recv().ok()).collect()
}

#[test]
fn every_change_is_published_and_told_in_order() {
    let topology = topology();
    let (mut events, revisions) = (topology.events(), topology.watch());
    let (a, b) = (address("a"), address("b"));
    topology.on_hello(&a, now(), hello(NodeKind::Primary, "a,b"));
    assert_eq!(
        topology.current().primary().map(|node| &node.address),
        Some(&a)
    );
    assert_eq!(*revisions.borrow(), 1);
    let up = |address: &NodeAddress, kind| TopologyEvent::NodeUp {
        address: address.clone(),
        kind,
    };
    let primary = |primary: Option<&NodeAddress>| TopologyEvent::PrimaryChanged {
        primary: primary.cloned(),
    };
    assert_eq!(
        drain(&mut events),
        [up(&a, NodeKind::Primary), primary(Some(&a))]
    );

    topology.monitor_failed(&a, true, "timed out");
    let down = TopologyEvent::NodeDown {
        address: a.clone(),
        timed_out: true,
        error: "timed out".into(),
        generation: 1,
    };
    assert_eq!(drain(&mut events), [down, primary(None)]);

    topology.on_hello(&b, now(), hello(NodeKind::Primary, "b"));
    let removed = TopologyEvent::NodeRemoved { address: a };
    assert_eq!(
        drain(&mut events),
        [removed, up(&b, NodeKind::Primary), primary(Some(&b))]
    );
    assert_eq!(topology.current().revision, *revisions.borrow());
}

#[test]
fn a_verdict_is_no_event_but_a_snapshot() {
    let topology = topology();
    let a = address("a");
    topology.on_hello(&a, now(), hello(NodeKind::Primary, "a,b"));
    let mut events = topology.events();
    let change = topology.on_network_error(&a, 0, Phase::Ready, false, "reset by peer");
    assert_eq!(
        change,
        StateChange {
            mark_unknown: true,
            clear_pool: true,
            generation: 1
        }
    );
    let node = topology.current().node(&a).cloned().unwrap();
    assert!(node.suspended);
    assert_eq!(node.error.as_deref(), Some("reset by peer"));
    assert_eq!(
        drain(&mut events),
        [TopologyEvent::PrimaryChanged { primary: None }]
    );
}

#[test]
fn a_timeout_is_told_even_if_no_snapshot_shows_it() {
    let topology = topology();
    let a = address("a");
    topology.monitor_failed(&a, false, "no answer");
    let mut events = topology.events();
    topology.monitor_failed(&a, true, "no answer");
    let [
        TopologyEvent::NodeDown {
            timed_out: true, ..
        },
    ] = drain(&mut events)[..]
    else {
        panic!("the pool must learn that its connections in use are dead");
    };
}

#[test]
fn round_trips_are_published_but_wake_nobody() {
    let topology = topology();
    let a = address("a");
    topology.on_hello(&a, now(), hello(NodeKind::Primary, "a,b"));
    let mut revisions = topology.watch();
    revisions.mark_unchanged();
    let rtt = Duration::from_millis(3);
    topology.watched(Vec::new(), Vec::new(), vec![(a.clone(), rtt)]);
    assert_eq!(topology.current().node(&a).unwrap().rtt, Some(rtt));
    assert!(!revisions.has_changed().unwrap());
    topology.watched(vec![address("c")], Vec::new(), Vec::new());
    assert!(revisions.has_changed().unwrap());
}

#[test]
fn held_operations_are_counted() {
    let topology = topology();
    let held = topology.shared.held.subscribe();
    let holds = [topology.hold(), topology.hold()];
    assert_eq!(*held.borrow(), 2);
    drop(holds);
    assert_eq!(*held.borrow(), 0);
}
