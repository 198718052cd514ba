//! The state of the deployment and the rules that change it; pure.
//!
//! These are the update rules of *Server Discovery and Monitoring*. They run on every hello that
//! Weir sees: the heartbeats of the driver's monitors and the handshakes of its own connections.
//! A new primary is therefore known as soon as any of them hears of it. The public specification
//! files run against this module.
//!
//! Hellos from several sources may arrive out of order. A server process counts its own changes
//! (`topologyVersion`), which orders them exactly. Without that count, the hello that was asked for
//! later wins.
//!
//! | module | its part |
//! |---|---|
//! | `member` | one node: its last hello, and whether that still counts |
//! | `replica_set` | the members of a replica set and its primary |
//! | `errors` | what follows from the errors of Weir's own connections |

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::address::NodeAddress;
use super::hello::Hello;
use super::snapshot::{NodeKind, Snapshot, TopologyKind};

mod errors;
mod member;
mod replica_set;

pub use member::{Heard, HelloSource};
use member::{Member, MemberState};

/// The oldest wire version that Weir can use: that of 4.4, as for the driver that monitors.
pub const MIN_WIRE_VERSION: i32 = 9;

/// The newest wire version that a server may require.
pub const MAX_WIRE_VERSION: i32 = 29;

/// What the connection string says about the deployment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seeds {
    /// The hosts of the connection string, or those that SRV found.
    pub hosts: Vec<NodeAddress>,
    /// `directConnection=true`: use that one host, of any kind.
    pub direct: bool,
    /// `replicaSet`.
    pub set_name: Option<String>,
    /// `loadBalanced=true`.
    pub load_balanced: bool,
}

/// Everything known about the deployment, and the rules that change it.
#[derive(Clone, Debug)]
pub struct Deployment {
    kind: TopologyKind,
    set_name: Option<String>,
    has_single_seed: bool,
    max_election_id: Option<[u8; 12]>,
    max_set_version: Option<i64>,
    members: BTreeMap<NodeAddress, Member>,
    notice: Option<Arc<str>>,
}

/// What a failed heartbeat means for the pool of its node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Down {
    /// The monitor timed out.
    pub timed_out: bool,
    /// The generation that new connections belong to.
    pub generation: u64,
}

impl Deployment {
    /// The deployment as the connection string describes it, before the first hello.
    #[must_use]
    pub fn new(seeds: &Seeds) -> Self {
        let kind = if seeds.load_balanced {
            TopologyKind::LoadBalanced
        } else if seeds.direct {
            TopologyKind::Single
        } else if seeds.set_name.is_some() {
            TopologyKind::ReplicaSetNoPrimary
        } else {
            TopologyKind::Unknown
        };
        let members: BTreeMap<_, _> = seeds
            .hosts
            .iter()
            .map(|host| (host.clone(), Member::default()))
            .collect();
        Self {
            kind,
            set_name: seeds.set_name.clone(),
            has_single_seed: members.len() == 1,
            max_election_id: None,
            max_set_version: None,
            members,
            notice: None,
        }
    }

    /// A hello of this node was answered. Returns whether it was believed.
    pub fn on_hello(&mut self, address: &NodeAddress, hello: Hello, heard: Heard) -> bool {
        let Some(member) = self.members.get_mut(address) else {
            return false;
        };
        if !member.believes(&hello, heard) {
            return false;
        }
        member.topology_version = hello.topology_version;
        member.heard = Some(heard);
        member.state = MemberState::Up;
        let kind = hello.kind;
        member.hello = Some(hello);
        match self.kind {
            TopologyKind::LoadBalanced => {}
            TopologyKind::Single => self.check_set_name_of_single(address),
            TopologyKind::Unknown => self.update_unknown(address, kind),
            TopologyKind::Sharded if kind == NodeKind::Mongos => {}
            TopologyKind::Sharded => self.remove(address, "is not a mongos"),
            TopologyKind::ReplicaSetNoPrimary | TopologyKind::ReplicaSetWithPrimary => {
                self.update_replica_set(address, kind);
            }
        }
        true
    }

    /// Whether a hello of this node was believed that was asked for after `began`.
    #[must_use]
    pub fn heard_since(&self, address: &NodeAddress, began: Instant) -> bool {
        let heard = self.members.get(address).and_then(|member| member.heard);
        heard.is_some_and(|heard| heard.started > began)
    }

