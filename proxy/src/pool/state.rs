//! The pool of one node as a pure state machine: who waits, who may connect, which
//! connection is whose.
//!
//! It does no I/O and reads no clock; time is an argument (a [`Duration`] since any
//! fixed moment). Connections (`C`) and waiters (`W`) are opaque values that it
//! stores and gives back, so tests run it on numbers. What must happen outside
//! comes back as [`Effect`]s, which the caller carries out after it let go of the
//! lock.
//!
//! After every call this holds: nobody waits while an idle connection would serve him
//! and his lane has room. So whoever finds one at check-out may take it; nobody is
//! overtaken.
//!
//! Words follow the CMAP specification (check out, check in, generation, clear).

use std::{collections::HashSet, time::Duration};

pub mod bonds;

mod clear;

pub mod contract;

mod handshakes;

mod idle;

pub mod lanes;

mod pace;

pub mod queue;

mod settle;

#[cfg(test)]
mod tests;

pub use bonds::Bond;
pub use contract::{CheckOut, CloseReason, ConnId, Counts, Effect, Limits, Rejection, Slot};
pub use lanes::{Lane, Lanes};
pub use queue::{Place, Ticket, Want};

use bonds::Bonds;
use handshakes::Handshakes;
use pace::Pace;
use queue::Queue;

/// The state of one node's pool.
#[derive(Debug)]
pub struct Machine<C, W> {
    limits: Limits,
    lanes: Lanes,
    generation: u64,
    available: bool,
    /// Warmest last.
    idle: Vec<Slot<C>>,
    handshakes: Handshakes,
    closing: usize,
    queue: Queue<W>,
    bonds: Bonds,
    pace: Pace,
    /// Leased connections that may be leased again; kept only with affinity.
    leased_ids: HashSet<ConnId>,
    last_id: u64,
    /// The tick that was asked for last.
    tick_at: Option<Duration>,
}

impl<C, W> Machine<C, W> {
    /// An empty pool, in the generation its node is in.
    #[must_use]
    pub fn new(limits: Limits, generation: u64) -> Self {
        Self {
            lanes: Lanes::new(limits.slots),
            limits,
            generation,
            available: false,
            idle: Vec::new(),
            handshakes: Handshakes::default(),
            closing: 0,
            queue: Queue::new(),
            bonds: Bonds::default(),
            pace: Pace::default(),
            leased_ids: HashSet::new(),
            last_id: 0,
            tick_at: None,
        }
    }

    /// Asks for a connection: the warmest idle one, or a place in the queue. `waiter`
    /// is called only for the latter.
    pub fn check_out(
        &mut self,
        want: Want,
        now: Duration,
        waiter: impl FnOnce() -> W,
        effects: &mut Vec<Effect<C, W>>,
    ) -> CheckOut<C> {
        if self.is_retired() {
            return CheckOut::Retired;
        }
        if self.lanes.room(want.lane) > 0
            && let Some(at) = self.idle_for(want)
        {
            return CheckOut::Leased(self.lease(at, want.lane));
        }
        if want.only.is_some_and(|id| !self.knows(id)) {
            return CheckOut::Gone;
        }
        if want.lane != Lane::Finishing && self.queue.len() >= self.limits.depth {
            return CheckOut::Shed;
        }
        self.has_to_wait(now);
        let ticket = self.queue.push(want, waiter());
        self.open_wanted(now, effects);
        CheckOut::Queued(ticket)
    }

