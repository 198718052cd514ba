//! What is known about the upstream nodes.
//!
//! | module | its part |
//! |---|---|
//! | `address` | one normal form of each node's address |
//! | `snapshot` | the immutable result that all others read |
//! | `hello` | what one hello reply says; pure |
//! | `sdam` | the rules of *Server Discovery and Monitoring*; pure |
//! | `verdict` | what an operation's error says about a node; pure |
//! | `monitor` | the official driver, which monitors the deployment |
//!
//! [`Topology`] joins them. Monitors and operations report to it, and it publishes a [`Snapshot`]
//! after every report. Reading the latest snapshot costs no lock.

use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

pub mod address;
pub mod hello;
pub mod monitor;
pub mod sdam;
pub mod snapshot;
pub mod verdict;

pub use address::NodeAddress;
pub use hello::Hello;
pub use sdam::Seeds;
#[cfg_attr(not(feature = "internals"), allow(unused_imports))]
pub use snapshot::Tags;
pub use snapshot::{
    Limits, Node, NodeKind, Snapshot, TopologyEvent, TopologyKind, TopologyVersion,
};
pub use verdict::{Phase, StateChange, StateChangeKind};

use sdam::{Deployment, Heard, HelloSource};

/// What is known about the deployment. Cloning it copies a pointer.
#[derive(Clone)]
pub struct Topology {
    shared: Arc<Shared>,
}

struct Shared {
    current: ArcSwap<Snapshot>,
    revision: watch::Sender<u64>,
    /// How many operations wait for a suitable node.
    held: watch::Sender<usize>,
    reports: Mutex<Reports>,
}

/// What changes with every report. The lock is taken for a heartbeat, a handshake or an error,
/// never for an operation that succeeds.
struct Reports {
    deployment: Deployment,
    listeners: Vec<mpsc::UnboundedSender<TopologyEvent>>,
}

impl Topology {
    /// A topology without a monitor: it learns only from reports. [`monitor::Monitor::start`]
    /// monitors one.
    #[must_use]
    pub fn new(seeds: &Seeds) -> Self {
        let deployment = Deployment::new(seeds);
        Self {
            shared: Arc::new(Shared {
                current: ArcSwap::from_pointee(deployment.snapshot(0)),
                revision: watch::Sender::new(0),
                held: watch::Sender::new(0),
                reports: Mutex::new(Reports {
                    deployment,
                    listeners: Vec::new(),
                }),
            }),
        }
    }

    /// The latest snapshot.
    #[must_use]
    pub fn current(&self) -> Arc<Snapshot> {
        self.shared.current.load_full()
    }

