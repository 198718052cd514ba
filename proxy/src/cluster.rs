//! One upstream cluster: its topology, joined with a pool for each node.
//!
//! Operations read a [`Table`], an immutable pair of a snapshot and its pools. Reading it takes no
//! lock. `report` passes errors and hellos of connections on to the topology. It clears,
//! interrupts or probes the pools before the operation that met the error goes on.

mod report;

use std::{
    collections::{HashMap, HashSet},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use tokio::sync::watch;

use crate::{
    config::Freezing,
    pool::{Life, Limits, NodePool, Observer, Place},
    topology::{Hold, NodeAddress, NodeKind, Snapshot, Topology, TopologyKind},
    upstream::Connector,
};

/// The pause that Weir suggests to refused clients when no queue is full, milliseconds. It is the
/// drivers' own first pause.
const BACKOFF_MS: u32 = 100;

/// A snapshot and the pools of its nodes, in the same order.
#[derive(Debug)]
pub struct Table {
    /// What Weir knows of the deployment.
    pub snapshot: Arc<Snapshot>,
    /// One pool for each node of the snapshot.
    pub pools: Vec<Arc<NodePool>>,
    /// A connection of this upstream carries at most one open transaction.
    pub keeps_transactions_apart: bool,
}

impl Table {
    /// The pools of the nodes that hold data, the primary's first.
    #[must_use]
    pub fn data_pools(&self) -> Vec<Arc<NodePool>> {
        let nodes = self.snapshot.nodes.iter().zip(&self.pools);
        let mut data: Vec<_> = nodes.filter(|(node, _)| node.kind.holds_data()).collect();
        data.sort_by_key(|(node, _)| node.kind != NodeKind::Primary);
        data.into_iter().map(|(_, pool)| Arc::clone(pool)).collect()
    }
}

/// The settings of the pools.
#[derive(Clone, Debug)]
pub struct PoolSettings {
    /// The limits of each node's pool.
    pub limits: Limits,
    /// How long a connection may be used, before jitter.
    pub lifetime: Duration,
    /// Set where a host may freeze the process at any moment.
    pub freezing: Option<Freezing>,
}

/// One upstream cluster.
pub struct Cluster {
    topology: Topology,
    table: ArcSwap<Table>,
    revision: watch::Sender<u64>,
    pools: Mutex<HashMap<NodeAddress, Arc<NodePool>>>,
    /// The pools of removed nodes, while any of their sockets is open. Such a node may be added
    /// again, and its sockets still count.
    retired: Mutex<HashMap<NodeAddress, Arc<NodePool>>>,
    settings: PoolSettings,
    connector: Arc<Connector>,
    /// Why this upstream can never be used.
    fatal: watch::Sender<Option<String>>,
    this: Weak<Self>,
    /// The number of getMores that wait for data now.
    pub(crate) awaiting: AtomicUsize,
    held: AtomicU64,
    /// Nodes that are being asked for a hello on a connection of their pool.
    asking: Mutex<HashSet<NodeAddress>>,
    /// No connection is opened unless an operation needs it.
    asleep: AtomicBool,
}

impl Cluster {
    /// Joins `topology` with pools. The caller watches the deployment.
    #[must_use]
    pub fn start(
        topology: Topology,
        settings: PoolSettings,
        connector: Arc<Connector>,
        fatal: watch::Sender<Option<String>>,
    ) -> Arc<Self> {
        let events = topology.events();
        let asleep = settings.freezing.is_some_and(|freezing| freezing.asleep);
        let cluster = Arc::new_cyclic(|this| Self {
            table: ArcSwap::from_pointee(Table {
                snapshot: topology.current(),
                pools: Vec::new(),
                keeps_transactions_apart: false,
            }),
            topology,
            revision: watch::Sender::new(0),
            pools: Mutex::new(HashMap::new()),
            retired: Mutex::default(),
            settings,
            connector,
            fatal,
            this: Weak::clone(this),
            awaiting: AtomicUsize::new(0),
            held: AtomicU64::new(0),
            asking: Mutex::default(),
            asleep: AtomicBool::new(asleep),
        });
        cluster.rebuild();
        tokio::spawn(report::follow(Arc::downgrade(&cluster), events));
        cluster
    }

    /// The table now.
    #[must_use]
    pub fn table(&self) -> arc_swap::Guard<Arc<Table>> {
        self.table.load()
    }

    /// The snapshot now.
    #[must_use]
    pub fn snapshot(&self) -> Arc<Snapshot> {
        Arc::clone(&self.table.load().snapshot)
    }

    /// The topology that the table is made of.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub const fn topology(&self) -> &Topology {
        &self.topology
    }

    /// Waits until there is a newer table than `seen`. The monitors check more often meanwhile.
    pub async fn changed_since(&self, seen: &Table) {
        let _hold = self.topology.hold();
        let mut revision = self.revision.subscribe();
        while self.table.load().snapshot.revision == seen.snapshot.revision {
            if revision.changed().await.is_err() {
                return;
            }
        }
    }

    /// A place for an operation that no node suits now. All held operations wake in the same
    /// instant, and the places keep them in the order of their arrival in the new node's queue.
    pub fn place_among_held(&self) -> Place {
        Place(self.held.fetch_add(1, Ordering::Relaxed))
    }

    /// Receives the revision of every new table.
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
        self.retire_removed(&mut pools, &snapshot);
        let list = snapshot.nodes.iter().map(|node| {
            let pool = pools
                .entry(node.address.clone())
                .or_insert_with(|| self.new_pool(&node.address, node.generation));
            pool.set_available(self.is_kept_warm(node.kind, pool));
            Arc::clone(pool)
        });
        let pools = list.collect();
        if let Some(why) = snapshot.unservable() {
            self.fatal.send_replace(Some(why.to_owned()));
        }
        let keeps_transactions_apart = snapshot.kind == TopologyKind::LoadBalanced;
        let revision = snapshot.revision;
        self.table.store(Arc::new(Table {
            snapshot,
            pools,
            keeps_transactions_apart,
        }));
        self.revision.send_replace(revision);
    }

    fn retire_removed(&self, pools: &mut HashMap<NodeAddress, Arc<NodePool>>, now: &Snapshot) {
        let mut retired = self.retired.lock();
        retired.retain(|_, pool| pool.counts().sockets() > 0);
        let removed = pools.extract_if(|address, _| now.node(address).is_none());
        for (address, pool) in removed {
            pool.retire();
            retired.insert(address, pool);
        }
    }

    /// Whether connections to a node of this kind are opened before they are needed.
    fn is_kept_warm(&self, kind: NodeKind, pool: &NodePool) -> bool {
        let serves_all = matches!(
            kind,
            NodeKind::Primary | NodeKind::Mongos | NodeKind::LoadBalancer
        );
        let needed = serves_all || (kind.holds_data() && pool.was_used());
        needed && !self.asleep.load(Ordering::Relaxed)
    }

    /// From now on the pools keep their warm minimum.
    pub fn wake(&self) {
        if self.asleep.swap(false, Ordering::Relaxed) {
            let table = self.table.load();
            for (node, pool) in table.snapshot.nodes.iter().zip(&table.pools) {
                pool.set_available(self.is_kept_warm(node.kind, pool));
            }
        }
    }

    /// Wakes a sleeping cluster, because a client has come. The monitors check more often while
    /// the result lives.
    #[must_use]
    pub fn wanted(&self) -> Option<Hold> {
        let asleep = self.asleep.load(Ordering::Relaxed);
        asleep.then(|| {
            self.wake();
            self.topology.hold()
        })
    }

    /// From now on no connection is opened before an operation needs it.
    pub fn rest(&self) {
        self.asleep.store(true, Ordering::Relaxed);
        for pool in &self.table.load().pools {
            pool.set_available(false);
        }
    }

    fn new_pool(&self, address: &NodeAddress, generation: u64) -> Arc<NodePool> {
        let observer: Arc<dyn Observer> = Arc::new(report::Reporter(Weak::clone(&self.this)));
        let limits = self.settings.limits.clone();
        let connector = Arc::clone(&self.connector);
        NodePool::start(
            address.clone(),
            limits,
            generation,
            Life {
                lifetime: self.settings.lifetime,
                freezing: self.settings.freezing,
                before: self.retired.lock().remove(address),
            },
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

    /// All pools.
    #[must_use]
    pub fn pools(&self) -> Vec<Arc<NodePool>> {
        self.table.load().pools.clone()
    }

    /// Whether the upstream is one load-balanced address.
    #[must_use]
    pub fn is_load_balanced(&self) -> bool {
        self.table.load().keeps_transactions_apart
    }

    /// Whether a transaction belongs to one router: a mongos, or a server behind a load balancer.
    #[must_use]
    pub fn has_router(&self) -> bool {
        let kind = self.table.load().snapshot.kind;
        matches!(kind, TopologyKind::Sharded | TopologyKind::LoadBalanced)
    }

    /// Why no node can be used now. `None`: one can, or no connection was tried.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let table = self.table.load();
        let nodes = || table.snapshot.nodes.iter().zip(&table.pools);
        if nodes().any(|(_, pool)| pool.counts().idle + pool.counts().in_use() > 0) {
            return None;
        }
        nodes().find_map(|(node, pool)| {
            if pool.login_refused() {
                Some(format!("{} refuses the login", node.address))
            } else {
                pool.last_failure()
            }
        })
    }

    /// The least round trip to a node that its monitor measured lately.
    #[must_use]
    pub fn round_trip(&self, address: &NodeAddress) -> Duration {
        let table = self.table.load();
        table
            .snapshot
            .node(address)
            .and_then(|node| node.least_rtt)
            .unwrap_or_default()
    }

    /// The id of a node's server process. `None`: the server does not tell.
    #[must_use]
    pub fn process_of(&self, address: &NodeAddress) -> Option<[u8; 12]> {
        let table = self.table.load();
        let version = table.snapshot.node(address)?.topology_version?;
        Some(version.process_id)
    }

    /// Whether operations can be sent to a node now, or as soon as a pending check succeeds.
    #[must_use]
    pub fn serves(&self, address: &NodeAddress) -> bool {
        let table = self.table.load();
        let node = table.snapshot.node(address);
        node.is_some_and(|node| node.kind.holds_data() || node.suspended)
    }

    /// The pause to suggest to refused clients, milliseconds: the estimated time to drain the
    /// longest queue.
    #[must_use]
    pub fn suggested_backoff_ms(&self) -> u32 {
        let table = self.table.load();
        let longest = table.pools.iter().filter_map(|pool| pool.drain_time());
        let longest = longest.max();
        longest.map_or(BACKOFF_MS, |time| {
            u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
        })
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("table", &self.table.load())
            .finish_non_exhaustive()
    }
}
