//! The rules for replica sets: which nodes are members, and which of several nodes that call
//! themselves primary is the primary.

use super::{Deployment, Hello, NodeAddress, NodeKind};

/// From this wire version (6.0) on, elections are ordered by `electionId` first.
const WIRE_ELECTION_ID_FIRST: i32 = 17;

impl Deployment {
    pub(super) fn update_replica_set(&mut self, address: &NodeAddress, kind: NodeKind) {
        match kind {
            NodeKind::Primary => self.update_from_primary(address),
            NodeKind::Secondary | NodeKind::Arbiter | NodeKind::Other => {
                self.update_from_member(address);
            }
            NodeKind::Standalone | NodeKind::Mongos => {
                self.remove(address, "is not a member of a replica set");
            }
            NodeKind::Unknown | NodeKind::Ghost | NodeKind::LoadBalancer => {}
        }
        self.look_for_primary();
    }

    /// The primary decides which nodes are members.
    fn update_from_primary(&mut self, address: &NodeAddress) {
        if !self.has_right_set_name(address) {
            return;
        }
        let Some(hello) = self.hello(address) else {
            return;
        };
        let Some(newest) = self.election_after(hello) else {
            let error = "an older primary: its electionId or setVersion is behind";
            if let Some(member) = self.members.get_mut(address) {
                member.disown(error.into());
            }
            return;
        };
        let hosts = hello.hosts.clone();
        (self.max_election_id, self.max_set_version) = newest;
        for (other, member) in &mut self.members {
            if other != address && member.kind() == NodeKind::Primary {
                member.disown(format!("{address} is the primary now").into());
            }
        }
        self.members.retain(|known, _| hosts.contains(known));
        for host in &hosts {
            self.add(host);
        }
    }

    /// Another member is believed about itself. Its list of members counts only while no primary
    /// is known.
    fn update_from_member(&mut self, address: &NodeAddress) {
        // `kind` is updated after this, so it still holds the state before.
        let had_primary = self.kind == super::TopologyKind::ReplicaSetWithPrimary;
        if !self.has_right_set_name(address) {
            return;
        }
        let Some(hello) = self.hello(address) else {
            return;
        };
        let (hosts, me) = (hello.hosts.clone(), hello.me.clone());
        if !had_primary {
            for host in &hosts {
                self.add(host);
            }
        }
        if let Some(me) = me.filter(|me| me != address) {
            self.remove(address, &format!("calls itself {me}"));
        }
    }

    /// Takes the set's name from the first member that was heard. Removes a node of another set.
    fn has_right_set_name(&mut self, address: &NodeAddress) -> bool {
        let Some(name) = self.hello(address).and_then(|hello| hello.set_name.clone()) else {
            return false;
        };
        match &self.set_name {
            None => {
                self.set_name = Some(name);
                true
            }
            Some(expected) if *expected == name => true,
            Some(expected) => {
                let reason = format!("is a member of replica set {name}, not of {expected}");
                self.remove(address, &reason);
                false
            }
        }
    }

    /// The newest `electionId` and `setVersion` after this primary's hello, or
    /// `None` when a newer primary is known already.
    fn election_after(&self, hello: &Hello) -> Option<(Option<[u8; 12]>, Option<i64>)> {
        let (election, version) = (hello.election_id, hello.set_version);
        let (max_election, max_version) = (self.max_election_id, self.max_set_version);
        // A missing value orders before every present one, as `None` does.
        if hello.wire.1 >= WIRE_ELECTION_ID_FIRST {
            return ((election, version) >= (max_election, max_version))
                .then_some((election, version));
        }
        if let (Some(_), Some(_)) = (election, version) {
            let is_known = max_election.is_some() && max_version.is_some();
            if is_known && (version, election) < (max_version, max_election) {
                return None;
            }
            return Some((election, version.max(max_version)));
        }
        Some((max_election, version.max(max_version)))
    }

    fn hello(&self, address: &NodeAddress) -> Option<&Hello> {
        self.members
            .get(address)
            .and_then(|member| member.hello.as_ref())
    }
}
