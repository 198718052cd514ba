//! Selects the node for an operation: the algorithm of *Server Selection* and *Max Staleness*, on
//! one snapshot.
//!
//! ```text
//! all nodes → suitable (kind, staleness, tags) → in_window (latency) → choose (load)
//! ```

use std::time::Duration;

use super::read_preference::{Mode, ReadPreference, RouteError, SMALLEST_MAX_STALENESS, TagSet};
use crate::topology::{Node, NodeKind, Snapshot, TopologyKind};

/// How often an idle primary writes to its oplog. A secondary of an idle set may seem to lag by this
/// time without lagging.
const IDLE_WRITE_PERIOD: Duration = Duration::from_secs(10);

/// The indexes of all nodes that may serve a read with this preference, before the latency window.
/// An empty list means that the operation must wait for another snapshot.
///
/// Writes use [`ReadPreference::PRIMARY`].
///
/// # Errors
///
/// No later snapshot can help: the preference is impossible, or the deployment is incompatible.
pub fn suitable(
    snapshot: &Snapshot,
    preference: &ReadPreference,
    heartbeat: Duration,
) -> Result<Vec<usize>, RouteError> {
    if let Some(reason) = &snapshot.incompatible {
        return Err(RouteError::Incompatible(reason.clone()));
    }
    Ok(match snapshot.kind {
        TopologyKind::Unknown => Vec::new(),
        TopologyKind::Single => of_kind(snapshot, |kind| kind != NodeKind::Unknown),
        TopologyKind::LoadBalanced => of_kind(snapshot, |kind| kind == NodeKind::LoadBalancer),
        // A mongos applies the preference itself.
        TopologyKind::Sharded => of_kind(snapshot, |kind| kind == NodeKind::Mongos),
        TopologyKind::ReplicaSetNoPrimary | TopologyKind::ReplicaSetWithPrimary => {
            check_staleness(preference, heartbeat)?;
            in_replica_set(snapshot, preference, heartbeat)
        }
    })
}

/// The candidates whose round trip is at most `local_threshold` longer than the shortest one. A
/// node without a measured round trip is left out, unless no node has one.
#[must_use]
pub fn in_window(
    snapshot: &Snapshot,
    candidates: &[usize],
    local_threshold: Duration,
) -> Vec<usize> {
    let rtt = |index: usize| snapshot.nodes.get(index).and_then(|node| node.rtt);
    let Some(shortest) = candidates.iter().filter_map(|index| rtt(*index)).min() else {
        return candidates.to_vec();
    };
    let longest = shortest.saturating_add(local_threshold);
    candidates
        .iter()
        .copied()
        .filter(|index| rtt(*index).is_some_and(|rtt| rtt <= longest))
        .collect()
}

/// One of the candidates: of two random ones the one with fewer operations in progress. If the
/// least busy of all were chosen, every Weir would choose the same node.
pub fn choose(candidates: &[usize], random: u64, in_use: impl Fn(usize) -> usize) -> Option<usize> {
    let count = candidates.len();
    let first = below(random >> 32, count);
    // Not the first one again.
    let second = (first + 1 + below(random & 0xffff_ffff, count.saturating_sub(1))) % count.max(1);
    let (first, second) = (*candidates.get(first)?, *candidates.get(second)?);
    Some(if in_use(second) < in_use(first) {
        second
    } else {
        first
    })
}

/// Scales 32 random bits to `0..count`.
fn below(random: u64, count: usize) -> usize {
    usize::try_from((random * count as u64) >> 32).unwrap_or(0)
}

fn of_kind(snapshot: &Snapshot, wanted: impl Fn(NodeKind) -> bool) -> Vec<usize> {
    let nodes = snapshot.nodes.iter().enumerate();
    nodes
        .filter(|(_, node)| !node.suspended && wanted(node.kind))
        .map(|(index, _)| index)
        .collect()
}

