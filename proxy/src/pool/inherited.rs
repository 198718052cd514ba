//! Slots that an earlier process still takes.
//!
//! A pool begins with every slot taken, and gets those at once that nobody left anything
//! behind in; see [`crate::upstream::orphans`].

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{pool::NodePool, upstream::orphans};

/// The kernel forgets an orphan after a minute, whatever the server does.
const LONGEST: Duration = Duration::from_secs(60);

/// Frees the slots of a new pool as the orphans of its node go.
pub(super) async fn free(pool: Weak<NodePool>, slots: usize) {
    let Some(node) = pool.upgrade().map(|pool| pool.node.clone()) else {
        return;
    };
    let until = Instant::now() + LONGEST;
    let mut held = slots;
    while held > 0 {
        let left = if Instant::now() < until {
            orphans::to(&node).await.min(held)
        } else {
            0
        };
        let Some(pool) = pool.upgrade() else { return };
        if held == slots && left > 0 {
            tracing::info!(node = %node, left, "an earlier process's connections still count");
        }
        pool.release(held - left);
        held = left;
        drop(pool);
        if held > 0 {
            sleep(orphans::LOOK_EVERY).await;
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
