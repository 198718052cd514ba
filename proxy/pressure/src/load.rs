//! Many clients at once, counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};

use crate::args::Scenario;
use crate::connection::{Connection, Endpoint, reason};
use crate::workload::{Ask, Workload};
use weir::wire::raw;
use weir_kit::client::{ClientError, Reply};
use weir_kit::random::Random;

/// A client that was refused tries again after this time.
const PAUSE: Duration = Duration::from_millis(200);
/// Between two operations of `mixed`.
const THINK: Duration = Duration::from_millis(10);
/// Operations of one client of `exam`.
const EXAM: u32 = 8;

/// What all clients share.
pub(super) struct Load {
    pub(super) endpoint: Endpoint,
    pub(super) workload: Arc<Workload>,
    pub(super) clients: u32,
    pub(super) duration: Duration,
    pub(super) seed: u64,
    counts: Counts,
    /// Microseconds of every measured success, by client.
    times: Vec<Mutex<Vec<u32>>>,
}

#[derive(Default)]
struct Counts {
    measuring: AtomicBool,
    /// Clients that have had an answer.
    answered: AtomicU64,
    done: AtomicU64,
    failed: AtomicU64,
    first_error: OnceLock<String>,
}

/// The clients, while they work. Dropping it ends them.
pub(super) struct Clients {
    load: Arc<Load>,
    tasks: JoinSet<()>,
}

impl Load {
    pub(super) fn new(
        endpoint: Endpoint,
        workload: Arc<Workload>,
        clients: u32,
        (duration, seed): (Duration, u64),
    ) -> Self {
        Self {
            endpoint,
            workload,
            clients,
            duration,
            seed,
            counts: Counts::default(),
            times: (0..clients).map(|_| Mutex::default()).collect(),
        }
    }

    /// Starts all clients.
    pub(super) fn start(self) -> Clients {
        let load = Arc::new(self);
        let mut tasks = JoinSet::new();
        for number in 0..load.clients {
            let client = Client {
                random: Random::for_student(load.seed, number),
                load: Arc::clone(&load),
                number,
                connection: None,
                new: true,
            };
            tasks.spawn(client.live());
        }
        Clients { load, tasks }
    }
}

impl Clients {
    /// Whether every client has had an answer.
    pub(super) fn all_answered(&self) -> bool {
        self.load.counts.answered.load(Ordering::Relaxed) >= u64::from(self.load.clients)
    }

    /// From now on operations count.
    pub(super) fn measure(&self) {
        self.load.counts.measuring.store(true, Ordering::Relaxed);
    }

    /// Measured successes so far.
    pub(super) fn done(&self) -> u64 {
        self.load.counts.done.load(Ordering::Relaxed)
    }

    /// Ends all clients; returns what they did: sorted microseconds, failures, the first error.
    pub(super) async fn end(mut self) -> (Vec<u32>, u64, Option<String>) {
        self.load.counts.measuring.store(false, Ordering::Relaxed);
        self.tasks.shutdown().await;
        let mut times: Vec<u32> = Vec::new();
        for client in &self.load.times {
            times.append(&mut client.lock());
        }
        times.sort_unstable();
        let counts = &self.load.counts;
        let first = counts.first_error.get().cloned();
        (times, counts.failed.load(Ordering::Relaxed), first)
    }
}

struct Client {
    load: Arc<Load>,
    number: u32,
    random: Random,
    connection: Option<Connection>,
    /// Has had no answer yet.
    new: bool,
}

impl Client {
    async fn live(mut self) {
        match self.load.workload.scenario() {
            Scenario::Steady => loop {
                self.operate(Instant::now()).await;
            },
            Scenario::Mixed => loop {
                sleep(self.random.around(THINK)).await;
                self.operate(Instant::now()).await;
            },
            Scenario::Exam => self.sit().await,
        }
    }

    /// Arrives, works, and stays with an open connection until the task is ended.
    async fn sit(mut self) {
        // Squaring puts half of the arrivals into the first quarter.
        let arrivals = self.load.duration / 2;
        sleep(arrivals.mul_f64(self.random.unit().powi(2))).await;
        let pause = self.load.duration / 4 / EXAM;
        for _ in 0..EXAM {
            self.operate(Instant::now()).await;
            sleep(self.random.around(pause)).await;
        }
        std::future::pending::<()>().await;
    }

    /// One operation, counted from `since`; connecting is part of it where it is needed.
    async fn operate(&mut self, since: Instant) {
        let asked = self.ask().await;
        let measuring = self.load.counts.measuring.load(Ordering::Relaxed);
        match asked {
            Ok(()) => {
                if std::mem::take(&mut self.new) {
                    self.load.counts.answered.fetch_add(1, Ordering::Relaxed);
                }
                if measuring {
                    self.load.counts.done.fetch_add(1, Ordering::Relaxed);
                    let micros = u32::try_from(since.elapsed().as_micros()).unwrap_or(u32::MAX);
                    if let Some(times) = self.load.times.get(self.number as usize) {
                        times.lock().push(micros);
                    }
                }
            }
            Err(error) => {
                if error.is_network() {
                    self.connection = None;
                }
                // Refusals before the measurement count too: they tell of a full server.
                self.load.counts.failed.fetch_add(1, Ordering::Relaxed);
                self.load.counts.first_error.get_or_init(|| reason(&error));
                sleep(PAUSE).await;
            }
        }
    }

    async fn ask(&mut self) -> Result<(), ClientError> {
        let load = Arc::clone(&self.load);
        let connection = match &mut self.connection {
            Some(connection) => connection,
            none => none.insert(load.endpoint.open().await?),
        };
        match load.workload.next(&mut self.random) {
            Ask::Once(message) => connection.ask(message).await.map(drop),
            Ask::Page(first) => {
                let reply = connection.ask(first).await?;
                match cursor(&reply).and_then(|cursor| load.workload.more(cursor)) {
                    Some(more) => connection.ask(more).await.map(drop),
                    None => Ok(()),
                }
            }
        }
    }
}

/// The cursor that a reply leaves open.
fn cursor(reply: &Reply) -> Option<i64> {
    let cursor = raw::find(reply.body(), b"cursor")?.as_document()?;
    let id = raw::find(cursor, b"id")?.as_number_i64()?;
    (id != 0).then_some(id)
}
