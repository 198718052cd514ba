//! The official driver, which monitors the deployment. Only this file holds a `mongodb::Client`.
//!
//! The driver resolves SRV records, finds members, opens the monitoring connections and sends hello
//! on them. [`super::sdam`] decides what the replies mean. It gets them through the driver's events.
//! The events are taken by callback, because the channel form runs one task for each event, and
//! events overtake each other.
//!
//! The client never logs in, opens no pool connection and sends no command. A server selection
//! that never succeeds serves two purposes:
//!
//! * Polled once, it shows the driver's round-trip averages. Events carry them only when something
//!   else changed.
//! * While it waits, monitors that pause after a failure check every 500 ms. It runs while
//!   operations wait for a node ([`Topology::hold`]).

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

use super::sdam::{HelloSource, Seeds};
use super::{Hello, NodeAddress, Topology, now};

/// The time between two heartbeats when the connection string does not say.
pub const DEFAULT_HEARTBEAT: Duration = Duration::from_secs(1);

/// The shortest time between two heartbeats that the driver allows.
pub const MIN_HEARTBEAT: Duration = Duration::from_millis(500);

/// The longest time to connect. A dead node is known after one heartbeat and this time.
pub const MAX_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// Monitors a deployment as long as it lives.
pub struct Monitor {
    /// `None` behind a load balancer, where there is nothing to monitor.
    watching: Option<Watching>,
}

struct Watching {
    client: Client,
    /// Reads round trips and keeps monitors awake.
    attendant: JoinHandle<()>,
    /// The driver's events are ignored from now on.
    closing: Arc<AtomicBool>,
}

/// The driver refused the options.
#[derive(Debug, ThisError)]
#[error("the deployment cannot be monitored with these options")]
pub struct MonitorError(#[from] Error);

impl Monitor {
    /// The topology that these options describe, not monitored yet. Call [`Topology::events`]
    /// before [`Monitor::start`] to get every event.
    #[must_use]
    pub fn topology(options: &ClientOptions) -> Topology {
        Topology::new(&Seeds {
            hosts: options.hosts.iter().map(address).collect(),
            direct: options.direct_connection == Some(true),
            set_name: options.repl_set_name.clone(),
            load_balanced: options.load_balanced == Some(true),
        })
    }

    /// Starts to monitor with the hosts, DNS and TLS of the options. Their credential and pool
    /// sizes are ignored. Their heartbeat is at least [`MIN_HEARTBEAT`], and their connect timeout
    /// at most [`MAX_CONNECT_TIMEOUT`].
    ///
    /// # Errors
    ///
    /// The options contradict each other, or the driver cannot read the TLS files.
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

    /// Stops monitoring and waits until the monitoring connections are closed. The topology stays
    /// as it is.
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
        // When the driver ends, it reports the removal of every node.
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
            topology.heard(&node, HelloSource::Monitor, started, hello);
        }
        Err(error) => topology.monitor_failed(&node, false, &error.to_string(), started),
    }
}

/// Hellos already add and remove members. Only the driver knows the changes that arrive here, such
/// as those of an SRV record.
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

/// Reads round trips once per heartbeat, and keeps monitors awake while operations wait.
async fn attend(client: Client, topology: Topology, heartbeat: Duration) {
    tokio::join!(
        measure(&client, &topology, heartbeat),
        keep_awake(&client, topology.shared.held.subscribe())
    );
}

async fn measure(client: &Client, topology: &Topology, heartbeat: Duration) {
    let mut ticks = tokio::time::interval(heartbeat);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let measured = Arc::new(Mutex::new(Vec::new()));
        let collected = measured.clone();
        let criteria = SelectionCriteria::Predicate(Arc::new(move |server| {
            if let Some(rtt) = server.average_round_trip_time() {
                collected.lock().push((address(server.address()), rtt));
            }
            false
        }));
        // One poll visits every node. After that the selection would start to wait.
        let _ = select(client, criteria).now_or_never();
        let rtts = std::mem::take(&mut *measured.lock());
        topology.watched(Vec::new(), Vec::new(), rtts);
    }
}

async fn keep_awake(client: &Client, mut held: watch::Receiver<usize>) {
    while held.wait_for(|held| *held > 0).await.is_ok() {
        debug!("operations wait for a suitable node; paused monitors check every 500 ms");
        let waiting = async {
            loop {
                // This ends only at the driver's own timeout or with an error.
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
