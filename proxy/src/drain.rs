//! Leaving in good order.
//!
//! After a termination signal Weir passes through [`Phase`]s; what stands before it
//! (`--behind`) decides which, and when.
//!
//! | | `none` | `list` | `balancer` |
//! |---|---|---|---|
//! | at once | readiness fails | readiness fails; drivers that measure the way to Weir find it long and choose another; hellos that stream come every second, since drivers take note of what they measured with each | readiness fails; everything is served, since new clients come until the balancer has noticed |
//! | a little before half the time | | change streams are told to resume (43) | |
//! | half the time | | the listening sockets close, then the monitors' sockets, by which drivers give their connections up | the monitors' sockets close |
//! | a second later | | clients that stayed are sent away by 91, at a retryable write first, later at a read | the same |
//! | in the end | what is new is refused, what runs may finish | the same | the same |
//!
//! An idle client's socket is never closed before the end: several drivers do not look
//! before they use it again. Weir leaves as soon as its last client has.

use std::{
    collections::HashMap,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU8, Ordering},
    },
    time::Duration,
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Instant, sleep, sleep_until, timeout},
};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::Behind;

mod away;
#[cfg(test)]
mod tests;

pub use away::{Work, sends_away};

/// How long what runs may go on when everything else is over.
const LAST: Duration = Duration::from_secs(2);

/// A driver that has lost its monitor makes new connections at once. It would only be
/// disturbed by an error meanwhile: its pool would be closed for half a second.
const BEFORE_REDIRECT: Duration = Duration::from_secs(1);

/// Between two looks whether anything still runs.
const LOOK: Duration = Duration::from_millis(20);

/// How far Weir has come with leaving.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
pub enum Phase {
    /// It stays.
    Serving,
    /// It leaves, and serves everybody as before.
    Unready,
    /// Change streams are asked to go where their drivers go by now.
    ResumeStreams,
    /// Monitors' sockets are closed, and clients without monitors are sent away.
    CloseMonitors,
    /// Clients are sent away where their driver is known to try again elsewhere.
    RedirectWriters,
    /// Those that only read are sent away too.
    RedirectReaders,
    /// Nothing new is begun.
    Final,
}

impl Phase {
    const ALL: [Self; 7] = [
        Self::Serving,
        Self::Unready,
        Self::ResumeStreams,
        Self::CloseMonitors,
        Self::RedirectWriters,
        Self::RedirectReaders,
        Self::Final,
    ];
}

/// When each phase begins, counted from the signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Timetable {
    /// In a list change streams are moved: it is the next thing for which they would need a
    /// connection that their driver gives up when its monitor is closed.
    pub resume_streams: Duration,
    /// Monitors are closed; `None`: there is nowhere to move clients to.
    pub close_monitors: Option<Duration>,
    /// Clients that stayed are moved.
    pub redirect_writers: Duration,
    /// Clients that only read are moved too.
    pub redirect_readers: Duration,
    /// Nothing new is begun.
    pub last: Duration,
    /// The process has ended.
    pub end: Duration,
}

impl Timetable {
    /// A balancer goes on sending for 30 to 40 s after Weir has said that it is not ready,
    /// drivers measure the way to Weir every 10 s: half of 110 s and of 25 s is beyond both.
    #[must_use]
    pub fn of(behind: Behind, end: Duration) -> Self {
        Self {
            resume_streams: end * 11 / 25,
            close_monitors: (behind != Behind::None).then_some(end / 2),
            redirect_writers: end / 2 + BEFORE_REDIRECT.min(end / 16),
            redirect_readers: end * 5 / 8,
            last: end - LAST.min(end / 10),
            end,
        }
    }
}

/// Starts and observes the end of the proxy. Clones share one state.
#[derive(Clone, Debug)]
pub struct Drain(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    behind: Behind,
    timetable: Timetable,
    /// The same as in `changes`, to be read for every operation.
    phase: AtomicU8,
    changes: watch::Sender<Phase>,
    hurried: CancellationToken,
    closed: CancellationToken,
    listeners: TaskTracker,
    resume_streams: OnceLock<Instant>,
    /// Sessions whose operation was sent away, with its transaction number: what comes
    /// next from them may be its second and last try.
    told: Mutex<HashMap<u64, Option<i64>>>,
}

impl Drain {
    /// A drain that has not begun.
    #[must_use]
    pub fn new(behind: Behind, time: Duration) -> Self {
        Self(Arc::new(Shared {
            behind,
            timetable: Timetable::of(behind, time),
            phase: AtomicU8::new(Phase::Serving as u8),
            changes: watch::Sender::new(Phase::Serving),
            hurried: CancellationToken::new(),
            closed: CancellationToken::new(),
            listeners: TaskTracker::new(),
            resume_streams: OnceLock::new(),
            told: Mutex::default(),
        }))
    }

    /// Begins to drain; a second call ends it as soon as nothing runs any more.
    pub fn begin(&self) {
        if self.has_begun() {
            self.0.hurried.cancel();
        }
        self.enter(Phase::Unready);
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.phase() > Phase::Serving
    }

    /// How far it has come.
    #[must_use]
    pub fn phase(&self) -> Phase {
        let phase = usize::from(self.0.phase.load(Ordering::Relaxed));
        Phase::ALL.get(phase).copied().unwrap_or(Phase::Final)
    }

