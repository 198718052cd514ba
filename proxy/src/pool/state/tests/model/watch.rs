//! The records of what happened, and what must follow from a step.

use super::{check::reserve, *};

pub(super) type Who = u32;

/// An idle connection, coldest first in [`Watch::idle`].
#[derive(Clone, Copy, Debug)]
pub(super) struct Idle {
    pub(super) id: ConnId,
    pub(super) generation: u64,
}

pub(super) struct Watch {
    pub(super) machine: Machine<u64, Who>,
    pub(super) limits: Limits,
    pub(super) now: Duration,
    pub(super) generation: u64,
    /// Facts that the machine's one state must express.
    available: bool,
    pub(super) dead: bool,
    pub(super) login_refused: bool,
    pub(super) retired: bool,
    pub(super) idle: Vec<Idle>,
    pub(super) leased: Vec<Slot<u64>>,
    pub(super) connecting: Vec<(ConnId, u64)>,
    pub(super) closing: usize,
    /// In the order of arrival.
    pub(super) waiting: BTreeMap<Who, (Ticket, Want)>,
    pub(super) pins: HashMap<ConnId, [u32; 2]>,
    /// An operation asks for a connection and is not in the queue yet.
    asking: bool,
    last_who: Who,
    last_id: u64,
    spaced_until: Duration,
    failed_until: Duration,
    pub(super) probe_due: bool,
}

impl Watch {
    pub(super) fn new(limits: Limits) -> Self {
        Self {
            machine: Machine::new(limits.clone(), 1),
            limits,
            now: Duration::ZERO,
            generation: 1,
            available: false,
            dead: false,
            login_refused: false,
            retired: false,
            idle: Vec::new(),
            leased: Vec::new(),
            connecting: Vec::new(),
            closing: 0,
            waiting: BTreeMap::new(),
            pins: HashMap::new(),
            asking: false,
            last_who: 0,
            last_id: 0,
            spaced_until: Duration::ZERO,
            failed_until: Duration::ZERO,
            probe_due: false,
        }
    }

    pub(super) fn take(&mut self, step: Step) {
        let now = self.now;
        let mut effects = Vec::new();
        match step {
            Step::CheckOut { lane, only, opens } => return self.check_out(lane, only, opens),
            Step::Cancel(which) => {
                let Some((who, ticket)) = pick(&self.waiting, which).map(|(w, (t, _))| (*w, *t))
                else {
                    return;
                };
                assert_eq!(self.machine.cancel(ticket), Some(who));
                assert_eq!(self.machine.cancel(ticket), None);
                self.waiting.remove(&who);
            }
            Step::CheckIn(which) => {
                let Some(slot) = remove(&mut self.leased, which) else {
                    return;
                };
                self.idle.push(Idle {
                    id: slot.id,
                    generation: slot.generation,
                });
                self.machine.check_in(slot, now, &mut effects);
            }
            Step::Discard(which) => {
                let Some(slot) = remove(&mut self.leased, which) else {
                    return;
                };
                self.idle.push(Idle {
                    id: slot.id,
                    generation: slot.generation,
                });
                self.machine.discard(slot, now, &mut effects);
            }
            Step::Closed => {
                if self.closing == 0 {
                    return;
                }
                self.closing -= 1;
                self.machine.closed(now, &mut effects);
            }
            Step::Connected { which, lifetime } => {
                let Some((id, generation)) = remove(&mut self.connecting, which) else {
                    return;
                };
                self.idle.push(Idle { id, generation });
                self.login_refused = false;
                let lifetime = ms(lifetime.into());
                self.machine
                    .connected(id, generation, id.0, lifetime, now, &mut effects);
            }
            Step::ConnectFailed {
                which,
                pause,
                login_refused,
                lingers,
            } => {
                let Some((_, made_in)) = remove(&mut self.connecting, which) else {
                    return;
                };
                let pause = ms(pause.into());
                self.closing += usize::from(lingers);
                self.failed_until = self.failed_until.max(now + pause);
                // A dead node's pool waits for its answer, and a retired one for nothing.
                self.login_refused = login_refused && !self.dead && !self.retired;
                let failed = FailedConnect {
                    retry_after: pause,
                    login_refused,
                    lingers,
                };
                self.machine
                    .connect_failed(made_in, failed, now, &mut effects);
                let none_is_left = self.idle.is_empty() && self.leased.is_empty();
                if login_refused && none_is_left {
                    self.heed(effects);
                    assert!(self.waiting.is_empty(), "waits for a login that is refused");
                    return;
                }
            }
            Step::Clear => {
                self.generation += 1;
                assert!(self.machine.clear(self.generation, &mut effects));
                assert!(!self.machine.clear(self.generation, &mut effects));
                self.pins.clear();
            }
            Step::NodeDied => {
                self.generation += 1;
                self.dead = true;
                self.available = false;
                self.login_refused = false;
                self.machine.node_died(self.generation, &mut effects);
                self.pins.clear();
            }
            Step::Retire => {
                self.generation += 1;
                self.retired = true;
                self.login_refused = false;
                self.machine.retire(&mut effects);
                assert_eq!(self.machine.generation(), self.generation);
                self.pins.clear();
            }
            Step::FirstUsed => {
                if !self.dead && !self.retired {
                    self.becomes_available();
                }
                self.machine.first_used(now, &mut effects);
            }
            Step::SetAvailable(available) => {
                let news = available && !self.retired && self.becomes_available();
                self.available = available;
                assert_eq!(
                    self.machine.set_available(available, now, &mut effects),
                    news
                );
            }
            Step::Tick { dead } => {
                let dead = dead
                    .and_then(|which| pick(&self.idle, which))
                    .map(|idle| idle.id.0);
                self.machine
                    .tick(now, |conn| Some(*conn) == dead, &mut effects);
                assert!(
                    !self.idle.iter().any(|idle| Some(idle.id.0) == dead) || {
                        effects.iter().any(|effect| {
                            matches!(effect, Effect::Close(slot, CloseReason::Broken)
                            if Some(slot.conn) == dead)
                        })
                    }
                );
            }
            Step::Probe => {
                self.probe_due = true;
                self.machine.probe(now, &mut effects);
            }
            Step::SetPinned {
                which,
                reason,
                pinned,
            } => {
                let Some(id) = self.known(which) else { return };
                if self.limits.affinity {
                    let open = self.pins.entry(id).or_default();
                    let count = &mut open[usize::from(reason == PinReason::Transaction)];
                    *count = if pinned {
                        *count + 1
                    } else {
                        count.saturating_sub(1)
                    };
                }
                self.machine
                    .set_pinned(id, reason, pinned, now, &mut effects);
            }
            Step::RejectAll => self
                .machine
                .reject_all(Rejection::LoginRefused, &mut effects),
            Step::Pass(time) => self.now += ms(time.into()),
        }
        self.heed(effects);
    }

