use std::{sync::Arc, time::Duration};

use bson::{RawDocumentBuf, rawdoc};
use proptest::prelude::*;

use super::*;
use crate::{
    topology::{Node, Tags, TopologyVersion},
    wire::{op_msg::OpMsg, reply},
};

const RULES: Rules = Rules {
    local_threshold: Duration::from_millis(15),
    heartbeat: Duration::from_secs(1),
};

fn node(port: u16, kind: NodeKind) -> Node {
    Node {
        address: NodeAddress::tcp("h", Some(port)),
        kind,
        rtt: Some(Duration::from_millis(1)),
        least_rtt: None,
        tags: Tags::default(),
        last_write: Some(0),
        last_update: Some(0),
        wire: Some((0, 17)),
        limits: None,
        session_timeout_minutes: Some(30),
        topology_version: None,
        error: None,
        suspended: false,
        generation: 0,
    }
}

fn snapshot(kind: TopologyKind, kinds: &[NodeKind]) -> Arc<Snapshot> {
    let nodes = kinds
        .iter()
        .zip(1_u16..)
        .map(|(kind, port)| node(port, *kind))
        .collect();
    let (set_name, incompatible, notice) = (None, None, None);
    Arc::new(Snapshot {
        kind,
        nodes,
        set_name,
        incompatible,
        notice,
        revision: 1,
    })
}

fn set() -> Arc<Snapshot> {
    use NodeKind::{Primary, Secondary};
    snapshot(
        TopologyKind::ReplicaSetWithPrimary,
        &[Secondary, Primary, Secondary],
    )
}

fn planned(document: &RawDocumentBuf, snapshot: &Snapshot, pins: &Pins) -> Route {
    let message = reply::op_msg(1, 0, 0, document.as_bytes());
    let facts = Facts::read(&message, &OpMsg::parse(&message).unwrap()).unwrap();
    plan(&facts, &message, snapshot, pins, RULES).unwrap()
}

fn pin(port: u16) -> CursorPin {
    let node = NodeAddress::tcp("h", Some(port));
    CursorPin {
        node,
        process: None,
        deaths: 0,
        connection: None,
        awaits: false,
        turn: None,
        opened: Duration::ZERO,
        position: None,
        last_used: Duration::ZERO,
    }
}

#[test]
fn writes_and_plain_reads_go_to_the_primary() {
    let pins = Pins::default();
    let insert = rawdoc! { "insert": "c", "$db": "d", "$readPreference": { "mode": "secondary" } };
    let find = rawdoc! { "find": "c", "$db": "d" };
    assert_eq!(planned(&insert, &set(), &pins), Route::Node(1));
    assert_eq!(planned(&find, &set(), &pins), Route::Node(1));
}

#[test]
fn a_read_preference_is_honoured_outside_transactions_only() {
    let pins = Pins::default();
    let mode = rawdoc! { "mode": "secondary" };
    let find = rawdoc! { "find": "c", "$db": "d", "$readPreference": mode.clone() };
    assert_eq!(planned(&find, &set(), &pins), Route::AnyOf(vec![0, 2]));
    let inside = rawdoc! {
        "find": "c", "$db": "d", "$readPreference": mode, "autocommit": false, "txnNumber": 1_i64,
    };
    assert_eq!(planned(&inside, &set(), &pins), Route::Node(1));
}

/// The Rust driver writes `tagSets`, every other one `tags`.
#[test]
fn tag_sets_are_understood_in_both_spellings() {
    for name in ["tags", "tagSets"] {
        let mut document = bson::doc! { "mode": "secondary" };
        document.insert(name, vec![bson::doc! { "region": "east" }]);
        let preference = ReadPreference::parse(&document.to_vec().unwrap()).unwrap();
        assert_eq!(preference.tag_sets.len(), 1, "{name}");
        assert!(!preference.tag_sets[0].is_empty(), "{name}");
    }
}

