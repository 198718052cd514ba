//! What goes into the machine and what comes out of it.

use std::time::Duration;

use crate::pool::state::{Lane, Ticket};

/// Identifies a connection of this pool for its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

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
    /// The node has left the deployment; this pool opens nothing more.
    Retired,
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
    /// It lay idle while its slot was needed to ask the node how it is.
    Yielded,
    /// Its peer gives no sign of life, and nothing runs on it: it is not waited for.
    Silent,
}

/// What the caller must do.
#[derive(Debug)]
pub enum Effect<C, W> {
    /// Open a connection and report it with [`Machine::connected`](super::Machine::connected) or
    /// [`Machine::connect_failed`](super::Machine::connect_failed).
    Connect(ConnId, u64),
    /// Give the connection to the waiter; check it in again if the waiter is gone.
    HandOver(W, Slot<C>),
    /// Tell the waiter that it will get none.
    Reject(W, Rejection),
    /// Destroy the connection, then report [`Machine::closed`](super::Machine::closed).
    Close(Slot<C>, CloseReason),
    /// Call [`Machine::tick`](super::Machine::tick) at that time: a handshake is wanted that may not begin yet.
    TickAt(Duration),
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

    /// Connections that carry an operation now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.leased.iter().sum()
    }

    /// Sockets that count against the cap now.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.idle + self.leased.iter().sum::<usize>() + self.connecting + self.closing
    }
}
