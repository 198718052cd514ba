//! The pool of one node as a pure state machine: who waits, who may connect, which
//! connection is whose.
//!
//! It does no I/O and reads no clock; time is an argument (a [`Duration`] since any
//! fixed moment). Connections (`C`) and waiters (`W`) are opaque values that it
//! stores and gives back, so tests run it on numbers. What must happen outside
//! comes back as [`Effect`]s, which the caller carries out after it let go of the
//! lock.
//!
//! Words follow the CMAP specification (check out, check in, generation, clear).

use std::{
    collections::{HashMap, HashSet, VecDeque},
    time::Duration,
};

pub mod lanes;

#[cfg(test)]
mod tests;

pub use lanes::{Lane, Lanes};

/// Identifies a connection of this pool for its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// Identifies a place in the queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket(u64);

/// The sizes of a pool.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Data slots: the node's cap minus its monitor sockets; at least 2.
    pub slots: usize,
    /// Operations that may wait; one more is shed.
    pub depth: usize,
    /// Connections kept open while the node is available.
    pub min: usize,
    /// Handshakes in progress at a time.
    pub max_connecting: usize,
    /// An idle connection unused for longer is closed; `None`: never.
    pub idle_time: Option<Duration>,
    /// Shortest time between the starts of two handshakes; zero: no limit.
    pub connect_spacing: Duration,
    /// Operations may ask for one particular connection (load-balanced upstreams).
    pub affinity: bool,
}

/// A connection with what the pool must remember of it.
#[derive(Debug)]
pub struct Slot<C> {
    /// Its identity.
    pub id: ConnId,
    /// The generation in which its connecting began.
    pub generation: u64,
    /// When its lifetime ends.
    pub expires: Duration,
    /// When it last finished an exchange.
    pub last_used: Duration,
    /// The lane it is leased in.
    pub lane: Lane,
    /// The connection itself.
    pub conn: C,
}

/// What an operation asks of the pool.
#[derive(Clone, Copy, Debug, Default)]
pub struct Want {
    /// Which share of the slots it may use.
    pub lane: Lane,
    /// Only this connection will do (load-balanced upstreams).
    pub only: Option<ConnId>,
    /// It opens a transaction on a load-balanced upstream: a connection with an open
    /// transaction will not do.
    pub opens_transaction: bool,
}

/// The answer to a check-out.
#[derive(Debug)]
pub enum CheckOut<C> {
    /// Here it is.
    Leased(Slot<C>),
    /// Wait: the waiter was queued and will be handed a connection or be rejected.
    Queued(Ticket),
    /// The queue is full.
    Shed,
    /// The one connection that would do no longer exists.
    Gone,
}

/// Why a waiter gets no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The pool was cleared: choose a node again.
    Cleared,
    /// The one connection that would do was closed.
    Gone,
    /// The upstream refuses Weir's login.
    LoginRefused,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// Unused for longer than the idle time.
    Idle,
    /// Its lifetime ended.
    Expired,
    /// The pool was cleared after it was made.
    Stale,
    /// Its state is not provably clean, or its peer is gone.
    Broken,
}

/// What the caller must do.
#[derive(Debug)]
pub enum Effect<C, W> {
    /// Open a connection and report it with [`Machine::connected`] or
    /// [`Machine::connect_failed`].
    Connect(ConnId, u64),
    /// Give the connection to the waiter; check it in again if the waiter is gone.
    HandOver(W, Slot<C>),
    /// Tell the waiter that it will get none.
    Reject(W, Rejection),
    /// Destroy the connection, then report [`Machine::closed`].
    Close(Slot<C>, CloseReason),
}

#[derive(Debug)]
struct Waiting<W> {
    ticket: Ticket,
    want: Want,
    waiter: W,
}

/// What ties later commands to a connection (load-balanced upstreams only).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Bonds {
    cursors: u32,
    transactions: u32,
}

/// Counts for `status` and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections waiting for work.
    pub idle: usize,
    /// Leased connections by lane: normal, finishing, awaiting.
    pub leased: [usize; 3],
    /// Handshakes in progress.
    pub connecting: usize,
    /// Destroyed, but not yet let go by the server.
    pub closing: usize,
    /// Waiting operations.
    pub queued: usize,
}

impl Counts {
    /// Operations that use or want a connection now.
    #[must_use]
    pub fn load(&self) -> usize {
        self.leased.iter().sum::<usize>() + self.queued
    }

    /// Sockets that count against the cap now.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.idle + self.leased.iter().sum::<usize>() + self.connecting + self.closing
    }
}

