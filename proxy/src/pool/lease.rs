//! A connection on loan.

use std::{sync::Arc, time::Duration};

use crate::{
    pool::{Bond, ConnId, NodePool, Payload, Place, state::Slot},
    upstream::Connection,
};

/// Why an operation got no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The deadline passed in the queue.
    #[error("no connection became free in time")]
    TimedOut,
    /// The queue is full.
    #[error("too many operations wait already")]
    Shed,
    /// Choose a node again; who comes back to this pool may keep this place in its queue.
    #[error("the node's connections were given up")]
    Cleared(Place),
    /// The connection that holds the cursor or transaction is gone.
    #[error("the one connection that would do is gone")]
    Gone,
    /// The upstream refuses Weir's login.
    #[error("the database refuses Weir's login")]
    LoginRefused,
    /// The node has left the deployment: choose another.
    #[error("the node is no longer part of the deployment")]
    Retired,
}

/// A connection checked out of its pool.
///
/// Dropping it tells the truth about it: untouched, it goes back, as cold as it was; touched and not
/// given back with [`Lease::give_back`], its state is unknown and it is destroyed.
#[derive(Debug)]
pub struct Lease {
    pub(super) pool: Arc<NodePool>,
    slot: Option<Slot<Payload>>,
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

    /// The connection, to be used. From now on only [`Lease::give_back`] saves it.
    pub fn connection(&mut self) -> Option<&mut Connection> {
        self.touched = true;
        self.slot.as_mut().map(|slot| &mut *slot.conn)
    }

    /// The connection, to be used, beside the pool it belongs to.
    pub fn connection_and_pool(&mut self) -> Option<(&mut Connection, &NodePool)> {
        self.touched = true;
        let slot = self.slot.as_mut()?;
        Some((&mut slot.conn, &self.pool))
    }

    /// The connection, to be looked at.
    #[must_use]
    pub fn peek(&self) -> Option<&Connection> {
        self.slot.as_ref().map(|slot| &*slot.conn)
    }

    /// Whether something happened on it that nobody asked for.
    pub(super) fn is_disturbed(&self) -> bool {
        self.slot
            .as_ref()
            .is_none_or(|slot| slot.conn.socket().is_disturbed())
    }

    /// The slot, back in the pool's hands.
    pub(super) fn into_slot(mut self) -> Option<Slot<Payload>> {
        self.take()
    }

    pub(super) fn take(&mut self) -> Option<Slot<Payload>> {
        self.slot.take()
    }

    /// Its identity within the pool.
    #[must_use]
    pub fn id(&self) -> ConnId {
        self.slot.as_ref().map_or(ConnId(0), |slot| slot.id)
    }

    /// The generation it was made in.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.slot.as_ref().map_or(0, |slot| slot.generation)
    }

    /// How long it had been idle when it was leased.
    #[must_use]
    pub fn idle_for(&self) -> Duration {
        let now = self.pool.now();
        self.slot
            .as_ref()
            .map_or(Duration::ZERO, |slot| now.saturating_sub(slot.last_used))
    }

    /// The pool it belongs to.
    #[must_use]
    pub const fn pool(&self) -> &Arc<NodePool> {
        &self.pool
    }

    /// Ties a cursor or transaction to this connection, or unties it.
    pub fn bond(&self, bond: Bond, tie: bool) {
        self.pool.bond(self.id(), bond, tie);
    }

    /// Back to the pool: the exchange ended and not a byte is left over.
    pub fn give_back(self) {
        self.pool.breaker.succeeded();
        self.give_back_greeted();
    }

    /// The same after a hello only: a node may greet and fail whatever it is asked to do.
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
