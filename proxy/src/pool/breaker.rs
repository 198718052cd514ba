//! The circuit breaker: avoids a node for a while on which operations fail in a row although its
//! monitor finds it healthy.
//!
//! ```text
//! closed ──five failures in a row──▶ open ──pause over──▶ half open ──success──▶ closed
//!                                     ▲                       │
//!                                     └───another failure─────┘  (a longer pause)
//! ```
//!
//! A failure is a connection that could not be made, one that broke with an operation on it,
//! or a reply that never came. Half open, one operation is let through as a trial, and the others
//! still use other nodes. The router ignores the breaker for an operation that has no other node.

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

/// Failures in a row that open the breaker.
const THRESHOLD: u32 = 5;

/// The first pause. The next one is twice as long if the trial fails.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(30);

/// Without an outcome of the trial, another operation is let through after this time.
const TRIAL: Duration = Duration::from_secs(1);

/// The breaker of one node.
#[derive(Debug, Default)]
pub struct Breaker {
    /// Failures in a row. It is read for every operation, so that a success costs no lock.
    failures: AtomicU32,
    /// `None`: closed.
    open: Mutex<Option<Open>>,
}

#[derive(Clone, Copy, Debug)]
struct Open {
    /// Operations avoid the node until then, in the time of the pool.
    until: Duration,
    /// The last pause.
    pause: Duration,
    /// A trial was sent and its outcome is not known.
    trial: bool,
}

impl Breaker {
    /// An operation or a connect failed. `spread`, from 0 to 1, keeps many Weirs from sending
    /// their trials together. Returns whether this failure opened the breaker.
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
            // The operation began before the breaker opened and says nothing new.
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

    /// An operation succeeded.
    pub fn succeeded(&self) {
        if self.failures.load(Ordering::Relaxed) > 0 {
            self.failures.store(0, Ordering::Relaxed);
            *self.open.lock() = None;
        }
    }

    /// Whether an operation that has a choice should use another node. After each pause the
    /// answer is no until [`Breaker::sent`] reports the trial.
    pub fn is_avoided(&self, now: Duration) -> bool {
        self.may_be_open() && self.open.lock().is_some_and(|open| now < open.until)
    }

    /// An operation was sent to the node. After the pause it is the trial.
    pub fn sent(&self, now: Duration) {
        if !self.may_be_open() {
            return;
        }
        if let Some(open) = self.open.lock().as_mut().filter(|open| now >= open.until) {
            open.until = now + TRIAL;
            open.trial = true;
        }
    }

    /// Whether the breaker may be open. Costs no lock.
    pub fn may_be_open(&self) -> bool {
        self.failures.load(Ordering::Relaxed) >= THRESHOLD
    }

    /// Whether the breaker is open or half open, for `status`.
    pub fn is_open(&self) -> bool {
        self.open.lock().is_some()
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
        assert!(fail(&breaker, 1, at(2)), "it opens once");
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
        assert!(
            !breaker.is_avoided(at(1000)),
            "an operation on another node is no trial"
        );
        breaker.sent(at(1000));
        assert!(breaker.is_avoided(at(1001)), "only one");
        assert!(!fail(&breaker, 1, at(1100)), "it was open");
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
