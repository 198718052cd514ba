//! A machine with what the examples need around it.

use super::*;

type Out = Effect<u64, &'static str>;

pub(super) const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

pub(super) const HOUR: Duration = Duration::from_secs(3600);

pub(super) fn limits(slots: usize) -> Limits {
    Limits {
        slots,
        depth: 100,
        min: 0,
        max_connecting: 2,
        idle_time: None,
        connect_spacing: Duration::ZERO,
        affinity: false,
    }
}

/// A failed attempt that leaves no socket behind.
pub(super) const fn failed(retry_after: Duration) -> FailedConnect {
    FailedConnect {
        retry_after,
        login_refused: false,
        lingers: false,
    }
}

/// A machine with a clock, whose connections are made as soon as they are asked for
/// and let go as soon as they are closed, unless told otherwise.
pub(super) struct Pool {
    pub(super) machine: Machine<u64, &'static str>,
    pub(super) now: Duration,
    pub(super) effects: Vec<Out>,
    pub(super) lifetime: Duration,
    /// Handshakes and closes end only when the test says so.
    pub(super) by_hand: bool,
    pub(super) connects: Vec<(ConnId, u64)>,
    pub(super) closed: Vec<(ConnId, CloseReason)>,
    pub(super) handed: Vec<(&'static str, Slot<u64>)>,
    pub(super) rejected: Vec<(&'static str, Rejection)>,
}

impl Pool {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            machine: Machine::new(limits, 1),
            now: Duration::ZERO,
            effects: Vec::new(),
            lifetime: HOUR,
            by_hand: false,
            connects: Vec::new(),
            closed: Vec::new(),
            handed: Vec::new(),
            rejected: Vec::new(),
        }
    }

    pub(super) fn by_hand(limits: Limits) -> Self {
        Self {
            by_hand: true,
            ..Self::new(limits)
        }
    }

    pub(super) fn settle(&mut self) {
        while !self.effects.is_empty() {
            for effect in std::mem::take(&mut self.effects) {
                match effect {
                    Effect::Connect(id, generation) => {
                        self.connects.push((id, generation));
                        if !self.by_hand {
                            self.connected(id);
                        }
                    }
                    Effect::HandOver(who, slot) => self.handed.push((who, slot)),
                    Effect::Reject(who, why) => self.rejected.push((who, why)),
                    Effect::Close(slot, why) => {
                        self.closed.push((slot.id, why));
                        if !self.by_hand {
                            self.machine.closed(self.now, &mut self.effects);
                        }
                    }
                    Effect::TickAt(at) => assert!(at > self.now),
                }
            }
        }
    }

    pub(super) fn connected(&mut self, id: ConnId) {
        let at = self
            .connects
            .iter()
            .position(|(asked, _)| *asked == id)
            .unwrap();
        let (id, generation) = self.connects.remove(at);
        let Self {
            machine,
            now,
            lifetime,
            effects,
            ..
        } = self;
        machine.connected(id, generation, id.0, *lifetime, *now, effects);
        self.settle();
    }

    pub(super) fn refuse_login(&mut self, pause: Duration) {
        let (_, generation) = self.connects.remove(0);
        let failed = FailedConnect {
            login_refused: true,
            ..failed(pause)
        };
        self.machine
            .connect_failed(generation, failed, self.now, &mut self.effects);
        self.settle();
    }

    pub(super) fn connect_failed(&mut self, pause: Duration) {
        let (_, generation) = self.connects.remove(0);
        self.machine
            .connect_failed(generation, failed(pause), self.now, &mut self.effects);
        self.settle();
    }

    pub(super) fn let_go(&mut self) {
        self.machine.closed(self.now, &mut self.effects);
        self.settle();
    }

    pub(super) fn ask_for(&mut self, who: &'static str, want: Want) -> CheckOut<u64> {
        let out = self
            .machine
            .check_out(want, self.now, || who, &mut self.effects);
        self.settle();
        out
    }

    pub(super) fn ask(&mut self, who: &'static str, lane: Lane) -> CheckOut<u64> {
        self.ask_for(
            who,
            Want {
                lane,
                ..Want::default()
            },
        )
    }

    /// A connection for normal work, which must be had.
    pub(super) fn lease(&mut self, lane: Lane) -> Slot<u64> {
        match self.ask("me", lane) {
            CheckOut::Leased(slot) => slot,
            CheckOut::Queued(_) => self.got("me"),
            other => panic!("{other:?}"),
        }
    }

    /// What the waiter was handed.
    pub(super) fn got(&mut self, who: &str) -> Slot<u64> {
        let at = self.handed.iter().position(|(to, _)| *to == who);
        let at = at.unwrap_or_else(|| panic!("{who} got nothing"));
        self.handed.remove(at).1
    }

    pub(super) fn give_back(&mut self, slot: Slot<u64>) {
        self.machine.check_in(slot, self.now, &mut self.effects);
        self.settle();
    }

    pub(super) fn put_back(&mut self, slot: Slot<u64>) {
        self.machine.put_back(slot, self.now, &mut self.effects);
        self.settle();
    }

    pub(super) fn discard(&mut self, slot: Slot<u64>) {
        self.machine.discard(slot, self.now, &mut self.effects);
        self.settle();
    }

    pub(super) fn tick(&mut self) {
        self.machine.tick(self.now, |_| false, &mut self.effects);
        self.settle();
    }

    pub(super) fn clear(&mut self, to: u64) -> bool {
        let news = self.machine.clear(to, &mut self.effects);
        self.settle();
        news
    }

    pub(super) fn available(&mut self, available: bool) {
        self.machine
            .set_available(available, self.now, &mut self.effects);
        self.settle();
    }

    pub(super) fn set_pinned(&mut self, id: ConnId, reason: PinReason, pinned: bool) {
        self.machine
            .set_pinned(id, reason, pinned, self.now, &mut self.effects);
        self.settle();
    }

    pub(super) fn pass(&mut self, time: Duration) {
        self.now += time;
    }

    pub(super) fn counts(&self) -> Counts {
        self.machine.counts()
    }
}