    /// Whether some of what is asked is refused by now.
    #[must_use]
    pub fn may_refuse(&self) -> bool {
        self.phase() >= Phase::ResumeStreams
    }

    /// Whether monitors' sockets are closed, and clients without monitors are redirected.
    #[must_use]
    pub fn closes_monitors(&self) -> bool {
        self.phase() >= Phase::CloseMonitors
    }

    /// Whether a driver that measures the way to Weir shall find it long. A driver with a
    /// list chooses among the nearest; with a balancer it has no choice.
    #[must_use]
    pub fn delays_hello(&self) -> bool {
        self.0.behind == Behind::List && self.has_begun()
    }

    /// Since when change streams are sent to another Weir. Those opened later have nowhere
    /// else to go, or have come back.
    #[must_use]
    pub fn streams_resume_since(&self) -> Option<Instant> {
        self.0.resume_streams.get().copied()
    }

    /// Waits until drivers shall find the way to Weir long.
    pub async fn hello_delayed(&self) {
        match self.0.behind {
            Behind::List => self.begun().await,
            _ => std::future::pending().await,
        }
    }

    /// Waits for the drain to begin.
    pub async fn begun(&self) {
        self.reached(Phase::Unready).await;
    }

    /// Waits until monitors' sockets are closed.
    pub async fn monitors_closing(&self) {
        self.reached(Phase::CloseMonitors).await;
    }

    /// Runs a listener, which must end when `accept` says so.
    pub fn listen<F>(&self, run: impl FnOnce(CancellationToken) -> F)
    where
        F: Future<Output = ()> + Send + 'static,
    {
        let listener = run(self.0.closed.clone());
        drop(self.0.listeners.spawn(listener));
    }

    /// Whether the client of this work is to be sent away with it. A second try that has
    /// come back to this Weir is served: a driver makes no third.
    #[must_use]
    pub fn sends_away(&self, work: Work, session: Option<u64>, txn_number: Option<i64>) -> bool {
        let phase = self.phase();
        if !sends_away(phase, work) {
            return false;
        }
        match session {
            Some(session) => {
                let before = self.0.told.lock().insert(session, txn_number);
                let comes_again = txn_number.is_some() || work.retried_read;
                let is_second = before == Some(txn_number);
                !is_second || phase == Phase::Final && !comes_again
            }
            // Its second try could not be told from the first.
            None => phase == Phase::Final,
        }
    }

    /// Ends when the drain is over: the last client has left, or the time is up. `busy`:
    /// whether operations are running.
    pub async fn done(&self, clients: &TaskTracker, busy: impl Fn() -> bool + Send) {
        self.begun().await;
        let begun = Instant::now();
        let Timetable { last, end, .. } = self.0.timetable;
        tracing::info!(clients = clients.len(), behind = ?self.0.behind, "draining");
        clients.close();
        tokio::select! {
            () = self.leave(clients, begun) => tracing::info!("the last client has left"),
            () = sleep_until(begun + last) => {
                tracing::warn!(clients = clients.len(), "the drain timeout is over");
            }
            () = self.0.hurried.cancelled() => tracing::warn!("told twice to stop"),
        }
        self.enter(Phase::Final);
        let quiet = async {
            while busy() {
                sleep(LOOK).await;
            }
        };
        if timeout(end - last, quiet).await.is_err() {
            tracing::warn!("operations were still running");
        }
        self.0.closed.cancel();
    }

    /// Passes through the phases until the last client has left.
    async fn leave(&self, clients: &TaskTracker, begun: Instant) {
        let table = self.0.timetable;
        if let Some(close_monitors) = table.close_monitors {
            let eased = sleep_until(begun + close_monitors);
            // The balancer may send somebody although nobody is here now.
            if self.0.behind == Behind::Balancer {
                eased.await;
            } else {
                if gone(clients, sleep_until(begun + table.resume_streams)).await {
                    return;
                }
                self.0.resume_streams.get_or_init(Instant::now);
                self.enter(Phase::ResumeStreams);
                if gone(clients, eased).await {
                    return;
                }
            }
            if self.0.behind == Behind::List {
                // Or the monitors would find their way back.
                self.0.closed.cancel();
                self.0.listeners.close();
                self.0.listeners.wait().await;
            }
            self.enter(Phase::CloseMonitors);
            if gone(clients, sleep_until(begun + table.redirect_writers)).await {
                return;
            }
            self.enter(Phase::RedirectWriters);
            tracing::info!(clients = clients.len(), "sending clients away");
            if gone(clients, sleep_until(begun + table.redirect_readers)).await {
                return;
            }
            self.enter(Phase::RedirectReaders);
        }
        clients.wait().await;
    }

    /// Phases are never left backwards.
    fn enter(&self, phase: Phase) {
        self.0.phase.fetch_max(phase as u8, Ordering::Relaxed);
        self.0.changes.send_if_modified(|now| {
            let news = phase > *now;
            *now = phase.max(*now);
            news
        });
    }

    async fn reached(&self, phase: Phase) {
        let mut changes = self.0.changes.subscribe();
        drop(changes.wait_for(|now| *now >= phase).await);
    }
}

/// Whether the last client left before `limit`.
async fn gone(clients: &TaskTracker, limit: impl Future<Output = ()>) -> bool {
    tokio::select! {
        biased;
        () = clients.wait() => true,
        () = limit => false,
    }
}
