//! How fast the queue moves: what is suggested to who is turned away.

use std::time::Duration;

use super::Machine;

/// A rate is taken over so long.
const WINDOW: Duration = Duration::from_secs(1);

/// Sooner nobody needs to come back.
const SOONEST: Duration = Duration::from_millis(10);

/// Later than this is no suggestion: drivers pause ten seconds at most.
const LATEST: Duration = Duration::from_secs(5);

/// Connections given back while somebody waited, counted in windows.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Pace {
    since: Duration,
    count: u32,
    /// The time for one, from the last whole window.
    each: Option<Duration>,
}

impl Pace {
    fn note(&mut self, now: Duration) {
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

    /// How long one takes: as it was in the last window, unless this one goes on without
    /// an end.
    fn each(&self, now: Duration) -> Duration {
        let passed = now.saturating_sub(self.since);
        match self.each {
            Some(each) if passed < WINDOW => each,
            _ => passed / self.count.max(1),
        }
    }
}

impl<C, W> Machine<C, W> {
    /// Somebody joins the queue. Time in which nobody waited says nothing of its pace.
    pub(super) fn has_to_wait(&mut self, now: Duration) {
        if self.queue.len() == 0 {
            self.pace.since = now;
            self.pace.count = 0;
        }
    }

    /// A connection was given back.
    pub(super) fn served(&mut self, now: Duration) {
        if self.queue.len() > 0 {
            self.pace.note(now);
        }
    }

    /// How long those who wait now will take to be served, and one more. `None`: nobody
    /// waits.
    pub fn drain_time(&self, now: Duration) -> Option<Duration> {
        if self.queue.len() == 0 {
            return None;
        }
        let waiting = u32::try_from(self.queue.len() + 1).unwrap_or(u32::MAX);
        let time = self.pace.each(now).saturating_mul(waiting);
        Some(time.clamp(SOONEST, LATEST))
    }
}
