//! The bounded set of connections to one node, and the queue before it.
//!
//! [`state::Machine`] decides. [`NodePool`] wraps it in a lock and carries its effects out: it
//! opens, hands over and destroys connections. The lock is held for a few hundred nanoseconds
//! and never across an await. An operation that finds an idle connection gets it without waking
//! any other task.
//!
//! | module | its part |
//! |---|---|
//! | `state` | the pool as a pure state machine |
//! | `lease` | a connection that is checked out |
//! | `effects` | carries the machine's decisions out |
//! | `worker` | opens and destroys connections |
//! | `upkeep` | watches the sockets of idle connections |
//! | `status` | what can be read of a pool |
//! | `freeze` | pools of a process that may be frozen (AWS Lambda) |
//! | `clock` | time across a freeze |
//! | `breaker` | the circuit breaker of a node |
//! | `abort_budget` | how many connections may be closed under abandoned work |
//! | `inherited` | slots that an earlier pool or process still takes |

mod abort_budget;
pub mod breaker;
mod clock;
mod effects;
mod freeze;
mod inherited;
pub mod lease;
pub mod state;
mod status;
#[cfg(test)]
mod tests;
mod upkeep;
mod worker;

use std::{
    collections::HashMap,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    runtime::Handle,
    sync::oneshot,
    time::{Instant, timeout_at},
};

pub use lease::{Lease, LeaseError};
pub use state::{ConnId, Counts, Lane, Limits, PinReason, Place, PoolState, Rejection, Want};

use crate::{
    config::Freezing,
    pool::{
        abort_budget::AbortBudget,
        breaker::Breaker,
        clock::Clock,
        state::{CheckOut, Machine, Ticket},
        upkeep::Upkeep,
    },
    random,
    topology::NodeAddress,
    upstream::{AbortHandle, ConnectError, Connection, Connector, ServerHello},
};

/// Hears what connections learn about their node.
pub trait Observer: Send + Sync {
    /// A connection was made. `started` is when Weir began to connect.
    fn connected(&self, node: &NodeAddress, started: Instant, hello: &ServerHello);
    /// A connection of this generation could not be made.
    fn connect_failed(&self, node: &NodeAddress, generation: u64, error: &ConnectError);
}

/// A connection, as the machine stores it.
type Payload = Box<Connection>;

/// How a waiting operation gets its connection or learns that it gets none.
type Reply = oneshot::Sender<Result<Lease, Rejection>>;

/// How long a pool's connections live, and which connections came before them.
#[derive(Debug, Default)]
pub struct Life {
    /// The longest time that a connection is used, before jitter.
    pub lifetime: Duration,
    /// The process may be frozen at any time; `None`: it never is.
    pub freezing: Option<Freezing>,
    /// An earlier pool of the same node. Its open sockets count against this pool's cap.
    pub before: Option<Arc<NodePool>>,
}

/// The pool of one node for one upstream user.
pub struct NodePool {
    /// The node that all connections lead to.
    node: NodeAddress,
    /// The connections, the queue and the state of the pool.
    machine: Mutex<Machine<Payload, Reply>>,
    /// Ends exchanges on open connections when the node is declared dead. With each its
    /// connection's generation.
    abort_handles: Mutex<HashMap<ConnId, (u64, AbortHandle)>>,
    /// Makes the connections.
    connector: Arc<Connector>,
    /// Hears what connections learn about the node.
    observer: Arc<dyn Observer>,
    /// The longest time that a connection is used, before jitter.
    lifetime: Duration,
    /// The time that the machine is given.
    clock: Clock,
    /// The process may be frozen at any time; `None`: it never is.
    freezing: Option<Freezing>,
    /// Wakes the task that looks after idle connections.
    upkeep: Arc<Upkeep>,
    /// Runs the tasks of this pool. A lease may be dropped on a thread outside of the runtime.
    runtime: Handle,
    /// How often the node was declared dead. A cursor that was opened before the last time is
    /// not trusted.
    deaths: AtomicU32,
    /// Whether an operation has ever asked for a connection. A secondary is kept warm only then.
    used: AtomicBool,
    /// The attempts to connect that failed since the last success.
    connect_failures: Mutex<ConnectFailures>,
    /// Avoids a node on which operations fail in a row.
    breaker: Breaker,
    /// Cursors and transactions belong to connections, not to the node (load-balanced
    /// upstreams).
    affinity: bool,
    /// How many connections may be closed under abandoned work.
    abort_budget: AbortBudget,
}