#[test]
fn without_a_primary_writes_are_held_and_secondary_reads_are_not() {
    let pins = Pins::default();
    let set = snapshot(
        TopologyKind::ReplicaSetNoPrimary,
        &[NodeKind::Secondary, NodeKind::Unknown],
    );
    assert_eq!(
        planned(&rawdoc! { "insert": "c", "$db": "d" }, &set, &pins),
        Route::Hold
    );
    let mode = rawdoc! { "mode": "secondaryPreferred" };
    let find = rawdoc! { "find": "c", "$db": "d", "$readPreference": mode };
    assert_eq!(planned(&find, &set, &pins), Route::Node(0));
}

#[test]
fn a_get_more_follows_its_cursor_wherever_the_primary_is() {
    let pins = Pins::default();
    let more = rawdoc! { "getMore": 7_i64, "collection": "c", "$db": "d" };
    assert_eq!(planned(&more, &set(), &pins), Route::UnknownCursor);
    pins.set_cursor(7, pin(3));
    assert_eq!(
        planned(&more, &set(), &pins),
        Route::Bound(NodeAddress::tcp("h", Some(3)), None)
    );
}

#[test]
fn a_cursor_ends_with_the_process_that_opened_it() {
    let set = set();
    let mut node = set.nodes[0].clone();
    let version = |process_id| {
        Some(TopologyVersion {
            process_id,
            counter: 1,
        })
    };
    let mut pin = pin(1);
    node.topology_version = version([7; 12]);
    assert!(pin.may_be_on(&node), "nobody knows which one opened it");
    pin.process = Some([7; 12]);
    assert!(pin.may_be_on(&node));
    node.topology_version = None;
    assert!(pin.may_be_on(&node), "it is away, and may come back");
    node.topology_version = version([8; 12]);
    assert!(!pin.may_be_on(&node));
}

#[test]
fn cursors_are_forgotten_with_their_node_and_with_age() {
    let pins = Pins::default();
    pins.set_cursor(1, pin(1));
    pins.set_cursor(2, pin(2));
    drop(pins.expire(Duration::from_secs(60), |node| node.port() == Some(1)));
    assert!(pins.cursor(1).is_none() && pins.cursor(2).is_some());
    let tied = CursorPin {
        connection: Some(9),
        ..pin(2)
    };
    pins.set_cursor(2, tied);
    let forgotten = pins.expire(Duration::from_secs(31 * 60), |_| false);
    assert_eq!(forgotten.cursors, [(NodeAddress::tcp("h", Some(2)), 9)]);
    assert_eq!(pins.cursors(), 0);
}

fn transaction_statement(session: i64, first: bool) -> RawDocumentBuf {
    let mut statement = rawdoc! {
        "insert": "c", "lsid": { "id": session }, "txnNumber": 1_i64, "autocommit": false,
    };
    if first {
        statement.append(bson::raw::cstr!("startTransaction"), true);
    }
    statement.append(bson::raw::cstr!("$db"), "d");
    statement
}

proptest! {
    /// Two Weirs that know the same routers choose the same one, and a router that leaves
    /// moves nobody else's sessions.
    #[test]
    fn a_transaction_stays_with_its_router(session: i64, leaves in 0_usize..4) {
        let routers = snapshot(TopologyKind::Sharded, &[NodeKind::Mongos; 4]);
        let pins = Pins::default();
        let first = planned(&transaction_statement(session, true), &routers, &pins);
        let again = planned(&transaction_statement(session, false), &routers, &Pins::default());
        prop_assert_eq!(&first, &again);
        let Route::Node(chosen) = first else { panic!("{first:?}") };
        let mut fewer = Snapshot::clone(&routers);
        fewer.nodes.get_mut(leaves).unwrap().kind = NodeKind::Unknown;
        let after = planned(&transaction_statement(session, true), &fewer, &pins);
        if leaves == chosen {
            prop_assert!(matches!(after, Route::Node(other) if other != chosen));
        } else {
            prop_assert_eq!(after, Route::Node(chosen));
        }
    }
}
