//! Watches the server from a connection of its own, opened before the load.
//!
//! The numbers in the table come from the server's `serverStatus`, not from
//! what clients or Weir believe.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bson::rawdoc;
use parking_lot::Mutex;
use tokio::time::{MissedTickBehavior, interval};
use tokio_util::task::AbortOnDropHandle;

use weir::wire::raw;
use weir_kit::client::{ClientError, Connection, Reply};
use weir_kit::messages::{Messages, message};

/// Often enough to see a peak that lasts, rarely enough not to be load itself.
const EVERY: Duration = Duration::from_millis(200);

/// What the server said of itself at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Sample {
    /// Connections open now, the observer's included.
    connections: i64,
    /// Connections accepted since the server's start.
    created: i64,
    /// Resident memory in MiB.
    memory: i64,
    /// The process.
    pid: i64,
}

/// The extremes of all samples so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Watched {
    /// Connections in the last sample.
    pub(super) now: u64,
    /// Fewest connections: what is there without load, the observer included.
    pub(super) quiet: u64,
    /// Most connections at one moment.
    pub(super) peak: u64,
    /// Connections accepted since the first sample.
    pub(super) opened: u64,
    /// Most resident memory in MiB.
    pub(super) memory: u64,
}

impl Watched {
    fn first(sample: Sample) -> Self {
        Self {
            now: unsigned(sample.connections),
            quiet: unsigned(sample.connections),
            peak: unsigned(sample.connections),
            opened: 0,
            memory: unsigned(sample.memory),
        }
    }

    fn add(&mut self, first: Sample, sample: Sample) {
        self.now = unsigned(sample.connections);
        self.quiet = self.quiet.min(self.now);
        self.peak = self.peak.max(self.now);
        self.opened = unsigned(sample.created - first.created);
        self.memory = self.memory.max(unsigned(sample.memory));
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

/// Samples of one server, which may be another process later.
struct Series {
    first: Sample,
    last: Sample,
    /// Connections that earlier processes of the server had accepted.
    before: u64,
}

impl Series {
    fn new(first: Sample) -> Self {
        Self {
            first,
            last: first,
            before: 0,
        }
    }

    fn add(&mut self, watched: &mut Watched, sample: Sample) {
        if sample.pid != self.last.pid {
            // It was started again, and our own connection is not one of the load.
            self.before = watched.opened;
            self.first = Sample {
                created: 1,
                ..sample
            };
        }
        self.last = sample;
        let quiet = watched.quiet;
        watched.add(self.first, sample);
        watched.opened += self.before;
        if self.before > 0 {
            // Who comes back is there sooner than we are.
            watched.quiet = quiet;
        }
    }
}

/// A running observer; stops when dropped.
#[derive(Debug)]
pub(super) struct Observer {
    state: Arc<Mutex<Watched>>,
    _task: AbortOnDropHandle<()>,
}

impl Observer {
    /// Connects and takes the first sample.
    ///
    /// # Errors
    /// When the server cannot be reached or does not allow `serverStatus`.
    pub(super) async fn start(
        address: SocketAddr,
        messages: &Messages,
    ) -> Result<Self, ClientError> {
        let (mut connection, _) = Connection::open(address, messages).await?;
        let first = sample(&mut connection).await?;
        let state = Arc::new(Mutex::new(Watched::first(first)));
        let shared = state.clone();
        let messages = messages.clone();
        let task = tokio::spawn(async move {
            let mut series = Series::new(first);
            let mut ticks = interval(EVERY);
            ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
            loop {
                ticks.tick().await;
                // A server that does not answer leaves the last numbers.
                match sample(&mut connection).await {
                    Ok(sample) => series.add(&mut shared.lock(), sample),
                    Err(_) => {
                        if let Ok((again, _)) = Connection::open(address, &messages).await {
                            connection = again;
                        }
                    }
                }
            }
        });
        Ok(Self {
            state,
            _task: AbortOnDropHandle::new(task),
        })
    }

    /// What was seen so far.
    pub(super) fn watched(&self) -> Watched {
        *self.state.lock()
    }
}

async fn sample(connection: &mut Connection) -> Result<Sample, ClientError> {
    // The sections left out are the expensive ones.
    let request = message(&rawdoc! {
        "serverStatus": 1,
        "repl": 0,
        "locks": 0,
        "wiredTiger": 0,
        "tcmalloc": 0,
        "opLatencies": 0,
        "transactions": 0,
        "$db": "admin",
    });
    let reply = connection.exchange(request).await?;
    Ok(Sample {
        connections: number(&reply, b"connections", b"current"),
        created: number(&reply, b"connections", b"totalCreated"),
        memory: number(&reply, b"mem", b"resident"),
        pid: raw::find(reply.body(), b"pid")
            .and_then(|pid| pid.as_number_i64())
            .unwrap_or_default(),
    })
}

/// A number inside a section of the answer; 0 where the server leaves it out.
fn number(reply: &Reply, section: &[u8], key: &[u8]) -> i64 {
    raw::find(reply.body(), section)
        .and_then(|found| raw::find(found.as_document()?, key)?.as_number_i64())
        .unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_process_of_the_server_goes_on_where_the_last_one_was() {
        let at = |pid, connections, created| Sample {
            connections,
            created,
            memory: 90,
            pid,
        };
        let mut series = Series::new(at(1, 3, 10));
        let mut watched = Watched::first(series.first);
        // It has accepted more already than the one before it.
        for sample in [at(1, 23, 30), at(2, 18, 36), at(2, 23, 41)] {
            series.add(&mut watched, sample);
        }
        assert_eq!((watched.opened, watched.quiet, watched.peak), (60, 3, 23));
    }

    #[test]
    fn extremes_are_kept_and_the_baseline_may_still_fall() {
        let at = |connections, created, memory| Sample {
            connections,
            created,
            memory,
            pid: 1,
        };
        let first = at(5, 100, 90);
        let mut watched = Watched::first(first);
        for sample in [at(3, 100, 91), at(490, 1_700, 230), at(40, 1_800, 210)] {
            watched.add(first, sample);
        }
        let expected = Watched {
            now: 40,
            quiet: 3,
            peak: 490,
            opened: 1_700,
            memory: 230,
        };
        assert_eq!(watched, expected);
    }
}
