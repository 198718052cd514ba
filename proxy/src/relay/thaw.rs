//! What a host that freezes and thaws this process (AWS Lambda) has done around operations.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::{Instant, timeout};

use crate::{
    pool::{Lease, NodePool},
    relay::{Relay, liveness},
    wire::build::DocumentBuilder,
};

/// Between two looks whether connections are closed.
const LOOK_EVERY: Duration = Duration::from_millis(2);

impl Relay {
    /// After a thaw: asks every connection that lay idle for long whether it still works, and
    /// has those replaced that do not. A pool whose last attempts to connect failed tries
    /// again now.
    pub async fn verify(&self) {
        join_all(
            self.cluster
                .pools()
                .iter()
                .map(|pool| self.verify_pool(pool)),
        )
        .await;
    }

    async fn verify_pool(&self, pool: &Arc<NodePool>) {
        let Some(freezing) = pool.freezing() else {
            return;
        };
        let doubtful = pool.take_idle(freezing.doubt_after).into_iter();
        join_all(doubtful.map(|lease| self.look_at(lease))).await;
        if pool.last_failure().is_some() {
            pool.probe();
        }
    }

    async fn look_at(&self, mut lease: Lease) {
        match liveness::ping(&mut lease, &self.cluster).await {
            liveness::Liveness::Silent => lease.abandon(),
            liveness::Liveness::Broken => lease.destroy(),
            liveness::Liveness::Alive { .. } => lease.give_back_greeted(),
        }
    }

    /// This process is a copy of another one: none of its connections is its own.
    pub fn renew(&self) {
        for pool in self.cluster.pools() {
            pool.renew();
        }
    }

    /// Closes the connections that lie idle, with a farewell that is waited for at most
    /// `limit`.
    pub async fn release(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let pools = self.cluster.pools();
        for pool in &pools {
            pool.take_idle(Duration::ZERO)
                .into_iter()
                .for_each(Lease::destroy);
        }
        let closing = || pools.iter().any(|pool| pool.counts().closing > 0);
        while closing() && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    /// Operations that use or want a connection, or are held.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        let pools = self.cluster.pools();
        let load: usize = pools.iter().map(|pool| pool.counts().load()).sum();
        load + self.metrics.held_now()
    }

    /// Ends the sessions that were used, then closes every connection. Takes no longer than
    /// `limit`.
    pub async fn close(&self, limit: Duration) {
        let until = Instant::now() + limit;
        let ending = self.end_sessions();
        // Half of the time is the farewell's.
        drop(timeout(limit / 2, ending).await);
        let pools = self.cluster.pools();
        pools.iter().for_each(|pool| pool.retire());
        let sockets = || {
            pools
                .iter()
                .map(|pool| pool.counts().sockets())
                .sum::<usize>()
        };
        while sockets() > 0 && Instant::now() < until {
            tokio::time::sleep(LOOK_EVERY).await;
        }
    }

    async fn end_sessions(&self) {
        let Some(seen) = &self.seen_sessions else {
            return;
        };
        let sessions = seen.take();
        if sessions.is_empty()
            || self
                .cluster
                .pools()
                .iter()
                .all(|p| p.counts().sockets() == 0)
        {
            return;
        }
        let mut list = DocumentBuilder::new();
        for (index, session) in sessions.iter().enumerate() {
            list.document(&index.to_string(), session);
        }
        let mut end = DocumentBuilder::new();
        end.array("endSessions", &list.finish()).str("$db", "admin");
        self.run_unheard(&end.finish()).await;
    }
}
