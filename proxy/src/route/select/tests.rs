//! Selection by example, and what must hold for every deployment.

use proptest::prelude::*;

use super::*;
use crate::topology::{NodeAddress, Tags};

const HEARTBEAT: Duration = Duration::from_secs(1);

fn node(port: u16, kind: NodeKind) -> Node {
    Node {
        address: NodeAddress::tcp("db", Some(port)),
        kind,
        rtt: Some(Duration::from_millis(1)),
        least_rtt: None,
        tags: Tags::default(),
        last_write: Some(1_000_000),
        last_update: Some(1_000_000),
        wire: Some((0, 17)),
        limits: None,
        session_timeout_minutes: Some(30),
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
        set_name: None,
        incompatible: None,
        notice: None,
        revision: 0,
    }
}

fn set(nodes: Vec<Node>) -> Snapshot {
    let has_primary = nodes.iter().any(|node| node.kind == NodeKind::Primary);
    let kind = if has_primary {
        TopologyKind::ReplicaSetWithPrimary
    } else {
        TopologyKind::ReplicaSetNoPrimary
    };
    snapshot(kind, nodes)
}

fn stale(seconds: u64) -> Option<Duration> {
    Some(Duration::from_secs(seconds))
}

#[test]
fn a_preference_that_can_never_be_met_is_refused() {
    let set = set(vec![node(1, NodeKind::Primary)]);
    let preference = |max_staleness| ReadPreference {
        mode: Mode::Nearest,
        max_staleness,
        ..ReadPreference::PRIMARY
    };
    let code = |max_staleness, heartbeat| {
        suitable(&set, &preference(max_staleness), heartbeat).map_err(|error| error.code().0)
    };
    assert_eq!(code(stale(89), HEARTBEAT), Err(160));
    assert_eq!(code(stale(90), HEARTBEAT), Ok(vec![0]));
    // A slow heartbeat cannot tell a lag of less than itself and an idle write.
    assert_eq!(code(stale(129), Duration::from_secs(120)), Err(160));
    assert_eq!(code(stale(130), Duration::from_secs(120)), Ok(vec![0]));
    let old = Snapshot {
        incompatible: Some("too old".into()),
        ..set.clone()
    };
    let refused = suitable(&old, &ReadPreference::PRIMARY, HEARTBEAT).unwrap_err();
    assert_eq!(refused.to_string(), "too old");
}

#[test]
fn a_node_under_a_verdict_is_not_used() {
    for (kind, node_kind) in [
        (TopologyKind::Single, NodeKind::Primary),
        (TopologyKind::Sharded, NodeKind::Mongos),
        (TopologyKind::ReplicaSetWithPrimary, NodeKind::Primary),
    ] {
        let healthy = snapshot(kind, vec![node(1, node_kind)]);
        let found = suitable(&healthy, &ReadPreference::PRIMARY, HEARTBEAT);
        assert_eq!(found, Ok(vec![0]), "{kind:?}");
        let suspended = snapshot(
            kind,
            vec![Node {
                suspended: true,
                ..node(1, node_kind)
            }],
        );
        let found = suitable(&suspended, &ReadPreference::PRIMARY, HEARTBEAT);
        assert_eq!(found, Ok(vec![]), "{kind:?}");
    }
}

#[test]
fn without_a_measured_round_trip_nobody_is_far_away() {
    let unmeasured = |port| Node {
        rtt: None,
        least_rtt: None,
        ..node(port, NodeKind::Secondary)
    };
    let fresh = set(vec![unmeasured(1), unmeasured(2)]);
    assert_eq!(in_window(&fresh, &[0, 1], Duration::ZERO), [0, 1]);
    let mixed = set(vec![unmeasured(1), node(2, NodeKind::Secondary)]);
    assert_eq!(in_window(&mixed, &[0, 1], Duration::MAX), [1]);
    assert_eq!(in_window(&mixed, &[0], Duration::ZERO), [0]);
    assert_eq!(in_window(&mixed, &[], Duration::ZERO), Vec::<usize>::new());
}

fn kinds() -> impl Strategy<Value = NodeKind> {
    prop_oneof![
        4 => Just(NodeKind::Secondary),
        1 => Just(NodeKind::Unknown),
        1 => Just(NodeKind::Arbiter),
        1 => Just(NodeKind::Other),
    ]
}

fn member() -> impl Strategy<Value = Node> {
    (
        kinds(),
        proptest::option::of(0_u64..40),
        0_i64..400,
        0_u8..3,
        any::<bool>(),
    )
        .prop_map(|(kind, rtt, lag, dc, suspended)| Node {
            rtt: rtt.map(Duration::from_millis),
            least_rtt: None,
            last_write: Some(1_000_000 - lag * 1_000),
            tags: Tags::new([("dc".to_owned(), dc.to_string())]),
            suspended,
            ..node(0, kind)
        })
}

