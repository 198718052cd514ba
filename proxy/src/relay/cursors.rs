//! getMore: a command that belongs to a cursor rather than to a kind of node.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    command::{Facts, Treatment},
    error::Failure,
    pool::{Lane, NodePool, Want},
    relay::{
        ClientSide, Relay,
        awaiting::{await_data, set_wait},
        cursor_node::{self, CursorNode},
        deadline::CURSOR_NODE_AWAY,
        operation::{OneNode, Operation},
        outcome::{Answer, Stop},
    },
    route::pins::CursorPin,
    topology::{NodeAddress, NodeKind},
};

/// How long a getMore waits for data at a node that may not have its cursor.
const PROBE_WAIT: Duration = Duration::from_millis(20);

/// Whether this getMore is for a change stream that was open at `moment`.
pub(super) fn is_stream_opened_before(relay: &Relay, facts: &Facts, moment: Instant) -> bool {
    let is_older = |pin: CursorPin| pin.is_stream() && relay.epoch + pin.opened < moment;
    facts.treatment == Treatment::GetMore
        && relay.pins.cursor(facts.cursor_id).is_some_and(is_older)
}

/// Sends a getMore to the node that has its cursor. It is never sent twice.
pub(super) async fn get_more<C: ClientSide>(
    operation: &mut Operation<'_, C>,
) -> Result<Answer, Stop> {
    let relay = operation.relay;
    match relay.pins.cursor(operation.request.facts.cursor_id) {
        Some(pin) if pin.awaits => {
            let patience = operation.deadline.hold_at_most(CURSOR_NODE_AWAY);
            let pool = cursor_node::find(operation, &pin, patience).await?;
            await_data(operation, &pool, &pin).await
        }
        Some(pin) => operation.complete(CursorNode { pin: &pin }).await,
        None if relay.settings.probe_cursors => probe(operation).await,
        None => Err(operation.refuse_get_more(Failure::CursorNotFound)),
    }
}

/// Asks the nodes for a cursor that another Weir opened: the primary first, then the others, one
/// at a time.
///
/// A node that does not know the cursor answers 43 and has done nothing. Any other answer is
/// final. A node that is away now may have the cursor, so it gets [`CURSOR_NODE_AWAY`] to come
/// back.
///
/// A getMore that waits for data waits only [`PROBE_WAIT`] at each node, outside of the lane for
/// such getMores. Once its cursor is found it takes its turn with the others.
async fn probe<C: ClientSide>(operation: &mut Operation<'_, C>) -> Result<Answer, Stop> {
    let relay = operation.relay;
    let patience = operation.deadline.hold_from_now(CURSOR_NODE_AWAY);
    // A server allows the field on no other getMore.
    let awaits = operation.request.facts.max_time.is_some();
    if awaits {
        set_wait(operation.request, PROBE_WAIT);
    }
    let mut asked: Vec<NodeAddress> = Vec::new();
    loop {
        let table = arc_swap::Guard::into_inner(relay.cluster.table());
        let mut pools = table.data_pools().into_iter();
        let Some(pool) = pools.find(|pool| !asked.contains(pool.node())) else {
            let nodes = table.snapshot.nodes.iter();
            let all = all_asked(nodes.map(|node| (&node.address, node.kind)), &asked);
            if all || patience.is_over() {
                return Err(operation.refuse_get_more(Failure::CursorNotFound));
            }
            match Box::pin(operation.hold(&table, patience)).await {
                // The wait for absent nodes is over, which says nothing about the operation.
                Err(Stop::Error(_)) if patience.is_over() && !operation.deadline.is_over() => {
                    return Err(operation.refuse_get_more(Failure::CursorNotFound));
                }
                held => held?,
            }
            continue;
        };
        let answer = ask(operation, &pool).await?;
        let is_final = matches!(answer, Answer::Streamed) || operation.request.is_spent();
        if is_final {
            return Ok(answer);
        }
        if !answer.says_not_found() {
            let pin = relay.pins.cursor(operation.request.facts.cursor_id);
            return match pin.filter(|_| awaits && answer.is_empty_batch()) {
                Some(pin) => Box::pin(await_data(operation, &pool, &pin)).await,
                None => Ok(answer),
            };
        }
        asked.push(pool.node().clone());
    }
}

async fn ask<C: ClientSide>(
    operation: &mut Operation<'_, C>,
    pool: &Arc<NodePool>,
) -> Result<Answer, Stop> {
    let want = Want {
        lane: Lane::Finishing,
        ..Want::default()
    };
    operation.complete(OneNode { pool, want }).await
}

/// Whether every node that may hold the cursor was asked.
fn all_asked<'a>(
    mut nodes: impl Iterator<Item = (&'a NodeAddress, NodeKind)>,
    asked: &[NodeAddress],
) -> bool {
    let may_hold = |kind: NodeKind| kind == NodeKind::Unknown || kind.holds_data();
    nodes.all(|(address, kind)| asked.contains(address) || !may_hold(kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_that_is_away_now_may_have_the_cursor() {
        let [a, b] = ["a", "b"].map(|name| NodeAddress::tcp(name, None));
        let asked = [a.clone()];
        let of = |kind| [(&a, NodeKind::Secondary), (&b, kind)].into_iter();
        assert!(!all_asked(of(NodeKind::Unknown), &asked));
        assert!(!all_asked(of(NodeKind::Primary), &asked));
        assert!(all_asked(of(NodeKind::Arbiter), &asked));
        assert!(all_asked(of(NodeKind::Unknown), &[a.clone(), b.clone()]));
    }
}
