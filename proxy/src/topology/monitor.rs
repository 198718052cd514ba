//! The official driver, which watches the deployment: the only file that holds a
//! `mongodb::Client`.
//!
//! The driver resolves SRV records, finds members, opens the monitoring
//! connections and asks hello on them. What the answers mean is decided in
//! [`super::sdam`], which every hello reaches through the driver's events. They
//! are taken by callback: the channel form runs one task per event, and events
//! overtake each other.
//!
//! The client never logs in, opens no pool connection and sends no command. A
//! server selection that never succeeds serves two purposes:
//!
//! * polled once, it shows the driver's round-trip averages, which events carry
//!   only when something else changed;
//! * left waiting, it makes monitors that sleep after a failure check every
//!   500 ms; it runs while operations wait for a node ([`Topology::hold`]).

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::FutureExt;
use mongodb::Client;
use mongodb::bson::doc;
use mongodb::error::{Error, ErrorKind};
use mongodb::event::EventHandler;
use mongodb::event::sdam::{SdamEvent, ServerHeartbeatSucceededEvent, TopologyDescription};
use mongodb::options::{ClientOptions, DriverInfo, SelectionCriteria, ServerAddress};
use parking_lot::Mutex;
use thiserror::Error as ThisError;
use tokio::sync::watch;
use tokio::task::JoinHandle;
use tokio::time::MissedTickBehavior;
use tracing::debug;

use super::sdam::{Seeds, Source};
use super::{Hello, NodeAddress, Topology, now};

/// How often a node is asked when the connection string does not say.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(1);

/// The driver never asks more often than this.
pub const MIN_HEARTBEAT: Duration = Duration::from_millis(500);

/// Longest time to connect, so that a dead node is known after one heartbeat and
/// this.
pub const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Watches a deployment for as long as it lives.
pub struct Monitor {
    /// `None` behind a load balancer, where there is nothing to watch.
    watching: Option<Watching>,
}

struct Watching {
    client: Client,
    attendant: JoinHandle<()>,
    closing: Arc<AtomicBool>,
}

