//! The bounded set of connections to one node, and the queue before it.
//!
//! [`state::Machine`] decides; [`NodePool`] wraps it in a lock that is held for a few
//! hundred nanoseconds and never across an await, and carries its effects out:
//! opens, hands over, destroys. An operation that finds an idle connection gets it
//! without waking any other task.

pub mod breaker;

mod clock;

mod cuts;

mod effects;

mod health;

mod inherited;

pub mod lease;

mod look;

pub mod state;

mod thaw;

mod upkeep;

mod worker;

#[cfg(test)]
mod tests;

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
pub use state::{Bond, ConnId, Counts, Lane, Limits, Place, Rejection, Want};

use crate::{
    config::Freezing,
    pool::{
        breaker::Breaker,
        clock::Clock,
        cuts::Cuts,
        state::{CheckOut, Machine, Ticket},
        upkeep::Upkeep,
    },
    topology::NodeAddress,
    upstream::{AbortHandle, ConnectError, Connection, Connector, ServerHello},
};

/// Hears what connections tell about their node.
pub trait Observer: Send + Sync {
    /// A connection was made; `started` is when its dialling began.
    fn connected(&self, node: &NodeAddress, started: Instant, hello: &ServerHello);
    /// A connection could not be made.
    fn connect_failed(&self, node: &NodeAddress, generation: u64, error: &ConnectError);
}

type Payload = Box<Connection>;
type Answer = oneshot::Sender<Result<Lease, Rejection>>;

/// How long a pool's connections live, and what was before them.
#[derive(Debug, Default)]
pub struct Life {
    /// The longest that a connection is used.
    pub lifetime: Duration,
    /// The process may be frozen at any time.
    pub freezing: Option<Freezing>,
    /// An earlier pool of the same node: what is still open of it counts as this one's.
    pub before: Option<Arc<NodePool>>,
}

/// The pool of one node for one upstream user.
pub struct NodePool {
    node: NodeAddress,
    machine: Mutex<Machine<Payload, Answer>>,
    /// By which connections in use can be cut, with their generations.
    abort_handles: Mutex<HashMap<ConnId, (u64, AbortHandle)>>,
    connector: Arc<Connector>,
    observer: Arc<dyn Observer>,
    lifetime: Duration,
    clock: Clock,
    freezing: Option<Freezing>,
    upkeep: Arc<Upkeep>,
    /// Leases may be dropped outside of it.
    runtime: Handle,
    dead: AtomicBool,
    deaths: AtomicU32,
    login_refused: AtomicBool,
    used: AtomicBool,
    failures: AtomicU32,
    /// Why the last attempt to connect failed; `None`: it did not.
    last_failure: Mutex<Option<String>>,
    breaker: Breaker,
    /// Cursors and transactions belong to connections here, not to the node.
    affinity: bool,
    cuts: Cuts,
}

