//! Which waiter gets which idle connection, and when another connection is opened.

use std::time::Duration;

use crate::pool::state::{
    ConnId, Effect, Lane, Machine, Place, Slot, Ticket, Want, lanes, queue::Position,
};

impl<C, W> Machine<C, W> {
    /// Whether operations wait, without getMores that wait for data.
    #[must_use]
    pub fn has_work_queued(&self) -> bool {
        let [normal, finishing, _] = self.queue.unpinned();
        normal + finishing > 0
    }

    /// The place in the queue that the next operation gets; see [`Want::place`].
    #[must_use]
    pub const fn next_place(&self) -> Place {
        self.queue.next_place()
    }

    /// Hands idle connections to waiters, then opens connections that are still wanted.
    pub(super) fn assign(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        while let Some((position, at)) = self.next_pair() {
            let Some(waiting) = self.queue.take(position) else {
                break;
            };
            let slot = self.lease(at, waiting.want.lane);
            effects.push(Effect::HandOver(waiting.waiter, slot));
        }
        self.open_wanted(now, effects);
    }

    /// The waiter whose turn it is, and the index of the idle connection that it gets. The
    /// finishing lane goes first while its reserve is unused. Otherwise the oldest waiter whose
    /// lane has room goes first.
    fn next_pair(&self) -> Option<(Position, usize)> {
        if self.idle.is_empty() || self.queue.len() == 0 {
            return None;
        }
        let rooms = Lane::ALL.map(|lane| self.lanes.room(lane) > 0);
        let has_room = |lane: Lane| *lanes::at(&rooms, lane);
        let ready = || Lane::ALL.into_iter().filter(|lane| has_room(*lane));
        let any = ready().filter_map(|lane| {
            Some((
                self.queue.first_any(lane)?,
                lane,
                Position::Any(lane),
                self.warmest(false, lane)?,
            ))
        });
        let no_transaction = ready().filter_map(|lane| {
            Some((
                self.queue.first_no_transaction(lane)?,
                lane,
                Position::NoTransaction(lane),
                self.warmest(true, lane)?,
            ))
        });
        let awaited = self
            .idle
            .iter()
            .enumerate()
            .filter(|_| self.queue.has_pinned());
        let pinned = awaited.flat_map(|(at, slot)| {
            let waiters = self.queue.pinned_to(slot.id);
            waiters.map(move |(position, ticket, lane)| (ticket, lane, position, at))
        });
        let pinned = pinned.filter(|(_, lane, ..)| has_room(*lane));
        let reserved = self.lanes.reserve_is_free();
        let turn = |(ticket, lane, ..): &(Ticket, Lane, Position, usize)| {
            (!(reserved && *lane == Lane::Finishing), *ticket)
        };
        let (_, _, position, at) = any.chain(no_transaction).chain(pinned).min_by_key(turn)?;
        Some((position, at))
    }

    /// Opens connections for waiters that could be served by one more, for the warm minimum and
    /// for a probe, within every limit.
    pub(super) fn open_wanted(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        // The common case first: this runs at every check-in.
        if self.is_full() && !self.handshakes.probe_due() {
            return;
        }
        while self.handshakes.in_progress() < self.limits.max_connecting && self.wants_one() {
            if self.is_full() {
                self.yield_to_probe(effects);
                return;
            }
            let not_before = self.handshakes.not_before();
            if now < not_before {
                if self.tick_at != Some(not_before) {
                    self.tick_at = Some(not_before);
                    effects.push(Effect::TickAt(not_before));
                }
                return;
            }
            self.handshakes.begin(now, self.limits.connect_spacing);
            self.last_id += 1;
            effects.push(Effect::Connect(ConnId(self.last_id), self.generation));
        }
    }

    /// Every slot is taken, some of them perhaps by connections that are being closed.
    fn is_full(&self) -> bool {
        self.open() + self.closing >= self.limits.slots
    }

    /// Whether one connection more would be of use. A waiter with room that could use an idle
    /// connection would have it already.
    fn wants_one(&self) -> bool {
        if self.is_retired() {
            return false;
        }
        let servable = self.lanes.servable(self.queue.unpinned());
        let warm = if self.state.keeps_warm() {
            self.limits.min
        } else {
            0
        };
        self.handshakes.probe_due() || servable > self.handshakes.current() || self.open() < warm
    }

    /// The index of the idle connection for `want`.
    pub(super) fn idle_for(&self, want: Want) -> Option<usize> {
        match want.only {
            Some(id) => self.idle.iter().position(|slot| slot.id == id),
            None => self.warmest(want.opens_transaction, want.lane),
        }
    }

    /// The index of the most recently used idle connection, with `no_transaction` one without an
    /// open transaction. A connection that other operations wait for is taken only when there is
    /// no other.
    ///
    /// A plain write may wait for the locks of a transaction. On that transaction's own
    /// connection it would keep the commit from running. Therefore normal work does not use such
    /// a connection while there can be another.
    fn warmest(&self, no_transaction: bool, lane: Lane) -> Option<usize> {
        let last = self.idle.len().checked_sub(1)?;
        let with_transaction = self.pins.transactions();
        if with_transaction == 0 && !self.queue.has_pinned() {
            return Some(last);
        }
        let no_transaction =
            no_transaction || (lane == Lane::Normal && with_transaction < self.limits.slots);
        let fits = |slot: &Slot<C>| !no_transaction || !self.pins.has_transaction(slot.id);
        let unwanted = |slot: &Slot<C>| fits(slot) && !self.queue.is_awaited(slot.id);
        let found = self.idle.iter().rposition(unwanted);
        found.or_else(|| self.idle.iter().rposition(fits))
    }
}