    /// The monitor of this node failed at `now`. Returns what the pool must do; `None`: it knows
    /// already.
    pub fn on_monitor_failure(
        &mut self,
        address: &NodeAddress,
        timed_out: bool,
        error: &str,
        now: Instant,
    ) -> Option<Down> {
        let member = self.members.get_mut(address)?;
        let (was_down, known_dead) = match member.state {
            MemberState::Down { timed_out, .. } => (true, timed_out),
            _ => (false, false),
        };
        if !was_down {
            member.generation += 1;
        }
        let timed_out = timed_out || known_dead;
        member.state = MemberState::Down {
            since: now,
            timed_out,
            error: error.into(),
        };
        member.topology_version = None;
        member.round_trips.forget();
        let generation = member.generation;
        self.look_for_primary();
        (!was_down || timed_out != known_dead).then_some(Down {
            timed_out,
            generation,
        })
    }

    /// The driver's average round trip to this node.
    pub fn on_rtt(&mut self, address: &NodeAddress, rtt: Duration) {
        if let Some(member) = self.members.get_mut(address)
            && !matches!(member.state, MemberState::Down { .. })
        {
            member.round_trips.add(rtt);
        }
    }

    /// The driver found another address, usually by SRV.
    pub fn add(&mut self, address: &NodeAddress) {
        self.members.entry(address.clone()).or_default();
    }

    /// The driver no longer monitors this address, so a failure of it would stay unnoticed.
    pub fn forget(&mut self, address: &NodeAddress) {
        self.members.remove(address);
        self.look_for_primary();
    }

    /// The kind of the deployment now.
    #[must_use]
    pub fn kind(&self) -> TopologyKind {
        self.kind
    }

    /// The current state as immutable data.
    #[must_use]
    pub fn snapshot(&self, revision: u64) -> Snapshot {
        let is_load_balanced = self.kind == TopologyKind::LoadBalanced;
        let nodes = self.members.iter();
        Snapshot {
            kind: self.kind,
            nodes: nodes
                .map(|(address, member)| member.node(address, is_load_balanced))
                .collect(),
            set_name: self.set_name.clone(),
            incompatible: self.incompatibility(),
            notice: self.notice.clone(),
            revision,
        }
    }

    /// The newest `electionId` and `setVersion` that a primary reported.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn newest_election(&self) -> (Option<[u8; 12]>, Option<i64>) {
        (self.max_election_id, self.max_set_version)
    }

    fn member(&self, address: &NodeAddress) -> Option<&Member> {
        self.members.get(address)
    }

    fn member_mut(&mut self, address: &NodeAddress) -> Option<&mut Member> {
        self.members.get_mut(address)
    }

    /// Updates the kind: whether the replica set has a primary now.
    fn look_for_primary(&mut self) {
        if self.kind.is_replica_set() {
            self.kind = if self
                .members
                .values()
                .any(|member| member.kind() == NodeKind::Primary)
            {
                TopologyKind::ReplicaSetWithPrimary
            } else {
                TopologyKind::ReplicaSetNoPrimary
            };
        }
    }

    fn update_unknown(&mut self, address: &NodeAddress, kind: NodeKind) {
        match kind {
            NodeKind::Standalone if self.has_single_seed => self.kind = TopologyKind::Single,
            NodeKind::Standalone => {
                self.remove(address, "is a standalone server among several hosts")
            }
            NodeKind::Mongos => self.kind = TopologyKind::Sharded,
            NodeKind::Primary | NodeKind::Secondary | NodeKind::Arbiter | NodeKind::Other => {
                self.kind = TopologyKind::ReplicaSetNoPrimary;
                self.update_replica_set(address, kind);
            }
            NodeKind::Unknown | NodeKind::Ghost | NodeKind::LoadBalancer => {}
        }
    }

    /// `directConnection` with `replicaSet`: the node must be a member of that set.
    fn check_set_name_of_single(&mut self, address: &NodeAddress) {
        let Some(expected) = &self.set_name else {
            return;
        };
        let Some(member) = self.members.get_mut(address) else {
            return;
        };
        let name = member
            .hello
            .as_ref()
            .and_then(|hello| hello.set_name.as_ref());
        if name != Some(expected) {
            let found = name.map_or("no replica set", String::as_str);
            let error = format!(
                "the connection string asks for replica set {expected}, the node is in {found}"
            );
            member.disown(error.into());
        }
    }

    fn remove(&mut self, address: &NodeAddress, reason: &str) {
        self.members.remove(address);
        self.notice = Some(format!("{address} {reason}").into());
    }

    fn incompatibility(&self) -> Option<String> {
        self.members.iter().find_map(|(address, member)| {
            let (min, max) = member.usable_hello()?.wire;
            if min > MAX_WIRE_VERSION {
                Some(format!("{address} requires wire version {min}, Weir speaks at most {MAX_WIRE_VERSION}"))
            } else if max < MIN_WIRE_VERSION {
                Some(format!(
                    "{address} speaks wire version {max}, Weir needs at least {MIN_WIRE_VERSION} (MongoDB 4.4)"
                ))
            } else {
                None
            }
        })
    }
}

#[cfg(test)]
mod tests;