/// Attempts to connect that failed.
#[derive(Debug, Default)]
struct ConnectFailures {
    /// How many failed in a row. Each doubles the pause before the next attempt.
    in_a_row: u32,
    /// The node and the error of the last attempt; `None`: it did not fail.
    last: Option<String>,
}

impl NodePool {
    /// A pool for `node`. Its upkeep task lives as long as the pool.
    #[must_use]
    pub fn start(
        node: NodeAddress,
        limits: Limits,
        generation: u64,
        life: Life,
        connector: Arc<Connector>,
        observer: Arc<dyn Observer>,
    ) -> Arc<Self> {
        let (slots, affinity) = (limits.slots, limits.affinity);
        let mut machine = Machine::new(limits, generation);
        machine.inherit(slots);
        let pool = Arc::new(Self {
            node,
            machine: Mutex::new(machine),
            abort_handles: Mutex::new(HashMap::new()),
            connector,
            observer,
            lifetime: life.lifetime,
            clock: Clock::new(life.freezing.is_some()),
            freezing: life.freezing,
            upkeep: Arc::new(Upkeep::default()),
            runtime: Handle::current(),
            deaths: AtomicU32::new(0),
            used: AtomicBool::new(false),
            connect_failures: Mutex::default(),
            breaker: Breaker::default(),
            affinity,
            abort_budget: AbortBudget::default(),
        });
        tokio::spawn(upkeep::keep_up(
            Arc::downgrade(&pool),
            Arc::clone(&pool.upkeep),
        ));
        tokio::spawn(inherited::free(Arc::downgrade(&pool), slots, life.before));
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
            self.with_machine(|machine, now, effects| machine.first_used(now, effects));
        }
        loop {
            let lease = match self.try_lease(want)? {
                Tried::Leased(lease) => lease,
                Tried::Queued(ticket, reply) => self.wait(ticket, reply, deadline).await?,
            };
            if !lease.is_disturbed() {
                return Ok(lease);
            }
            // It died a moment ago and the upkeep task has not run yet.
            lease.destroy();
            if want.only.is_some() {
                return Err(LeaseError::Gone);
            }
        }
    }

    /// The part of a check-out that does not wait.
    fn try_lease(self: &Arc<Self>, want: Want) -> Result<Tried, LeaseError> {
        let mut reply = None;
        let waiter = || {
            let (sender, receiver) = oneshot::channel();
            reply = Some(receiver);
            sender
        };
        let checked = self
            .with_machine(|machine, now, effects| machine.check_out(want, now, waiter, effects));
        match (checked, reply) {
            (CheckOut::Leased(slot), _) => Ok(Tried::Leased(Lease::new(Arc::clone(self), slot))),
            (CheckOut::Queued(ticket), Some(reply)) => Ok(Tried::Queued(ticket, reply)),
            (CheckOut::Gone, _) => Err(LeaseError::Gone),
            (CheckOut::LoginRefused, _) => Err(LeaseError::LoginRefused),
            (CheckOut::Retired, _) => Err(LeaseError::Retired),
            (CheckOut::Shed | CheckOut::Queued(..), _) => Err(LeaseError::Shed),
        }
    }

    /// Waits in the queue.
    async fn wait(
        self: &Arc<Self>,
        ticket: Ticket,
        reply: oneshot::Receiver<Result<Lease, Rejection>>,
        deadline: Instant,
    ) -> Result<Lease, LeaseError> {
        let mut queued = Queued {
            pool: self,
            ticket: Some(ticket),
        };
        let outcome = timeout_at(deadline, reply).await;
        if outcome.is_ok() {
            queued.ticket = None;
        }
        match outcome {
            Ok(Ok(Ok(lease))) => Ok(lease),
            Ok(Ok(Err(Rejection::Cleared)) | Err(_)) => Err(LeaseError::Cleared(ticket.place())),
            Ok(Ok(Err(Rejection::Gone))) => Err(LeaseError::Gone),
            Ok(Ok(Err(Rejection::LoginRefused))) => Err(LeaseError::LoginRefused),
            Err(_) => Err(LeaseError::TimedOut),
        }
    }

    /// Makes all connections older than generation `to` stale. Waiters select a server again.
    /// Connections in use finish their exchange.
    pub fn clear(self: &Arc<Self>, to: u64) {
        self.with_machine(|machine, _, effects| machine.clear(to, effects));
    }

    /// The node was declared dead: clears the pool and ends the exchanges on connections in use,
    /// so that the operations on them do not wait any longer. The slots of these connections
    /// stay taken until the server has let go of them.
    pub fn interrupt(self: &Arc<Self>, to: u64) {
        self.deaths.fetch_add(1, Ordering::Relaxed);
        self.with_machine(|machine, _, effects| machine.node_died(to, effects));
        let handles = self.abort_handles.lock();
        let stale = handles.values().filter(|(generation, _)| *generation < to);
        stale.for_each(|(_, handle)| handle.abort());
    }

    /// The node has left the deployment.
    pub fn retire(self: &Arc<Self>) {
        self.with_machine(|machine, _, effects| machine.retire(effects));
    }

    /// Says whether the node can be used, and with it whether the warm minimum is kept.
    pub fn set_available(self: &Arc<Self>, available: bool) {
        self.with_machine(|machine, now, effects| {
            if machine.set_available(available, now, effects) {
                self.connect_failures.lock().in_a_row = 0;
            }
        });
    }

    /// Opens one connection as soon as the cap allows: its hello tells how the node is.
    /// Returns whether that is now.
    pub fn probe(self: &Arc<Self>) -> bool {
        self.with_machine(|machine, now, effects| machine.probe(now, effects))
    }

    /// A cursor or transaction was opened on a connection (`pinned`), or ended.
    pub fn set_pinned(self: &Arc<Self>, id: ConnId, reason: PinReason, pinned: bool) {
        self.with_machine(|machine, now, effects| {
            machine.set_pinned(id, reason, pinned, now, effects);
        });
    }

    /// A connection could not be made or broke in use, or a reply never came.
    pub fn failed(&self) {
        if self.breaker.failed(self.now(), random::fraction()) {
            tracing::warn!(node = %self.node, "a database node fails again and again; operations \
                that have a choice avoid it for a while");
        }
    }

    /// An operation was sent to the node. A half-open breaker takes it for its trial.
    pub fn chosen(&self) {
        if self.has_failed() {
            self.breaker.sent(self.now());
        }
    }

    /// Whether one more connection to this node may be closed now because its client has left.
    /// A `true` is counted against the budget.
    #[must_use]
    pub fn may_abort(&self) -> bool {
        self.abort_budget.take()
    }
}

impl std::fmt::Debug for NodePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodePool")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

/// The result of a check-out that did not wait.
enum Tried {
    Leased(Lease),
    Queued(Ticket, oneshot::Receiver<Result<Lease, Rejection>>),
}

/// An operation in the queue. Dropping it leaves the queue.
struct Queued<'a> {
    pool: &'a NodePool,
    /// `None`: it was taken out of the queue.
    ticket: Option<Ticket>,
}

impl Drop for Queued<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            let waiter = self.pool.machine.lock().cancel(ticket);
            drop(waiter);
        }
    }
}
