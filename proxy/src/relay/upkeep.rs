//! What a relay does once in a while.

use crate::{
    pool::{Bond, ConnId},
    relay::Relay,
    topology::NodeAddress,
};

impl Relay {
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
