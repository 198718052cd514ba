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

    topology.monitor_failed(&a, true, "timed out", now());
    let down = TopologyEvent::NodeDown {
        address: a.clone(),
        timed_out: true,
        heard_since: false,
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
    topology.monitor_failed(&a, false, "no answer", now());
    let mut events = topology.events();
    topology.monitor_failed(&a, true, "no answer", now());
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
    assert!(!revisions.has_changed().unwrap());
    topology.watched(vec![address("c")], Vec::new(), Vec::new());
    assert!(revisions.has_changed().unwrap());
}

/// What the driver's average makes of these, one after the other.
#[test]
fn a_busy_moment_makes_the_way_no_longer() {
    let topology = topology();
    let a = address("a");
    topology.on_hello(&a, now(), hello(NodeKind::Primary, "a,b"));
    let mut average = None;
    let mut measured = |ms: u64| {
        let sample = Duration::from_millis(ms);
        let next = average.map_or(sample, |before: Duration| (sample + before * 4) / 5);
        average = Some(next);
        topology.watched(Vec::new(), Vec::new(), vec![(a.clone(), next)]);
        let least = topology.current().node(&a).unwrap().least_rtt;
        // Averages are rounded.
        least.map(|least| (least + Duration::from_micros(1)).as_millis())
    };
    let ms = Some::<u128>;
    assert_eq!(measured(90), None, "that of a connection that is made");
    assert_eq!(measured(10), ms(10));
    for _ in 0..9 {
        assert_eq!(measured(400), ms(10));
    }
    assert_eq!(measured(400), ms(400), "so long that it is no moment");
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

/// The monitor's flow is dead, but not the node: a connection has heard it meanwhile.
#[test]
fn what_was_heard_since_a_heartbeat_began_is_said() {
    let a = NodeAddress::tcp("a", Some(1));
    let topology = Topology::new(&Seeds {
        hosts: vec![a.clone()],
        direct: true,
        ..Seeds::default()
    });
    let mut events = topology.events();
    for (n, heard_first) in [true, false].into_iter().enumerate() {
        let (earlier, later) = (now(), now() + Duration::from_millis(1 + n as u64));
        let (heard, began) = if heard_first {
            (earlier, later)
        } else {
            (later, earlier)
        };
        topology.on_hello(&a, heard, hello(NodeKind::Primary, "a"));
        drain(&mut events);
        topology.monitor_failed(&a, true, "timed out", began);
        let down = drain(&mut events)
            .into_iter()
            .find_map(|event| match event {
                TopologyEvent::NodeDown { heard_since, .. } => Some(heard_since),
                _ => None,
            });
        assert_eq!(down, Some(!heard_first));
        topology.heard(
            &a,
            HelloSource::Monitor,
            later,
            hello(NodeKind::Primary, "a"),
        );
    }
}
