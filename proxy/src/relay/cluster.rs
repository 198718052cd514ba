//! One upstream cluster: what is known of its nodes, joined with a pool for each.
//!
//! Operations read a [`Table`], an immutable pairing of a snapshot with its pools;
//! reading it takes no lock. Errors and hellos that connections meet are reported to
//! the topology from here, and what follows from them (clear, interrupt, probe) is
//! done to the pools at once, before the operation that met the error goes on.

use std::{
    collections::HashMap,
    io,
    sync::{Arc, Weak, atomic::AtomicUsize},
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::{
    sync::{mpsc, watch},
    time::Instant,
};

use crate::{
    command::outcome::ReportedVersion,
    pool::{Limits, NodePool, Observer},
    topology::{
        Hello, NodeAddress, NodeKind, Phase, Snapshot, StateChange, StateChangeKind, Topology,
        TopologyEvent, TopologyKind, TopologyVersion,
    },
    upstream::{ConnectError, Connector, ServerHello},
};

/// First pause suggested to clients that are turned away, milliseconds.
const BACKOFF_MS: u32 = 100;

/// Drivers send transaction numbers to Weir, which a standalone server rejects.
const STANDALONE: &str = "the upstream is a standalone server, which knows no retryable writes and \
    no transactions; make it a replica set of one: start it with --replSet rs0, run \
    rs.initiate() once, and add replicaSet=rs0 to --upstream";

/// A snapshot and the pools of its nodes, index by index.
#[derive(Debug)]
pub struct Table {
    /// What is known.
    pub snapshot: Arc<Snapshot>,
    /// One pool for each node of the snapshot.
    pub pools: Vec<Arc<NodePool>>,
    /// A connection of this upstream carries at most one open transaction.
    pub keeps_transactions_apart: bool,
}

/// Sizes of the pools.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// For each node.
    pub limits: Limits,
    /// How long a connection may be used, before jitter.
    pub lifetime: Duration,
}

/// One upstream cluster.
pub struct Cluster {
    topology: Topology,
    table: ArcSwap<Table>,
    revision: watch::Sender<u64>,
    pools: Mutex<HashMap<NodeAddress, Arc<NodePool>>>,
    settings: PoolSettings,
    connector: Arc<Connector>,
    /// Why this upstream can never be served.
    fatal: watch::Sender<Option<String>>,
    this: Weak<Self>,
    /// GetMores that wait for data now.
    pub(crate) awaiting: AtomicUsize,
}

impl Cluster {
    /// Joins `topology` with pools. The caller watches the deployment; this reacts.
    #[must_use]
    pub fn start(
        topology: Topology,
        settings: PoolSettings,
        connector: Arc<Connector>,
        fatal: watch::Sender<Option<String>>,
    ) -> Arc<Self> {
        let events = topology.events();
        let cluster = Arc::new_cyclic(|this| Self {
            table: ArcSwap::from_pointee(Table {
                snapshot: topology.current(),
                pools: Vec::new(),
                keeps_transactions_apart: false,
            }),
            topology,
            revision: watch::Sender::new(0),
            pools: Mutex::new(HashMap::new()),
            settings,
            connector,
            fatal,
            this: Weak::clone(this),
            awaiting: AtomicUsize::new(0),
        });
        cluster.rebuild();
        tokio::spawn(follow(Arc::downgrade(&cluster), events));
        cluster
    }

