//! The time of a pool, including freezes.
//!
//! The monotonic clock of a frozen machine may stand still. Idle times and lifetimes would then
//! be too short by the time of the freeze. Where freezes are expected, the wall clock is read
//! too: the time by which it is ahead counts as passed.

use std::{
    sync::atomic::{AtomicU64, Ordering},
    time::{Duration, SystemTime},
};

use tokio::time::Instant;

/// A smaller difference of the clocks, in milliseconds, is no freeze: clocks drift and are set.
const DRIFT_MS: u64 = 1_000;

/// A clock that never goes back.
#[derive(Debug)]
pub(super) struct Clock {
    epoch: Instant,
    wall: Option<Wall>,
}

#[derive(Debug)]
struct Wall {
    epoch: SystemTime,
    /// How long the monotonic clock has stood still, in milliseconds.
    stood_still: AtomicU64,
}

impl Clock {
    /// A clock that begins now. `freezes`: the monotonic clock may stand still.
    pub(super) fn new(freezes: bool) -> Self {
        let wall = || Wall {
            epoch: SystemTime::now(),
            stood_still: AtomicU64::new(0),
        };
        Self {
            epoch: Instant::now(),
            wall: freezes.then(wall),
        }
    }

    /// Time since the clock began.
    pub(super) fn now(&self) -> Duration {
        let ran = self.epoch.elapsed();
        match &self.wall {
            None => ran,
            Some(wall) => {
                let passed = wall.epoch.elapsed().unwrap_or_default();
                ran + wall.lost(passed.saturating_sub(ran))
            }
        }
    }
}

impl Wall {
    /// The time that the monotonic clock has missed when the wall clock is `ahead` of it.
    fn lost(&self, ahead: Duration) -> Duration {
        let ahead = u64::try_from(ahead.as_millis()).unwrap_or(u64::MAX);
        let known = self.stood_still.load(Ordering::Relaxed);
        let lost = if ahead > known.saturating_add(DRIFT_MS) {
            self.stood_still.fetch_max(ahead, Ordering::Relaxed);
            ahead
        } else {
            known
        };
        Duration::from_millis(lost)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_wall_clock_is_ahead_is_time_that_passed() {
        let wall = Wall {
            epoch: SystemTime::now(),
            stood_still: AtomicU64::new(0),
        };
        let lost = |ms| wall.lost(Duration::from_millis(ms)).as_millis();
        assert_eq!(lost(900), 0, "a clock that was set a little");
        assert_eq!(lost(60_000), 60_000, "a freeze");
        assert_eq!(lost(60_400), 60_000);
        assert_eq!(lost(0), 60_000, "it never goes back");
        assert_eq!(lost(90_000), 90_000, "another freeze");
    }

    /// The clock of the runtime is stopped, the wall's is not.
    #[tokio::test(start_paused = true)]
    async fn an_ordinary_clock_does_not_look_at_the_wall() {
        let clock = Clock::new(false);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Duration::from_secs(5));
        let clock = Clock::new(true);
        tokio::time::advance(Duration::from_secs(5)).await;
        assert_eq!(clock.now(), Duration::from_secs(5));
    }
}
