//! Slots that an earlier pool or an earlier process still takes.
//!
//! A pool begins with every slot taken. It immediately gets the slots that no older connection
//! takes. Older connections are those of an earlier pool, when a node was removed from the
//! deployment and added again, and those of a process that was killed (see
//! [`crate::upstream::orphans`]).

use std::{
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::time::{Instant, sleep};

use crate::{pool::NodePool, upstream::orphans};

/// The kernel drops an orphaned socket after a minute, even if the server does not let go of it.
const LONGEST: Duration = Duration::from_secs(60);

/// Frees the slots of a new pool as older connections end.
pub(super) async fn free(pool: Weak<NodePool>, slots: usize, before: Option<Arc<NodePool>>) {
    let Some((node, freezing)) = pool
        .upgrade()
        .map(|pool| (pool.node.clone(), pool.freezing))
    else {
        return;
    };
    // A Lambda function does not wait for the connections of a killed predecessor: a NAT may have
    // dropped their flows, and the function's first operation would time out with them.
    let counts_orphans = freezing.is_none();
    let until = Instant::now() + LONGEST;
    let mut held = slots;
    while held > 0 {
        let orphans = if counts_orphans && Instant::now() < until {
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