/// The driver refused the options.
#[derive(Debug, ThisError)]
#[error("the deployment cannot be watched with these options")]
pub struct MonitorError(#[from] Error);

impl Monitor {
    /// The topology that these options describe, not watched yet: whoever needs
    /// every event asks for [`Topology::events`] before [`Monitor::start`].
    #[must_use]
    pub fn topology(options: &ClientOptions) -> Topology {
        Topology::new(&Seeds {
            hosts: options.hosts.iter().map(address).collect(),
            direct: options.direct_connection == Some(true),
            set_name: options.repl_set_name.clone(),
            load_balanced: options.load_balanced == Some(true),
        })
    }

    /// Starts to watch. Connections, DNS and TLS are those of the options; their
    /// credential and pool sizes are ignored, their heartbeat is at least
    /// [`MIN_HEARTBEAT`], their connect timeout at most [`MAX_CONNECT_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// When the driver finds the options contradictory, or cannot read TLS files.
    pub fn start(options: ClientOptions, topology: &Topology) -> Result<Self, MonitorError> {
        if options.load_balanced == Some(true) {
            return Ok(Self { watching: None });
        }
        let closing = Arc::new(AtomicBool::new(false));
        let mut options = watching_only(options);
        let heartbeat = options.heartbeat_freq.unwrap_or(DEFAULT_HEARTBEAT);
        options.sdam_event_handler = Some(EventHandler::callback({
            let (topology, closing) = (topology.clone(), closing.clone());
            move |event| {
                if !closing.load(Ordering::Relaxed) {
                    on_event(&topology, event);
                }
            }
        }));
        let client = Client::with_options(options)?;
        let attendant = tokio::spawn(attend(client.clone(), topology.clone(), heartbeat));
        Ok(Self {
            watching: Some(Watching {
                client,
                attendant,
                closing,
            }),
        })
    }

    /// Stops watching and waits until the monitoring connections are closed. What
    /// was known stays as it is.
    pub async fn stop(mut self) {
        if let Some(watching) = self.watching.take() {
            watching.end();
            watching.client.shutdown().immediate(true).await;
        }
    }
}

impl Drop for Monitor {
    fn drop(&mut self) {
        if let Some(watching) = &self.watching {
            watching.end();
        }
    }
}

impl Watching {
    fn end(&self) {
        // The driver reports its own end as the removal of every node.
        self.closing.store(true, Ordering::Relaxed);
        self.attendant.abort();
    }
}

fn watching_only(mut options: ClientOptions) -> ClientOptions {
    options.credential = None;
    options.min_pool_size = None;
    options.selection_criteria = None;
    options.command_event_handler = None;
    options.cmap_event_handler = None;
    let heartbeat = options.heartbeat_freq.unwrap_or(DEFAULT_HEARTBEAT);
    options.heartbeat_freq = Some(heartbeat.max(MIN_HEARTBEAT));
    let timeout = options.connect_timeout.filter(|timeout| !timeout.is_zero());
    options.connect_timeout = Some(
        timeout
            .unwrap_or(MAX_CONNECT_TIMEOUT)
            .min(MAX_CONNECT_TIMEOUT),
    );
    options.driver_info.get_or_insert_with(|| {
        DriverInfo::builder()
            .name("weir-monitor")
            .version(env!("CARGO_PKG_VERSION").to_owned())
            .build()
    });
    options
}

fn on_event(topology: &Topology, event: SdamEvent) {
    match event {
        SdamEvent::ServerHeartbeatSucceeded(event) => on_heartbeat(topology, &event),
        SdamEvent::ServerHeartbeatFailed(event) => {
            let (node, error) = (address(&event.server_address), &*event.failure.kind);
            debug!(%node, %error, "heartbeat failed");
            let now = now();
            let began = now.checked_sub(event.duration).unwrap_or(now);
            topology.monitor_failed(&node, is_timeout(error), &error.to_string(), began);
        }
        SdamEvent::TopologyDescriptionChanged(event) => {
            on_description(
                topology,
                &event.previous_description,
                &event.new_description,
            );
        }
        _ => {}
    }
}

fn on_heartbeat(topology: &Topology, event: &ServerHeartbeatSucceededEvent) {
    let node = address(&event.server_address);
    let now = now();
    let started = now.checked_sub(event.duration).unwrap_or(now);
    let bytes = event.reply.to_vec().unwrap_or_default();
    match Hello::parse(&bytes) {
        Ok(hello) => {
            topology.heard(&node, Source::Monitor, started, hello);
        }
        Err(error) => topology.monitor_failed(&node, false, &error.to_string(), started),
    }
}

/// Members come and go by the hellos themselves; here arrive the changes that only
/// the driver knows of, such as those of an SRV record.
fn on_description(topology: &Topology, previous: &TopologyDescription, new: &TopologyDescription) {
    let (previous, new) = (previous.servers(), new.servers());
    let added = new.keys().filter(|server| !previous.contains_key(*server));
    let removed = previous.keys().filter(|server| !new.contains_key(*server));
    let rtts = new
        .iter()
        .filter_map(|(server, info)| Some((address(server), info.average_round_trip_time()?)));
    topology.watched(
        added.map(|server| address(server)).collect(),
        removed.map(|server| address(server)).collect(),
        rtts.collect(),
    );
}

fn is_timeout(error: &ErrorKind) -> bool {
    matches!(error, ErrorKind::Io(error) if error.kind() == std::io::ErrorKind::TimedOut)
}

fn address(server: &ServerAddress) -> NodeAddress {
    match server {
        ServerAddress::Tcp { host, port } => NodeAddress::tcp(host, *port),
        other => NodeAddress::unix(&other.to_string()),
    }
}

/// Reads round trips once per heartbeat and keeps monitors awake while operations
/// wait.
async fn attend(client: Client, topology: Topology, heartbeat: Duration) {
    tokio::join!(
        measure(&client, &topology, heartbeat),
        keep_awake(&client, topology.shared.held.subscribe())
    );
}

async fn measure(client: &Client, topology: &Topology, heartbeat: Duration) {
    let mut pulse = tokio::time::interval(heartbeat);
    pulse.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        pulse.tick().await;
        let seen = Arc::new(Mutex::new(Vec::new()));
        let seen_by_driver = seen.clone();
        let look = SelectionCriteria::Predicate(Arc::new(move |server| {
            if let Some(rtt) = server.average_round_trip_time() {
                seen_by_driver.lock().push((address(server.address()), rtt));
            }
            false
        }));
        // One poll looks at every node; then the selection would start to wait.
        let _ = select(client, look).now_or_never();
        let rtts = std::mem::take(&mut *seen.lock());
        topology.watched(Vec::new(), Vec::new(), rtts);
    }
}

async fn keep_awake(client: &Client, mut held: watch::Receiver<usize>) {
    while held.wait_for(|held| *held > 0).await.is_ok() {
        debug!("operations wait for a suitable node, sleeping monitors check every 500 ms");
        let waiting = async {
            loop {
                // Ends by itself only at the driver's own timeout or on an error.
                select(client, SelectionCriteria::Predicate(Arc::new(|_| false))).await;
                tokio::time::sleep(MIN_HEARTBEAT).await;
            }
        };
        let served = async { held.wait_for(|held| *held == 0).await.is_ok() };
        tokio::select! {
            _ = served => {}
            () = waiting => {}
        }
    }
}

/// A server selection with a predicate that is never true. It sends nothing.
async fn select(client: &Client, criteria: SelectionCriteria) {
    let admin = client.database("admin");
    let ping = admin
        .run_command(doc! { "ping": 1 })
        .selection_criteria(criteria);
    let _ = ping.await;
}

#[cfg(test)]
mod tests;
