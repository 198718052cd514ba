//! Connections that hold cursors or open transactions (load-balanced upstreams only).
//!
//! Later commands of a cursor or transaction must use the same connection: it is pinned. A
//! pinned connection is neither closed for idleness nor for age, because its cursors and its
//! transaction would end with it.

use std::{collections::HashMap, time::Duration};

use crate::pool::state::{ConnId, Effect, Machine};

/// Why a connection is pinned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PinReason {
    /// A cursor is open on it.
    Cursor,
    /// A transaction is open on it.
    Transaction,
}

/// How much is open on one connection. An entry of [`Pins`] is never all zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct OpenOn {
    cursors: u32,
    transactions: u32,
}

/// What is open on each pinned connection.
#[derive(Debug, Default)]
pub(super) struct Pins(HashMap<ConnId, OpenOn>);

impl Pins {
    pub(super) fn add(&mut self, id: ConnId, reason: PinReason) {
        let count = self.0.entry(id).or_default().count(reason);
        *count = count.saturating_add(1);
    }

    pub(super) fn remove(&mut self, id: ConnId, reason: PinReason) {
        let Some(open) = self.0.get_mut(&id) else {
            return;
        };
        let count = open.count(reason);
        *count = count.saturating_sub(1);
        if *open == OpenOn::default() {
            self.0.remove(&id);
        }
    }

    /// The connection was closed.
    pub(super) fn forget(&mut self, id: ConnId) {
        self.0.remove(&id);
    }

    /// All connections of now became stale.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn has_any(&self, id: ConnId) -> bool {
        self.0.contains_key(&id)
    }

    /// How many cursors and transactions are open on a connection.
    fn on(&self, id: ConnId) -> u32 {
        let open = self.0.get(&id);
        open.map_or(0, |open| open.cursors.saturating_add(open.transactions))
    }

    /// How many connections have an open transaction.
    pub(super) fn transactions(&self) -> usize {
        let open = self.0.values();
        open.filter(|open| open.transactions > 0).count()
    }

    pub(super) fn has_transaction(&self, id: ConnId) -> bool {
        self.0.get(&id).is_some_and(|open| open.transactions > 0)
    }
}

impl OpenOn {
    const fn count(&mut self, reason: PinReason) -> &mut u32 {
        match reason {
            PinReason::Cursor => &mut self.cursors,
            PinReason::Transaction => &mut self.transactions,
        }
    }
}

impl<C, W> Machine<C, W> {
    /// How many cursors and transactions would end with the connection.
    #[must_use]
    pub fn pins_on(&self, id: ConnId) -> u32 {
        self.pins.on(id)
    }

    /// A cursor or transaction was opened on the connection (`pinned`), or ended. Does nothing
    /// for a connection that is stale or gone, or without [`Limits::affinity`].
    ///
    /// [`Limits::affinity`]: super::Limits::affinity
    pub fn set_pinned(
        &mut self,
        id: ConnId,
        reason: PinReason,
        pinned: bool,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        if !self.limits.affinity || !self.knows(id) {
            return;
        }
        if pinned {
            self.pins.add(id, reason);
        } else {
            self.pins.remove(id, reason);
        }
        // A waiter may want a connection without a transaction. If every connection has one
        // now, plain operations may use these.
        self.assign(now, effects);
    }

    /// The connection is pinned, or an operation waits for it and for no other.
    pub(super) fn is_pinned_or_awaited(&self, id: ConnId) -> bool {
        self.pins.has_any(id) || self.queue.is_awaited(id)
    }
}
