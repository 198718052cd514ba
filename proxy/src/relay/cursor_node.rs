//! The node that holds an open cursor.

use std::sync::Arc;

use crate::{
    error::Failure,
    pool::{ConnId, Lane, NodePool, Want},
    relay::{
        ClientSide,
        deadline::Deadline,
        operation::{Operation, Target},
        outcome::Stop,
    },
    route::pins::CursorPin,
};

/// The node of a pinned cursor: the target of an ordinary getMore.
pub(super) struct CursorNode<'a> {
    pub(super) pin: &'a CursorPin,
}

impl Target for CursorNode<'_> {
    async fn select<C: ClientSide>(
        &mut self,
        operation: &mut Operation<'_, C>,
    ) -> Result<(Arc<NodePool>, Want), Stop> {
        let pool = find(operation, self.pin, operation.deadline).await?;
        Ok((pool, want(self.pin, Lane::Finishing)))
    }
}

/// The connection that a command about this cursor needs.
pub(super) fn want(pin: &CursorPin, lane: Lane) -> Want {
    Want {
        lane,
        only: pin.connection.map(ConnId),
        opens_transaction: false,
        place: None,
    }
}

/// Finds the pool of the node that holds a cursor. Holds the operation while the node is away,
/// for as long as `patience` says.
///
/// A cursor ends with the server process that opened it. A node that has come back as another
/// process is not asked. It may even be unable to say that it does not know the cursor, while it
/// lacks the keys to check cluster times.
pub(super) async fn find<C: ClientSide>(
    operation: &Operation<'_, C>,
    pin: &CursorPin,
    patience: Deadline,
) -> Result<Arc<NodePool>, Stop> {
    let relay = operation.relay;
    let forget = || relay.unpin_cursor(operation.request.facts.cursor_id);
    loop {
        let table = arc_swap::Guard::into_inner(relay.cluster.table());
        let mut nodes = table.snapshot.nodes.iter().zip(&table.pools);
        let found = nodes.find(|(node, _)| node.address == pin.node);
        let Some((node, pool)) = found.filter(|(node, _)| pin.may_be_on(node)) else {
            forget();
            return Err(operation.refuse_get_more(Failure::CursorNotFound));
        };
        // The node may have rolled back since, and then answers with an error on which no driver
        // resumes. A stream loses nothing if its driver resumes it now.
        if pin.awaits && pin.deaths != pool.deaths() {
            forget();
            return Err(operation.refuse_get_more(Failure::Interrupted));
        }
        if node.kind.holds_data() {
            return Ok(Arc::clone(pool));
        }
        let held = Box::pin(operation.hold(&table, patience)).await;
        if matches!(held, Err(Stop::Error(_))) {
            forget();
        }
        held?;
    }
}
