//! Pools of a process that may be frozen at any moment (AWS Lambda).
//!
//! After a freeze a NAT gateway or load balancer may have dropped the flow of a connection
//! without telling either end. A request sent on it would wait until its timeout. Therefore an
//! idle connection is checked before it carries anything. A connection that does not answer is
//! closed with a reset: nothing runs on it, and waiting for the server's end would keep a slot
//! from the connection that is to replace it.

use std::{sync::Arc, time::Duration};

use crate::{
    config::Freezing,
    pool::{Lease, NodePool},
};

impl NodePool {
    /// How this process may be frozen; `None`: it never is.
    #[must_use]
    pub const fn freezing(&self) -> Option<Freezing> {
        self.freezing
    }

    /// The time of this pool: since it was started, including freezes.
    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// Checks out every connection that was idle for `idle_for` or longer. The most recently
    /// used one comes first.
    #[must_use]
    pub fn take_idle(self: &Arc<Self>, idle_for: Duration) -> Vec<Lease> {
        let slots = self.with_machine(|machine, now, _| machine.take_idle(now, idle_for));
        let leases = slots
            .into_iter()
            .map(|slot| Lease::new(Arc::clone(self), slot));
        leases.collect()
    }

    /// Abandons every idle connection and forgets the AWS credentials: this process is a copy of
    /// the one that they were made for.
    pub fn renew(self: &Arc<Self>) {
        if let Some(principal) = &self.connector.principal {
            principal.forget();
        }
        self.with_machine(|machine, now, effects| {
            machine.abandon_idle(now, Duration::ZERO, effects)
        });
    }
}
