//! What a relay does once in a while.

use crate::{
    pool::{Bond, ConnId},
    relay::Relay,
    topology::NodeAddress,
};

impl Relay {
    /// Whether an operation is held, waits for a connection or has one, or its reply is not
    /// written yet.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let pools = self.cluster.pools();
        self.metrics.at_work() > 0 || pools.iter().any(|pool| pool.counts().load() > 0)
    }

    /// Forgets pins that have outlived their servers' memory of them.
    pub fn expire_pins(&self) {
        let snapshot = self.cluster.snapshot();
        let is_gone = |node: &NodeAddress| snapshot.node(node).is_none();
        let forgotten = self.pins.expire(self.now(), is_gone);
        let cursors = forgotten.cursors.into_iter().map(|tie| (Bond::Cursor, tie));
        let transactions = forgotten.transactions.into_iter();
        let transactions = transactions.map(|tie| (Bond::Transaction, tie));
        for (bond, (node, connection)) in cursors.chain(transactions) {
            if let Some(pool) = self.cluster.pool_of(&node) {
                pool.bond(ConnId(connection), bond, false);
            }
        }
    }
}
