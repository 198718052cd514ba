//! The end of a Lambda invocation, which all its operations share.
//!
//! AWS Lambda kills a function at its deadline, and an operation that still waits then ends
//! without an error. So Weir answers a little earlier, with an error that the function can
//! report. Each invocation has its own deadline. It may become known after the invocation's
//! first operation has arrived, so waiting operations learn of every change.

use std::time::Duration;

use tokio::{sync::watch, time::Instant};

/// An operation that begins after the moment for answers gets this part of the notice. It may be
/// the invocation's last and short one, or a driver's second attempt.
const LATE_PART: u32 = 4;

/// No operation is answered later than this before the end.
const LAST_ANSWER: Duration = Duration::from_millis(20);

/// The end of the present invocation. There is one for each relay.
#[derive(Debug)]
pub struct HostDeadline {
    invocation: watch::Sender<Option<Invocation>>,
}

/// An invocation that ends at a known moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Invocation {
    /// When operations that still wait must be answered.
    answers: Instant,
    /// When the host ends it.
    ends: Instant,
    /// How long an operation may take that begins between these two.
    late: Duration,
}

impl Default for HostDeadline {
    fn default() -> Self {
        Self {
            invocation: watch::Sender::new(None),
        }
    }
}

impl HostDeadline {
    /// The present invocation ends at `ends`. Operations that still wait `notice` before that
    /// are answered then.
    pub fn set(&self, ends: Instant, notice: Duration) {
        let answers = ends.checked_sub(notice).unwrap_or(ends);
        let late = notice / LATE_PART;
        self.invocation.send_replace(Some(Invocation {
            answers,
            ends,
            late,
        }));
    }

    /// No deadline is known now.
    pub fn clear(&self) {
        self.invocation.send_replace(None);
    }

    /// When an operation that began at `started` must be answered. A deadline that had passed by
    /// then is that of an earlier invocation.
    #[must_use]
    pub fn of(&self, started: Instant) -> Option<Instant> {
        let invocation = (*self.invocation.borrow())?;
        let last = invocation.ends.checked_sub(LAST_ANSWER)?;
        if started < invocation.answers {
            Some(invocation.answers)
        } else {
            (started < last).then(|| last.min(started + invocation.late))
        }
    }

    /// Waits for the next call of [`HostDeadline::set`] or [`HostDeadline::clear`].
    pub async fn changed(&self) {
        // The sender lives as long as the borrow.
        let _ = self.invocation.subscribe().changed().await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_operation_is_answered_before_the_end() {
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
            "the end of an earlier invocation"
        );
        host_deadline.clear();
        assert_eq!(host_deadline.of(start), None);
    }

    #[tokio::test(start_paused = true)]
    async fn an_invocation_shorter_than_the_notice_leaves_time_for_an_operation() {
        let (host_deadline, start) = (HostDeadline::default(), Instant::now());
        host_deadline.set(start + ms(100), ms(200));
        assert_eq!(host_deadline.of(start), Some(start + ms(50)));
    }

    #[tokio::test(start_paused = true)]
    async fn a_waiting_operation_learns_of_a_change() {
        let host_deadline = HostDeadline::default();
        let mut changed = Box::pin(host_deadline.changed());
        assert!(tokio::time::timeout(ms(5), &mut changed).await.is_err());
        host_deadline.set(Instant::now(), ms(0));
        assert!(tokio::time::timeout(ms(5), &mut changed).await.is_ok());
    }
}
