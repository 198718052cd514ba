//! The pool of one node as a pure state machine: it decides which operation gets which
//! connection, and when another connection is opened.
//!
//! The machine does no I/O and reads no clock. Time is an argument: a [`Duration`] since any
//! fixed moment. Connections (`C`) and waiters (`W`) are opaque values that the machine stores
//! and gives back, so tests run it on numbers. What must happen outside comes back as
//! [`Effect`]s. The caller carries them out after it has released the lock.
//!
//! After every call this holds: no operation waits while an idle connection would serve it and
//! its lane has room. Therefore an operation that finds an idle connection at check-out may take
//! it without overtaking another one.
//!
//! The words are those of the CMAP specification: check out, check in, generation, clear.
//!
//! | module | its part |
//! |---|---|
//! | `types` | what goes into the machine and what comes out of it |
//! | `pool_state` | the states of a pool and the transitions between them |
//! | `lanes` | how the slots are shared between kinds of work |
//! | `queue` | the operations that wait, oldest first |
//! | `assign` | which waiter gets which idle connection, and when one is opened |
//! | `idle` | which idle connections are closed |
//! | `affinity` | connections that hold cursors or transactions (load-balanced upstreams) |
//! | `handshakes` | how many handshakes run, and when the next may begin |
//! | `queue_rate` | how fast the queue moves |

use std::{collections::HashSet, time::Duration};

pub mod affinity;
mod assign;
mod handshakes;
mod idle;
pub mod lanes;
pub mod pool_state;
pub mod queue;
mod queue_rate;
#[cfg(test)]
mod tests;
pub mod types;

pub use affinity::PinReason;
pub use lanes::{Lane, Lanes};
pub use pool_state::PoolState;
pub use types::{
    CheckOut, CloseReason, ConnId, Counts, Effect, FailedConnect, Limits, Place, Rejection, Slot,
    Ticket, Want,
};

use affinity::Pins;
use handshakes::Handshakes;
use queue::Queue;
use queue_rate::QueueRate;

/// The connections of one node's pool, and the operations that wait for one.
#[derive(Debug)]
pub struct Machine<C, W> {
    /// The sizes that the pool was made with. They never change.
    limits: Limits,
    /// How many connections each lane has checked out, and how many it may have.
    lanes: Lanes,
    /// Whether the node can be used, and what stands in the way if it cannot.
    state: PoolState,
    /// Counts the clears. A connection of an older generation is stale: it is closed at
    /// check-in and never checked out again.
    generation: u64,
    /// Connections that wait for work, the most recently used one last. All are of the current
    /// generation.
    idle: Vec<Slot<C>>,
    /// Connections that are being made, and when the next may begin.
    handshakes: Handshakes,
    /// Destroyed connections that the server has not let go of yet. Each still takes a slot.
    closing: usize,
    /// Operations that wait for a connection.
    queue: Queue<W>,
    /// Open cursors and transactions by connection. Empty without affinity.
    pins: Pins,
    /// How fast the queue moves.
    rate: QueueRate,
    /// Checked-out connections of the current generation. Empty without affinity: only an
    /// operation that wants one particular connection asks for them.
    leased_ids: HashSet<ConnId>,
    /// The identity given to the latest connection.
    last_id: u64,
    /// When [`Effect::TickAt`] asked for a tick that has not come yet.
    tick_at: Option<Duration>,
}

impl<C, W> Machine<C, W> {
    /// An empty pool in the given generation of its node. Nothing is opened before
    /// [`Machine::set_available`] or [`Machine::check_out`].
    #[must_use]
    pub fn new(limits: Limits, generation: u64) -> Self {
        Self {
            lanes: Lanes::new(limits.slots),
            limits,
            state: PoolState::Paused,
            generation,
            idle: Vec::new(),
            handshakes: Handshakes::default(),
            closing: 0,
            queue: Queue::new(),
            pins: Pins::default(),
            rate: QueueRate::default(),
            leased_ids: HashSet::new(),
            last_id: 0,
            tick_at: None,
        }
    }

