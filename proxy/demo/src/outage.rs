//! The death of the demo's database, and its return.
//!
//! Whatever kills it, be it `--kill-database` or a hand, it is started again, as a service
//! would be, and both moments are noted.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::{JoinHandle, spawn_blocking};
use tokio::time::Instant;

use super::tally::Span;
use weir_kit::mongod::{MongodError, ReplicaSet};
use weir_kit::process::until;

/// A database that has not died for so long is simply watched on.
const WATCH: Duration = Duration::from_secs(3_600);
/// Longest wait for a database that answers to take writes.
const ELECTION: Duration = Duration::from_secs(30);
/// Between two tries to start it.
const AGAIN: Duration = Duration::from_millis(500);

/// When the database was away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Outage {
    /// It died.
    pub(super) died: Instant,
    /// It took writes again; none: it has not come back.
    pub(super) back: Option<Instant>,
}

/// What an outage was for those who needed the database meanwhile.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Away {
    /// How long it was away, all outages together.
    pub(super) time: Duration,
    /// Requests that were waiting when it came back, and succeeded.
    pub(super) waited: u64,
    /// The longest of them.
    pub(super) longest: Duration,
    /// Requests that failed while it was away.
    pub(super) failed: u64,
}

impl Away {
    /// Of what was asked for until `now`; none when there was no outage.
    pub(super) fn of(outages: &[Outage], spans: &[Span], now: Instant) -> Option<Self> {
        let mut away = Self::default();
        for outage in outages {
            let back = outage.back.unwrap_or(now);
            away.time += back.saturating_duration_since(outage.died);
            let during = |span: &&Span| span.began < back && span.ended > outage.died;
            for span in spans.iter().filter(during) {
                if span.failed {
                    away.failed += 1;
                } else if span.ended >= back {
                    away.waited += 1;
                    let took = span.ended.saturating_duration_since(span.began);
                    away.longest = away.longest.max(took);
                }
            }
        }
        (!outages.is_empty()).then_some(away)
    }
}

/// Keeps a replica set of one node running.
pub(super) struct Keeper {
    shared: Arc<Shared>,
    thread: JoinHandle<()>,
}

impl std::fmt::Debug for Keeper {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        out.debug_struct("Keeper").finish_non_exhaustive()
    }
}

struct Shared {
    set: ReplicaSet,
    ending: AtomicBool,
    outages: Mutex<Vec<Outage>>,
}

impl Keeper {
    /// Keeps this one from now on.
    pub(super) fn of(set: ReplicaSet) -> Self {
        let shared = Arc::new(Shared {
            set,
            ending: AtomicBool::new(false),
            outages: Mutex::default(),
        });
        let kept = Arc::clone(&shared);
        let thread = spawn_blocking(move || kept.keep());
        Self { shared, thread }
    }

    /// Where the database listens.
    ///
    /// # Errors
    /// When there is none.
    pub(super) fn address(&self) -> Result<SocketAddr, MongodError> {
        Ok(self.shared.set.member(0)?.address())
    }

    /// Its connection string.
    pub(super) fn uri(&self) -> String {
        self.shared.set.uri()
    }

    /// SIGKILL; it will be started again.
    pub(super) async fn kill(&self) {
        let shared = Arc::clone(&self.shared);
        let _ = spawn_blocking(move || shared.kill()).await;
    }

    /// Its outages so far.
    pub(super) fn outages(&self) -> Vec<Outage> {
        self.shared.outages.lock().clone()
    }

    /// Ends the database for good. Its data is thrown away with it.
    pub(super) async fn end(self) {
        self.shared.ending.store(true, Ordering::Relaxed);
        self.kill().await;
        let _ = self.thread.await;
        let shared = self.shared;
        let _ = spawn_blocking(move || drop(shared)).await;
    }
}

impl Shared {
    fn kill(&self) {
        if let Ok(member) = self.set.member(0) {
            let _ = member.kill();
        }
    }

    fn is_ending(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    fn runs(&self) -> bool {
        self.set.member(0).is_ok_and(weir_kit::mongod::Server::runs)
    }

    fn keep(&self) {
        while !self.is_ending() {
            let died = || (self.is_ending() || !self.runs()).then(Instant::now);
            let Some(died) = until(WATCH, died) else {
                continue;
            };
            if self.is_ending() {
                return;
            }
            self.outages.lock().push(Outage { died, back: None });
            if !self.bring_back() {
                return;
            }
        }
    }

    /// Starts it, and waits until it takes writes. Says whether it is ours.
    fn bring_back(&self) -> bool {
        while !self.is_ending() {
            let ours = self
                .set
                .member(0)
                .and_then(weir_kit::mongod::Server::restart);
            let settled = || (self.is_ending() || self.set.is_settled()).then_some(());
            // Somebody may have been quicker by hand: then ours found the place taken.
            let limit = if ours.is_ok() { ELECTION } else { AGAIN };
            if until(limit, settled).is_some() && !self.is_ending() {
                if let Some(last) = self.outages.lock().last_mut() {
                    last.back = Some(Instant::now());
                }
                return ours.is_ok();
            }
        }
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_waited_and_who_failed_is_counted() {
        let start = Instant::now();
        let at = |ms| start + Duration::from_millis(ms);
        let span = |began, ended, failed| Span {
            began: at(began),
            ended: at(ended),
            failed,
        };
        let spans = [
            span(10, 90, false),
            span(50, 2_100, false),
            span(1_500, 2_050, false),
            span(500, 700, true),
            span(90, 110, true),
            span(2_001, 2_010, true),
            span(2_001, 2_010, false),
        ];
        let outage = Outage {
            died: at(100),
            back: Some(at(2_000)),
        };
        let expected = Away {
            time: Duration::from_millis(1_900),
            waited: 2,
            longest: Duration::from_millis(2_050),
            failed: 2,
        };
        assert_eq!(Away::of(&[outage], &spans, at(9_000)), Some(expected));
        assert_eq!(Away::of(&[], &spans, at(9_000)), None);
        let lost = Outage {
            back: None,
            ..outage
        };
        let expected = Away {
            time: Duration::from_millis(8_900),
            waited: 0,
            longest: Duration::ZERO,
            failed: 3,
        };
        assert_eq!(Away::of(&[lost], &spans, at(9_000)), Some(expected));
    }
}
