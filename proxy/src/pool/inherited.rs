//! Slots that an earlier pool or an earlier process still takes.
//!
//! A pool begins with every slot taken, and gets those at once that nobody left anything
//! behind in: no earlier pool of a node that was removed from the deployment and added
//! again, and no process that was killed (see [`crate::upstream::orphans`]).

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{pool::NodePool, upstream::orphans};

/// The kernel forgets an orphan after a minute, whatever the server does.
const LONGEST: Duration = Duration::from_secs(60);

/// Frees the slots of a new pool as the connections made before it go.
pub(super) async fn free(pool: Weak<NodePool>, slots: usize, before: Option<Arc<NodePool>>) {
    let Some((node, freezing)) = pool
        .upgrade()
        .map(|pool| (pool.node.clone(), pool.freezing))
    else {
        return;
    };
    // In a function's environment nobody can wait for what a killed predecessor left: its flow may
    // be long forgotten, and the function's first operation would go with it.
    let looks = freezing.is_none();
    let until = Instant::now() + LONGEST;
    let mut held = slots;
    while held > 0 {
        let orphans = if looks && Instant::now() < until {
            orphans::to(&node).await
        } else {
            0
        };
        let earlier = before.as_ref().map_or(0, |pool| pool.counts().sockets());
        let left = (orphans + earlier).min(held);
        let Some(pool) = pool.upgrade() else { return };
        if held == slots && left > 0 {
            tracing::info!(node = %node, left, "connections made earlier still count");
        }
        pool.release(held - left);
        held = left;
        drop(pool);
        if held > 0 {
            sleep(orphans::COUNT_EVERY).await;
        }
    }
}

impl NodePool {
    fn release(self: &Arc<Self>, slots: usize) {
        self.with_machine(|machine, now, effects| {
            for _ in 0..slots {
                machine.closed(now, effects);
            }
        });
    }
}
