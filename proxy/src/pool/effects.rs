//! Carries the machine's decisions out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::pool::{
    Lease, NodePool, Payload, Reply,
    state::{Effect, Machine, Slot},
    worker,
};

type Effects = Vec<Effect<Payload, Reply>>;

/// How the machine takes a clean connection back.
type TakeBack = fn(&mut Machine<Payload, Reply>, Slot<Payload>, Duration, &mut Effects);

impl NodePool {
    /// Checks a clean connection in. The oldest waiter gets it.
    pub(super) fn check_in(self: &Arc<Self>, slot: Slot<Payload>) {
        let mut effects = Vec::new();
        self.take_back(slot, Machine::check_in, &mut effects);
        self.carry_out(effects);
    }

    /// Checks a connection in that carried nothing.
    pub(super) fn put_back(self: &Arc<Self>, slot: Slot<Payload>) {
        let mut effects = Vec::new();
        self.take_back(slot, Machine::put_back, &mut effects);
        self.carry_out(effects);
    }

    fn take_back(&self, slot: Slot<Payload>, how: TakeBack, effects: &mut Effects) {
        // A connection on which something arrived is not clean.
        let clean = self.upkeep.watch(slot.conn.socket());
        let now = self.now();
        let mut machine = self.machine.lock();
        if clean {
            how(&mut machine, slot, now, effects);
        } else {
            machine.discard(slot, now, effects);
        }
    }

    /// Destroys a connection. Its slot becomes free when the server has let go of it.
    pub(super) fn discard(self: &Arc<Self>, slot: Slot<Payload>) {
        self.with_machine(|machine, now, effects| machine.discard(slot, now, effects));
    }

    /// Frees slots that an earlier pool or process had taken.
    pub(super) fn release(self: &Arc<Self>, slots: usize) {
        self.with_machine(|machine, now, effects| {
            for _ in 0..slots {
                machine.closed(now, effects);
            }
        });
    }

    /// Lets `act` change the machine under its lock, then carries the effects out without it.
    pub(super) fn with_machine<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Machine<Payload, Reply>, Duration, &mut Effects) -> T,
    ) -> T {
        let mut effects = Vec::new();
        let result = act(&mut self.machine.lock(), self.now(), &mut effects);
        self.carry_out(effects);
        result
    }

    /// Carries out what the machine decided. Must be called without the lock.
    fn carry_out(self: &Arc<Self>, effects: Effects) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::HandOver(reply, slot) => {
                    let refused = reply.send(Ok(Lease::new(Arc::clone(self), slot))).err();
                    // The waiter has left, so the next one gets the connection. This loop does
                    // it instead of the lease's drop, which would recurse once for each waiter
                    // that has left.
                    if let Some(slot) = refused.and_then(Result::ok).and_then(Lease::into_slot) {
                        let mut more = Vec::new();
                        self.take_back(slot, Machine::put_back, &mut more);
                        effects.extend(more);
                    }
                }
                Effect::Reject(reply, why) => {
                    let _ = reply.send(Err(why));
                }
                Effect::Connect(id, generation) => {
                    self.runtime
                        .spawn(worker::open(Arc::clone(self), id, generation));
                }
                Effect::Close(slot, why) => {
                    tracing::debug!(node = %self.node, ?why, "closing an upstream connection");
                    self.runtime
                        .spawn(worker::destroy(Arc::clone(self), slot, why));
                }
                Effect::TickAt(_) => self.upkeep.wake(),
            }
        }
    }
}
