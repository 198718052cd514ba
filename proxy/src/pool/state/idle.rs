//! Which idle connections are closed.

use std::time::Duration;

use crate::pool::state::{CloseReason, Effect, Lane, Machine, Slot};

impl<C, W> Machine<C, W> {
    /// Closes what has been idle or alive for too long and those that `is_dead`,
    /// refills the minimum. Call it about once a second, when an idle connection's
    /// socket wakes its watcher, and when [`Effect::TickAt`] asks for it.
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
            } else if slot.expires <= now && !machine.is_tied(slot) {
                Some(CloseReason::Expired)
            } else {
                None
            }
        });
        // Only now is it known how many are left beyond the minimum.
        self.close_idle(effects, |machine, slot| {
            let limit = machine.limits.idle_time?;
            let too_idle = now.saturating_sub(slot.last_used) > limit;
            let spare = machine.open() > machine.limits.min;
            let idle = too_idle && spare && !machine.is_tied(slot);
            idle.then_some(CloseReason::Idle)
        });
        self.settle(now, effects);
    }

    /// A probe is due and all slots are taken: the coldest idle connection goes, unless a
    /// slot is about to be free anyway.
    pub(super) fn yield_to_probe(&mut self, effects: &mut Vec<Effect<C, W>>) {
        if !self.handshakes.probe_due() || self.closing > 0 {
            return;
        }
        if let Some(at) = self.idle.iter().position(|slot| !self.is_tied(slot)) {
            let slot = self.idle.remove(at);
            self.close(slot, CloseReason::Yielded, effects);
        }
    }

    /// The connections that have lain idle for `idle_for` and longer, leased to who looks after
    /// them; warmest first.
    pub fn take_idle(&mut self, now: Duration, idle_for: Duration) -> Vec<Slot<C>> {
        let is_cold = |slot: &Slot<C>| now.saturating_sub(slot.last_used) >= idle_for;
        let take = |machine: &mut Self| {
            let at = machine.idle.iter().rposition(is_cold)?;
            Some(machine.lease(at, Lane::Finishing))
        };
        std::iter::from_fn(|| take(self)).collect()
    }

    /// Takes a leased connection back whose peer gives no sign of life.
    pub fn abandon(&mut self, slot: Slot<C>, now: Duration, effects: &mut Vec<Effect<C, W>>) {
        self.leave(&slot);
        self.close(slot, CloseReason::Silent, effects);
        self.settle(now, effects);
    }

    /// Gives up what has lain idle for `idle_for` and longer, whatever is tied to it.
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
        self.settle(now, effects);
    }

    /// Something would be lost with it that has no other connection to go to.
    pub(super) fn is_tied(&self, slot: &Slot<C>) -> bool {
        self.bonds.has_any(slot.id) || self.queue.is_awaited(slot.id)
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
