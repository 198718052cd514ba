//! A connection that is checked out of its pool.

use std::{sync::Arc, time::Duration};

use crate::{
    pool::{ConnId, NodePool, Payload, PinReason, Place, state::Slot},
    upstream::Connection,
};

/// Why an operation got no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The deadline passed while the operation was in the queue.
    #[error("no connection became free in time")]
    TimedOut,
    /// The queue is full.
    #[error("too many operations wait for a connection")]
    Shed,
    /// The pool was cleared: select a server again. An operation that comes back to this pool may
    /// keep this place in its queue.
    #[error("the pool of the node was cleared")]
    Cleared(Place),
    /// The connection that holds the cursor or transaction was closed.
    #[error("the connection that holds the cursor or transaction was closed")]
    Gone,
    /// The server refuses Weir's login.
    #[error("the database refuses Weir's login")]
    LoginRefused,
    /// The node has left the deployment: select another one.
    #[error("the node is no longer part of the deployment")]
    Retired,
}

/// A connection checked out of its pool.
///
/// A lease that is dropped untouched goes back to the pool, idle since its last exchange. A lease
/// that was touched and is dropped without [`Lease::give_back`] is destroyed, because the state of
/// the connection is unknown.
#[derive(Debug)]
pub struct Lease {
    pool: Arc<NodePool>,
    /// `None` only while the lease is being given up.
    slot: Option<Slot<Payload>>,
    /// The connection was given out for use.
    touched: bool,
}

impl Lease {
    pub(super) const fn new(pool: Arc<NodePool>, slot: Slot<Payload>) -> Self {
        Self {
            pool,
            slot: Some(slot),
            touched: false,
        }
    }

    /// The connection, for use. From now on only [`Lease::give_back`] keeps it from being
    /// destroyed.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        self.touched = true;
        self.slot.as_mut().map(|slot| &mut *slot.conn)
    }

    /// As [`Lease::connection`], with the pool that it belongs to.
    pub fn connection_and_pool(&mut self) -> Option<(&mut Connection, &NodePool)> {
        self.touched = true;
        let slot = self.slot.as_mut()?;
        Some((&mut slot.conn, &self.pool))
    }

    /// The connection, for reading its properties. The lease stays untouched.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn peek(&self) -> Option<&Connection> {
        self.slot.as_ref().map(|slot| &*slot.conn)
    }

    /// Whether bytes or an end of stream arrived without a request.
    pub(super) fn is_disturbed(&self) -> bool {
        self.slot
            .as_ref()
            .is_none_or(|slot| slot.conn.socket().is_disturbed())
    }

    /// Gives the slot back to the pool's own code. The lease's drop does nothing then.
    pub(super) fn into_slot(mut self) -> Option<Slot<Payload>> {
        self.slot.take()
    }

    /// The connection's identity within the pool.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.slot.as_ref().map_or(ConnId(0), |slot| slot.id)
    }

    /// The generation in which its handshake began.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.slot.as_ref().map_or(0, |slot| slot.generation)
    }

    /// How long ago it last finished an exchange.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        let now = self.pool.now();
        self.slot
            .as_ref()
            .map_or(Duration::ZERO, |slot| now.saturating_sub(slot.last_used))
    }

    /// The pool that it belongs to.
    #[must_use]
    pub const fn pool(&self) -> &Arc<NodePool> {
        &self.pool
    }

    /// A cursor or transaction was opened on this connection (`pinned`), or ended.
    pub fn set_pinned(&self, reason: PinReason, pinned: bool) {
        self.pool.set_pinned(self.id(), reason, pinned);
    }

    /// Checks the connection in: the exchange ended and no byte is left over. The circuit breaker
    /// counts a success.
    pub fn give_back(self) {
        self.pool.breaker.succeeded();
        self.give_back_greeted();
    }

    /// Checks the connection in after a hello. That is no success for the circuit breaker: a node
    /// may answer hello and fail every operation.
    pub fn give_back_greeted(mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.check_in(slot);
        }
    }

    /// Destroys the connection: its state is not provably clean.
    pub fn destroy(mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.discard(slot);
        }
    }

    /// The connection did not answer a liveness check: closes it, and every connection that has
    /// been idle for as long.
    pub fn abandon(mut self) {
        if let Some(slot) = self.slot.take() {
            self.pool.with_machine(|machine, now, effects| {
                let idle_for = now.saturating_sub(slot.last_used);
                machine.abandon(slot, now, effects);
                machine.abandon_idle(now, idle_for, effects);
            });
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(slot) = self.slot.take() else { return };
        if self.touched {
            self.pool.discard(slot);
        } else {
            self.pool.put_back(slot);
        }
    }
}
