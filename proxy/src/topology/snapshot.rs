//! What is known about the deployment at one moment, as plain immutable data.
//!
//! The names and meanings are those of *Server Discovery and Monitoring*. [`super::sdam`] computes
//! a snapshot. All others only read it.

use std::sync::Arc;
use std::time::Duration;

use super::address::NodeAddress;

/// Why a standalone server cannot be served: drivers send transaction numbers, which it rejects.
pub const STANDALONE: &str = "the upstream is a standalone server, which has no retryable writes \
    and no transactions; make it a replica set of one: start it with --replSet rs0, run \
    rs.initiate() once, and add replicaSet=rs0 to --upstream";

/// Everything known about the deployment at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Snapshot {
    /// The kind of the deployment.
    pub kind: TopologyKind,
    /// Its nodes in the order of their addresses. An index into this list means
    /// something only together with this snapshot.
    pub nodes: Vec<Node>,
    /// The name of the replica set, when one is known.
    pub set_name: Option<String>,
    /// Why no node may be used: a node and Weir have no wire version in common.
    pub incompatible: Option<String>,
    /// Why the last address was removed, for example as a standalone server among the members of
    /// a set. If `nodes` is empty, this is the most likely reason.
    pub notice: Option<Arc<str>>,
    /// Grows with every published change, except one of round trips alone. A waiter compares it
    /// with the one that it has seen.
    pub revision: u64,
}

impl Snapshot {
    /// The node at this address.
    #[must_use]
    pub fn node(&self, address: &NodeAddress) -> Option<&Node> {
        self.position(address)
            .and_then(|index| self.nodes.get(index))
    }

    /// The index of the node at this address.
    #[must_use]
    pub fn position(&self, address: &NodeAddress) -> Option<usize> {
        self.nodes
            .binary_search_by(|node| node.address.cmp(address))
            .ok()
    }

    /// The primary of a replica set, if one is known and believed.
    #[must_use]
    pub fn primary(&self) -> Option<&Node> {
        self.nodes
            .iter()
            .find(|node| node.kind == NodeKind::Primary)
    }

    /// Whether the upstream is a standalone server, which Weir refuses to serve:
    /// drivers would send it transaction numbers, which it rejects with code 20.
    #[must_use]
    pub fn is_standalone(&self) -> bool {
        self.nodes
            .iter()
            .any(|node| node.kind == NodeKind::Standalone)
    }

    /// Why this deployment can never be served; `None`: that is not certain.
    #[must_use]
    pub fn unservable(&self) -> Option<&'static str> {
        (self.is_standalone() && self.kind != TopologyKind::Sharded).then_some(STANDALONE)
    }

    /// Whether anything else than round trips is different.
    pub(super) fn differs_by_more_than_rtt(&self, other: &Self) -> bool {
        let mut measured = other.clone();
        for (node, own) in measured.nodes.iter_mut().zip(&self.nodes) {
            node.rtt = own.rtt;
            node.least_rtt = own.least_rtt;
        }
        measured != *self
    }

    /// The session timeout that holds on every node in use, in minutes: the
    /// shortest one, or `None` when one of them has none or no node is in use.
    #[must_use]
    pub fn session_timeout_minutes(&self) -> Option<i64> {
        let in_use = self.nodes.iter().filter(|node| node.kind.holds_data());
        in_use
            .map(|node| node.session_timeout_minutes)
            .min()
            .flatten()
    }

    /// The highest wire version that every node supports; `None`: no node was heard yet. A node
    /// that is down counts with its last hello.
    #[must_use]
    pub fn common_max_wire(&self) -> Option<i32> {
        self.nodes
            .iter()
            .filter_map(|node| node.wire)
            .map(|(_, max)| max)
            .min()
    }
}

/// The kind of a deployment (the specification's `TopologyType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TopologyKind {
    /// No hello was answered yet.
    Unknown,
    /// One node of any kind: `directConnection=true`, or a standalone server.
    Single,
    /// A replica set without a usable primary.
    ReplicaSetNoPrimary,
    /// A replica set with a primary.
    ReplicaSetWithPrimary,
    /// One or more mongos.
    Sharded,
    /// One address of a load balancer. It is never monitored.
    LoadBalanced,
}

impl TopologyKind {
    /// Its name in `/status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Single => "Single",
            Self::ReplicaSetNoPrimary => "ReplicaSetNoPrimary",
            Self::ReplicaSetWithPrimary => "ReplicaSetWithPrimary",
            Self::Sharded => "Sharded",
            Self::LoadBalanced => "LoadBalanced",
        }
    }

    /// Whether this is a replica set, with or without a primary.
    #[must_use]
    pub fn is_replica_set(self) -> bool {
        matches!(
            self,
            Self::ReplicaSetNoPrimary | Self::ReplicaSetWithPrimary
        )
    }
}