    /// The table now.
    #[must_use]
    pub fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// What is known now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.table.load().snapshot)
    }

    /// The topology below.
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Waits until there is a newer table than `seen`. Sleeping monitors are kept awake
    /// meanwhile.
    pub async fn changed_since(&self, seen: &Table) {
        let _hold = self.topology.hold();
        let mut revision = self.revision.subscribe();
        while self.table.load().snapshot.revision == seen.snapshot.revision {
            if revision.changed().await.is_err() {
                return;
            }
        }
    }

    /// Tells of every new table.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<u64> {
        self.revision.subscribe()
    }

    /// Brings the table up to date with the topology.
    fn rebuild(&self) {
        let mut pools = self.pools.lock();
        let snapshot = self.topology.current();
        let old = self.table.load();
        if snapshot.revision == old.snapshot.revision && !old.pools.is_empty() {
            return;
        }
        pools.retain(|address, pool| {
            let stays = snapshot.node(address).is_some();
            if !stays {
                pool.retire();
            }
            stays
        });
        let list = snapshot.nodes.iter().map(|node| {
            let pool = pools
                .entry(node.address.clone())
                .or_insert_with(|| self.new_pool(&node.address, node.generation));
            let serves_all = matches!(
                node.kind,
                NodeKind::Primary | NodeKind::Mongos | NodeKind::LoadBalancer
            );
            pool.set_available(serves_all || (node.kind.holds_data() && pool.was_used()));
            Arc::clone(pool)
        });
        let pools = list.collect();
        if snapshot.is_standalone() && snapshot.kind != TopologyKind::Sharded {
            self.fatal.send_replace(Some(STANDALONE.to_owned()));
        }
        let keeps_transactions_apart = snapshot.kind == TopologyKind::LoadBalanced;
        let revision = snapshot.revision;
        self.table.store(Arc::new(Table { snapshot, pools, keeps_transactions_apart }));
        self.revision.send_replace(revision);
    }

    fn new_pool(&self, address: &NodeAddress, generation: u64) -> Arc<NodePool> {
        let observer: Arc<dyn Observer> = Arc::new(Reporter(Weak::clone(&self.this)));
        let limits = self.settings.limits.clone();
        let connector = Arc::clone(&self.connector);
        NodePool::start(
            address.clone(),
            limits,
            generation,
            self.settings.lifetime,
            connector,
            observer,
        )
    }

    /// The pool of a node.
    #[must_use]
    pub fn pool_of(&self, address: &NodeAddress) -> Option<Arc<NodePool>> {
        let table = self.table.load();
        table.pools.get(table.snapshot.position(address)?).cloned()
    }

    /// Pools of the nodes that hold data, the primary first.
    #[must_use]
    pub fn data_pools_primary_first(&self) -> Vec<Arc<NodePool>> {
        let table = self.table.load();
        let nodes = table.snapshot.nodes.iter().zip(&table.pools);
        let mut data: Vec<_> = nodes.filter(|(node, _)| node.kind.holds_data()).collect();
        data.sort_by_key(|(node, _)| node.kind != NodeKind::Primary);
        data.into_iter().map(|(_, pool)| Arc::clone(pool)).collect()
    }

    /// All pools, for `status`.
    #[must_use]
    pub fn pools(&self) -> Vec<Arc<NodePool>> {
        self.table.load().pools.clone()
    }

    /// A connection in use broke.
    pub fn on_network_error(&self, pool: &Arc<NodePool>, generation: u64, error: &io::Error) {
        let timed_out = error.kind() == io::ErrorKind::TimedOut;
        let text = error.to_string();
        let change = self.topology.on_network_error(
            pool.node(),
            generation,
            Phase::Ready,
            timed_out,
            &text,
        );
        self.apply(pool, change);
        // One connection at once, ahead of any refill: its hello tells how the node is.
        if change.mark_unknown && !timed_out {
            pool.probe();
        }
    }

    /// A reply said that the node's role changed.
    pub fn on_state_change(
        &self,
        pool: &Arc<NodePool>,
        code: i32,
        version: Option<ReportedVersion>,
        generation: u64,
    ) {
        let Some(kind) = StateChangeKind::of(Some(code), "") else { return };
        let version = version.map(|v| TopologyVersion { process_id: v.process_id, counter: v.counter });
        let text = format!("it answered an operation with code {code}");
        let change =
            self.topology.on_state_change(pool.node(), generation, kind, version, &text);
        self.apply(pool, change);
        if change.mark_unknown {
            pool.probe();
        }
    }

    fn apply(&self, pool: &Arc<NodePool>, change: StateChange) {
        if change.clear_pool {
            // Behind a load balancer the pool counts for itself.
            let own = pool.generation() + 1;
            let to = if self.is_load_balanced() { own } else { change.generation };
            pool.clear(to);
        }
        self.rebuild();
    }

    fn on_event(&self, event: &TopologyEvent) {
        if let TopologyEvent::NodeDown { address, timed_out, error, generation } = event {
            let known = self.pools.lock().get(address).cloned();
            if let Some(pool) = known {
                tracing::warn!(node = %address, %error, timed_out, "a database node is down");
                if *timed_out { pool.interrupt(*generation) } else { pool.clear(*generation) }
            }
        }
        if let TopologyEvent::PrimaryChanged { primary } = event {
            let primary = primary.as_ref().map(ToString::to_string);
            tracing::info!(primary = primary.as_deref().unwrap_or("none"), "primary changed");
        }
        self.rebuild();
    }

    /// The whole upstream is one load-balanced address.
    #[must_use]
    pub fn is_load_balanced(&self) -> bool {
        self.table.load().keeps_transactions_apart
    }

    /// Transactions belong to one router (mongos, or what stands behind a balancer).
    #[must_use]
    pub fn has_router(&self) -> bool {
        let kind = self.table.load().snapshot.kind;
        matches!(kind, TopologyKind::Sharded | TopologyKind::LoadBalanced)
    }

    /// The round trip to a node, as its monitor measures it.
    #[must_use]
    pub fn round_trip(&self, address: &NodeAddress) -> Duration {
        let table = self.table.load();
        table.snapshot.node(address).and_then(|node| node.rtt).unwrap_or_default()
    }

    /// The first pause to suggest to clients that are turned away.
    #[must_use]
    pub const fn suggested_backoff_ms(&self) -> u32 {
        BACKOFF_MS
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("table", &self.table.load()).finish_non_exhaustive()
    }
}

