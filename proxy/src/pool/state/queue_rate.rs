//! How fast the queue moves: the pause that is suggested to clients that are turned away.

use std::time::Duration;

/// The rate is measured over windows of at least this length.
const WINDOW: Duration = Duration::from_secs(1);

/// The shortest pause that is suggested.
const SHORTEST: Duration = Duration::from_millis(10);

/// The longest pause that is suggested. Drivers pause ten seconds at most.
const LONGEST: Duration = Duration::from_secs(5);

/// Counts the connections that were checked in while operations waited.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct QueueRate {
    /// When the current window began.
    since: Duration,
    /// Check-ins in the current window.
    count: u32,
    /// The time between two check-ins in the last whole window.
    each: Option<Duration>,
}

impl QueueRate {
    /// The first operation joins an empty queue. The time before says nothing about the rate.
    pub(super) const fn queue_begins(&mut self, now: Duration) {
        self.since = now;
        self.count = 0;
    }

    /// A connection was checked in while operations waited.
    pub(super) fn served(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.since);
        self.count = self.count.saturating_add(1);
        if passed >= WINDOW {
            *self = Self {
                since: now,
                count: 0,
                each: Some(passed / self.count),
            };
        }
    }

    /// How long `queued` waiting operations will take to be served, and one more. `None`: no
    /// operation waits.
    pub(super) fn drain_time(&self, queued: usize, now: Duration) -> Option<Duration> {
        if queued == 0 {
            return None;
        }
        let waiting = u32::try_from(queued + 1).unwrap_or(u32::MAX);
        let time = self.each(now).saturating_mul(waiting);
        Some(time.clamp(SHORTEST, LONGEST))
    }

    /// The time between two check-ins: that of the last window, unless the current one has
    /// become as long without an end.
    fn each(&self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.since);
        match self.each {
            Some(each) if passed < WINDOW => each,
            _ => passed / self.count.max(1),
        }
    }
}
