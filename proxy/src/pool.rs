//! The bounded set of connections to one node, and the queue before it.
//!
//! [`state::Machine`] decides; [`NodePool`] wraps it in a lock that is held for a few
//! hundred nanoseconds and never across an await, and carries its effects out:
//! opens, hands over, destroys. An operation that finds an idle connection gets it
//! without waking any other task.

pub mod lease;

pub mod state;

mod worker;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Waker,
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::{Notify, oneshot},
    time::{Instant, timeout_at},
};

pub use lease::Lease;
pub use state::{Bond, ConnId, Counts, Lane, Limits, Rejection, Want};

use crate::{
    pool::state::{CheckOut, Effect, Machine, Slot, Ticket},
    topology::NodeAddress,
    upstream::{ConnectError, Connection, Connector, ServerHello},
};

/// Why an operation got no connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LeaseError {
    /// The deadline passed in the queue.
    #[error("no connection became free in time")]
    TimedOut,
    /// The queue is full.
    #[error("too many operations wait already")]
    Shed,
    /// Choose a node again.
    #[error("the node's connections were given up")]
    Cleared,
    /// The connection that holds the cursor or transaction is gone.
    #[error("the one connection that would do is gone")]
    Gone,
    /// The upstream refuses Weir's login.
    #[error("the database refuses Weir's login")]
    LoginRefused,
}

/// Hears what connections tell about their node.
pub trait Observer: Send + Sync {
    /// A connection was made; `started` is when its dialling began.
    fn connected(&self, node: &NodeAddress, started: Instant, hello: &ServerHello);
    /// A connection could not be made.
    fn connect_failed(&self, node: &NodeAddress, generation: u64, error: &ConnectError);
}

type Payload = Box<Connection>;
type Answer = oneshot::Sender<Result<Lease, Rejection>>;
type Effects = Vec<Effect<Payload, Answer>>;

/// The pool of one node for one upstream user.
pub struct NodePool {
    node: NodeAddress,
    machine: Mutex<Machine<Payload, Answer>>,
    /// Second handles on all open sockets, by which in-use connections can be cut.
    cutters: Mutex<HashMap<ConnId, (u64, socket2::Socket)>>,
    connector: Arc<Connector>,
    observer: Arc<dyn Observer>,
    lifetime: Duration,
    epoch: Instant,
    upkeep: Arc<Upkeep>,
    upkeep_waker: Waker,
    dead: AtomicBool,
    login_refused: AtomicBool,
    used: AtomicBool,
    failures: std::sync::atomic::AtomicU32,
}

/// Wakes the pool's upkeep task when an idle connection's socket stirs.
#[derive(Debug, Default)]
struct Upkeep(Notify);

impl std::task::Wake for Upkeep {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl NodePool {
    /// A pool for `node`; its upkeep task lives as long as the pool.
    #[must_use]
    pub fn start(
        node: NodeAddress,
        limits: Limits,
        generation: u64,
        lifetime: Duration,
        connector: Arc<Connector>,
        observer: Arc<dyn Observer>,
    ) -> Arc<Self> {
        let upkeep = Arc::new(Upkeep::default());
        let pool = Arc::new(Self {
            node,
            machine: Mutex::new(Machine::new(limits, generation)),
            cutters: Mutex::new(HashMap::new()),
            connector,
            observer,
            lifetime,
            epoch: Instant::now(),
            upkeep_waker: Waker::from(Arc::clone(&upkeep)),
            upkeep,
            dead: AtomicBool::new(false),
            login_refused: AtomicBool::new(false),
            used: AtomicBool::new(false),
            failures: std::sync::atomic::AtomicU32::new(0),
        });
        tokio::spawn(worker::keep_up(Arc::downgrade(&pool), Arc::clone(&pool.upkeep)));
        pool
    }

    /// Checks a connection out, waiting for one until `deadline`.
    ///
    /// # Errors
    /// [`LeaseError`]; nothing was sent in any case.
    pub async fn lease(
        self: &Arc<Self>,
        want: Want,
        deadline: Instant,
    ) -> Result<Lease, LeaseError> {
        if !self.used.load(Ordering::Relaxed) {
            self.used.store(true, Ordering::Relaxed);
            self.set_available(true);
        }
        let (ticket, answer) = match self.try_lease(want) {
            Ok(lease) => return Ok(lease),
            Err(Busy::Queued(ticket, answer)) => (ticket, answer),
            Err(Busy::Failed(error)) => return Err(error),
        };
        let mut place = Place { pool: self, ticket: Some(ticket) };
        let outcome = timeout_at(deadline, answer).await;
        if outcome.is_ok() {
            place.ticket = None;
        }
        match outcome {
            Ok(Ok(Ok(lease))) => Ok(lease),
            Ok(Ok(Err(Rejection::Cleared)) | Err(_)) => Err(LeaseError::Cleared),
            Ok(Ok(Err(Rejection::Gone))) => Err(LeaseError::Gone),
            Ok(Ok(Err(Rejection::LoginRefused))) => Err(LeaseError::LoginRefused),
            Err(_) => Err(LeaseError::TimedOut),
        }
    }