async fn follow(cluster: Weak<Cluster>, mut events: mpsc::UnboundedReceiver<TopologyEvent>) {
    let Some(mut revision) = cluster.upgrade().map(|c| c.topology.watch()) else { return };
    loop {
        let event = tokio::select! {
            biased;
            event = events.recv() => match event {
                Some(event) => Some(event),
                None => return,
            },
            changed = revision.changed() => {
                if changed.is_err() {
                    return;
                }
                None
            }
        };
        let Some(cluster) = cluster.upgrade() else { return };
        match event {
            Some(event) => cluster.on_event(&event),
            None => cluster.rebuild(),
        }
    }
}

/// Passes on what a pool's connections learn about their node.
struct Reporter(Weak<Cluster>);

impl Observer for Reporter {
    fn connected(&self, node: &NodeAddress, started: Instant, hello: &ServerHello) {
        let Some(cluster) = self.0.upgrade() else { return };
        if let Ok(hello) = Hello::parse(&hello.document) {
            cluster.topology.on_hello(node, started.into_std(), hello);
            cluster.rebuild();
        }
    }

    fn connect_failed(&self, node: &NodeAddress, generation: u64, error: &ConnectError) {
        let Some(cluster) = self.0.upgrade() else { return };
        if matches!(error, ConnectError::Itself | ConnectError::NotLoadBalanced) {
            cluster.fatal.send_replace(Some(error.to_string()));
        }
        if !error.is_network() {
            return;
        }
        let phase =
            if error.is_before_hello() { Phase::Connecting } else { Phase::LoggingIn };
        let timed_out = matches!(error, ConnectError::TimedOut(_));
        let text = error.to_string();
        let change = cluster.topology.on_network_error(node, generation, phase, timed_out, &text);
        if let Some(pool) = cluster.pool_of(node) {
            cluster.apply(&pool, change);
        }
    }
}