    pub(super) const fn keeps_warm(&self) -> bool {
        self.available && !self.dead && !self.retired
    }

    /// The node answers. Returns whether it could not be used before.
    fn becomes_available(&mut self) -> bool {
        let news = !self.available;
        self.available = true;
        self.dead = false;
        if news {
            self.failed_until = Duration::ZERO;
            self.probe_due = false;
        }
        news
    }

    /// A connection that may be checked out again, in use or not.
    fn known(&self, which: u8) -> Option<ConnId> {
        let leased = self
            .leased
            .iter()
            .filter(|slot| slot.generation == self.generation);
        let leased = leased.filter(|_| self.limits.affinity).map(|slot| slot.id);
        let all: Vec<_> = self.idle.iter().map(|idle| idle.id).chain(leased).collect();
        pick(&all, which).copied()
    }

    fn check_out(&mut self, lane: Lane, only: Option<u8>, opens: bool) {
        let only = only.filter(|_| self.limits.affinity).map(|which| {
            // Now and then one that is gone, or was never there.
            if which % 8 == 0 {
                ConnId(u64::from(which))
            } else {
                self.known(which).unwrap_or(ConnId(0))
            }
        });
        let opens_transaction = opens && self.limits.affinity && only.is_none();
        let want = Want {
            lane,
            only,
            opens_transaction,
            place: None,
        };
        self.last_who += 1;
        let who = self.last_who;
        let before = self.waiting.len();
        let mut effects = Vec::new();
        self.asking = true;
        match self.machine.check_out(want, self.now, || who, &mut effects) {
            CheckOut::Leased(slot) => {
                assert!(effects.is_empty());
                self.leased_to(who, want, slot);
            }
            CheckOut::Queued(ticket) => {
                assert!(
                    lane == Lane::Finishing || before < self.limits.depth,
                    "too deep"
                );
                assert!(only.is_none_or(|id| self.exists(id)), "waits for nothing");
                let none_is_left = self.idle.is_empty() && self.leased.is_empty();
                assert!(!(self.login_refused && none_is_left), "not refused");
                self.waiting.insert(who, (ticket, want));
            }
            CheckOut::Shed => {
                assert!(
                    before >= self.limits.depth && lane != Lane::Finishing,
                    "shed too soon"
                );
            }
            CheckOut::Retired => assert!(self.retired, "retired too soon"),
            CheckOut::LoginRefused => {
                assert!(self.login_refused, "refused too soon");
                assert!(self.idle.is_empty() && self.leased.is_empty(), "not tried");
            }
            CheckOut::Gone => assert!(!self.exists(only.unwrap()), "it is still there"),
        }
        self.heed(effects);
        self.asking = false;
    }

    pub(super) fn exists(&self, id: ConnId) -> bool {
        let current = |slot: &Slot<u64>| slot.id == id && slot.generation == self.generation;
        self.leased.iter().any(current) || self.idle.iter().any(|idle| idle.id == id)
    }

