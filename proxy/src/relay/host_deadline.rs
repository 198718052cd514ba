//! An end that operations share: that of the work in whose course they are made.
//!
//! AWS Lambda kills a function at its deadline. An operation that is still waiting then has
//! told nobody why; so it is answered a little earlier, with an error that the function can
//! report. Each invocation has its own deadline, which may become known after the
//! invocation's first operation has arrived: who waits is told of every change.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// An operation that begins after the moment for answers is given a part of what is left: it
/// may well be the work's last and short one, but it may also be a driver's second try.
const LATE_PART: u32 = 4;

/// Nobody is answered later than so long before the end.
const LAST_ANSWER: Duration = Duration::from_millis(20);

/// The end of the present work. One for each relay, and for as long as the process lives.
#[derive(Debug)]
pub struct HostDeadline {
    work: watch::Sender<Option<Work>>,
}

/// Work that ends at a known moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Work {
    /// When whoever is still waiting must be answered.
    answers: Instant,
    /// When it is over.
    ends: Instant,
    /// How long an operation may take that begins in between.
    late: Duration,
}

impl Default for HostDeadline {
    fn default() -> Self {
        Self {
            work: watch::Sender::new(None),
        }
    }
}

impl HostDeadline {
    /// The work that goes on now ends at `ends`; who is still waiting `notice` before is
    /// answered.
    pub fn set(&self, ends: Instant, notice: Duration) {
        let answers = ends.checked_sub(notice).unwrap_or(ends);
        let late = notice / LATE_PART;
        self.work.send_replace(Some(Work {
            answers,
            ends,
            late,
        }));
    }

    /// Nothing that goes on now has an end that is known.
    pub fn clear(&self) {
        self.work.send_replace(None);
    }

    /// When an operation that began at `started` must be answered. An end that was past by
    /// then is that of other work.
    #[must_use]
    pub fn of(&self, started: Instant) -> Option<Instant> {
        let work = (*self.work.borrow())?;
        let last = work.ends.checked_sub(LAST_ANSWER)?;
        if started < work.answers {
            Some(work.answers)
        } else {
            (started < last).then(|| last.min(started + work.late))
        }
    }

    /// Waits for another end to be known.
    pub async fn changed(&self) {
        // The sender lives as long as the borrow.
        let _ = self.work.subscribe().changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn who_waits_is_answered_before_the_end() {
        let (host_deadline, start) = (HostDeadline::default(), Instant::now());
        assert_eq!(host_deadline.of(start), None);
        host_deadline.set(start + ms(3_000), ms(200));
        assert_eq!(host_deadline.of(start), Some(start + ms(2_800)));
        let late = start + ms(2_900);
        assert_eq!(
            host_deadline.of(late),
            Some(start + ms(2_950)),
            "a short one"
        );
        let last = start + ms(2_970);
        assert_eq!(
            host_deadline.of(last),
            Some(start + ms(2_980)),
            "the last one"
        );
        assert_eq!(
            host_deadline.of(start + ms(2_990)),
            None,
            "too late to be answered"
        );
        assert_eq!(
            host_deadline.of(start + ms(9_000)),
            None,
            "the end of other work"
        );
        host_deadline.clear();
        assert_eq!(host_deadline.of(start), None);
    }

    #[tokio::test(start_paused = true)]
    async fn work_shorter_than_the_notice_leaves_time_for_an_operation() {
        let (host_deadline, start) = (HostDeadline::default(), Instant::now());
        host_deadline.set(start + ms(100), ms(200));
        assert_eq!(host_deadline.of(start), Some(start + ms(50)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_new_end_is_told_to_who_waits() {
        let host_deadline = HostDeadline::default();
        let mut moved = Box::pin(host_deadline.changed());
        assert!(tokio::time::timeout(ms(5), &mut moved).await.is_err());
        host_deadline.set(Instant::now(), ms(0));
        assert!(tokio::time::timeout(ms(5), &mut moved).await.is_ok());
    }
}
