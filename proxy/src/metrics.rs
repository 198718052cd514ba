//! Counters, gauges and histograms, by handles that are made once.
//!
//! A handle costs an atomic addition; nothing on the data path formats a name or
//! looks a label up. Names follow Prometheus' conventions: a unit suffix, `_total`
//! for counters.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicUsize, Ordering},
};

pub mod waits;

use metrics::{Counter, Gauge, Histogram, counter, gauge, histogram};
use tokio::time::Instant;

use crate::{
    error::{Class, Failure},
    pool::Lane,
};

/// The handles of one listener.
pub struct Metrics {
    answered: [Counter; 7],
    errors: [Counter; 7],
    failed: [Counter; 9],
    state_changes: Counter,
    stalled: Counter,
    held: Gauge,
    held_now: AtomicUsize,
    at_work: AtomicUsize,
    waits: [Histogram; 3],
    /// Made when it is first asked for: ordinary operation does not pay for it.
    waits_counted: OnceLock<[waits::Buckets; 3]>,
    clients: Gauge,
    accepted: Counter,
    not_accepted: Counter,
    hellos: Histogram,
    logins_refused: Counter,
    malformed: Counter,
    failures_now: [AtomicUsize; 9],
    operations_now: AtomicUsize,
}

impl Metrics {
    /// Handles labelled with the listener's name.
    #[must_use]
    pub fn new(listener: &str) -> Arc<Self> {
        let name = || listener.to_owned();
        let by_class = |metric: &'static str| {
            Class::ALL.map(|class| counter!(metric, "listener" => name(), "class" => class.name()))
        };
        let wait = |lane: &'static str| histogram!("weir_checkout_wait_seconds", "listener" => name(), "lane" => lane);
        let failed = |failure: &&'static str| counter!("weir_refused_total", "listener" => name(), "cause" => *failure);
        Arc::new(Self {
            answered: by_class("weir_operations_total"),
            errors: by_class("weir_upstream_errors_total"),
            failed: Failure::CAUSES.each_ref().map(failed),
            state_changes: counter!("weir_state_changes_total", "listener" => name()),
            stalled: counter!("weir_stalled_clients_total", "listener" => name()),
            held: gauge!("weir_held_operations", "listener" => name()),
            held_now: AtomicUsize::new(0),
            at_work: AtomicUsize::new(0),
            waits: ["normal", "finishing", "awaiting"].map(wait),
            waits_counted: OnceLock::new(),
            clients: gauge!("weir_clients", "listener" => name()),
            accepted: counter!("weir_clients_accepted_total", "listener" => name()),
            not_accepted: counter!("weir_accept_failures_total", "listener" => name()),
            hellos: histogram!("weir_hello_seconds", "listener" => name()),
            logins_refused: counter!("weir_logins_refused_total", "listener" => name()),
            malformed: counter!("weir_malformed_messages_total", "listener" => name()),
            failures_now: std::array::from_fn(|_| AtomicUsize::new(0)),
            operations_now: AtomicUsize::new(0),
        })
    }

    /// An upstream answer was passed on; `ok` is its own field.
    pub fn answered(&self, class: Class, ok: bool) {
        self.operations_now.fetch_add(1, Ordering::Relaxed);
        let counters = if ok { &self.answered } else { &self.errors };
        if let Some(counter) = counters.get(class as usize) {
            counter.increment(1);
        }
    }

    /// Weir answered with an error of its own.
    pub fn failed(&self, failure: Failure) {
        let index = failure.cause();
        if let (Some(counter), Some(now)) = (self.failed.get(index), self.failures_now.get(index)) {
            counter.increment(1);
            now.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// A state-change error was turned into one that leaves drivers calm.
    pub fn state_change(&self) {
        self.state_changes.increment(1);
    }

    /// A client took or gave no byte for too long in the middle of a large message.
    pub fn stalled_client(&self) {
        self.stalled.increment(1);
    }

    /// An operation waited for a connection since `since`.
    pub fn waited(&self, lane: Lane, since: Instant) {
        let waited = since.elapsed();
        if let Some(histogram) = self.waits.get(lane as usize) {
            histogram.record(waited.as_secs_f64());
        }
        let counted = self.waits_counted.get();
        if let Some(buckets) = counted.and_then(|lanes| lanes.get(lane as usize)) {
            buckets.record(waited);
        }
    }

    /// An operation is held while the result lives.
    #[must_use]
    pub fn hold(&self) -> Held<'_> {
        self.held.increment(1.0);
        self.held_now.fetch_add(1, Ordering::Relaxed);
        Held(self)
    }

    /// An operation has arrived; its reply is written when the guard is dropped.
    #[must_use]
    pub fn work(&self) -> Working<'_> {
        self.at_work.fetch_add(1, Ordering::Relaxed);
        Working(&self.at_work)
    }

    /// A client came.
    pub fn client_came(&self) {
        self.clients.increment(1.0);
        self.accepted.increment(1);
    }

    /// A client could not be accepted: no file descriptor is left.
    pub fn not_accepted(&self) {
        self.not_accepted.increment(1);
    }

    /// A hello was answered; `since`: its first byte was there.
    pub fn greeted(&self, since: Instant) {
        self.hellos.record(since.elapsed().as_secs_f64());
    }

    /// A client left.
    pub fn client_left(&self) {
        self.clients.decrement(1.0);
    }

    /// A client's login failed.
    pub fn login_refused(&self) {
        self.logins_refused.increment(1);
    }

    /// A client sent something that is no message.
    pub fn malformed(&self) {
        self.malformed.increment(1);
    }

    /// Operations held now.
    #[must_use]
    pub fn held_now(&self) -> usize {
        self.held_now.load(Ordering::Relaxed)
    }

    /// Operations whose reply is not written yet.
    #[must_use]
    pub fn at_work(&self) -> usize {
        self.at_work.load(Ordering::Relaxed)
    }

    /// Operations answered by the upstream so far.
    #[must_use]
    pub fn operations(&self) -> usize {
        self.operations_now.load(Ordering::Relaxed)
    }

    /// How long operations of each lane have waited since the first call: normal, finishing,
    /// awaiting. Nothing is counted before that call.
    #[must_use]
    pub fn waits(&self) -> [waits::WaitTimes; 3] {
        let counted = self.waits_counted.get_or_init(Default::default);
        counted.each_ref().map(waits::Buckets::so_far)
    }

    /// Errors of Weir's own so far, by cause.
    #[must_use]
    pub fn failures(&self) -> Vec<(&'static str, usize)> {
        let counts = self.failures_now.iter().map(|n| n.load(Ordering::Relaxed));
        Failure::CAUSES.into_iter().zip(counts).collect()
    }
}

/// Counts a held operation while it lives.
#[derive(Debug)]
pub struct Held<'a>(&'a Metrics);

/// An operation, until its reply is written.
#[derive(Debug)]
pub struct Working<'a>(&'a AtomicUsize);

impl Drop for Working<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        self.0.held.decrement(1.0);
        self.0.held_now.fetch_sub(1, Ordering::Relaxed);
    }
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}
