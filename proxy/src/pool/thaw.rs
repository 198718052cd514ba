//! Where the process may be frozen at any moment (AWS Lambda): connections that may have
//! died meanwhile without a word.
//!
//! A flow that a balancer or a NAT gateway has forgotten gives no sign: what is sent into it is
//! lost. So there an idle connection is asked for a sign of life before it carries anything,
//! and one that stays silent is abandoned: nothing runs on it, and waiting for its end would
//! keep a slot from the connection that is to replace it.

use std::{sync::Arc, time::Duration};

use crate::{
    config::Freezing,
    pool::{Lease, NodePool},
};

impl NodePool {
    /// What freezing asks of this pool; `None`: this process is never frozen.
    #[must_use]
    pub const fn freezing(&self) -> Option<Freezing> {
        self.freezing
    }

    /// The time of this pool.
    pub(super) fn now(&self) -> Duration {
        self.clock.now()
    }

    /// The connections that have lain idle for so long and longer, warmest first.
    #[must_use]
    pub fn take_idle(self: &Arc<Self>, idle_for: Duration) -> Vec<Lease> {
        let slots = self.with_machine(|machine, now, _| machine.take_idle(now, idle_for));
        let leases = slots
            .into_iter()
            .map(|slot| Lease::new(Arc::clone(self), slot));
        leases.collect()
    }

    /// Abandons every connection that lies idle, and the keys of its role: they are another
    /// life's.
    pub fn renew(self: &Arc<Self>) {
        if let Some(principal) = &self.connector.principal {
            principal.forget();
        }
        self.with_machine(|machine, now, effects| {
            machine.abandon_idle(now, Duration::ZERO, effects)
        });
    }
}

impl Lease {
    /// It gave no sign of life: abandons it, and with it what has lain idle as long.
    pub fn abandon(mut self) {
        let pool = Arc::clone(&self.pool);
        if let Some(slot) = self.take() {
            pool.with_machine(|machine, now, effects| {
                let idle_for = now.saturating_sub(slot.last_used);
                machine.abandon(slot, now, effects);
                machine.abandon_idle(now, idle_for, effects);
            });
        }
    }
}