/// A replica set, with a primary or without.
fn deployments() -> impl Strategy<Value = Snapshot> {
    (
        proptest::collection::vec(member(), 0..7),
        proptest::option::of(0_usize..7),
    )
        .prop_map(|(mut nodes, primary)| {
            for (port, node) in (1..).zip(&mut nodes) {
                node.address = NodeAddress::tcp("db", Some(port));
            }
            if let Some(node) = primary.and_then(|index| nodes.get_mut(index)) {
                (node.kind, node.suspended) = (NodeKind::Primary, false);
            }
            set(nodes)
        })
}

fn preferences() -> impl Strategy<Value = ReadPreference> {
    let mode = prop_oneof![
        Just(Mode::PrimaryPreferred),
        Just(Mode::Secondary),
        Just(Mode::SecondaryPreferred),
        Just(Mode::Nearest),
    ];
    let tag_set = proptest::collection::vec(
        (0_u8..3).prop_map(|dc| ("dc".to_owned(), dc.to_string())),
        0..2,
    );
    (
        mode,
        proptest::collection::vec(tag_set, 0..3),
        proptest::option::of(90_u64..300),
    )
        .prop_map(|(mode, tag_sets, seconds)| ReadPreference {
            mode,
            tag_sets,
            max_staleness: seconds.map(Duration::from_secs),
        })
}

proptest! {
    #[test]
    fn what_is_suitable_is_usable_and_of_the_right_kind(
        set in deployments(), preference in preferences(), threshold in 0_u64..50,
    ) {
        let found = suitable(&set, &preference, HEARTBEAT).unwrap();
        prop_assert!(found.is_sorted());
        for index in &found {
            let node = &set.nodes[*index];
            prop_assert!(!node.suspended);
            prop_assert!(matches!(node.kind, NodeKind::Primary | NodeKind::Secondary));
            prop_assert!(preference.mode != Mode::Secondary || node.kind == NodeKind::Secondary);
        }
        let has_primary = set.primary().is_some();
        let only_primary = |found: &[usize]| found.iter().all(|index| set.nodes[*index].kind == NodeKind::Primary);
        if preference.mode == Mode::PrimaryPreferred && has_primary {
            prop_assert!(found.len() == 1 && only_primary(&found));
        }
        if preference.mode == Mode::SecondaryPreferred && has_primary {
            prop_assert!(!found.is_empty(), "the primary is always good enough");
        }
        let near = in_window(&set, &found, Duration::from_millis(threshold));
        prop_assert!(near.iter().all(|index| found.contains(index)));
        prop_assert_eq!(near.is_empty(), found.is_empty());
        let fastest = found.iter().filter(|index| set.nodes[**index].rtt.is_some())
            .min_by_key(|index| set.nodes[**index].rtt);
        prop_assert!(fastest.is_none_or(|fastest| near.contains(fastest)));
    }

    #[test]
    fn primary_is_the_primary_or_nobody(set in deployments()) {
        let found = suitable(&set, &ReadPreference::PRIMARY, HEARTBEAT).unwrap();
        let primary = set.nodes.iter().position(|node| node.kind == NodeKind::Primary);
        prop_assert_eq!(found, Vec::from_iter(primary));
    }

    /// One more secondary that lags behind everybody changes nobody else's chances.
    #[test]
    fn a_staler_node_changes_nothing_for_the_others(
        mut set in deployments(), seconds in 90_u64..300, nearest in any::<bool>(),
    ) {
        let mode = if nearest { Mode::Nearest } else { Mode::Secondary };
        let preference = ReadPreference { mode, max_staleness: stale(seconds), tag_sets: Vec::new() };
        let before = suitable(&set, &preference, HEARTBEAT).unwrap();
        let mut straggler = node(60_000, NodeKind::Secondary);
        straggler.last_write = Some(1_000_000 - 10_000_000);
        set.nodes.push(straggler);
        let after = suitable(&set, &preference, HEARTBEAT).unwrap();
        let straggler = set.nodes.len() - 1;
        let mut others = after.clone();
        others.retain(|index| *index != straggler);
        prop_assert_eq!(&others, &before);
        // It is fresh only in comparison with itself.
        let is_alone = set.nodes.iter().filter(|node| node.kind == NodeKind::Secondary).count() == 1;
        prop_assert_eq!(after.contains(&straggler), is_alone && set.primary().is_none());
    }

    #[test]
    fn the_choice_is_a_candidate_and_never_the_busiest(
        candidates in proptest::collection::btree_set(0_usize..20, 0..8), random in any::<u64>(),
    ) {
        let candidates = Vec::from_iter(candidates);
        let chosen = choose(&candidates, random, |index| index);
        prop_assert_eq!(chosen.is_some(), !candidates.is_empty());
        if let Some(chosen) = chosen {
            prop_assert!(candidates.contains(&chosen));
            prop_assert!(candidates.len() == 1 || Some(&chosen) != candidates.last());
        }
    }
}
