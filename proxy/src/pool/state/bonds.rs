//! What ties later commands to a connection (load-balanced upstreams only).
//!
//! A tied connection is neither closed for idleness nor for age: its cursors and its
//! transaction would die with it.

use std::{collections::HashMap, time::Duration};

use crate::pool::state::{ConnId, Effect, Machine};

/// What ties later commands to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// An open cursor.
    Cursor,
    /// An open transaction.
    Transaction,
}

/// How much is open on one connection; an entry is never all zero.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Open {
    cursors: u32,
    transactions: u32,
}

/// The bonds of all connections.
#[derive(Debug, Default)]
pub(super) struct Bonds(HashMap<ConnId, Open>);

impl Bonds {
    pub(super) fn tie(&mut self, id: ConnId, bond: Bond) {
        let count = self.0.entry(id).or_default().count(bond);
        *count = count.saturating_add(1);
    }

    pub(super) fn untie(&mut self, id: ConnId, bond: Bond) {
        let Some(open) = self.0.get_mut(&id) else {
            return;
        };
        let count = open.count(bond);
        *count = count.saturating_sub(1);
        if *open == Open::default() {
            self.0.remove(&id);
        }
    }

    /// The connection is gone.
    pub(super) fn forget(&mut self, id: ConnId) {
        self.0.remove(&id);
    }

    /// No connection of now will be used again.
    pub(super) fn clear(&mut self) {
        self.0.clear();
    }

    pub(super) fn has_any(&self, id: ConnId) -> bool {
        self.0.contains_key(&id)
    }

    /// How much is open on a connection.
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

impl Open {
    const fn count(&mut self, bond: Bond) -> &mut u32 {
        match bond {
            Bond::Cursor => &mut self.cursors,
            Bond::Transaction => &mut self.transactions,
        }
    }
}

impl<C, W> Machine<C, W> {
    /// How many cursors and transactions would die with the connection.
    pub fn bonds_on(&self, id: ConnId) -> u32 {
        self.bonds.on(id)
    }

    /// Ties a cursor or transaction to the connection, or unties it.
    pub fn bond(
        &mut self,
        id: ConnId,
        bond: Bond,
        tie: bool,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        if !self.limits.affinity || !self.knows(id) {
            return;
        }
        if tie {
            self.bonds.tie(id, bond);
        } else {
            self.bonds.untie(id, bond);
        }
        // Somebody may wait for a connection without a transaction, or there can be none now.
        self.settle(now, effects);
    }
}
