//! What a cluster learns about its nodes: from the monitors' events, and from the connections of
//! its pools.

use std::{
    io,
    sync::{Arc, Weak},
    time::Duration,
};

use tokio::{sync::mpsc, time::Instant};

use crate::{
    cluster::Cluster,
    command::outcome::ReportedVersion,
    pool::{Lane, NodePool, Observer, Want},
    topology::{
        Hello, NodeAddress, Phase, StateChange, StateChangeKind, TopologyEvent, TopologyVersion,
    },
    upstream::{ConnectError, ServerHello, connect::hint},
};

/// How long a node that failed may take to send a hello.
const HELLO_TIME: Duration = Duration::from_secs(5);

/// Hellos that are asked for in a row. By then the monitor knows more.
const MOST_HELLOS: u32 = 5;

impl Cluster {
    /// Takes note that a connection in use broke.
    pub fn on_network_error(&self, pool: &Arc<NodePool>, generation: u64, error: &io::Error) {
        let timed_out = error.kind() == io::ErrorKind::TimedOut;
        let text = error.to_string();
        let change =
            self.topology
                .on_network_error(pool.node(), generation, Phase::Ready, timed_out, &text);
        self.apply(pool, change);
        if change.mark_unknown && !timed_out {
            self.ask_for_hello(pool);
        }
    }

    /// Takes note that a reply said that the node's role changed.
    pub fn on_state_change(
        &self,
        pool: &Arc<NodePool>,
        code: i32,
        version: Option<ReportedVersion>,
        generation: u64,
    ) {
        let Some(kind) = StateChangeKind::of(Some(code), "") else {
            return;
        };
        let version = version.map(|v| TopologyVersion {
            process_id: v.process_id,
            counter: v.counter,
        });
        let text = format!("it answered an operation with code {code}");
        let change = self
            .topology
            .on_state_change(pool.node(), generation, kind, version, &text);
        self.apply(pool, change);
        if change.mark_unknown {
            self.ask_for_hello(pool);
        }
    }

    /// Asks a node that just failed for a hello, on one new connection that comes before any
    /// refill. A full pool has no room for it, and there the next free connection is used.
    fn ask_for_hello(&self, pool: &Arc<NodePool>) {
        if pool.probe() || !self.asking.lock().insert(pool.node().clone()) {
            return;
        }
        let (this, pool) = (Weak::clone(&self.this), Arc::clone(pool));
        tokio::spawn(async move {
            // A verdict passed meanwhile is newer than the hello: ask once more.
            for _ in 0..MOST_HELLOS {
                let heard = tokio::time::timeout(HELLO_TIME, hello_of(&pool)).await;
                let Some(cluster) = this.upgrade() else {
                    return;
                };
                if let Ok(Some((started, hello))) = heard {
                    cluster
                        .topology
                        .on_hello(pool.node(), started.into_std(), hello);
                    cluster.rebuild();
                }
                if !cluster
                    .snapshot()
                    .node(pool.node())
                    .is_some_and(|node| node.suspended)
                {
                    break;
                }
            }
            if let Some(cluster) = this.upgrade() {
                cluster.asking.lock().remove(pool.node());
            }
        });
    }

    /// Takes note of a hello that a connection received. Returns whether it changed what Weir
    /// knows.
    pub(crate) fn on_hello(&self, node: &NodeAddress, started: Instant, document: &[u8]) -> bool {
        let Ok(hello) = Hello::parse(document) else {
            return false;
        };
        let before = self.topology.current().revision;
        self.topology.on_hello(node, started.into_std(), hello);
        self.rebuild();
        self.topology.current().revision != before
    }

    fn apply(&self, pool: &Arc<NodePool>, change: StateChange) {
        if change.clear_pool {
            // Behind a load balancer the pool counts its generations itself.
            let own = pool.generation().saturating_add(1);
            let to = if self.is_load_balanced() {
                own
            } else {
                change.generation
            };
            pool.clear(to);
        }
        self.rebuild();
    }