    /// `who` gets `slot`. The slot must be idle, of the current generation and suitable, and no
    /// other operation's turn may have come first.
    fn leased_to(&mut self, who: Who, want: Want, slot: Slot<u64>) {
        let at = self.idle.iter().position(|idle| idle.id == slot.id);
        let idle = self
            .idle
            .remove(at.expect("handed out, but not idle: two holders?"));
        assert_eq!(idle.generation, slot.generation);
        assert_eq!(slot.generation, self.generation, "stale");
        assert_eq!(slot.lane, want.lane);
        assert!(self.fits(want, slot.id), "unfit");
        for (other, (_, his)) in self.waiting.range(..who) {
            let wronged = his.lane == want.lane && self.fits(*his, slot.id);
            assert!(!wronged, "{who} overtook {other}");
        }
        let reserved = self.used(Lane::Finishing) < reserve(self.limits.slots);
        let urgent = |want: &Want| want.lane == Lane::Finishing && self.fits(*want, slot.id);
        let passed_over = self.waiting.values().any(|(_, want)| urgent(want));
        assert!(
            want.lane == Lane::Finishing || !(reserved && passed_over),
            "finishing waits"
        );
        self.leased.push(slot);
    }

    pub(super) fn fits(&self, want: Want, id: ConnId) -> bool {
        let open = self.pins.get(&id).is_some_and(|open| open[1] > 0);
        let tied = self.pins.values().filter(|open| open[1] > 0).count();
        let could_be_another = want.lane == Lane::Normal && tied < self.limits.slots;
        match want.only {
            Some(only) => only == id,
            None => !(open && (want.opens_transaction || could_be_another)),
        }
    }

    pub(super) fn heed(&mut self, effects: Vec<Effect<u64, Who>>) {
        for effect in effects {
            match effect {
                Effect::Connect(id, generation) => self.begins(id, generation),
                Effect::HandOver(who, slot) => {
                    let (_, want) = self.waiting.remove(&who).expect("answered twice");
                    self.leased_to(who, want, slot);
                }
                Effect::Reject(who, why) => {
                    let (_, want) = self.waiting.remove(&who).expect("answered twice");
                    assert_eq!(why == Rejection::Gone, want.only.is_some());
                }
                Effect::Close(slot, why) => self.closes(&slot, why),
                Effect::TickAt(at) => {
                    assert!(at > self.now);
                    assert_eq!(self.machine.tick_at(), Some(at));
                }
            }
        }
    }

    fn begins(&mut self, id: ConnId, generation: u64) {
        assert!(id.0 > self.last_id, "an id used twice");
        assert!(!self.retired, "opened for a node that has left");
        let is_waited_for = self.waiting.values().any(|(_, want)| want.only.is_none());
        assert!(
            self.probe_due || self.asking || is_waited_for || self.keeps_warm(),
            "opened for nothing"
        );
        assert_eq!(generation, self.generation);
        assert!(self.now >= self.spaced_until, "too soon after the last");
        assert!(
            self.probe_due || self.now >= self.failed_until,
            "too soon after a failure"
        );
        self.last_id = id.0;
        self.spaced_until = self.now + self.limits.connect_spacing;
        self.probe_due = false;
        self.connecting.push((id, generation));
    }

    fn closes(&mut self, slot: &Slot<u64>, why: CloseReason) {
        let at = self.idle.iter().position(|idle| idle.id == slot.id);
        self.idle.remove(at.expect("closed, but in use"));
        self.closing += 1;
        let tied = self
            .pins
            .remove(&slot.id)
            .is_some_and(|open| open != [0, 0]);
        match why {
            CloseReason::Idle => {
                assert!(!tied, "a cursor was lost");
                let open = self.idle.len() + self.leased.len() + self.connecting.len();
                assert!(open >= self.limits.min, "below the minimum");
                assert!(self.now - slot.last_used > self.limits.idle_time.unwrap());
            }
            CloseReason::Expired => {
                assert!(!tied, "a cursor was lost");
                assert!(slot.expires <= self.now);
            }
            CloseReason::Yielded => assert!(!tied && self.probe_due, "closed for nothing"),
            CloseReason::Stale => assert!(slot.generation < self.generation),
            CloseReason::Broken | CloseReason::Silent => {}
        }
    }
}

fn pick<'a, T: 'a, I>(from: &'a I, which: u8) -> Option<T>
where
    &'a I: IntoIterator<Item = T>,
{
    let count = from.into_iter().count();
    (count > 0)
        .then(|| from.into_iter().nth(usize::from(which) % count))
        .flatten()
}

fn remove<T>(from: &mut Vec<T>, which: u8) -> Option<T> {
    (!from.is_empty()).then(|| from.remove(usize::from(which) % from.len()))
}
