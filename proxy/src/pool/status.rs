//! What can be read of a pool: for routing, for decisions about errors, and for `/status`.

use std::{sync::atomic::Ordering, time::Duration};

use crate::{
    pool::{ConnId, Counts, NodePool, Place, PoolState},
    topology::NodeAddress,
};

impl NodePool {
    /// The node that all connections lead to.
    #[must_use]
    pub const fn node(&self) -> &NodeAddress {
        &self.node
    }

    /// The state of the pool.
    #[must_use]
    pub fn state(&self) -> PoolState {
        self.machine.lock().state()
    }

    /// The current generation. Errors on connections of older ones say nothing about the node.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.machine.lock().generation()
    }

    /// Counts for `status` and metrics.
    #[must_use]
    pub fn counts(&self) -> Counts {
        self.machine.lock().counts()
    }

    /// Whether the server refused Weir's last login.
    #[must_use]
    pub fn login_refused(&self) -> bool {
        self.state().login_refused()
    }

    /// Whether the node was declared dead and has not answered since.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.state().node_is_dead()
    }

    /// Whether the node has left the deployment.
    #[must_use]
    pub fn is_retired(&self) -> bool {
        matches!(self.state(), PoolState::Retired { .. })
    }

    /// How often the node was declared dead.
    #[must_use]
    pub fn deaths(&self) -> u32 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// Whether an operation has ever asked for a connection to this node.
    #[must_use]
    pub fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Why the last attempt to connect failed; `None`: it did not.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        self.connect_failures.lock().last.clone()
    }

    /// How long the queue will take to be served; `None`: no operation waits.
    #[must_use]
    pub fn drain_time(&self) -> Option<Duration> {
        let now = self.now();
        self.machine.lock().drain_time(now)
    }

    /// The place in the queue that the next operation gets; see
    /// [`Want::place`](crate::pool::Want::place).
    #[must_use]
    pub fn next_place(&self) -> Place {
        self.machine.lock().next_place()
    }

    /// How many cursors and transactions would end with the connection.
    #[must_use]
    pub fn pins_on(&self, id: ConnId) -> u32 {
        if self.affinity {
            self.machine.lock().pins_on(id)
        } else {
            0
        }
    }

    /// Whether operations wait for a connection, without getMores that wait for data.
    #[must_use]
    pub fn has_queue(&self) -> bool {
        self.machine.lock().has_work_queued()
    }

    /// Whether waiting getMores may take every slot that normal work has.
    #[must_use]
    pub fn awaiting_takes_all(&self) -> bool {
        self.machine.lock().lanes().awaiting_takes_all()
    }

    /// How many slots waiting getMores share.
    #[must_use]
    pub fn awaiting_share(&self) -> usize {
        self.machine.lock().lanes().awaiting_share()
    }

    /// Whether an operation that has a choice should use another node.
    #[must_use]
    pub fn is_avoided(&self) -> bool {
        self.breaker.is_avoided(self.now())
    }

    /// Whether the circuit breaker may be open. Costs no lock.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.breaker.may_be_open()
    }

    /// Whether the circuit breaker is open: operations avoid the node now, except for trials.
    #[must_use]
    pub fn has_tripped(&self) -> bool {
        self.breaker.is_open()
    }
}