    /// Asks for a connection: the most recently used idle one, or a place in the queue.
    /// `waiter` is called only for the latter.
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
        if self.queue.len() == 0 {
            self.rate.queue_begins(now);
        }
        let ticket = self.queue.push(want, waiter());
        self.open_wanted(now, effects);
        if self.refuses_logins() {
            self.queue.cancel(ticket);
            return CheckOut::LoginRefused;
        }
        CheckOut::Queued(ticket)
    }

    /// Takes a waiter out of the queue. `None`: it was handed a connection or rejected
    /// before, and that answer is on its way to it.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<W> {
        self.queue.cancel(ticket)
    }

    /// Checks a connection in that is clean and ready for its next exchange.
    pub fn check_in(&mut self, mut slot: Slot<C>, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        if self.queue.len() > 0 {
            self.rate.served(now);
        }
        slot.last_used = now;
        self.put_back(slot, now, effects);
    }

    /// Checks a connection in that carried nothing. It counts as idle since its last exchange.
    pub fn put_back(&mut self, slot: Slot<C>, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.leave(&slot);
        if slot.generation != self.generation {
            self.close(slot, CloseReason::Stale, effects);
        } else if slot.expires <= now && !self.is_pinned_or_awaited(slot.id) {
            self.close(slot, CloseReason::Expired, effects);
        } else {
            self.park(slot);
        }
        self.assign(now, effects);
    }

    /// Checks a connection in that must not be used again.
    pub fn discard(&mut self, slot: Slot<C>, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.leave(&slot);
        self.close(slot, CloseReason::Broken, effects);
        self.assign(now, effects);
    }

    /// Takes `slots` slots for connections that are not this pool's. Each becomes free with one
    /// call of [`Machine::closed`].
    pub const fn inherit(&mut self, slots: usize) {
        self.closing += slots;
    }

    /// The server has let go of a destroyed connection: its slot is free.
    pub fn closed(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.closing = self.closing.saturating_sub(1);
        self.assign(now, effects);
    }

    /// A connection that [`Effect::Connect`] asked for is ready. It may be used for `lifetime`
    /// from now on.
    pub fn connected(
        &mut self,
        id: ConnId,
        generation: u64,
        conn: C,
        lifetime: Duration,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        self.state.logged_in();
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
        self.assign(now, effects);
    }

    /// A connection that [`Effect::Connect`] asked for could not be made. No other is opened
    /// before `failed.retry_after` has passed.
    pub fn connect_failed(
        &mut self,
        generation: u64,
        failed: FailedConnect,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        self.state.connect_failed(failed.login_refused);
        self.handshakes.end(generation == self.generation);
        self.handshakes.back_off(now + failed.retry_after);
        self.closing += usize::from(failed.lingers);
        self.assign(now, effects);
        if failed.login_refused && self.has_no_connection() {
            self.reject_all(Rejection::LoginRefused, effects);
        }
    }

    /// Says whether connections may be opened before an operation needs them (the warm minimum).
    /// Returns whether they may from now on and could not before.
    pub fn set_available(
        &mut self,
        available: bool,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) -> bool {
        let became_available = self.state.set_available(available);
        if became_available {
            self.handshakes.node_was_heard();
        }
        self.assign(now, effects);
        became_available
    }

    /// The first operation asks for a connection: a paused pool keeps its warm minimum from now
    /// on. A dead pool stays dead until [`Machine::set_available`] says that the node is usable.
    pub fn first_used(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        if !self.state.node_is_dead() {
            self.set_available(true, now, effects);
        }
    }

    /// Opens one connection as soon as a slot and a handshake are free, even if no operation
    /// waits: its hello tells how the node is. Returns whether that is now.
    pub fn probe(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) -> bool {
        self.handshakes.want_probe();
        self.open_wanted(now, effects);
        !self.handshakes.probe_due()
    }

    /// Makes every connection older than generation `to` stale and rejects the waiters, which
    /// select a server again. Connections in use finish their exchange. Returns whether `to` is
    /// newer than the current generation; otherwise nothing happens.
    pub fn clear(&mut self, to: u64, effects: &mut Vec<Effect<C, W>>) -> bool {
        if to <= self.generation {
            return false;
        }
        self.generation = to;
        self.handshakes.generation_changed();
        for slot in std::mem::take(&mut self.idle) {
            self.close(slot, CloseReason::Stale, effects);
        }
        // Connections in use are not checked out again.
        self.leased_ids.clear();
        self.pins.clear();
        effects.extend(
            self.queue
                .drain_pinned()
                .map(|w| Effect::Reject(w.waiter, Rejection::Gone)),
        );
        self.reject_all(Rejection::Cleared, effects);
        true
    }

    /// The node was declared dead: clears the pool up to generation `to`, and keeps the warm
    /// minimum no longer. [`Machine::set_available`] ends that.
    pub fn node_died(&mut self, to: u64, effects: &mut Vec<Effect<C, W>>) {
        self.state.node_died();
        self.clear(to, effects);
    }

    /// Closes the pool for good, because its node has left the deployment. Connections in use
    /// finish their exchange.
    pub fn retire(&mut self, effects: &mut Vec<Effect<C, W>>) {
        self.state.retire();
        self.clear(self.generation.saturating_add(1), effects);
    }

    /// Rejects every waiter that does not want one particular connection.
    fn reject_all(&mut self, why: Rejection, effects: &mut Vec<Effect<C, W>>) {
        effects.extend(
            self.queue
                .drain_unpinned()
                .map(|w| Effect::Reject(w.waiter, why)),
        );
    }

    /// The state of the pool.
    #[must_use]
    pub const fn state(&self) -> PoolState {
        self.state
    }

    /// The current generation.
    #[must_use]
    pub const fn generation(&self) -> u64 {
        self.generation
    }

    /// The sizes that the pool was made with.
    #[cfg(any(test, feature = "internals"))]
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
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub const fn queued(&self) -> usize {
        self.queue.len()
    }

    /// How long the operations that wait now will take to be served, and one more. `None`: no
    /// operation waits.
    #[must_use]
    pub fn drain_time(&self, now: Duration) -> Option<Duration> {
        self.rate.drain_time(self.queue.len(), now)
    }

    /// The tick that [`Effect::TickAt`] asked for last and that has not come yet.
    #[must_use]
    pub const fn tick_at(&self) -> Option<Duration> {
        self.tick_at
    }

    /// Counts for `status` and metrics.
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

    /// Whether nothing is opened or checked out any more.
    const fn is_retired(&self) -> bool {
        matches!(self.state, PoolState::Retired { .. })
    }

    /// Whether waiting is useless: the last login was refused, and no connection made before
    /// can be checked in.
    fn refuses_logins(&self) -> bool {
        self.state.login_refused() && self.has_no_connection()
    }

    fn has_no_connection(&self) -> bool {
        self.idle.len() + self.lanes.total() == 0
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
        self.pins.forget(slot.id);
        let waiters = self.queue.take_pinned(slot.id).into_iter();
        effects.extend(waiters.map(|w| Effect::Reject(w.waiter, Rejection::Gone)));
        effects.push(Effect::Close(slot, why));
    }
}
