//! What can be seen of a pool from outside.

use std::sync::atomic::Ordering;

use crate::{
    pool::{ConnId, Counts, NodePool, Place},
    topology::NodeAddress,
};

impl NodePool {
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

    /// The place in the queue that whoever comes next gets; see [`Want::place`](crate::pool::Want::place).
    #[must_use]
    pub fn next_place(&self) -> Place {
        self.machine.lock().next_place()
    }

    /// How many cursors and transactions would die with the connection.
    #[must_use]
    pub fn bonds_on(&self, id: ConnId) -> u32 {
        if self.affinity {
            self.machine.lock().bonds_on(id)
        } else {
            0
        }
    }

    /// Whether operations wait for a connection; those that wait for data do so anyway.
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

    /// Whether any operation ever asked for a connection to this node.
    #[must_use]
    pub fn was_used(&self) -> bool {
        self.used.load(Ordering::Relaxed)
    }

    /// Why no connection could be made when last tried; `None`: one could.
    #[must_use]
    pub fn last_failure(&self) -> Option<String> {
        self.last_failure.lock().clone()
    }
}
