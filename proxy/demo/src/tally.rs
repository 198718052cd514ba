//! What one phase counts: students, operations, refusals and times.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::link::Failure;
use weir_kit::client::ClientError;

/// What is timed. Connecting is timed like an operation, but is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Op {
    /// From the student's arrival until a connection is ready to use.
    Connect,
    /// `find` of one user by `_id`.
    FindUser,
    /// `find` of all questions.
    FetchQuiz,
    /// `insert` of the attempt.
    StartAttempt,
    /// `update` that adds one answer.
    SubmitAnswer,
}

impl Op {
    /// All of them, in the order in which a student does them.
    pub(super) const ALL: [Self; 5] = [
        Self::Connect,
        Self::FindUser,
        Self::FetchQuiz,
        Self::StartAttempt,
        Self::SubmitAnswer,
    ];

    /// What the table calls it.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Connect => "connect",
            Self::FindUser => "find the student",
            Self::FetchQuiz => "fetch the quiz",
            Self::StartAttempt => "start the attempt",
            Self::SubmitAnswer => "submit an answer",
        }
    }
}

/// A number that many tasks raise.
#[derive(Debug, Default)]
pub(super) struct Counter(AtomicU64);

impl Counter {
    /// One more.
    pub(super) fn add(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// So many more.
    pub(super) fn add_many(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// The number so far.
    pub(super) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// One request of an application, from when it was asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Span {
    /// It was asked for.
    pub(super) began: Instant,
    /// It was answered, or failed.
    pub(super) ended: Instant,
    /// The application saw an error.
    pub(super) failed: bool,
}

/// The counts of a running phase, shared by all its students.
#[derive(Debug, Default)]
pub(super) struct Tally {
    /// Students who have come.
    pub(super) arrived: Counter,
    /// Students who have done everything they came for.
    pub(super) served: Counter,
    /// Students who lost patience.
    pub(super) gave_up: Counter,
    /// Sockets closed by the server before the handshake was answered.
    pub(super) refused: Counter,
    /// Operations that reached the application as an error, after the one
    /// retry that a driver makes, or that nobody answered in time.
    pub(super) failed: Counter,
    /// Operations that succeeded; connecting is not one.
    pub(super) done: Counter,
    /// Answers that the server acknowledged.
    pub(super) answers: Counter,
    surprise: OnceLock<String>,
    /// Every request, for what an outage was to them.
    spans: Mutex<Vec<Span>>,
    /// Every success by operation. A phase has some ten thousand of them, few
    /// enough to keep them all and to give exact percentiles.
    times: [Mutex<Vec<Duration>>; Op::ALL.len()],
}

impl Tally {
    /// One success of `op`, `took` after the student began to wait for it.
    pub(super) fn succeeded(&self, op: Op, took: Duration) {
        match op {
            Op::Connect => {}
            Op::SubmitAnswer => {
                self.answers.add();
                self.done.add();
            }
            _ => self.done.add(),
        }
        let ended = Instant::now();
        self.note_span(ended.checked_sub(took).unwrap_or(ended), false);
        if let Some(times) = self.times.get(op as usize) {
            times.lock().push(took);
        }
    }

    fn note_span(&self, began: Instant, failed: bool) {
        let ended = Instant::now();
        self.spans.lock().push(Span {
            began,
            ended,
            failed,
        });
    }

    /// All requests so far.
    pub(super) fn spans(&self) -> Vec<Span> {
        self.spans.lock().clone()
    }

    /// Counts a request that the application sees fail.
    pub(super) fn note_failed(&self, began: Instant) {
        self.failed.add();
        self.note_span(began, true);
    }

    /// Counts an error that the application sees.
    pub(super) fn note_failure(&self, failure: &Failure, began: Instant) {
        self.note_failed(began);
        if let Failure::Client(error @ (ClientError::Command { .. } | ClientError::Malformed(_))) =
            failure
        {
            self.note_surprise(&error.to_string());
        }
    }

    /// Keeps the first error that had nothing to do with connecting.
    pub(super) fn note_surprise(&self, error: &str) {
        self.surprise.get_or_init(|| error.to_owned());
    }

    /// The first error that an answer brought, or an answer that was none.
    pub(super) fn surprise(&self) -> Option<String> {
        self.surprise.get().cloned()
    }

    /// Counts a socket that the server would not take; other errors are the
    /// affair of the operation that met them.
    pub(super) fn note_refusal(&self, error: &ClientError) {
        if matches!(error, ClientError::Refused(_)) {
            self.refused.add();
        }
    }

    /// Median and 99th percentile of `op` so far; none before its first success.
    pub(super) fn latency(&self, op: Op) -> Option<Latency> {
        let mut times = self.times.get(op as usize)?.lock().clone();
        times.sort_unstable();
        Some(Latency {
            p50: percentile(&times, 50)?,
            p99: percentile(&times, 99)?,
        })
    }
}

/// The smallest value that at least `percent` of all do not exceed (nearest rank).
fn percentile(sorted: &[Duration], percent: usize) -> Option<Duration> {
    let rank = (sorted.len() * percent).div_ceil(100);
    sorted.get(rank.checked_sub(1)?).copied()
}

/// Two points of a distribution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Latency {
    /// Half took no longer.
    pub(super) p50: Duration,
    /// 99 of 100 took no longer.
    pub(super) p99: Duration,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let tally = Tally::default();
        for ms in (1..=1_000).rev() {
            tally.succeeded(Op::FindUser, Duration::from_millis(ms));
        }
        let expected = Latency {
            p50: Duration::from_millis(500),
            p99: Duration::from_millis(990),
        };
        assert_eq!(tally.latency(Op::FindUser), Some(expected));
        assert_eq!(tally.latency(Op::FetchQuiz), None);
    }

    #[test]
    fn one_value_is_every_percentile_and_two_are_told_apart() {
        let [a, b] = [1, 2].map(Duration::from_secs);
        assert_eq!(percentile(&[a], 99), Some(a));
        assert_eq!(percentile(&[a, b], 50), Some(a));
        assert_eq!(percentile(&[a, b], 51), Some(b));
        assert_eq!(percentile(&[], 50), None);
    }

    #[test]
    fn connecting_is_no_operation_and_an_answer_is_both() {
        let tally = Tally::default();
        for op in Op::ALL {
            tally.succeeded(op, Duration::from_millis(1));
        }
        assert_eq!(tally.done.get(), 4);
        assert_eq!(tally.answers.get(), 1);
    }
}
