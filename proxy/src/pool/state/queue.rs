//! The operations that wait for a connection, oldest first.
//!
//! A lane has two queues: one for operations that any connection serves, and one for those that
//! open a transaction and need a connection without one. When the first operation of one queue
//! cannot be served, the other queue does not wait behind it. Operations that want one
//! particular connection wait in a queue of that connection.

use std::collections::{HashMap, VecDeque, vec_deque};

use crate::pool::state::{
    lanes::{self, Lane},
    types::{ConnId, Place, Ticket, Want},
};

/// The first place that this queue gives out. An operation that was held because no node was
/// available arrived earlier. It brings a smaller place.
const FIRST_PLACE: u64 = 1 << 40;

/// An operation in the queue.
#[derive(Debug)]
pub(super) struct Waiting<W> {
    pub(super) ticket: Ticket,
    pub(super) want: Want,
    pub(super) waiter: W,
}

/// Waiting operations, oldest first.
type Fifo<W> = VecDeque<Waiting<W>>;

/// The two queues of a lane.
#[derive(Debug)]
struct LaneQueues<W> {
    /// Any connection will do.
    any: Fifo<W>,
    /// Only a connection without an open transaction will do.
    no_transaction: Fifo<W>,
}

impl<W> LaneQueues<W> {
    const fn new() -> Self {
        Self {
            any: VecDeque::new(),
            no_transaction: VecDeque::new(),
        }
    }
}

/// Where in the queue an operation stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Position {
    /// The first of those in a lane that any connection serves.
    Any(Lane),
    /// The first of those in a lane that need a connection without an open transaction.
    NoTransaction(Lane),
    /// One that waits for this connection, with the number of those before it.
    Pinned(ConnId, usize),
}

/// All operations that wait.
#[derive(Debug)]
pub(super) struct Queue<W> {
    /// By lane, in the order of [`Lane::ALL`].
    lanes: [LaneQueues<W>; 3],
    /// Operations that want one particular connection. No entry is empty.
    pinned: HashMap<ConnId, Fifo<W>>,
    /// The number of the latest ticket.
    last_ticket: u64,
    /// How many wait in all queues.
    len: usize,
}

impl<W> Queue<W> {
    pub(super) fn new() -> Self {
        Self {
            lanes: [LaneQueues::new(), LaneQueues::new(), LaneQueues::new()],
            pinned: HashMap::new(),
            last_ticket: FIRST_PLACE,
            len: 0,
        }
    }

    /// The place that the next operation gets.
    pub(super) const fn next_place(&self) -> Place {
        Place(self.last_ticket + 1)
    }

    /// Queues an operation at the end, or at the place that it brings.
    pub(super) fn push(&mut self, want: Want, waiter: W) -> Ticket {
        let newest = self.next_place();
        self.last_ticket += 1;
        self.len += 1;
        let place = want.place.map_or(newest, |kept| kept.min(newest));
        let ticket = Ticket::new(place, self.last_ticket);
        let lane = lanes::at_mut(&mut self.lanes, want.lane);
        let fifo = match want.only {
            Some(id) => self.pinned.entry(id).or_default(),
            None if want.opens_transaction => &mut lane.no_transaction,
            None => &mut lane.any,
        };
        let waiting = Waiting {
            ticket,
            want,
            waiter,
        };
        if want.place.is_none() {
            fifo.push_back(waiting);
        } else {
            let at = fifo.partition_point(|older| older.ticket < ticket);
            fifo.insert(at, waiting);
        }
        ticket
    }

