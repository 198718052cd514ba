//! Which idle connections are closed.

use std::time::Duration;

use crate::pool::state::{CloseReason, Effect, Lane, Machine, Slot};

impl<C, W> Machine<C, W> {
    /// Closes idle connections that are too old, unused for too long, or dead by `is_dead`, and
    /// refills the warm minimum. Call it about once a second, when something happens on the
    /// socket of an idle connection, and when [`Effect::TickAt`] asks for it.
    pub fn tick(
        &mut self,
        now: Duration,
        is_dead: impl Fn(&C) -> bool,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        if self.tick_at.is_some_and(|at| at <= now) {
            self.tick_at = None;
        }
        self.close_idle(effects, |machine, slot| {
            if is_dead(&slot.conn) {
                Some(CloseReason::Broken)
            } else if slot.expires <= now && !machine.is_pinned_or_awaited(slot.id) {
                Some(CloseReason::Expired)
            } else {
                None
            }
        });
        // In a second pass, because the first one decides how many are left beyond the minimum.
        self.close_idle(effects, |machine, slot| {
            let limit = machine.limits.idle_time?;
            let too_idle = now.saturating_sub(slot.last_used) > limit;
            let spare = machine.open() > machine.limits.min;
            let idle = too_idle && spare && !machine.is_pinned_or_awaited(slot.id);
            idle.then_some(CloseReason::Idle)
        });
        self.assign(now, effects);
    }

    /// A probe is due and all slots are taken: closes the idle connection that was used least
    /// recently, unless a slot is about to become free anyway.
    pub(super) fn yield_to_probe(&mut self, effects: &mut Vec<Effect<C, W>>) {
        if !self.handshakes.probe_due() || self.closing > 0 {
            return;
        }
        if let Some(at) = self
            .idle
            .iter()
            .position(|slot| !self.is_pinned_or_awaited(slot.id))
        {
            let slot = self.idle.remove(at);
            self.close(slot, CloseReason::Yielded, effects);
        }
    }

    /// Checks out every connection that was idle for `idle_for` or longer, to check or close it.
    /// The most recently used one comes first.
    pub fn take_idle(&mut self, now: Duration, idle_for: Duration) -> Vec<Slot<C>> {
        let is_cold = |slot: &Slot<C>| now.saturating_sub(slot.last_used) >= idle_for;
        let take = |machine: &mut Self| {
            let at = machine.idle.iter().rposition(is_cold)?;
            Some(machine.lease(at, Lane::Finishing))
        };
        std::iter::from_fn(|| take(self)).collect()
    }

    /// Checks a connection in whose peer did not answer a liveness check, and closes it.
    pub fn abandon(&mut self, slot: Slot<C>, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.leave(&slot);
        self.close(slot, CloseReason::Silent, effects);
        self.assign(now, effects);
    }

    /// Closes every connection that was idle for `idle_for` or longer as [`CloseReason::Silent`],
    /// pinned ones included.
    pub fn abandon_idle(
        &mut self,
        now: Duration,
        idle_for: Duration,
        effects: &mut Vec<Effect<C, W>>,
    ) {
        self.close_idle(effects, |_, slot| {
            let silent = now.saturating_sub(slot.last_used) >= idle_for;
            silent.then_some(CloseReason::Silent)
        });
        self.assign(now, effects);
    }

    fn close_idle(
        &mut self,
        effects: &mut Vec<Effect<C, W>>,
        reason: impl Fn(&Self, &Slot<C>) -> Option<CloseReason>,
    ) {
        let mut at = 0;
        while let Some(slot) = self.idle.get(at) {
            match reason(self, slot) {
                Some(why) => {
                    let slot = self.idle.remove(at);
                    self.close(slot, why, effects);
                }
                None => at += 1,
            }
        }
    }
}