    fn on_event(&self, event: &TopologyEvent) {
        if let TopologyEvent::NodeDown {
            address,
            timed_out,
            heard_since,
            error,
            generation,
        } = event
        {
            let known = self.pools.lock().get(address).cloned();
            if let Some(pool) = known {
                let hint = hint(error);
                tracing::warn!(node = %address, timed_out, "a database node is down: {error}{hint}");
                // After a freeze the network may have dropped only the monitor's own flow.
                let is_monitor_alone = *heard_since && pool.freezing().is_some();
                if *timed_out && !is_monitor_alone {
                    pool.interrupt(*generation)
                } else {
                    pool.clear(*generation)
                }
            }
        }
        if let TopologyEvent::PrimaryChanged { primary } = event {
            let primary = primary.as_ref().map(ToString::to_string);
            tracing::info!(
                primary = primary.as_deref().unwrap_or("none"),
                "primary changed"
            );
            self.rebuild();
            self.ask_displaced_primary();
        }
        self.rebuild();
    }

    /// Asks a displaced primary for a hello while operations wait on it. If none comes, these
    /// operations end now.
    ///
    /// The node may have stepped down, or may be frozen. The kernel of a frozen node goes on
    /// acknowledging, and its monitor takes long to notice.
    fn ask_displaced_primary(&self) {
        let table = self.table.load();
        for (node, pool) in table.snapshot.nodes.iter().zip(&table.pools) {
            let waited_on = pool.counts().leased.iter().sum::<usize>() > 0;
            if node.kind.holds_data() || !waited_on {
                continue;
            }
            let (this, pool) = (Weak::clone(&self.this), Arc::clone(pool));
            tokio::spawn(async move {
                let heard = tokio::time::timeout(HELLO_TIME, hello_of(&pool)).await;
                let Some(cluster) = this.upgrade() else {
                    return;
                };
                match heard {
                    Ok(Some((started, hello))) => {
                        let at = started.into_std();
                        cluster.topology.on_hello(pool.node(), at, hello);
                    }
                    // Refused or broken: TCP ends the operations that wait.
                    Ok(None) => {}
                    Err(_) => cluster.topology.on_silence(pool.node()),
                }
                cluster.rebuild();
            });
        }
    }
}

/// Follows the topology for as long as the cluster lives.
pub(super) async fn follow(
    cluster: Weak<Cluster>,
    mut events: mpsc::UnboundedReceiver<TopologyEvent>,
) {
    let Some(mut revision) = cluster.upgrade().map(|c| c.topology.watch()) else {
        return;
    };
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
        let Some(cluster) = cluster.upgrade() else {
            return;
        };
        match event {
            Some(event) => cluster.on_event(&event),
            None => cluster.rebuild(),
        }
    }
}

/// Passes what a pool's connections learn about their node on to the cluster.
pub(super) struct Reporter(pub(super) Weak<Cluster>);

impl Observer for Reporter {
    fn connected(&self, node: &NodeAddress, started: Instant, hello: &ServerHello) {
        let Some(cluster) = self.0.upgrade() else {
            return;
        };
        if let Ok(hello) = Hello::parse(&hello.document) {
            cluster.topology.on_hello(node, started.into_std(), hello);
            cluster.rebuild();
        }
    }

    fn connect_failed(&self, node: &NodeAddress, generation: u64, error: &ConnectError) {
        let Some(cluster) = self.0.upgrade() else {
            return;
        };
        if matches!(error, ConnectError::Itself | ConnectError::NotLoadBalanced) {
            cluster.fatal.send_replace(Some(error.to_string()));
        }
        if !error.is_network() {
            return;
        }
        let phase = if error.is_before_hello() {
            Phase::Connecting
        } else {
            Phase::LoggingIn
        };
        let timed_out = matches!(error, ConnectError::TimedOut(_));
        let text = error.to_string();
        let change = cluster
            .topology
            .on_network_error(node, generation, phase, timed_out, &text);
        if let Some(pool) = cluster.pool_of(node) {
            cluster.apply(&pool, change);
        }
    }
}

/// Asks the node of `pool` for a hello, on the next free connection.
async fn hello_of(pool: &Arc<NodePool>) -> Option<(Instant, Hello)> {
    let want = Want {
        lane: Lane::Finishing,
        ..Want::default()
    };
    // The caller's own limit ends the wait. The end of this one would look like a refusal.
    let until = Instant::now() + HELLO_TIME * 2;
    let mut lease = pool.lease(want, until).await.ok()?;
    let started = Instant::now();
    let command = bson::rawdoc! { "hello": 1, "$db": "admin" };
    let document = lease.connection()?.ask(&command).await.ok()?;
    lease.give_back_greeted();
    Some((started, Hello::parse(&document).ok()?))
}