fn check_staleness(preference: &ReadPreference, heartbeat: Duration) -> Result<(), RouteError> {
    let smallest = SMALLEST_MAX_STALENESS.max(heartbeat.saturating_add(IDLE_WRITE_PERIOD));
    match preference.max_staleness {
        Some(_) if preference.mode == Mode::Primary => Err(RouteError::MaxStalenessWithPrimary),
        Some(staleness) if staleness < smallest => Err(RouteError::MaxStalenessTooSmall {
            smallest: smallest.as_secs(),
        }),
        _ => Ok(()),
    }
}

fn in_replica_set(
    snapshot: &Snapshot,
    preference: &ReadPreference,
    heartbeat: Duration,
) -> Vec<usize> {
    let primary = || of_kind(snapshot, |kind| kind == NodeKind::Primary);
    let secondaries = || {
        let all = of_kind(snapshot, |kind| kind == NodeKind::Secondary);
        eligible(snapshot, all, preference, heartbeat)
    };
    let or = |first: Vec<usize>, second: &dyn Fn() -> Vec<usize>| {
        if first.is_empty() { second() } else { first }
    };
    match preference.mode {
        Mode::Primary => primary(),
        Mode::PrimaryPreferred => or(primary(), &secondaries),
        Mode::Secondary => secondaries(),
        Mode::SecondaryPreferred => or(secondaries(), &primary),
        Mode::Nearest => {
            let all = of_kind(snapshot, |kind| {
                matches!(kind, NodeKind::Primary | NodeKind::Secondary)
            });
            eligible(snapshot, all, preference, heartbeat)
        }
    }
}

/// Keeps the candidates that are fresh enough, and of these the ones that match the first tag set
/// that any candidate matches.
fn eligible(
    snapshot: &Snapshot,
    mut candidates: Vec<usize>,
    preference: &ReadPreference,
    heartbeat: Duration,
) -> Vec<usize> {
    let node = |index: usize| snapshot.nodes.get(index);
    if let Some(max_staleness) = preference.max_staleness {
        let fresh = |node| {
            staleness(snapshot, node, heartbeat)
                .is_some_and(|lag| lag <= milliseconds(max_staleness))
        };
        candidates.retain(|index| node(*index).is_some_and(fresh));
    }
    if preference.tag_sets.is_empty() {
        return candidates;
    }
    let carried_by =
        |set: &TagSet, index: usize| node(index).is_some_and(|node| carries(node, set));
    let carried = |set: &&TagSet| candidates.iter().any(|index| carried_by(set, *index));
    match preference.tag_sets.iter().find(carried) {
        Some(set) => candidates
            .into_iter()
            .filter(|index| carried_by(set, *index))
            .collect(),
        None => Vec::new(),
    }
}

fn carries(node: &Node, set: &TagSet) -> bool {
    set.iter()
        .all(|(name, value)| node.tags.get(name) == Some(value.as_str()))
}

/// How far a node may lag, in milliseconds (*Max Staleness*, "Estimating staleness"); `None`: it
/// never reported its last write.
///
/// With a primary, the lag is the difference between the ages of the two last writes, each at the
/// time of its own hello. Without a primary, it is the difference to the most recent secondary.
/// Both may be wrong by up to one heartbeat, which is added.
fn staleness(snapshot: &Snapshot, node: &Node, heartbeat: Duration) -> Option<i64> {
    if node.kind == NodeKind::Primary {
        return Some(0);
    }
    let behind = match snapshot.primary() {
        Some(primary) => age_of_last_write(node)?.saturating_sub(age_of_last_write(primary)?),
        None => {
            let secondaries = snapshot
                .nodes
                .iter()
                .filter(|node| node.kind == NodeKind::Secondary);
            secondaries
                .filter_map(|node| node.last_write)
                .max()?
                .saturating_sub(node.last_write?)
        }
    };
    Some(behind.saturating_add(milliseconds(heartbeat)))
}

fn age_of_last_write(node: &Node) -> Option<i64> {
    Some(node.last_update?.saturating_sub(node.last_write?))
}

fn milliseconds(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
