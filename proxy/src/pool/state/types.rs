//! What goes into the machine and what comes out of it.

use std::time::Duration;

use crate::pool::state::lanes::Lane;

/// Identifies a connection of this pool for its whole life.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ConnId(pub u64);

/// The sizes of a pool.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Data slots: the node's cap minus its monitor sockets; at least 2.
    pub slots: usize,
    /// Operations that may wait. One more is shed.
    pub depth: usize,
    /// Connections kept open while the node is available (the warm minimum).
    pub min: usize,
    /// Handshakes that may be in progress at a time.
    pub max_connecting: usize,
    /// A connection that was idle for longer is closed; `None`: never.
    pub idle_time: Option<Duration>,
    /// Shortest time between the starts of two handshakes; zero: no limit.
    pub connect_spacing: Duration,
    /// Operations may ask for one particular connection (load-balanced upstreams).
    pub affinity: bool,
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
    /// The place that it had before; `None`: the last one.
    pub place: Option<Place>,
}

/// Identifies a waiting operation. An older one is smaller.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Ticket {
    place: Place,
    /// Distinguishes operations with the same place.
    number: u64,
}

impl Ticket {
    pub(super) const fn new(place: Place, number: u64) -> Self {
        Self { place, number }
    }

    /// The operation's place in the order of arrival.
    #[must_use]
    pub const fn place(self) -> Place {
        self.place
    }
}

/// A place in the order of arrival. An operation that is rejected and asks again may bring the
/// place that it had.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place(pub u64);

/// A connection with what the pool must remember about it.
#[derive(Debug)]
pub struct Slot<C> {
    /// The connection's identity.
    pub id: ConnId,
    /// The generation in which its handshake began.
    pub generation: u64,
    /// When its lifetime ends.
    pub expires: Duration,
    /// When it last finished an exchange.
    pub last_used: Duration,
    /// The lane in which it is checked out.
    pub lane: Lane,
    /// The connection itself.
    pub conn: C,
}

/// The result of a check-out.
#[derive(Debug)]
pub enum CheckOut<C> {
    /// The connection.
    Leased(Slot<C>),
    /// The waiter was queued. It will be handed a connection or be rejected.
    Queued(Ticket),
    /// The queue is full.
    Shed,
    /// The one connection that the operation wants no longer exists.
    Gone,
    /// The server refuses Weir's login, and there is no connection made before.
    LoginRefused,
    /// The node has left the deployment. This pool opens nothing more.
    Retired,
}

/// Why a waiter gets no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rejection {
    /// The pool was cleared: select a server again.
    Cleared,
    /// The one connection that the operation wants was closed.
    Gone,
    /// The server refuses Weir's login.
    LoginRefused,
}

/// A failed attempt to connect, as [`Machine::connect_failed`](super::Machine::connect_failed)
/// needs to know it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FailedConnect {
    /// No other connection is opened before this time has passed.
    pub retry_after: Duration,
    /// The server answered, and refused Weir's login.
    pub login_refused: bool,
    /// The server may still count the socket. Report
    /// [`Machine::closed`](super::Machine::closed) when it has let go of it.
    pub lingers: bool,
}

/// Why a connection is closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CloseReason {
    /// It was idle for longer than the idle time.
    Idle,
    /// Its lifetime ended.
    Expired,
    /// The pool was cleared after it was made.
    Stale,
    /// Its state is not provably clean, or its peer is gone.
    Broken,
    /// It was idle while a probe needed its slot.
    Yielded,
    /// Its peer did not answer a liveness check. Nothing runs on it, so the server's end of it
    /// is not waited for.
    Silent,
}

/// What the caller must do.
#[derive(Debug)]
pub enum Effect<C, W> {
    /// Open a connection in this generation. Report it with
    /// [`Machine::connected`](super::Machine::connected) or
    /// [`Machine::connect_failed`](super::Machine::connect_failed).
    Connect(ConnId, u64),
    /// Give the connection to the waiter. Check it in again if the waiter is gone.
    HandOver(W, Slot<C>),
    /// Tell the waiter that it will get none.
    Reject(W, Rejection),
    /// Destroy the connection, then report [`Machine::closed`](super::Machine::closed).
    Close(Slot<C>, CloseReason),
    /// Call [`Machine::tick`](super::Machine::tick) at that time: a handshake is wanted that may
    /// not begin yet.
    #[cfg_attr(
        not(any(test, feature = "internals")),
        expect(
            dead_code,
            reason = "the worker asks for the time itself; the model test reads it"
        )
    )]
    TickAt(Duration),
}

/// Counts for `status` and metrics.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections waiting for work.
    pub idle: usize,
    /// Checked-out connections by lane: normal, finishing, awaiting.
    pub leased: [usize; 3],
    /// Handshakes in progress.
    pub connecting: usize,
    /// Connections that are destroyed, but that the server has not let go of yet.
    pub closing: usize,
    /// Waiting operations.
    pub queued: usize,
}

impl Counts {
    /// Operations that use or want a connection now.
    #[must_use]
    pub fn load(&self) -> usize {
        self.in_use() + self.queued
    }

    /// Connections that carry an operation now.
    #[must_use]
    pub fn in_use(&self) -> usize {
        self.leased.iter().sum()
    }

    /// Sockets that count against the cap now.
    #[must_use]
    pub fn sockets(&self) -> usize {
        self.idle + self.in_use() + self.connecting + self.closing
    }
}