    /// Takes a waiter out of the queue. `None`: it was handed a connection or rejected
    /// a moment ago, and that answer is on its way to it.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<W> {
        self.queue.cancel(ticket)
    }

    /// Takes a leased connection back, clean and ready for its next exchange.
    pub fn check_in(&mut self, mut slot: Slot<C>, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.served(now);
        slot.last_used = now;
        self.put_back(slot, now, effects);
    }

    /// Takes a leased connection back that carried nothing: it is as cold as before.
    pub fn put_back(&mut self, slot: Slot<C>, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.leave(&slot);
        if slot.generation != self.generation {
            self.close(slot, CloseReason::Stale, effects);
        } else if slot.expires <= now && !self.is_tied(&slot) {
            self.close(slot, CloseReason::Expired, effects);
        } else {
            self.park(slot);
        }
        self.settle(now, effects);
    }

    /// Takes a leased connection back that must not be used again.
    pub fn discard(&mut self, slot: Slot<C>, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.leave(&slot);
        self.close(slot, CloseReason::Broken, effects);
        self.settle(now, effects);
    }

    /// So many slots are taken by connections that are not this pool's: each is free once
    /// [`Machine::closed`] says so.
    pub const fn inherit(&mut self, slots: usize) {
        self.closing += slots;
    }

    /// The server has let go of a destroyed connection: its slot is free.
    pub fn closed(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.closing = self.closing.saturating_sub(1);
        self.settle(now, effects);
    }

    /// A connection asked for by [`Effect::Connect`] is ready. `lifetime` is how long
    /// it may be used.
    pub fn connected(
        &mut self,
        id: ConnId,
        generation: u64,
        conn: C,
        lifetime: Duration,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        let current = generation == self.generation;
        self.handshakes.end(current);
        let expires = now + lifetime;
        let slot = Slot {
            id,
            generation,
            expires,
            last_used: now,
            lane: Lane::Normal,
            conn,
        };
        if current {
            self.park(slot);
        } else {
            self.close(slot, CloseReason::Stale, effects);
        }
        self.settle(now, effects);
    }

    /// A connection asked for could not be made. No other is opened before `retry_after`
    /// has passed. `lingers`: the server may still count its socket; report
    /// [`Machine::closed`] when it has let go.
    pub fn connect_failed(
        &mut self,
        generation: u64,
        retry_after: Duration,
        lingers: bool,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        self.handshakes.end(generation == self.generation);
        self.handshakes.back_off(now + retry_after);
        self.closing += usize::from(lingers);
        self.settle(now, effects);
    }

    /// Whether connections may be opened without anybody waiting (the warm minimum).
    /// Returns whether the node has become available by this.
    pub fn set_available(
        &mut self,
        available: bool,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) -> bool {
        let news = available && !self.available;
        if news {
            self.handshakes.node_was_heard();
        }
        self.available = available;
        self.settle(now, effects);
        news
    }

    /// Opens one connection, whoever waits, as soon as a slot and a handshake are free: its
    /// hello tells how the node is. Returns whether that is now.
    pub fn probe(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) -> bool {
        self.handshakes.want_probe();
        self.open_wanted(now, effects);
        !self.handshakes.probe_due()
    }

    /// The current generation.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The sizes it was made with.
    #[must_use]
    pub const fn limits(&self) -> &Limits {
        &self.limits
    }

    /// The shares of the lanes.
    #[must_use]
    pub const fn lanes(&self) -> &Lanes {
        &self.lanes
    }

    /// How many operations wait.
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queue.len()
    }

    /// The tick that [`Effect::TickAt`] asked for last and that has not come yet.
    #[must_use]
    pub const fn tick_at(&self) -> Option<Duration> {
        self.tick_at
    }

    /// Counts for `status`.
    #[must_use]
    pub fn counts(&self) -> Counts {
        Counts {
            idle: self.idle.len(),
            leased: Lane::ALL.map(|lane| self.lanes.used(lane)),
            connecting: self.handshakes.in_progress(),
            closing: self.closing,
            queued: self.queue.len(),
        }
    }

    fn knows(&self, id: ConnId) -> bool {
        self.leased_ids.contains(&id) || self.idle.iter().any(|slot| slot.id == id)
    }

    /// Connections that are or will be of use.
    fn open(&self) -> usize {
        self.idle.len() + self.lanes.total() + self.handshakes.in_progress()
    }

    fn lease(&mut self, at: usize, lane: Lane) -> Slot<C> {
        let mut slot = self.idle.remove(at);
        self.lanes.enter(lane);
        if self.limits.affinity {
            self.leased_ids.insert(slot.id);
        }
        slot.lane = lane;
        slot
    }

    fn leave(&mut self, slot: &Slot<C>) {
        self.lanes.leave(slot.lane);
        if self.limits.affinity {
            self.leased_ids.remove(&slot.id);
        }
    }

    fn park(&mut self, slot: Slot<C>) {
        let at = self
            .idle
            .partition_point(|other| other.last_used <= slot.last_used);
        self.idle.insert(at, slot);
    }

    fn close(&mut self, slot: Slot<C>, why: CloseReason, effects: &mut Vec<Effect<C, W>>) {
        self.closing += 1;
        self.bonds.forget(slot.id);
        let waiters = self.queue.take_bound(slot.id).into_iter();
        effects.extend(waiters.map(|w| Effect::Reject(w.waiter, Rejection::Gone)));
        effects.push(Effect::Close(slot, why));
    }
}
