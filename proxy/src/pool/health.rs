//! How a pool and its node are, for those who decide or tell by it.

use std::{sync::atomic::Ordering, time::Duration};

use crate::pool::NodePool;

impl NodePool {
    /// Whether the upstream refused Weir's last login.
    #[must_use]
    pub fn login_refused(&self) -> bool {
        self.login_refused.load(Ordering::Relaxed)
    }

    /// Whether the node was declared dead and has not been heard since.
    #[must_use]
    pub fn is_dead(&self) -> bool {
        self.dead.load(Ordering::Relaxed)
    }

    /// How often it was declared dead.
    #[must_use]
    pub fn deaths(&self) -> u32 {
        self.deaths.load(Ordering::Relaxed)
    }

    /// How long the queue takes to be served; `None`: nobody has to wait.
    #[must_use]
    pub fn drain_time(&self) -> Option<Duration> {
        let now = self.now();
        self.machine.lock().drain_time(now)
    }
}
