//! Decides which node may serve a request, from its facts, the snapshot and the pins. Pure.
//!
//! | module | its part |
//! |---|---|
//! | `read_preference` | parses a client's `$readPreference` |
//! | `select` | server selection on one snapshot |
//! | `pins` | open cursors and transactions that belong to a node or connection |

pub mod pins;
pub mod read_preference;
pub mod select;

use crate::{
    command::{Facts, Treatment, facts::stable_hash},
    error::ErrorReply,
    route::{
        pins::{CursorPin, Pins},
        read_preference::{Mode, ReadPreference, RouteError},
    },
    topology::{NodeAddress, NodeKind, Snapshot, TopologyKind},
};

#[cfg(test)]
mod tests;

/// Where a request is sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Route {
    /// Any of these nodes, by index into the snapshot. Never empty.
    AnyOf(Vec<usize>),
    /// This node, by index into the snapshot.
    Node(usize),
    /// The node, and perhaps the connection, that holds its cursor or transaction.
    Bound(NodeAddress, Option<u64>),
    /// No node is suitable now: wait for another snapshot.
    Hold,
    /// A getMore of a cursor that this process did not open.
    UnknownCursor,
}

/// What routing needs in addition to the request.
#[derive(Clone, Copy, Debug)]
pub struct Rules {
    /// The width of the latency window (`localThresholdMS`).
    pub local_threshold: std::time::Duration,
    /// The time between two heartbeats, for the staleness estimate.
    pub heartbeat: std::time::Duration,
}

/// Decides where the request of `facts` goes.
///
/// # Errors
/// A malformed or impossible `$readPreference`, with a server's code and text.
pub fn plan(
    facts: &Facts,
    message: &[u8],
    snapshot: &Snapshot,
    pins: &Pins,
    rules: Rules,
) -> Result<Route, ErrorReply> {
    if facts.treatment == Treatment::GetMore {
        let pinned = |pin: CursorPin| Route::Bound(pin.node, pin.connection);
        return Ok(pins
            .cursor(facts.cursor_id)
            .map_or(Route::UnknownCursor, pinned));
    }
    if facts.in_transaction && has_router(snapshot) {
        return Ok(transaction(facts, snapshot, pins));
    }
    let preference = preference_of(facts, message)?;
    if preference.mode == Mode::Primary && snapshot.kind.is_replica_set() {
        let primary = snapshot
            .nodes
            .iter()
            .position(|node| node.kind == NodeKind::Primary);
        return Ok(primary.map_or(Route::Hold, Route::Node));
    }
    let suitable: Vec<usize> =
        select::suitable(snapshot, &preference, rules.heartbeat).map_err(|e| refused(&e))?;
    Ok(match suitable.as_slice() {
        [] => Route::Hold,
        [one] => Route::Node(*one),
        _ => Route::AnyOf(select::in_window(
            snapshot,
            &suitable,
            rules.local_threshold,
        )),
    })
}

/// Reads use `$readPreference`. All other commands are sent to the primary, or to any mongos.
fn preference_of(facts: &Facts, message: &[u8]) -> Result<ReadPreference, ErrorReply> {
    match facts.read_preference {
        Some(span) if facts.treatment == Treatment::Read && !facts.in_transaction => {
            ReadPreference::parse(span.of(message)).map_err(|e| refused(&e))
        }
        _ => Ok(ReadPreference::PRIMARY),
    }
}

fn refused(error: &RouteError) -> ErrorReply {
    let (code, name) = error.code();
    ErrorReply::new(code, name, error.to_string())
}

fn has_router(snapshot: &Snapshot) -> bool {
    matches!(
        snapshot.kind,
        TopologyKind::Sharded | TopologyKind::LoadBalanced
    )
}

/// All commands of a transaction are sent to one router: the one that has its first statement,
/// otherwise the one that every Weir would choose for this session.
fn transaction(facts: &Facts, snapshot: &Snapshot, pins: &Pins) -> Route {
    let Some(session) = facts.session else {
        return Route::Hold;
    };
    if !facts.starts_transaction
        && let Some(pin) = pins.transaction(session)
        && Some(pin.number) == facts.txn_number
        && snapshot
            .node(&pin.node)
            .is_some_and(|node| node.kind.holds_data())
    {
        return Route::Bound(pin.node, pin.connection);
    }
    let routers = snapshot
        .nodes
        .iter()
        .enumerate()
        .filter(|(_, node)| matches!(node.kind, NodeKind::Mongos | NodeKind::LoadBalancer));
    let chosen = routers.max_by_key(|(_, node)| rendezvous(session, &node.address));
    chosen.map_or(Route::Hold, |(index, _)| Route::Node(index))
}

/// Highest random weight: every process ranks the routers in the same way. A router that comes or
/// goes moves only its own sessions.
fn rendezvous(session: u64, address: &NodeAddress) -> u64 {
    let name = stable_hash(address.to_string().as_bytes());
    stable_hash(&(session ^ name.rotate_left(32)).to_le_bytes())
}
