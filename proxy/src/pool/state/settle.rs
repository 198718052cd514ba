//! Who gets which idle connection, and when another is opened.

use std::time::Duration;

use crate::pool::state::{
    ConnId, Effect, Lane, Machine, Place, Slot, Ticket, Want, lanes, queue::Spot,
};

impl<C, W> Machine<C, W> {
    /// Whether anybody waits but for data.
    pub fn has_work_queued(&self) -> bool {
        let [normal, finishing, _] = self.queue.unbound();
        normal + finishing > 0
    }

    /// The place in the queue that whoever comes next gets; see [`Want::place`].
    #[must_use]
    pub const fn next_place(&self) -> Place {
        self.queue.next_place()
    }

    /// Hands idle connections to waiters, then opens what is still wanted.
    pub(super) fn settle(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        while let Some((spot, at)) = self.next_pair() {
            let Some(waiting) = self.queue.take(spot) else {
                break;
            };
            let slot = self.lease(at, waiting.want.lane);
            effects.push(Effect::HandOver(waiting.waiter, slot));
        }
        self.open_wanted(now, effects);
    }

    /// Whose turn it is and which idle connection he gets: the finishing lane while its
    /// reserve is unused, then the oldest of those whose lane has room.
    fn next_pair(&self) -> Option<(Spot, usize)> {
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
                Spot::Any(lane),
                self.warmest(false, lane)?,
            ))
        });
        let apart = ready().filter_map(|lane| {
            Some((
                self.queue.first_apart(lane)?,
                lane,
                Spot::Apart(lane),
                self.warmest(true, lane)?,
            ))
        });
        let awaited = self
            .idle
            .iter()
            .enumerate()
            .filter(|_| self.queue.has_bound());
        let bound = awaited.flat_map(|(at, slot)| {
            let with_room = self.queue.bound_to(slot.id);
            with_room.map(move |(spot, ticket, lane)| (ticket, lane, spot, at))
        });
        let bound = bound.filter(|(_, lane, ..)| has_room(*lane));
        let reserved = self.lanes.reserve_is_free();
        let turn = |(ticket, lane, ..): &(Ticket, Lane, Spot, usize)| {
            (!(reserved && *lane == Lane::Finishing), *ticket)
        };
        let (_, _, spot, at) = any.chain(apart).chain(bound).min_by_key(turn)?;
        Some((spot, at))
    }

    /// Opens connections for those who could be served if there were one, for the warm
    /// minimum and to ask how the node is, within every limit.
    pub(super) fn open_wanted(&mut self, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        // The common case first: this is asked at every check-in.
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

    /// Every slot is taken, by connections of which some may be closing.
    fn is_full(&self) -> bool {
        self.open() + self.closing >= self.limits.slots
    }

    /// Whether one connection more would be of use. Nobody who waits and has room could
    /// use an idle one, or he would have it.
    fn wants_one(&self) -> bool {
        if self.is_retired() {
            return false;
        }
        let servable = self.lanes.servable(self.queue.unbound());
        let warm = if self.available { self.limits.min } else { 0 };
        self.handshakes.probe_due() || servable > self.handshakes.current() || self.open() < warm
    }

    /// The idle connection for `want`.
    pub(super) fn idle_for(&self, want: Want) -> Option<usize> {
        match want.only {
            Some(id) => self.idle.iter().position(|slot| slot.id == id),
            None => self.warmest(want.opens_transaction, want.lane),
        }
    }

    /// The warmest idle connection, if need be without a transaction; one that others wait
    /// for only when there is no other.
    ///
    /// A plain write may wait for the locks of the very transaction whose connection it is
    /// on, and then no commit could pass: it keeps off such connections while there can be
    /// another.
    fn warmest(&self, apart: bool, lane: Lane) -> Option<usize> {
        let last = self.idle.len().checked_sub(1)?;
        let tied = self.bonds.transactions();
        if tied == 0 && !self.queue.has_bound() {
            return Some(last);
        }
        let apart = apart || (lane == Lane::Normal && tied < self.limits.slots);
        let fits = |slot: &Slot<C>| !apart || !self.bonds.has_transaction(slot.id);
        let unwanted = |slot: &Slot<C>| fits(slot) && !self.queue.is_awaited(slot.id);
        let found = self.idle.iter().rposition(unwanted);
        found.or_else(|| self.idle.iter().rposition(fits))
    }
}
