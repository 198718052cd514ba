//! The live state, as `/status` serves it.

use serde::{Deserialize, Serialize};

use crate::{
    admin::{Admin, View},
    upstream::connect::hint,
};

/// Everything `weir status` shows.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status {
    /// Weir's version.
    pub version: String,
    /// Seconds since the start.
    pub uptime_seconds: u64,
    /// Client connections now.
    pub clients: usize,
    /// Weir is leaving.
    pub draining: bool,
    /// One entry a listener.
    pub listeners: Vec<ServiceStatus>,
}

/// One listener and its cluster.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ServiceStatus {
    /// Its name.
    pub name: String,
    /// The upstream string, without its password.
    pub upstream: String,
    /// What kind of deployment it is.
    pub topology: String,
    /// Ceiling of sockets to each node.
    pub max_connections: usize,
    /// Of these, sockets that watch the node.
    pub monitor_sockets: usize,
    /// Operations held because no node suits them.
    pub held: usize,
    /// Open cursors that Weir knows of.
    pub cursors: usize,
    /// Transactions tied to a router.
    pub transactions: usize,
    /// Bytes of messages in flight.
    pub bytes_in_flight: usize,
    /// Operations answered by the upstream.
    pub operations: usize,
    /// Errors of Weir's own, by cause.
    pub refused: std::collections::BTreeMap<String, usize>,
    /// One entry a node.
    pub nodes: Vec<NodeStatus>,
}

/// One node and its pool.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct NodeStatus {
    /// Where it listens.
    pub address: String,
    /// What it is.
    pub kind: String,
    /// Why it cannot be used, if something went wrong.
    pub error: Option<String>,
    /// Monitoring round trip, milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Idle connections.
    pub idle: usize,
    /// Connections leased by ordinary work.
    pub normal: usize,
    /// Connections leased by commits, getMores and the like.
    pub finishing: usize,
    /// Connections leased by getMores that wait for data.
    pub awaiting: usize,
    /// Handshakes in progress.
    pub connecting: usize,
    /// Destroyed, but not yet let go by the server.
    pub closing: usize,
    /// All sockets of the pool, which with the monitors never exceed the cap.
    pub sockets: usize,
    /// Operations waiting for a connection.
    pub queued: usize,
    /// The upstream refused Weir's last login.
    pub login_refused: bool,
    /// It failed again and again: operations that have a choice avoid it.
    #[serde(default)]
    pub avoided: bool,
}

impl Admin {
    /// The state now.
    #[must_use]
    pub fn status(&self) -> Status {
        Status {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            uptime_seconds: self.started.elapsed().as_secs(),
            clients: self.clients_now(),
            draining: self.drain.has_begun(),
            listeners: self.views.iter().map(ServiceStatus::of).collect(),
        }
    }
}

impl ServiceStatus {
    /// The state of one listener now.
    #[must_use]
    pub fn of(view: &View) -> Self {
        let relay = view.front.own_relay();
        let table = relay.cluster().table();
        let nodes = table.snapshot.nodes.iter().zip(&table.pools);
        let failures = view.front.metrics.failures().into_iter();
        Self {
            name: view.name.clone(),
            upstream: view.upstream.clone(),
            topology: table.snapshot.kind.name().to_owned(),
            max_connections: view.max_connections,
            monitor_sockets: view.monitor_sockets,
            held: view.front.metrics.held_now(),
            cursors: relay.open_cursors(),
            transactions: relay.open_transactions(),
            bytes_in_flight: relay.budget().used(),
            operations: view.front.metrics.operations(),
            refused: failures.map(|(cause, n)| (cause.to_owned(), n)).collect(),
            nodes: nodes
                .map(|(node, pool)| NodeStatus::of(node, pool))
                .collect(),
        }
    }
}

impl NodeStatus {
    fn of(node: &crate::topology::Node, pool: &crate::pool::NodePool) -> Self {
        let counts = pool.counts();
        let [normal, finishing, awaiting] = counts.leased;
        Self {
            address: node.address.to_string(),
            kind: node.kind.name().to_owned(),
            error: node
                .error
                .as_ref()
                .map(|text| format!("{text}{}", hint(text))),
            round_trip_ms: node.rtt.map(|rtt| rtt.as_secs_f64() * 1000.0),
            idle: counts.idle,
            normal,
            finishing,
            awaiting,
            connecting: counts.connecting,
            closing: counts.closing,
            sockets: counts.sockets(),
            queued: counts.queued,
            login_refused: pool.login_refused(),
            avoided: pool.has_tripped(),
        }
    }
}