    /// The revision of the latest snapshot, to wait for a newer one. New round trips alone do not
    /// change it, because they make no node suitable that was not.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.shared.revision.subscribe()
    }

    /// All events from now on, in order.
    #[must_use]
    pub fn events(&self) -> mpsc::UnboundedReceiver<TopologyEvent> {
        let (sender, receiver) = mpsc::unbounded_channel();
        self.shared.reports.lock().listeners.push(sender);
        receiver
    }

    /// An operation waits for a suitable node as long as the result lives. Meanwhile monitors
    /// that pause after a failure check every 500 ms.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.shared.held.send_modify(|held| *held += 1);
        Hold {
            shared: self.shared.clone(),
        }
    }

    /// Waits until an operation waits for a suitable node.
    pub async fn needed(&self) {
        let _ = self
            .shared
            .held
            .subscribe()
            .wait_for(|held| *held > 0)
            .await;
    }

    /// The hello of a connection, asked for at `started`, was answered. Returns whether it was
    /// believed.
    pub fn on_hello(&self, address: &NodeAddress, started: Instant, hello: Hello) -> bool {
        self.heard(address, HelloSource::Connection, started, hello)
    }

    /// A connection of this generation broke, or timed out (`timed_out`). A refused login is no
    /// network error: only the pool deals with it.
    pub fn on_network_error(
        &self,
        address: &NodeAddress,
        generation: u64,
        phase: Phase,
        timed_out: bool,
        error: &str,
    ) -> StateChange {
        self.report(|deployment, _| {
            deployment.on_network_error(address, generation, phase, timed_out, error, now())
        })
    }

    /// A connection of this generation was answered with a state-change error.
    /// `topology_version` is that of the error.
    pub fn on_state_change(
        &self,
        address: &NodeAddress,
        generation: u64,
        kind: StateChangeKind,
        topology_version: Option<TopologyVersion>,
        error: &str,
    ) -> StateChange {
        self.report(|deployment, _| {
            deployment.on_state_change(address, generation, kind, topology_version, error, now())
        })
    }

    fn heard(
        &self,
        address: &NodeAddress,
        source: HelloSource,
        started: Instant,
        hello: Hello,
    ) -> bool {
        let heard = Heard {
            source,
            started,
            at_ms: unix_milliseconds(),
        };
        self.report(|deployment, _| deployment.on_hello(address, hello, heard))
    }

    /// A node did not answer a hello on one of Weir's own connections for as long as a monitor
    /// would have waited. It counts as dead, as if its monitor had timed out.
    pub fn on_silence(&self, address: &NodeAddress) {
        self.monitor_failed(address, true, "it does not answer hello", now());
    }

    /// A heartbeat that began at `began` failed.
    fn monitor_failed(&self, address: &NodeAddress, timed_out: bool, error: &str, began: Instant) {
        self.report(|deployment, events| {
            let heard_since = deployment.heard_since(address, began);
            if let Some(down) = deployment.on_monitor_failure(address, timed_out, error, now()) {
                events.push(TopologyEvent::NodeDown {
                    address: address.clone(),
                    timed_out: down.timed_out,
                    heard_since,
                    error: error.into(),
                    generation: down.generation,
                });
            }
        });
    }

    /// The driver monitors other addresses, or has measured round trips.
    fn watched(
        &self,
        added: Vec<NodeAddress>,
        removed: Vec<NodeAddress>,
        rtts: Vec<(NodeAddress, Duration)>,
    ) {
        self.report(|deployment, _| {
            added.iter().for_each(|address| deployment.add(address));
            removed
                .iter()
                .for_each(|address| deployment.forget(address));
            rtts.iter()
                .for_each(|(address, rtt)| deployment.on_rtt(address, *rtt));
        });
    }

    /// Applies one report and publishes the result, if it changed anything.
    fn report<T>(&self, change: impl FnOnce(&mut Deployment, &mut Vec<TopologyEvent>) -> T) -> T {
        let mut reports = self.shared.reports.lock();
        let mut events = Vec::new();
        let outcome = change(&mut reports.deployment, &mut events);
        let before = self.shared.current.load_full();
        let mut after = reports.deployment.snapshot(before.revision);
        if after.differs_by_more_than_rtt(&before) {
            after.revision += 1;
            events.extend(differences(&before, &after));
        }
        if after != *before {
            let revision = after.revision;
            self.shared.current.store(Arc::new(after));
            self.shared
                .revision
                .send_if_modified(|known| std::mem::replace(known, revision) != revision);
        }
        for event in events {
            reports
                .listeners
                .retain(|listener| listener.send(event.clone()).is_ok());
        }
        outcome
    }
}

/// Keeps monitors awake while an operation waits; see [`Topology::hold`].
pub struct Hold {
    shared: Arc<Shared>,
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.shared
            .held
            .send_modify(|held| *held = held.saturating_sub(1));
    }
}

/// The events between two snapshots. A failed monitor is not among them: only its report has the
/// error.
fn differences(before: &Snapshot, after: &Snapshot) -> Vec<TopologyEvent> {
    let mut events = Vec::new();
    for node in &before.nodes {
        if after.node(&node.address).is_none() {
            events.push(TopologyEvent::NodeRemoved {
                address: node.address.clone(),
            });
        }
    }
    for node in &after.nodes {
        let was_up = before
            .node(&node.address)
            .is_some_and(|old| old.kind != NodeKind::Unknown);
        if !was_up && node.kind != NodeKind::Unknown {
            events.push(TopologyEvent::NodeUp {
                address: node.address.clone(),
                kind: node.kind,
            });
        }
    }
    let primary = |snapshot: &Snapshot| snapshot.primary().map(|node| node.address.clone());
    if primary(before) != primary(after) {
        events.push(TopologyEvent::PrimaryChanged {
            primary: primary(after),
        });
    }
    events
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

fn unix_milliseconds() -> i64 {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
