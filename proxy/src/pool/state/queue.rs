//! Who waits, oldest first.
//!
//! A lane has two lines: one for operations that any connection serves, one for
//! those that open a transaction and need a connection without one. Where nobody can
//! be served from one line, the other must not wait behind it. Operations that want
//! one particular connection wait apart from both.

use std::collections::{HashMap, VecDeque, vec_deque};

use crate::pool::state::{
    ConnId,
    lanes::{self, Lane},
};

/// Identifies a place in the queue; an older one is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    place: Place,
    number: u64,
}

impl Ticket {
    /// The place it stands for.
    #[must_use]
    pub const fn place(self) -> Place {
        self.place
    }
}

/// How long somebody has been waiting, in the order of arrival. Who gives up and asks
/// again may bring the one he had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u64);

/// The places of those who queue begin here. Whoever was held because there was no node had
/// come before them and brings a smaller one.
const FIRST_PLACE: u64 = 1 << 40;

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
    /// The place it had before; `None`: the last one.
    pub place: Option<Place>,
}

/// An operation in the queue.
#[derive(Debug)]
pub(super) struct Waiting<W> {
    pub(super) ticket: Ticket,
    pub(super) want: Want,
    pub(super) waiter: W,
}

type Line<W> = VecDeque<Waiting<W>>;

/// The two lines of a lane.
#[derive(Debug)]
struct Lines<W> {
    /// Any connection will do.
    any: Line<W>,
    /// Only a connection without an open transaction will do.
    apart: Line<W>,
}

/// Where in the queue an operation stands.
#[derive(Clone, Copy, Debug)]
pub(super) enum Spot {
    /// First of those in a lane that any connection serves.
    Any(Lane),
    /// First of those in a lane that open a transaction.
    Apart(Lane),
    /// So many stand before it for this connection.
    Bound(ConnId, usize),
}

/// All operations that wait.
#[derive(Debug)]
pub(super) struct Queue<W> {
    lines: [Lines<W>; 3],
    bound: HashMap<ConnId, Line<W>>,
    last_ticket: u64,
    len: usize,
}

impl<W> Queue<W> {
    pub(super) fn new() -> Self {
        let lines = || Lines {
            any: VecDeque::new(),
            apart: VecDeque::new(),
        };
        Self {
            lines: [lines(), lines(), lines()],
            bound: HashMap::new(),
            last_ticket: FIRST_PLACE,
            len: 0,
        }
    }

    /// The place that whoever comes next gets.
    pub(super) const fn next_place(&self) -> Place {
        Place(self.last_ticket + 1)
    }

    /// A place at the end, or the one that was kept.
    pub(super) fn push(&mut self, want: Want, waiter: W) -> Ticket {
        let newest = self.next_place();
        self.last_ticket += 1;
        self.len += 1;
        let ticket = Ticket {
            place: want.place.map_or(newest, |kept| kept.min(newest)),
            number: self.last_ticket,
        };
        let lines = lanes::at_mut(&mut self.lines, want.lane);
        let line = match want.only {
            Some(id) => self.bound.entry(id).or_default(),
            None if want.opens_transaction => &mut lines.apart,
            None => &mut lines.any,
        };
        let waiting = Waiting {
            ticket,
            want,
            waiter,
        };
        if want.place.is_none() {
            line.push_back(waiting);
        } else {
            let at = line.partition_point(|older| older.ticket < ticket);
            line.insert(at, waiting);
        }
        ticket
    }

    /// Takes out who gave up; `None`: he is not here any more.
    pub(super) fn cancel(&mut self, ticket: Ticket) -> Option<W> {
        let lines = self
            .lines
            .iter_mut()
            .flat_map(|lines| [&mut lines.any, &mut lines.apart]);
        let waiting = lines.chain(self.bound.values_mut()).find_map(|line| {
            let at = line
                .binary_search_by_key(&ticket, |waiting| waiting.ticket)
                .ok()?;
            line.remove(at)
        })?;
        self.len -= 1;
        if let Some(id) = waiting.want.only {
            self.forget_if_empty(id);
        }
        Some(waiting.waiter)
    }

