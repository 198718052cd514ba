//! A node that fails again and again, although its monitor finds it well, is avoided for a
//! while: a circuit breaker.
//!
//! ```text
//! closed ──five failures in a row──▶ open ──pause over──▶ half open ──success──▶ closed
//!                                     ▲                       │
//!                                     └───another failure─────┘  (a longer pause)
//! ```
//!
//! A failure is a connection that could not be made, one that broke with an operation on it,
//! or a reply that never came. Half open, one operation is let through and the others wait
//! for its outcome elsewhere. Who has no other node to go to takes no notice of a breaker:
//! that is for the router to see to.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{pool::NodePool, random};

/// Failures in a row that open it.
const THRESHOLD: u32 = 5;

/// The first pause; each one that is followed by a failure doubles the next.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// How long the outcome of a trial is waited for before there is another.
const TRIAL: Duration = Duration::from_secs(1);

/// The breaker of one node.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Failures in a row; read for every operation, so that a success costs no lock.
    failures: AtomicU32,
    open: Mutex<Option<Open>>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Nobody is let through before.
    until: Duration,
    /// The last pause.
    pause: Duration,
    /// Somebody was let through and has not come back.
    trial: bool,
}

impl Breaker {
    /// Something failed. `spread`, from 0 to 1, keeps many Weirs from trying together.
    /// Returns whether the node is avoided only from now on.
    pub fn failed(&self, now: Duration, spread: f64) -> bool {
        let failures = self
            .failures
            .fetch_add(1, Ordering::Relaxed)
            .saturating_add(1);
        if failures < THRESHOLD {
            return false;
        }
        let mut open = self.open.lock();
        let before = *open;
        let pause = match before {
            // What had been begun before it opened says nothing new.
            Some(open) if !open.trial && now < open.until => return false,
            Some(open) => (open.pause * 2).min(LONGEST_PAUSE),
            None => FIRST_PAUSE,
        };
        let until = now + pause.mul_f64(0.8 + 0.2 * spread);
        *open = Some(Open {
            until,
            pause,
            trial: false,
        });
        before.is_none()
    }

    /// Something went well.
    pub fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            *self.open.lock() = None;
        }
    }

    /// Whether an operation that has a choice should go elsewhere. Every now and then it
    /// says no, until one was sent: the trial.
    pub fn is_avoided(&self, now: Duration) -> bool {
        self.may_be_open() && self.open.lock().is_some_and(|open| now < open.until)
    }

    /// An operation is on its way: the trial, if it is time for one.
    pub fn sent(&self, now: Duration) {
        if !self.may_be_open() {
            return;
        }
        if let Some(open) = self.open.lock().as_mut().filter(|open| now >= open.until) {
            open.until = now + TRIAL;
            open.trial = true;
        }
    }

    /// Whether it may be open; costs no lock.
    pub fn may_be_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= THRESHOLD
    }

    /// Whether it is open or half open, for `status`.
    pub fn is_open(&self) -> bool {
        self.open.lock().is_some()
    }
}

impl NodePool {
    /// A connection could not be made or broke in use, or a reply never came.
    pub fn failed(&self) {
        if self.breaker.failed(self.now(), random::fraction()) {
            tracing::warn!(node = %self.node, "a database node fails again and again; operations \
                that have a choice avoid it for a while");
        }
    }

    /// Whether an operation that has a choice should go elsewhere.
    #[must_use]
    pub fn is_avoided(&self) -> bool {
        self.breaker.is_avoided(self.now())
    }

    /// An operation was sent its way.
    pub fn chosen(&self) {
        if self.has_failed() {
            self.breaker.sent(self.now());
        }
    }

    /// Whether it may have to be avoided; cheap.
    #[must_use]
    pub fn has_failed(&self) -> bool {
        self.breaker.may_be_open()
    }

    /// Whether operations avoid it now, but for trials.
    #[must_use]
    pub fn has_tripped(&self) -> bool {
        self.breaker.is_open()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    fn fail(breaker: &Breaker, times: u32, now: Duration) -> bool {
        (0..times).any(|_| breaker.failed(now, 1.0))
    }

    #[test]
    fn five_failures_in_a_row_open_it_and_one_success_closes_it() {
        let breaker = Breaker::default();
        assert!(!fail(&breaker, 4, at(0)) && !breaker.is_avoided(at(0)));
        breaker.succeeded();
        assert!(!fail(&breaker, 4, at(1)), "not in a row");
        assert!(fail(&breaker, 1, at(2)), "news once");
        assert!(!fail(&breaker, 3, at(3)), "what had begun before");
        assert!(breaker.is_avoided(at(1001)) && breaker.is_open());
        breaker.succeeded();
        assert!(!breaker.is_avoided(at(1001)) && !breaker.is_open());
    }

    #[test]
    fn one_is_let_through_and_its_failure_doubles_the_pause() {
        let breaker = Breaker::default();
        fail(&breaker, 5, at(0));
        assert!(!breaker.is_avoided(at(1000)), "time for a trial");
        assert!(!breaker.is_avoided(at(1000)), "who went elsewhere was none");
        breaker.sent(at(1000));
        assert!(breaker.is_avoided(at(1001)), "only one");
        assert!(!fail(&breaker, 1, at(1100)), "no news");
        assert!(breaker.is_avoided(at(3099)));
        assert!(!breaker.is_avoided(at(3100)));
        breaker.sent(at(3100));
        // Its outcome was never heard: another after a second.
        assert!(breaker.is_avoided(at(4099)));
        assert!(!breaker.is_avoided(at(4100)));
        breaker.succeeded();
        assert!(!breaker.is_avoided(at(4100)));
    }

    #[test]
    fn pauses_are_bounded_and_spread() {
        let breaker = Breaker::default();
        let mut now = at(0);
        fail(&breaker, 5, now);
        for _ in 0..10 {
            now += LONGEST_PAUSE;
            assert!(!breaker.is_avoided(now));
            breaker.sent(now);
            breaker.failed(now, 0.0);
        }
        assert!(breaker.is_avoided(now + LONGEST_PAUSE.mul_f64(0.79)));
        assert!(!breaker.is_avoided(now + LONGEST_PAUSE.mul_f64(0.81)));
    }
}