    /// Takes an operation out that gave up. `None`: it does not wait any more.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<W> {
        let unpinned = self
            .lanes
            .iter_mut()
            .flat_map(|lane| [&mut lane.any, &mut lane.no_transaction]);
        let waiting = unpinned.chain(self.pinned.values_mut()).find_map(|fifo| {
            let at = fifo
                .binary_search_by_key(&ticket, |waiting| waiting.ticket)
                .ok()?;
            fifo.remove(at)
        })?;
        self.len -= 1;
        if let Some(id) = waiting.want.only {
            self.forget_if_empty(id);
        }
        Some(waiting.waiter)
    }

    /// Takes the operation at `position` out.
    pub(super) fn take(&mut self, position: Position) -> Option<Waiting<W>> {
        let waiting = match position {
            Position::Any(lane) => lanes::at_mut(&mut self.lanes, lane).any.pop_front(),
            Position::NoTransaction(lane) => lanes::at_mut(&mut self.lanes, lane)
                .no_transaction
                .pop_front(),
            Position::Pinned(id, at) => self.pinned.get_mut(&id).and_then(|fifo| fifo.remove(at)),
        }?;
        self.len -= 1;
        if let Position::Pinned(id, _) = position {
            self.forget_if_empty(id);
        }
        Some(waiting)
    }

    /// Takes all operations out that wait for connection `id`.
    pub(super) fn take_pinned(&mut self, id: ConnId) -> Fifo<W> {
        let fifo = self.pinned.remove(&id).unwrap_or_default();
        self.len -= fifo.len();
        fifo
    }

    /// Takes all operations out that wait for one particular connection, oldest first.
    pub(super) fn drain_pinned(&mut self) -> impl Iterator<Item = Waiting<W>> + use<W> {
        let mut all: Vec<_> = std::mem::take(&mut self.pinned)
            .into_values()
            .flatten()
            .collect();
        all.sort_by_key(|waiting| waiting.ticket);
        self.len -= all.len();
        all.into_iter()
    }

    /// Takes all operations out that do not wait for one particular connection.
    pub(super) fn drain_unpinned(&mut self) -> impl Iterator<Item = Waiting<W>> + use<'_, W> {
        self.len = self.pinned.values().map(VecDeque::len).sum();
        let drain: fn(&mut Fifo<W>) -> vec_deque::Drain<'_, Waiting<W>> = |fifo| fifo.drain(..);
        self.lanes
            .iter_mut()
            .flat_map(|lane| [&mut lane.any, &mut lane.no_transaction])
            .flat_map(drain)
    }

    fn forget_if_empty(&mut self, id: ConnId) {
        if self.pinned.get(&id).is_some_and(VecDeque::is_empty) {
            self.pinned.remove(&id);
        }
    }

    /// The oldest operation in `lane` that any connection serves.
    pub(super) fn first_any(&self, lane: Lane) -> Option<Ticket> {
        let first = lanes::at(&self.lanes, lane).any.front();
        first.map(|waiting| waiting.ticket)
    }

    /// The oldest operation in `lane` that needs a connection without an open transaction.
    pub(super) fn first_no_transaction(&self, lane: Lane) -> Option<Ticket> {
        let first = lanes::at(&self.lanes, lane).no_transaction.front();
        first.map(|waiting| waiting.ticket)
    }

    /// The operations that wait for connection `id`, oldest first.
    pub(super) fn pinned_to(
        &self,
        id: ConnId,
    ) -> impl Iterator<Item = (Position, Ticket, Lane)> + use<'_, W> {
        let fifo = self.pinned.get(&id).into_iter().flatten().enumerate();
        fifo.map(move |(at, waiting)| (Position::Pinned(id, at), waiting.ticket, waiting.want.lane))
    }

    /// Whether an operation waits for connection `id` and for no other.
    pub(super) fn is_awaited(&self, id: ConnId) -> bool {
        self.pinned.contains_key(&id)
    }

    /// Whether an operation waits for one particular connection.
    pub(super) fn has_pinned(&self) -> bool {
        !self.pinned.is_empty()
    }

    /// How many wait in each lane, without those for one particular connection.
    pub(super) fn unpinned(&self) -> [usize; 3] {
        Lane::ALL.map(|lane| {
            let lane = lanes::at(&self.lanes, lane);
            lane.any.len() + lane.no_transaction.len()
        })
    }

    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}