    /// Takes out who stands at `spot`.
    pub(super) fn take(&mut self, spot: Spot) -> Option<Waiting<W>> {
        let waiting = match spot {
            Spot::Any(lane) => lanes::at_mut(&mut self.lines, lane).any.pop_front(),
            Spot::Apart(lane) => lanes::at_mut(&mut self.lines, lane).apart.pop_front(),
            Spot::Bound(id, at) => self.bound.get_mut(&id).and_then(|line| line.remove(at)),
        }?;
        self.len -= 1;
        if let Spot::Bound(id, _) = spot {
            self.forget_if_empty(id);
        }
        Some(waiting)
    }

    /// Takes out everybody who waits for connection `id`.
    pub(super) fn take_bound(&mut self, id: ConnId) -> Line<W> {
        let line = self.bound.remove(&id).unwrap_or_default();
        self.len -= line.len();
        line
    }

    /// Takes out everybody who waits for one particular connection.
    pub(super) fn drain_bound(&mut self) -> impl Iterator<Item = Waiting<W>> + use<W> {
        let mut all: Vec<_> = std::mem::take(&mut self.bound)
            .into_values()
            .flatten()
            .collect();
        all.sort_by_key(|waiting| waiting.ticket);
        self.len -= all.len();
        all.into_iter()
    }

    /// Takes out everybody else.
    pub(super) fn drain_unbound(&mut self) -> impl Iterator<Item = Waiting<W>> + use<'_, W> {
        self.len = self.bound.values().map(VecDeque::len).sum();
        let drain: fn(&mut Line<W>) -> vec_deque::Drain<'_, Waiting<W>> = |line| line.drain(..);
        self.lines
            .iter_mut()
            .flat_map(|lines| [&mut lines.any, &mut lines.apart])
            .flat_map(drain)
    }

    fn forget_if_empty(&mut self, id: ConnId) {
        if self.bound.get(&id).is_some_and(VecDeque::is_empty) {
            self.bound.remove(&id);
        }
    }

    /// The oldest in `lane` whom any connection serves.
    pub(super) fn first_any(&self, lane: Lane) -> Option<Ticket> {
        lanes::at(&self.lines, lane)
            .any
            .front()
            .map(|waiting| waiting.ticket)
    }

    /// The oldest in `lane` who needs a connection without an open transaction.
    pub(super) fn first_apart(&self, lane: Lane) -> Option<Ticket> {
        lanes::at(&self.lines, lane)
            .apart
            .front()
            .map(|waiting| waiting.ticket)
    }

    /// Who waits for connection `id`, oldest first: place, ticket and lane.
    pub(super) fn bound_to(
        &self,
        id: ConnId,
    ) -> impl Iterator<Item = (Spot, Ticket, Lane)> + use<'_, W> {
        let line = self.bound.get(&id).into_iter().flatten().enumerate();
        line.map(move |(at, waiting)| (Spot::Bound(id, at), waiting.ticket, waiting.want.lane))
    }

    /// Whether somebody waits for connection `id`.
    pub(super) fn is_awaited(&self, id: ConnId) -> bool {
        self.bound.contains_key(&id)
    }

    /// Whether somebody waits for one particular connection.
    pub(super) fn has_bound(&self) -> bool {
        !self.bound.is_empty()
    }

    /// How many wait in each lane, those for one particular connection aside.
    pub(super) fn unbound(&self) -> [usize; 3] {
        Lane::ALL.map(|lane| {
            let lines = lanes::at(&self.lines, lane);
            lines.any.len() + lines.apart.len()
        })
    }

    /// How many wait.
    pub(super) const fn len(&self) -> usize {
        self.len
    }
}
