//! Giving connections up: those of a generation, or all for good.

use crate::pool::state::{CloseReason, Effect, Machine, Rejection};

impl<C, W> Machine<C, W> {
    /// Makes every connection older than generation `to` stale and sends the waiters back
    /// to choose a node again. Returns whether that was news.
    pub fn clear(&mut self, to: u64, effects: &mut Vec<Effect<C, W>>) -> bool {
        if to <= self.generation {
            return false;
        }
        self.generation = to;
        self.handshakes.generation_changed();
        for slot in std::mem::take(&mut self.idle) {
            self.close(slot, CloseReason::Stale, effects);
        }
        // Connections in use finish their exchange and are not leased again.
        self.leased_ids.clear();
        self.bonds.clear();
        effects.extend(
            self.queue
                .drain_bound()
                .map(|w| Effect::Reject(w.waiter, Rejection::Gone)),
        );
        self.reject_all(Rejection::Cleared, effects);
        true
    }

    /// Closes the pool for good: its node has left the deployment. What is in use finishes.
    pub fn retire(&mut self, effects: &mut Vec<Effect<C, W>>) {
        self.available = false;
        self.clear(u64::MAX, effects);
    }

    /// Whether nothing is opened or leased any more.
    pub(super) const fn is_retired(&self) -> bool {
        self.generation == u64::MAX
    }

    /// Sends everybody away who does not wait for one particular connection.
    pub fn reject_all(&mut self, why: Rejection, effects: &mut Vec<Effect<C, W>>) {
        effects.extend(
            self.queue
                .drain_unbound()
                .map(|w| Effect::Reject(w.waiter, why)),
        );
    }
}
