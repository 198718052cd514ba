//! Looks at one upstream: watches it until it is known, then makes one connection to each node,
//! logs in and asks what the node says of itself. Nothing is written.
//!
//! At no moment are there more sockets to a node than its monitors and one more, which
//! `--max-connections` allows in every valid configuration.

use std::sync::Arc;
use std::time::Duration;

use bson::{RawDocumentBuf, rawdoc};
use futures_util::future::join_all;
use tokio::time::{Instant, timeout, timeout_at};

use crate::config::Upstream;
use crate::topology::monitor::{Monitor, MonitorError};
use crate::topology::{Hello, NodeAddress, NodeKind, Snapshot, Topology, TopologyKind};
use crate::upstream::{ConnectError, Connection, Connector, Failure};
use crate::wire::raw::{Element, find};

/// Time for an election that may be going on.
const ELECTION: Duration = Duration::from_secs(5);
/// Longest wait for a node that has not answered its monitor.
const SECOND_TRY: Duration = Duration::from_secs(5);
/// Longest wait for one answer about limits and versions.
const ANSWER: Duration = Duration::from_secs(3);
/// Longest wait for the end of what was opened.
const END: Duration = Duration::from_secs(2);
/// Unauthorized.
const UNAUTHORIZED: i64 = 13;

/// What was seen of one upstream.
pub(super) struct Found {
    /// What its monitors told.
    pub(super) snapshot: Arc<Snapshot>,
    /// What came of a connection to each node.
    pub(super) visits: Vec<(NodeAddress, Result<Visit, ConnectError>)>,
}

/// What one node said on a connection of Weir's own.
#[derive(Clone, Debug, Default)]
pub(super) struct Visit {
    pub(super) hello: Hello,
    /// The version of a Weir.
    pub(super) weir: Option<String>,
    pub(super) compression: Option<&'static str>,
    /// How it was logged in.
    pub(super) mechanism: Option<&'static str>,
    pub(super) version: Option<String>,
    pub(super) round_trip: Option<Duration>,
    pub(super) connections: Connections,
}

/// What `serverStatus` said about connections.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Connections {
    Told {
        current: u64,
        available: u64,
    },
    /// The user may not ask.
    Forbidden,
    /// It does not say.
    #[default]
    Untold,
}

/// Looks at `upstream` for no longer than `limit`.
///
/// # Errors
/// The driver refuses to watch it.
pub(super) async fn probe_upstream(
    upstream: &Upstream,
    mut connector: Connector,
    limit: Duration,
) -> Result<Found, MonitorError> {
    let end = Instant::now() + limit;
    let options = upstream.seed.client_options();
    let topology = Monitor::topology(&options);
    let monitor = Monitor::start(options, &topology)?;
    let snapshot = settled(&topology, end).await;
    let left = end.saturating_duration_since(Instant::now());
    connector.time_limit = connector.time_limit.min(left.max(Duration::from_secs(1)));
    let visits = visitable(&snapshot, upstream).into_iter().map(|node| {
        let (connector, snapshot) = (&connector, &snapshot);
        async move {
            let known = snapshot
                .node(&node)
                .is_some_and(|node| node.error.is_none());
            let visit = match known {
                true => visit(connector, &node).await,
                // Its monitor has waited for it already.
                false => timeout(SECOND_TRY, visit(connector, &node))
                    .await
                    .unwrap_or(Err(ConnectError::TimedOut(SECOND_TRY))),
            };
            (node, visit)
        }
    });
    let visits = join_all(visits).await;
    drop(timeout(END, monitor.stop()).await);
    Ok(Found { snapshot, visits })
}

/// Waits until every node was heard or has failed and, in a replica set, there is a primary.
async fn settled(topology: &Topology, end: Instant) -> Arc<Snapshot> {
    let mut news = topology.watch();
    let _awake = topology.hold();
    let election = end.min(Instant::now() + ELECTION);
    loop {
        let snapshot = topology.current();
        let heard = is_heard(&snapshot);
        let whole = snapshot.kind != TopologyKind::ReplicaSetNoPrimary || snapshot.nodes.is_empty();
        let until = if heard { election } else { end };
        if heard && whole || timeout_at(until, news.changed()).await.is_err() {
            return snapshot;
        }
    }
}

fn is_heard(snapshot: &Snapshot) -> bool {
    let mut nodes = snapshot.nodes.iter();
    nodes.all(|node| node.kind != NodeKind::Unknown || node.error.is_some())
}

/// The nodes that operations would go to, or could not. Of a deployment that fell apart because
/// its string is wrong, the string's own hosts: what they say tells why.
fn visitable(snapshot: &Snapshot, upstream: &Upstream) -> Vec<NodeAddress> {
    if snapshot.nodes.is_empty() {
        let hosts = upstream.hosts.iter();
        return hosts
            .map(|host| NodeAddress::tcp(&host.host, Some(host.port)))
            .collect();
    }
    let nodes = snapshot.nodes.iter();
    nodes
        .filter(|node| node.kind.holds_data() || node.kind == NodeKind::Unknown)
        .map(|node| node.address.clone())
        .collect()
}

async fn visit(connector: &Connector, node: &NodeAddress) -> Result<Visit, ConnectError> {
    let mut connected = connector.connect(node).await;
    let renewed = |failure: &Failure| matches!(failure.error, ConnectError::CredentialsRenewed);
    if connected.as_ref().is_err_and(renewed) {
        connected = connector.connect(node).await;
    }
    let mut connection = connected.map_err(|failure| failure.error)?;
    let document = Arc::clone(&connection.hello().document);
    let principal = connector.principal.as_ref();
    let mut visit = Visit {
        hello: Hello::parse(&document).unwrap_or_default(),
        weir: find(&document, b"weir").and_then(text),
        compression: connection.compressor().map(|codec| codec.name()),
        mechanism: principal.map(|principal| principal.mechanism_after(&document)),
        ..Visit::default()
    };
    let asked = Instant::now();
    if let Some(info) = ask(&mut connection, rawdoc! { "buildInfo": 1, "$db": "admin" }).await {
        visit.round_trip = Some(asked.elapsed());
        visit.version = find(&info, b"version").and_then(text);
        if let Some(status) = ask(&mut connection, server_status()).await {
            visit.connections = connections(&status);
        }
    }
    drop(timeout(END, connection.destroy(|| true)).await);
    Ok(visit)
}

/// `serverStatus` without its large sections.
fn server_status() -> RawDocumentBuf {
    rawdoc! {
        "serverStatus": 1, "locks": 0, "metrics": 0, "mirroredReads": 0, "opLatencies": 0,
        "repl": 0, "tcmalloc": 0, "transactions": 0, "wiredTiger": 0, "$db": "admin",
    }
}

async fn ask(connection: &mut Connection, command: RawDocumentBuf) -> Option<Vec<u8>> {
    timeout(ANSWER, connection.ask(&command)).await.ok()?.ok()
}

fn connections(status: &[u8]) -> Connections {
    if find(status, b"code").and_then(|code| code.as_number_i64()) == Some(UNAUTHORIZED) {
        return Connections::Forbidden;
    }
    let section = find(status, b"connections").and_then(|section| section.as_document());
    let number = |name: &[u8]| {
        let number = find(section?, name)?.as_number_i64()?;
        u64::try_from(number).ok()
    };
    match (number(b"current"), number(b"available")) {
        (Some(current), Some(available)) => Connections::Told { current, available },
        _ => Connections::Untold,
    }
}

fn text(element: Element<'_>) -> Option<String> {
    let bytes = element.as_str()?;
    Some(String::from_utf8_lossy(bytes).into_owned())
}