impl NodePool {
    /// A pool for `node`; its upkeep task lives as long as the pool.
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
            dead: AtomicBool::new(false),
            deaths: AtomicU32::new(0),
            login_refused: AtomicBool::new(false),
            used: AtomicBool::new(false),
            failures: AtomicU32::new(0),
            last_failure: Mutex::new(None),
            breaker: Breaker::default(),
            affinity,
            cuts: Cuts::default(),
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
            self.with_machine(|machine, now, effects| machine.set_available(true, now, effects));
        }
        loop {
            let lease = match self.try_lease(want)? {
                Tried::Leased(lease) => lease,
                Tried::Queued(ticket, answer) => self.wait(ticket, answer, deadline).await?,
            };
            if !lease.is_disturbed() {
                return Ok(lease);
            }
            // It died a moment ago and its upkeep has not run yet.
            lease.destroy();
            if want.only.is_some() {
                return Err(LeaseError::Gone);
            }
        }
    }

    /// The part of a check-out that does not wait.
    fn try_lease(self: &Arc<Self>, want: Want) -> Result<Tried, LeaseError> {
        let mut answer = None;
        let waiter = || {
            let (sender, receiver) = oneshot::channel();
            answer = Some(receiver);
            sender
        };
        let checked = self
            .with_machine(|machine, now, effects| machine.check_out(want, now, waiter, effects));
        match (checked, answer) {
            (CheckOut::Leased(slot), _) => Ok(Tried::Leased(Lease::new(Arc::clone(self), slot))),
            (CheckOut::Queued(ticket), Some(answer)) => {
                if self.login_refused() && !self.has_connections() {
                    self.leave(ticket);
                    return Err(LeaseError::LoginRefused);
                }
                Ok(Tried::Queued(ticket, answer))
            }
            (CheckOut::Gone, _) => Err(LeaseError::Gone),
            (CheckOut::Retired, _) => Err(LeaseError::Retired),
            (CheckOut::Shed | CheckOut::Queued(..), _) => Err(LeaseError::Shed),
        }
    }

    /// Waits in the queue.
    async fn wait(
        self: &Arc<Self>,
        ticket: Ticket,
        answer: oneshot::Receiver<Result<Lease, Rejection>>,
        deadline: Instant,
    ) -> Result<Lease, LeaseError> {
        let mut waiting = Waiting {
            pool: self,
            ticket: Some(ticket),
        };
        let outcome = timeout_at(deadline, answer).await;
        if outcome.is_ok() {
            waiting.ticket = None;
        }
        match outcome {
            Ok(Ok(Ok(lease))) => Ok(lease),
            Ok(Ok(Err(Rejection::Cleared)) | Err(_)) => Err(LeaseError::Cleared(ticket.place())),
            Ok(Ok(Err(Rejection::Gone))) => Err(LeaseError::Gone),
            Ok(Ok(Err(Rejection::LoginRefused))) => Err(LeaseError::LoginRefused),
            Err(_) => Err(LeaseError::TimedOut),
        }
    }

    /// Gives a place in the queue up.
    fn leave(&self, ticket: Ticket) {
        let waiter = self.machine.lock().cancel(ticket);
        drop(waiter);
    }

    fn has_connections(&self) -> bool {
        let counts = self.counts();
        counts.idle + counts.leased.iter().sum::<usize>() > 0
    }

    /// Makes all connections older than generation `to` stale; waiters choose a node again.
    /// Connections in use finish their exchange.
    pub fn clear(self: &Arc<Self>, to: u64) {
        self.with_machine(|machine, _, effects| machine.clear(to, effects));
    }

    /// The node is dead: clears the pool and cuts the connections in use, so that what
    /// waits on them ends now. Their slots stay taken until the server has let go.
    pub fn interrupt(self: &Arc<Self>, to: u64) {
        self.dead.store(true, Ordering::Relaxed);
        self.deaths.fetch_add(1, Ordering::Relaxed);
        self.clear(to);
        let abort_handles = self.abort_handles.lock();
        let old = abort_handles.values().filter(|(made_in, _)| *made_in < to);
        old.for_each(|(_, handle)| handle.abort());
    }

    /// The node is no longer part of the deployment.
    pub fn retire(self: &Arc<Self>) {
        self.with_machine(|machine, _, effects| machine.retire(effects));
    }

    /// Whether it was retired.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        self.generation() == u64::MAX
    }

    /// Whether the node can be used; decides whether the warm minimum is kept.
    pub fn set_available(self: &Arc<Self>, available: bool) {
        if available {
            self.dead.store(false, Ordering::Relaxed);
        }
        let act = |machine: &mut Machine<_, _>, now, effects: &mut _| {
            let news = machine.set_available(available, now, effects);
            if news {
                self.failures.store(0, Ordering::Relaxed);
            }
        };
        self.with_machine(act);
    }

    /// Opens one connection as soon as the cap allows: its hello tells how the node is.
    /// Returns whether that is now.
    pub fn probe(self: &Arc<Self>) -> bool {
        self.with_machine(|machine, now, effects| machine.probe(now, effects))
    }

    /// Ties a cursor or an open transaction to a connection, or unties it.
    pub fn bond(self: &Arc<Self>, id: ConnId, bond: Bond, tie: bool) {
        self.with_machine(|machine, now, effects| machine.bond(id, bond, tie, now, effects));
    }
}

impl std::fmt::Debug for NodePool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("NodePool")
            .field("node", &self.node)
            .finish_non_exhaustive()
    }
}

enum Tried {
    Leased(Lease),
    Queued(Ticket, oneshot::Receiver<Result<Lease, Rejection>>),
}

/// A place in the queue; leaves it when the operation is given up.
struct Waiting<'a> {
    pool: &'a NodePool,
    ticket: Option<Ticket>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(ticket) = self.ticket {
            self.pool.leave(ticket);
        }
    }
}