/// The state of one node's pool.
#[derive(Debug)]
pub struct Machine<C, W> {
    limits: Limits,
    lanes: Lanes,
    generation: u64,
    available: bool,
    /// Warmest last.
    idle: Vec<Slot<C>>,
    connecting: usize,
    closing: usize,
    queues: [VecDeque<Waiting<W>>; 3],
    /// Waiters for one connection, and the bonds of connections.
    bound: HashMap<ConnId, VecDeque<Waiting<W>>>,
    bonds: HashMap<ConnId, Bonds>,
    /// Leased connections; kept only with affinity.
    leased_ids: HashSet<ConnId>,
    next_id: u64,
    next_ticket: u64,
    connect_not_before: Duration,
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
            connecting: 0,
            closing: 0,
            queues: [VecDeque::new(), VecDeque::new(), VecDeque::new()],
            bound: HashMap::new(),
            bonds: HashMap::new(),
            leased_ids: HashSet::new(),
            next_id: 0,
            next_ticket: 0,
            connect_not_before: Duration::ZERO,
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
        if let Some(only) = want.only {
            return self.check_out_only(only, want, waiter);
        }
        if self.may_pass_queue(want)
            && let Some(slot) = self.take_idle(want)
        {
            return CheckOut::Leased(slot);
        }
        if want.lane != Lane::Finishing && self.queued() >= self.limits.depth {
            return CheckOut::Shed;
        }
        let ticket = self.enqueue_ticket();
        let queue = lanes::at_mut(&mut self.queues, want.lane);
        queue.push_back(Waiting { ticket, want, waiter: waiter() });
        self.open_wanted(now, effects);
        CheckOut::Queued(ticket)
    }

    fn check_out_only(
        &mut self,
        only: ConnId,
        want: Want,
        waiter: impl FnOnce() -> W,
    ) -> CheckOut<C> {
        let room = self.lanes.room(want.lane) > 0;
        if room && let Some(at) = self.idle.iter().position(|slot| slot.id == only) {
            let slot = self.idle.remove(at);
            return CheckOut::Leased(self.lease(slot, want.lane));
        }
        if !self.knows(only) {
            return CheckOut::Gone;
        }
        let ticket = self.enqueue_ticket();
        let waiting = Waiting { ticket, want, waiter: waiter() };
        self.bound.entry(only).or_default().push_back(waiting);
        CheckOut::Queued(ticket)
    }

    fn knows(&self, id: ConnId) -> bool {
        self.leased_ids.contains(&id) || self.idle.iter().any(|slot| slot.id == id)
    }

    /// Nobody who waits may be overtaken: an operation takes an idle connection at
    /// once only when its lane has room and nobody of its lane waits.
    fn may_pass_queue(&self, want: Want) -> bool {
        self.lanes.room(want.lane) > 0 && lanes::at(&self.queues, want.lane).is_empty()
    }

    fn take_idle(&mut self, want: Want) -> Option<Slot<C>> {
        let fits = |slot: &Slot<C>, bonds: &HashMap<ConnId, Bonds>| {
            !want.opens_transaction || bonds.get(&slot.id).is_none_or(|b| b.transactions == 0)
        };
        let slot = match self.idle.last() {
            Some(last) if fits(last, &self.bonds) => self.idle.pop()?,
            _ => {
                let at = self.idle.iter().rposition(|slot| fits(slot, &self.bonds))?;
                self.idle.remove(at)
            }
        };
        Some(self.lease(slot, want.lane))
    }

    fn lease(&mut self, mut slot: Slot<C>, lane: Lane) -> Slot<C> {
        self.lanes.enter(lane);
        if self.limits.affinity {
            self.leased_ids.insert(slot.id);
        }
        slot.lane = lane;
        slot
    }

    fn enqueue_ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }

    /// Takes a waiter out of the queue. `None`: it was handed a connection or rejected
    /// a moment ago, and that answer is on its way to it.
    pub fn cancel(&mut self, ticket: Ticket) -> Option<W> {
        let bound = self.bound.values_mut();
        for queue in self.queues.iter_mut().chain(bound) {
            if let Ok(at) = queue.binary_search_by_key(&ticket, |waiting| waiting.ticket) {
                return queue.remove(at).map(|waiting| waiting.waiter);
            }
        }
        None
    }

    /// Takes a leased connection back, clean and ready for its next exchange.
    pub fn check_in(
        &mut self,
        slot: Slot<C>,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        self.leave(&slot);
        let bonded = self.bonds.contains_key(&slot.id);
        if slot.generation != self.generation {
            self.close(slot, CloseReason::Stale, effects);
        } else if slot.expires <= now && !bonded {
            self.close(slot, CloseReason::Expired, effects);
        } else {
            self.park(slot, now);
        }
        self.settle(now, effects);
    }

    /// Takes a leased connection back that must not be used again.
    pub fn discard(&mut self, slot: Slot<C>, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.leave(&slot);
        self.close(slot, CloseReason::Broken, effects);
        self.settle(now, effects);
    }

    fn leave(&mut self, slot: &Slot<C>) {
        self.lanes.leave(slot.lane);
        if self.limits.affinity {
            self.leased_ids.remove(&slot.id);
        }
    }

    fn park(&mut self, mut slot: Slot<C>, now: Duration) {
        slot.last_used = now;
        self.idle.push(slot);
    }

    fn close(&mut self, slot: Slot<C>, why: CloseReason, effects: &mut Vec<Effect<C, W>>) {
        self.closing += 1;
        self.bonds.remove(&slot.id);
        let waiters = self.bound.remove(&slot.id).unwrap_or_default();
        effects.extend(waiters.into_iter().map(|w| Effect::Reject(w.waiter, Rejection::Gone)));
        effects.push(Effect::Close(slot, why));
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
        self.connecting = self.connecting.saturating_sub(1);
        let expires = now + lifetime;
        let slot = Slot { id, generation, expires, last_used: now, lane: Lane::Normal, conn };
        if generation == self.generation {
            self.park(slot, now);
        } else {
            self.close(slot, CloseReason::Stale, effects);
        }
        self.settle(now, effects);
    }

    /// A connection asked for could not be made, and its socket is gone. No other is
    /// opened before `retry_after` has passed.
    pub fn connect_failed(
        &mut self,
        retry_after: Duration,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        self.connecting = self.connecting.saturating_sub(1);
        self.connect_not_before = self.connect_not_before.max(now + retry_after);
        self.settle(now, effects);
    }

    /// Makes every connection older than generation `to` stale and sends the waiters back
    /// to choose a node again. Returns whether that was news.
    pub fn clear(&mut self, to: u64, effects: &mut Vec<Effect<C, W>>) -> bool {
        if to <= self.generation {
            return false;
        }
        self.generation = to;
        for slot in std::mem::take(&mut self.idle) {
            self.close(slot, CloseReason::Stale, effects);
        }
        self.reject_all(Rejection::Cleared, effects);
        true
    }

    /// Sends every waiter away.
    pub fn reject_all(&mut self, why: Rejection, effects: &mut Vec<Effect<C, W>>) {
        let waiting = self.queues.iter_mut().flat_map(VecDeque::drain_all);
        effects.extend(waiting.map(|w| Effect::Reject(w.waiter, why)));
    }

    /// Whether connections may be opened without anybody waiting (the warm minimum).
    pub fn set_available(
        &mut self,
        available: bool,
        now: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        if available && !self.available {
            self.connect_not_before = now;
        }
        self.available = available;
        self.settle(now, effects);
    }

    /// Closes what has been idle or alive for too long and those that `is_dead`,
    /// refills the minimum. Call it about once a second and when an idle connection's
    /// socket wakes its watcher.
    pub fn tick(
        &mut self,
        now: Duration,
        is_dead: impl Fn(&C) -> bool,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        let open = self.idle.len() + self.lanes.total() + self.connecting;
        let mut spare = open.saturating_sub(self.limits.min);
        let mut at = 0;
        while let Some(slot) = self.idle.get(at) {
            let bonded = self.bonds.contains_key(&slot.id);
            let too_idle =
                self.limits.idle_time.is_some_and(|limit| now.saturating_sub(slot.last_used) > limit);
            let why = if is_dead(&slot.conn) {
                Some(CloseReason::Broken)
            } else if slot.expires <= now && !bonded {
                Some(CloseReason::Expired)
            } else if too_idle && !bonded && spare > 0 {
                spare -= 1;
                Some(CloseReason::Idle)
            } else {
                None
            };
            let Some(why) = why else {
                at += 1;
                continue;
            };
            let slot = self.idle.remove(at);
            self.close(slot, why, effects);
        }
        self.settle(now, effects);
    }

    /// Hands idle connections to waiters, then opens what is still wanted.
    fn settle(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.serve_bound(effects);
        while let Some(lane) = self.next_lane() {
            let Some((waiting, slot)) = self.pair(lane) else { break };
            effects.push(Effect::HandOver(waiting.waiter, slot));
        }
        self.open_wanted(now, effects);
    }

    /// Waiters for one connection go first: only they can use it up.
    fn serve_bound(&mut self, effects: &mut Vec<Effect<C, W>>) {
        if self.bound.is_empty() {
            return;
        }
        let mut at = 0;
        while let Some(id) = self.idle.get(at).map(|slot| slot.id) {
            let waiting = self.bound.get_mut(&id).and_then(|queue| {
                let lane = queue.front()?.want.lane;
                if self.lanes.room(lane) > 0 { queue.pop_front() } else { None }
            });
            match waiting {
                Some(waiting) => {
                    let slot = self.idle.remove(at);
                    let slot = self.lease(slot, waiting.want.lane);
                    effects.push(Effect::HandOver(waiting.waiter, slot));
                }
                None => at += 1,
            }
        }
        self.bound.retain(|_, queue| !queue.is_empty());
    }

    /// Whose turn it is: the finishing lane while its reserve is unused, then the
    /// oldest waiter whose lane has room.
    fn next_lane(&self) -> Option<Lane> {
        let head = |lane| lanes::at(&self.queues, lane).front().map(|w: &Waiting<W>| w.ticket);
        if head(Lane::Finishing).is_some() && self.lanes.reserve_is_free() {
            return Some(Lane::Finishing);
        }
        let ready = Lane::ALL.into_iter().filter(|lane| self.lanes.room(*lane) > 0);
        ready.filter_map(|lane| Some((head(lane)?, lane))).min().map(|(_, lane)| lane)
    }

    fn pair(&mut self, lane: Lane) -> Option<(Waiting<W>, Slot<C>)> {
        let want = lanes::at(&self.queues, lane).front()?.want;
        let slot = self.take_idle(want)?;
        let waiting = lanes::at_mut(&mut self.queues, lane).pop_front()?;
        Some((waiting, slot))
    }

    /// Opens connections for those who could be served if there were one, and for the
    /// warm minimum, within every limit.
    fn open_wanted(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        let waiting = Lane::ALL.map(|lane| lanes::at(&self.queues, lane).len());
        let wanted = self.lanes.servable(waiting).saturating_sub(self.idle_for_waiters());
        let open = self.idle.len() + self.lanes.total() + self.connecting;
        let warm = if self.available { self.limits.min.saturating_sub(open) } else { 0 };
        let missing = wanted.saturating_sub(self.connecting).max(warm);
        let room = self.limits.slots.saturating_sub(open + self.closing);
        let starts = missing.min(room).min(self.limits.max_connecting.saturating_sub(self.connecting));
        for _ in 0..starts {
            if now < self.connect_not_before {
                return;
            }
            self.connect_not_before = now + self.limits.connect_spacing;
            self.next_id += 1;
            self.connecting += 1;
            effects.push(Effect::Connect(ConnId(self.next_id), self.generation));
        }
    }

    /// Idle connections that the waiters could use: all, unless the head of the queue
    /// may not take a connection with an open transaction.
    fn idle_for_waiters(&self) -> usize {
        if self.bonds.is_empty() {
            return self.idle.len();
        }
        let free = |slot: &&Slot<C>| {
            self.bonds.get(&slot.id).is_none_or(|bonds| bonds.transactions == 0)
        };
        self.idle.iter().filter(free).count()
    }

    /// Opens one connection now if a slot and a handshake are free, whoever waits: its
    /// hello tells how the node is. Returns whether it was possible.
    pub fn probe(&mut self, effects: &mut Vec<Effect<C, W>>) -> bool {
        let used = self.counts().sockets();
        if used >= self.limits.slots || self.connecting >= self.limits.max_connecting {
            return false;
        }
        self.next_id += 1;
        self.connecting += 1;
        effects.push(Effect::Connect(ConnId(self.next_id), self.generation));
        true
    }

    /// Ties a cursor or transaction to the connection, or unties it.
    pub fn bond(&mut self, id: ConnId, bond: Bond, tie: bool) {
        if !self.limits.affinity || !self.knows(id) {
            return;
        }
        let bonds = self.bonds.entry(id).or_default();
        let count = match bond {
            Bond::Cursor => &mut bonds.cursors,
            Bond::Transaction => &mut bonds.transactions,
        };
        *count = if tie { count.saturating_add(1) } else { count.saturating_sub(1) };
        if *bonds == Bonds::default() {
            self.bonds.remove(&id);
        }
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
    pub fn queued(&self) -> usize {
        self.queues.iter().map(VecDeque::len).sum()
    }

    /// Counts for `status`.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let bound: usize = self.bound.values().map(VecDeque::len).sum();
        Counts {
            idle: self.idle.len(),
            leased: Lane::ALL.map(|lane| self.lanes.used(lane)),
            connecting: self.connecting,
            closing: self.closing,
            queued: self.queued() + bound,
        }
    }
}

/// What ties later commands to a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Bond {
    /// An open cursor.
    Cursor,
    /// An open transaction.
    Transaction,
}

/// `drain(..)` with a name that `flat_map` can take.
trait DrainAll<T> {
    fn drain_all(&mut self) -> std::collections::vec_deque::Drain<'_, T>;
}

impl<T> DrainAll<T> for VecDeque<T> {
    fn drain_all(&mut self) -> std::collections::vec_deque::Drain<'_, T> {
        self.drain(..)
    }
}