    /// The part of a check-out that does not wait.
    fn try_lease(self: &Arc<Self>, want: Want) -> Result<Lease, Busy> {
        loop {
            let mut effects = Vec::new();
            let mut answer = None;
            let checked = self.machine.lock().check_out(
                want,
                self.now(),
                || {
                    let (sender, receiver) = oneshot::channel();
                    answer = Some(receiver);
                    sender
                },
                &mut effects,
            );
            self.carry_out(effects);
            match (checked, answer) {
                // It died a moment ago and its upkeep has not run yet.
                (CheckOut::Leased(slot), _) if slot.conn.socket().is_disturbed() => {
                    self.discard(slot);
                    if want.only.is_some() {
                        return Err(Busy::Failed(LeaseError::Gone));
                    }
                }
                (CheckOut::Leased(slot), _) => return Ok(Lease::new(Arc::clone(self), slot)),
                (CheckOut::Queued(ticket), Some(answer)) => {
                    if self.login_refused.load(Ordering::Relaxed) && !self.has_connections() {
                        self.machine.lock().cancel(ticket);
                        return Err(Busy::Failed(LeaseError::LoginRefused));
                    }
                    return Err(Busy::Queued(ticket, answer));
                }
                (CheckOut::Gone, _) => return Err(Busy::Failed(LeaseError::Gone)),
                (CheckOut::Shed | CheckOut::Queued(_), _) => {
                    return Err(Busy::Failed(LeaseError::Shed));
                }
            }
        }
    }

    fn has_connections(&self) -> bool {
        let counts = self.counts();
        counts.idle + counts.leased.iter().sum::<usize>() > 0
    }

    /// Takes a clean connection back; the oldest waiter gets it at once.
    fn check_in(self: &Arc<Self>, slot: Slot<Payload>) {
        let mut cx = std::task::Context::from_waker(&self.upkeep_waker);
        // From here the socket's own events wake the upkeep task. If something is there
        // already, the connection is not clean. Asked first, because a read that filled its
        // buffer leaves a readiness behind that the question takes away.
        let socket = slot.conn.socket();
        if socket.is_disturbed() || socket.watch(&mut cx).is_ready() {
            self.discard(slot);
            return;
        }
        self.with_machine(|machine, now, effects| machine.check_in(slot, now, effects));
    }

    /// Destroys a connection; its slot is free once the server has let go of it.
    fn discard(self: &Arc<Self>, slot: Slot<Payload>) {
        self.with_machine(|machine, now, effects| machine.discard(slot, now, effects));
    }

    fn with_machine<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Machine<Payload, Answer>, Duration, &mut Effects) -> T,
    ) -> T {
        let mut effects = Vec::new();
        let result = act(&mut self.machine.lock(), self.now(), &mut effects);
        self.carry_out(effects);
        result
    }

    /// Carries out what the machine decided; called without the lock.
    fn carry_out(self: &Arc<Self>, effects: Effects) {
        for effect in effects {
            match effect {
                Effect::HandOver(answer, slot) => {
                    // A waiter that left drops the lease, which checks the slot in again.
                    drop(answer.send(Ok(Lease::new(Arc::clone(self), slot))));
                }
                Effect::Reject(answer, why) => drop(answer.send(Err(why))),
                Effect::Connect(id, generation) => {
                    tokio::spawn(worker::open(Arc::clone(self), id, generation));
                }
                Effect::Close(slot, why) => {
                    tracing::debug!(node = %self.node, ?why, "closing an upstream connection");
                    tokio::spawn(worker::destroy(Arc::clone(self), slot));
                }
            }
        }
    }

    /// Makes all connections older than generation `to` stale; waiters choose a node again.
    /// Connections in use finish their exchange.
    pub fn clear(self: &Arc<Self>, to: u64) {
        self.with_machine(|machine, _, effects| machine.clear(to, effects));
    }

    /// The node is dead: clears the pool and cuts the connections in use, so that what
    /// waits on them ends now.
    pub fn interrupt(self: &Arc<Self>, to: u64) {
        self.dead.store(true, Ordering::Relaxed);
        self.clear(to);
        let cutters = self.cutters.lock();
        for (_, (_, socket)) in cutters.iter().filter(|(_, (made_in, _))| *made_in < to) {
            drop(socket.shutdown(std::net::Shutdown::Both));
        }
    }

    /// Whether the node can be used; decides whether the warm minimum is kept.
    pub fn set_available(self: &Arc<Self>, available: bool) {
        if available {
            self.dead.store(false, Ordering::Relaxed);
        }
        self.with_machine(|machine, now, effects| machine.set_available(available, now, effects));
    }

    /// Opens one connection at once, inside the cap: its hello tells how the node is.
    /// Returns whether there was room for it.
    pub fn probe(self: &Arc<Self>) -> bool {
        self.with_machine(|machine, _, effects| machine.probe(effects))
    }

    /// Ties a cursor or an open transaction to a connection, or unties it.
    pub fn bond(&self, id: ConnId, bond: Bond, tie: bool) {
        self.machine.lock().bond(id, bond, tie);
    }

    /// The node.
    #[must_use]
    pub const fn node(&self) -> &NodeAddress {
        &self.node
    }

    /// The generation now; errors of older ones say nothing about the node.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.machine.lock().generation()
    }

    /// Counts for `status` and metrics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.machine.lock().counts()
    }

    /// How many slots waiting getMores share.
    #[must_use]
    pub fn awaiting_share(&self) -> usize {
        self.machine.lock().lanes().awaiting_share()
    }

    /// Whether any operation ever asked for a connection to this node.
    #[must_use]
    pub fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether the upstream refused Weir's last login.
    #[must_use]
    pub fn login_refused(&self) -> bool {
        self.login_refused.load(Ordering::Relaxed)
    }

    /// Whether the node was declared dead and has not been heard since.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }
}

impl std::fmt::Debug for NodePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodePool").field("node", &self.node).finish_non_exhaustive()
    }
}

enum Busy {
    Queued(Ticket, oneshot::Receiver<Result<Lease, Rejection>>),
    Failed(LeaseError),
}

/// A place in the queue; leaves it when the operation is given up.
struct Place<'a> {
    pool: &'a Arc<NodePool>,
    ticket: Option<Ticket>,
}

impl Drop for Place<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            drop(self.pool.machine.lock().cancel(ticket));
        }
    }
}
