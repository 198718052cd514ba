//! What the process around Weir has it do beside operations: the regular upkeep, and the steps of
//! a host that freezes and thaws the process (AWS Lambda).

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    pool::{ConnId, Lease, NodePool, PinReason},
    relay::{
        Relay,
        liveness::{self, Liveness},
    },
    topology::NodeAddress,
    wire::build::DocumentBuilder,
};

/// Time between two checks whether connections are closed.
const CHECK_CLOSED_EVERY: Duration = Duration::from_millis(2);

impl Relay {
    /// Whether an operation is held, waits for a connection or has one, or its reply is not
    /// written yet.
    #[must_use]
    pub fn is_busy(&self) -> bool {
        let pools = self.cluster.pools();
        self.metrics.at_work() > 0 || pools.iter().any(|pool| pool.counts().load() > 0)
    }

    /// Operations that are held, wait for a connection or have one.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let pools = self.cluster.pools();
        let load: usize = pools.iter().map(|pool| pool.counts().load()).sum();
        load + self.metrics.held_now()
    }

    /// Forgets pins that have outlived their servers' memory of them.
    pub fn expire_pins(&self) {
        let snapshot = self.cluster.snapshot();
        let is_gone = |node: &NodeAddress| snapshot.node(node).is_none();
        let forgotten = self.pins.expire(self.now(), is_gone);
        let cursors = forgotten
            .cursors
            .into_iter()
            .map(|of| (PinReason::Cursor, of));
        let transactions = forgotten.transactions.into_iter();
        let transactions = transactions.map(|of| (PinReason::Transaction, of));
        for (reason, (node, connection)) in cursors.chain(transactions) {
            if let Some(pool) = self.cluster.pool_of(&node) {
                pool.set_pinned(ConnId(connection), reason, false);
            }
        }
    }

    /// After a thaw: pings every connection that was idle for long, and replaces those that do
    /// not answer. A pool whose last attempts to connect failed tries again now.
    pub async fn verify(&self) {
        let pools = self.cluster.pools();
        join_all(pools.iter().map(|pool| self.verify_pool(pool))).await;
    }

    async fn verify_pool(&self, pool: &Arc<NodePool>) {
        let Some(freezing) = pool.freezing() else {
            return;
        };
        let idle = pool.take_idle(freezing.doubt_after).into_iter();
        join_all(idle.map(|lease| self.verify_connection(lease))).await;
        if pool.last_failure().is_some() {
            pool.probe();
        }
    }

    async fn verify_connection(&self, mut lease: Lease) {
        match liveness::ping(&mut lease, &self.cluster).await {
            Liveness::Silent => lease.abandon(),
            Liveness::Broken => lease.destroy(),
            Liveness::Alive { .. } => lease.give_back_greeted(),
        }
    }

    /// This process is a copy of another one: gives up all connections, because they belong to
    /// the other process.
    pub fn renew(&self) {
        for pool in self.cluster.pools() {
            pool.renew();
        }
    }

    /// Closes the idle connections, and waits for at most `limit` until they are closed.
    pub async fn release(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let pools = self.cluster.pools();
        for pool in &pools {
            let idle = pool.take_idle(Duration::ZERO).into_iter();
            idle.for_each(Lease::destroy);
        }
        let is_closing = || pools.iter().any(|pool| pool.counts().closing > 0);
        wait_while(is_closing, until).await;
    }

    /// Ends the sessions that clients used, then closes every connection. Takes at most `limit`.
    pub async fn close(&self, limit: Duration) {
        let until = Instant::now() + limit;
        // Half of the time is for the sessions.
        let _ = timeout(limit / 2, self.end_sessions()).await;
        let pools = self.cluster.pools();
        pools.iter().for_each(|pool| pool.retire());
        let has_sockets = || pools.iter().any(|pool| pool.counts().sockets() > 0);
        wait_while(has_sockets, until).await;
    }

    async fn end_sessions(&self) {
        let Some(seen) = &self.seen_sessions else {
            return;
        };
        let sessions = seen.take();
        let pools = self.cluster.pools();
        let is_connected = pools.iter().any(|pool| pool.counts().sockets() > 0);
        if sessions.is_empty() || !is_connected {
            return;
        }
        let mut list = DocumentBuilder::new();
        for (index, session) in sessions.iter().enumerate() {
            list.document(&index.to_string(), session);
        }
        let mut end = DocumentBuilder::new();
        end.array("endSessions", &list.finish()).str("$db", "admin");
        self.run_own(&end.finish()).await;
    }
}

async fn wait_while(condition: impl Fn() -> bool, until: Instant) {
    while condition() && Instant::now() < until {
        sleep(CHECK_CLOSED_EVERY).await;
    }
}
