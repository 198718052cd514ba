//! The machine's decisions, carried out.

use std::{collections::VecDeque, sync::Arc, time::Duration};

use crate::pool::{
    Answer, Lease, NodePool, Payload,
    state::{Effect, Machine, Slot},
    worker,
};

type Effects = Vec<Effect<Payload, Answer>>;

/// How a clean connection comes back.
type HowBack = fn(&mut Machine<Payload, Answer>, Slot<Payload>, Duration, &mut Effects);

impl NodePool {
    /// Takes a clean connection back; the oldest waiter gets it at once.
    pub(super) fn check_in(self: &Arc<Self>, slot: Slot<Payload>) {
        let mut effects = Vec::new();
        self.take_back(slot, Machine::check_in, &mut effects);
        self.carry_out(effects);
    }

    /// The same for one that carried nothing meanwhile.
    pub(super) fn put_back(self: &Arc<Self>, slot: Slot<Payload>) {
        let mut effects = Vec::new();
        self.take_back(slot, Machine::put_back, &mut effects);
        self.carry_out(effects);
    }

    fn take_back(&self, slot: Slot<Payload>, how: HowBack, effects: &mut Effects) {
        // If something is there already, the connection is not clean.
        let clean = self.upkeep.watch(slot.conn.socket());
        let now = self.now();
        let mut machine = self.machine.lock();
        if clean {
            how(&mut machine, slot, now, effects);
        } else {
            machine.discard(slot, now, effects);
        }
    }

    /// Destroys a connection; its slot is free once the server has let go of it.
    pub(super) fn discard(self: &Arc<Self>, slot: Slot<Payload>) {
        self.with_machine(|machine, now, effects| machine.discard(slot, now, effects));
    }

    pub(super) fn with_machine<T>(
        self: &Arc<Self>,
        act: impl FnOnce(&mut Machine<Payload, Answer>, Duration, &mut Effects) -> T,
    ) -> T {
        let mut effects = Vec::new();
        let result = act(&mut self.machine.lock(), self.now(), &mut effects);
        self.carry_out(effects);
        result
    }

    /// Carries out what the machine decided; called without the lock.
    fn carry_out(self: &Arc<Self>, effects: Effects) {
        let mut effects = VecDeque::from(effects);
        while let Some(effect) = effects.pop_front() {
            match effect {
                Effect::HandOver(answer, slot) => {
                    let refused = answer.send(Ok(Lease::new(Arc::clone(self), slot))).err();
                    // The waiter has left: the next one gets it. In this loop, not by the
                    // lease's own drop: many may have left.
                    if let Some(slot) = refused.and_then(Result::ok).and_then(Lease::into_slot) {
                        let mut more = Vec::new();
                        self.take_back(slot, Machine::put_back, &mut more);
                        effects.extend(more);
                    }
                }
                Effect::Reject(answer, why) => drop(answer.send(Err(why))),
                Effect::Connect(id, generation) => {
                    self.runtime
                        .spawn(worker::open(Arc::clone(self), id, generation));
                }
                Effect::Close(slot, why) => {
                    tracing::debug!(node = %self.node, ?why, "closing an upstream connection");
                    self.runtime
                        .spawn(worker::destroy(Arc::clone(self), slot, why));
                }
                Effect::TickAt(_) => self.upkeep.look(),
            }
        }
    }
}