/// One node of the deployment.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Where it listens.
    pub address: NodeAddress,
    /// What it is now; `Unknown` while it cannot be used.
    pub kind: NodeKind,
    /// The driver's moving average of the monitoring round trips; `None` while the node is not
    /// monitored successfully.
    pub rtt: Option<Duration>,
    /// The minimum of the last ten of these round trips: the time without any load. `None` with
    /// fewer than two.
    pub least_rtt: Option<Duration>,
    /// The node's tags from the replica set configuration.
    pub tags: Tags,
    /// `lastWrite.lastWriteDate` of its last hello, in milliseconds since 1970.
    pub last_write: Option<i64>,
    /// When it was last heard, by Weir's clock, in milliseconds since 1970.
    pub last_update: Option<i64>,
    /// `minWireVersion` and `maxWireVersion` as last heard; kept while the node
    /// is down.
    pub wire: Option<(i32, i32)>,
    /// Size limits as last heard; kept while the node is down.
    pub limits: Option<Limits>,
    /// `logicalSessionTimeoutMinutes` as last heard; kept while the node is down.
    pub session_timeout_minutes: Option<i64>,
    /// The `topologyVersion` this knowledge rests on.
    pub topology_version: Option<TopologyVersion>,
    /// Why the node is `Unknown`, when something went wrong.
    pub error: Option<Arc<str>>,
    /// The node is `Unknown` because of an error that an operation met, not because its monitor
    /// failed. The next hello is likely to end that.
    pub suspended: bool,
    /// The generation of connections to this node. A connection of an older one is stale: it must
    /// not be used again, and its errors say nothing about the node.
    pub generation: u64,
}

/// The kind of a node (the specification's `ServerType`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NodeKind {
    /// Not heard yet, unreachable, or suspended because of an operation's error.
    Unknown,
    /// A mongod that is no member of a set.
    Standalone,
    /// The primary of a set.
    Primary,
    /// A secondary of a set.
    Secondary,
    /// A router of a sharded cluster.
    Mongos,
    /// A voting member without data.
    Arbiter,
    /// A member that cannot serve reads: hidden, starting or recovering.
    Other,
    /// A mongod started with a set name but not (or no longer) in a set.
    Ghost,
    /// The server behind a load balancer.
    LoadBalancer,
}

impl NodeKind {
    /// Its name in `/status`.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Unknown => "Unknown",
            Self::Standalone => "Standalone",
            Self::Primary => "Primary",
            Self::Secondary => "Secondary",
            Self::Mongos => "Mongos",
            Self::Arbiter => "Arbiter",
            Self::Other => "Other",
            Self::Ghost => "Ghost",
            Self::LoadBalancer => "LoadBalancer",
        }
    }

    /// Whether operations can be sent to such a node.
    #[must_use]
    pub fn holds_data(self) -> bool {
        matches!(
            self,
            Self::Standalone | Self::Primary | Self::Secondary | Self::Mongos | Self::LoadBalancer
        )
    }
}

/// The tags of a node, sorted by name. Cloning them copies a pointer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tags(Option<Arc<[(String, String)]>>);

impl Tags {
    /// Collects tags; of several with one name the last one counts.
    #[must_use]
    pub fn new(pairs: impl IntoIterator<Item = (String, String)>) -> Self {
        let sorted: std::collections::BTreeMap<_, _> = pairs.into_iter().collect();
        Self((!sorted.is_empty()).then(|| sorted.into_iter().collect()))
    }

    /// The value of one tag.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.iter()
            .find(|(key, _)| *key == name)
            .map(|(_, value)| value)
    }

    /// All tags, sorted by name.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0
            .iter()
            .flat_map(|tags| tags.iter())
            .map(|(key, value)| (key.as_str(), value.as_str()))
    }
}

/// The sizes that a node accepts, from its hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// `maxBsonObjectSize`, in bytes.
    pub max_bson: i32,
    /// `maxMessageSizeBytes`.
    pub max_message: i32,
    /// `maxWriteBatchSize`, in operations.
    pub max_batch: i32,
}

/// A server process's count of its own state changes. Two reports of one process can be ordered by
/// it without a clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TopologyVersion {
    /// The server process. Counters of different processes cannot be compared.
    pub process_id: [u8; 12],
    /// Grows with every state change of that process.
    pub counter: i64,
}

/// A change that a pool must act upon. Events come in the order in which the snapshots that show
/// them were published.
#[derive(Clone, Debug, PartialEq)]
pub enum TopologyEvent {
    /// The node answers, for the first time or again. Its kind says whether operations can be
    /// sent to it ([`NodeKind::holds_data`]). A load balancer has no such event.
    NodeUp {
        /// The node.
        address: NodeAddress,
        /// What it is.
        kind: NodeKind,
    },
    /// The node's monitor failed: connections older than `generation` are stale.
    NodeDown {
        /// The node.
        address: NodeAddress,
        /// The monitor timed out: the node is declared dead. Connections in use must be
        /// interrupted, because TCP may never notice. Otherwise they may end by themselves.
        timed_out: bool,
        /// A hello that was asked for later than the failed heartbeat was answered.
        heard_since: bool,
        /// The monitor's error.
        error: Arc<str>,
        /// The generation of new connections from now on.
        generation: u64,
    },
    /// The node has left the deployment: its pool must be retired.
    NodeRemoved {
        /// The node.
        address: NodeAddress,
    },
    /// Another node is the primary now, or none is.
    PrimaryChanged {
        /// The new primary.
        primary: Option<NodeAddress>,
    },
}
