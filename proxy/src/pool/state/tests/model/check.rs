//! What must hold after every step, and at the end.

use super::*;

impl Watch {
    pub(super) fn used(&self, lane: Lane) -> usize {
        self.leased.iter().filter(|slot| slot.lane == lane).count()
    }

    /// What the lane may still lease, computed afresh from the rules.
    fn has_room(&self, lane: Lane) -> bool {
        let slots = self.limits.slots;
        let common = self.used(Lane::Normal) + self.used(Lane::Awaiting);
        let free = self.leased.len() < slots;
        match lane {
            Lane::Finishing => free,
            Lane::Normal => free && common < slots - reserve(slots),
            Lane::Awaiting => {
                free && common < slots - reserve(slots) && self.used(Lane::Awaiting) < share(slots)
            }
        }
    }

    pub(super) fn check(&self) {
        let slots = self.limits.slots;
        let counts = self.machine.counts();
        assert_eq!(counts.idle, self.idle.len());
        assert_eq!(counts.leased, Lane::ALL.map(|lane| self.used(lane)));
        assert_eq!(counts.connecting, self.connecting.len());
        assert_eq!(counts.closing, self.closing);
        assert_eq!(counts.queued, self.waiting.len());
        let sockets = self.idle.len() + self.leased.len() + self.connecting.len() + self.closing;
        assert!(sockets <= slots, "the cap: {counts:?}");
        assert!(self.used(Lane::Awaiting) <= share(slots));
        let common = self.used(Lane::Normal) + self.used(Lane::Awaiting);
        assert!(common <= slots - reserve(slots), "the reserve: {counts:?}");
        assert!(self.connecting.len() <= self.limits.max_connecting);
        let unbounded = self
            .waiting
            .values()
            .filter(|(_, want)| want.lane == Lane::Finishing);
        assert!(self.waiting.len() - unbounded.count() <= self.limits.depth);
        assert!(
            self.idle
                .iter()
                .all(|idle| idle.generation == self.generation),
            "stale and idle"
        );
        self.state_is_right();
        self.nobody_is_forgotten(sockets);
    }

    /// The one state of the machine against the facts that were recorded one by one.
    fn state_is_right(&self) {
        let state = self.machine.state();
        assert_eq!(state.keeps_warm(), self.keeps_warm(), "{state:?}");
        assert_eq!(state.login_refused(), self.login_refused, "{state:?}");
        assert_eq!(state.node_is_dead(), self.dead, "{state:?}");
        let retired = matches!(state, PoolState::Retired { .. });
        assert_eq!(retired, self.retired, "{state:?}");
    }

    /// Nobody waits for something that is there, or that nothing will bring about.
    fn nobody_is_forgotten(&self, sockets: usize) {
        if self.retired {
            assert!(self.waiting.is_empty(), "waits at a retired pool");
            return;
        }
        let may_connect =
            sockets < self.limits.slots && self.connecting.len() < self.limits.max_connecting;
        let paused = self.machine.tick_at().is_some_and(|at| at > self.now);
        let overdue = self.machine.tick_at().is_some_and(|at| at <= self.now);
        let coming = self
            .connecting
            .iter()
            .filter(|(_, made_in)| *made_in == self.generation);
        let coming = coming.count();
        let ready = |want: &Want| want.only.is_none() && self.has_room(want.lane);
        for (who, (_, want)) in &self.waiting {
            let idle = self.idle.iter().any(|idle| self.fits(*want, idle.id));
            assert!(
                !(idle && self.has_room(want.lane)),
                "{who} waits for what is there"
            );
            assert!(
                want.only.is_none_or(|id| self.exists(id)),
                "{who} waits for nothing"
            );
            if ready(want) && may_connect && coming == 0 {
                assert!(paused || overdue, "{who} waits, and nobody connects");
            }
        }
        if self.probe_due && may_connect {
            assert!(paused || overdue, "the probe is forgotten");
        }
    }

    /// Everything is given back and every wait comes to its end: nobody may be left.
    pub(super) fn drain(&mut self) {
        for _ in 0..self.waiting.len() * 4 + self.limits.slots * 8 + 20 {
            if self.waiting.is_empty() {
                break;
            }
            self.end_all();
            while !self.leased.is_empty() {
                self.end_transactions();
                self.take(Step::CheckIn(0));
                self.check();
            }
            self.end_transactions();
            let tick = self.machine.tick_at().unwrap_or(self.now + ms(1000));
            self.now = self.now.max(tick);
            self.take(Step::Tick { dead: None });
            self.check();
        }
        assert!(
            self.waiting.is_empty(),
            "{:?} were never served",
            self.waiting
        );
        self.take(Step::SetAvailable(true));
        if self.retired {
            return;
        }
        let warm = self.limits.min.min(self.limits.slots);
        // Not the state after a set time: a connection that is too old may be replaced just then.
        let refilled = (0..self.limits.slots * 4).any(|_| {
            let tick = self.machine.tick_at().unwrap_or(self.now + ms(100));
            self.now = self.now.max(tick);
            self.take(Step::Tick { dead: None });
            self.end_all();
            self.idle.len() + self.leased.len() >= warm
        });
        assert!(refilled, "the minimum is not refilled");
    }

    /// What is being closed is closed, and what is being opened is open.
    fn end_all(&mut self) {
        while self.closing + self.connecting.len() > 0 {
            self.take(Step::Closed);
            self.take(Step::Connected {
                which: 0,
                lifetime: u16::MAX,
            });
        }
    }

    fn end_transactions(&mut self) {
        let open: Vec<_> = self.pins.iter().filter(|(_, open)| open[1] > 0).collect();
        let open: Vec<_> = open.into_iter().map(|(id, open)| (*id, open[1])).collect();
        for (id, times) in open {
            for _ in 0..times {
                let mut effects = Vec::new();
                if let Some(open) = self.pins.get_mut(&id) {
                    open[1] -= 1;
                }
                self.machine
                    .set_pinned(id, PinReason::Transaction, false, self.now, &mut effects);
                self.heed(effects);
            }
        }
    }
}

/// The rule of the design, written down once more.
pub(super) fn reserve(slots: usize) -> usize {
    if slots < 8 { 1 } else { (slots / 5).max(2) }
}

fn share(slots: usize) -> usize {
    (slots / 5).max(1)
}
