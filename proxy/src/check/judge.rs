//! From what was seen to what is reported: roles, versions, and every problem with its hint.
//! Pure.

use crate::check::advice;
use crate::check::probe_upstream::{Connections, Found, Visit};
use crate::check::report::{
    ListenerReport, LoginReport, NodeConnections, NodeReport, TopologyReport,
};
use crate::config::{ListenerConfig, Upstream};
use crate::topology::snapshot::STANDALONE;
use crate::topology::{Node, NodeAddress, NodeKind, TopologyKind};
use crate::upstream::ConnectError;

type Outcome = Result<Visit, ConnectError>;

impl ListenerReport {
    /// Adds what was seen of the listener's upstream.
    pub(super) fn add(&mut self, listener: &ListenerConfig, found: &Found) {
        let judge = Judge { listener, found };
        self.topology = judge.topology();
        self.login = judge.login();
        self.serves = judge.serves();
        self.problems = judge.problems();
        self.remarks = judge.remarks();
    }
}

struct Judge<'a> {
    listener: &'a ListenerConfig,
    found: &'a Found,
}

impl Judge<'_> {
    fn topology(&self) -> Option<TopologyReport> {
        let snapshot = &self.found.snapshot;
        let set_name = snapshot.set_name.clone();
        (!snapshot.nodes.is_empty()).then(|| TopologyReport {
            kind: kind_name(snapshot.kind).to_owned(),
            set_name: set_name.filter(|_| snapshot.kind.is_replica_set()),
            nodes: snapshot.nodes.iter().map(|node| self.node(node)).collect(),
        })
    }

    fn node(&self, node: &Node) -> NodeReport {
        let mut report = NodeReport {
            address: node.address.to_string(),
            role: role_name(node.kind).to_owned(),
            wire_versions: node.wire,
            ..NodeReport::default()
        };
        match self.outcome(&node.address) {
            Some(Ok(visit)) => visit.describe(&mut report),
            Some(Err(error)) => report.error = Some(error.to_string()),
            None => report.error = node.error.as_ref().map(ToString::to_string),
        }
        report
    }

    fn login(&self) -> Option<LoginReport> {
        let credential = self.listener.upstream.credential.as_ref()?;
        let visits = self.found.visits.iter().map(|(_, outcome)| outcome);
        let refusal = visits.clone().find_map(|outcome| match outcome {
            Err(ConnectError::Login(error)) => Some(error.to_string()),
            _ => None,
        });
        let accepted: Vec<&Visit> = visits.filter_map(|outcome| outcome.as_ref().ok()).collect();
        if accepted.is_empty() && refusal.is_none() {
            return None;
        }
        let used = accepted.iter().find_map(|visit| visit.mechanism);
        let asked = credential.mechanism.map(|mechanism| mechanism.name());
        Some(LoginReport {
            user: credential.username.clone(),
            source: credential.source.clone(),
            mechanism: used.or(asked).map(str::to_owned),
            accepted_by: accepted.len(),
            error: refusal,
        })
    }

    fn serves(&self) -> bool {
        let snapshot = &self.found.snapshot;
        let able = snapshot.unservable().is_none() && snapshot.incompatible.is_none();
        let takes_writes = |kind| {
            matches!(
                kind,
                NodeKind::Primary | NodeKind::Mongos | NodeKind::LoadBalancer
            )
        };
        let writable = snapshot.nodes.iter().filter(|node| takes_writes(node.kind));
        able && !self.must_log_in()
            && writable
                .map(|node| self.outcome(&node.address))
                .any(|outcome| matches!(outcome, Some(Ok(_))))
    }

    fn problems(&self) -> Vec<String> {
        let snapshot = &self.found.snapshot;
        if let Some(why) = self.unservable() {
            return vec![why];
        }
        if snapshot.nodes.is_empty() {
            return self.fell_apart();
        }
        let mut problems = Grouped::default();
        for node in &snapshot.nodes {
            if let Some(sentence) = self.node_problem(node) {
                problems.add(&node.address, sentence);
            }
        }
        let mut problems = problems.sentences();
        if self.must_log_in() {
            problems.push(
                "the database demands a login, and --upstream names no user: write \
                 user:password@ before its host"
                    .to_owned(),
            );
        }
        if snapshot.kind == TopologyKind::ReplicaSetNoPrimary {
            problems.push(
                "the replica set has no primary that Weir can see: writes would wait \
                 --hold-timeout and then fail; repair the nodes named here, or look at rs.status() \
                 on a member"
                    .to_owned(),
            );
        }
        problems
    }

    fn unservable(&self) -> Option<String> {
        let snapshot = &self.found.snapshot;
        let incompatible = || {
            let why = snapshot.incompatible.as_ref()?;
            Some(format!(
                "{why}; use a server and a Weir that have one in common"
            ))
        };
        let standalone = self.found.visits.iter().any(|(_, outcome)| {
            let kind = outcome.as_ref().map(|visit| visit.hello.kind);
            snapshot.nodes.is_empty() && matches!(kind, Ok(NodeKind::Standalone))
        });
        let standalone = || standalone.then_some(STANDALONE);
        let standalone = snapshot.unservable().or_else(standalone);
        standalone.map(str::to_owned).or_else(incompatible)
    }

    /// Every host of the string was dropped: the string is wrong about the deployment.
    fn fell_apart(&self) -> Vec<String> {
        let asked = self.listener.upstream.set_name.as_deref();
        let mut problems = Grouped::default();
        for (address, outcome) in &self.found.visits {
            let sentence = match outcome {
                Err(error) => advice::of_failure(error, &self.listener.upstream, true),
                Ok(visit) => match (asked, visit.hello.set_name.as_deref()) {
                    (Some(asked), Some(own)) if asked != own => format!(
                        "it is a member of replica set {own}, but --upstream asks for {asked}; \
                         write replicaSet={own}"
                    ),
                    (Some(_), None) if visit.hello.kind == NodeKind::Mongos => {
                        "it is a mongos, but --upstream asks for a replica set; remove replicaSet"
                            .to_owned()
                    }
                    _ => continue,
                },
            };
            problems.add(address, sentence);
        }
        let problems = problems.sentences();
        let notice = || {
            let notice = self.found.snapshot.notice.as_deref();
            let reason = notice.unwrap_or("no host of --upstream belongs to the deployment");
            vec![format!("{reason}; name the members of one replica set")]
        };
        if problems.is_empty() {
            notice()
        } else {
            problems
        }
    }

    fn node_problem(&self, node: &Node) -> Option<String> {
        let (upstream, address) = (&self.listener.upstream, &node.address);
        match self.outcome(address) {
            Some(Err(error)) => {
                let seed = is_seed(upstream, address);
                Some(advice::of_failure(error, upstream, seed))
            }
            Some(Ok(_)) if node.kind == NodeKind::Unknown => {
                let unheard = "it lets Weir in, but could not be watched in time";
                let error = node.error.as_deref().unwrap_or(unheard);
                let named = upstream.direct_connection && upstream.set_name.is_some();
                let hint = match named {
                    true => "correct replicaSet in --upstream, or remove it",
                    false => "see whether it is overloaded or restarting",
                };
                Some(format!("{error}; {hint}"))
            }
            _ if node.kind == NodeKind::Ghost => Some(
                "it was started with a replica set name, but the set was never initiated; run \
                 rs.initiate() on it once"
                    .to_owned(),
            ),
            _ => None,
        }
    }

    /// The string has no user, and the database does not talk to nobody.
    fn must_log_in(&self) -> bool {
        let mut visits = self.found.visits.iter();
        self.listener.upstream.credential.is_none()
            && visits.any(|(_, outcome)| {
                matches!(outcome, Ok(visit) if visit.connections == Connections::Forbidden)
            })
    }

    fn remarks(&self) -> Vec<String> {
        let mut remarks = Grouped::default();
        let visits = self.found.visits.iter();
        let seen = visits.filter_map(|(node, outcome)| Some((node, outcome.as_ref().ok()?)));
        for (address, visit) in seen {
            if let Some(sentence) = self.room(visit) {
                remarks.add(address, sentence);
            }
            if visit.weir.is_some() {
                remarks.add(
                    address,
                    "it is a Weir itself, as an extension's or a sidecar's upstream may be; if \
                     it is the one that this configuration starts, --upstream must name the \
                     database instead"
                        .to_owned(),
                );
            }
            if visit.connections == Connections::Forbidden && !self.must_log_in() {
                remarks.add(
                    address,
                    "its connection limit is not known: this user may not run serverStatus (the \
                     role clusterMonitor may)"
                        .to_owned(),
                );
            }
        }
        let mut remarks = remarks.sentences();
        let dropped = self.found.snapshot.notice.as_ref();
        let dropped = dropped.filter(|_| !self.found.snapshot.nodes.is_empty());
        remarks.extend(dropped.map(|notice| format!("{notice}; it is not used")));
        remarks
    }

    /// A node that has less room than Weir may take.
    fn room(&self, visit: &Visit) -> Option<String> {
        let Connections::Told { available, .. } = visit.connections else {
            return None;
        };
        // Those of this check are open at this moment and go away.
        let own = self.listener.upstream.monitor_sockets() + 1;
        let room = available.saturating_add(u64::try_from(own).unwrap_or_default());
        let max = self.listener.max_connections;
        (room < u64::try_from(max).unwrap_or(u64::MAX)).then(|| {
            format!(
                "it has room for {room} more connections, and --max-connections allows this Weir \
                 {max}: lower it, or end other connections (those of a Weir that already runs \
                 count among them)"
            )
        })
    }

    fn outcome(&self, address: &NodeAddress) -> Option<&Outcome> {
        let mut visits = self.found.visits.iter();
        let (_, outcome) = visits.find(|(visited, _)| visited == address)?;
        Some(outcome)
    }
}

impl Visit {
    fn describe(&self, report: &mut NodeReport) {
        let version = |maker: &str, version: &String| format!("{maker} {version}");
        report.version = match (&self.weir, &self.version) {
            (Some(weir), _) => Some(version("Weir", weir)),
            (None, mongodb) => mongodb.as_ref().map(|mongodb| version("MongoDB", mongodb)),
        };
        report.wire_versions = report.wire_versions.or(Some(self.hello.wire));
        report.compression = Some(self.compression.unwrap_or("none").to_owned());
        report.round_trip_ms = self.round_trip.map(|time| time.as_secs_f64() * 1000.0);
        report.connections = match self.connections {
            Connections::Told { current, available } => {
                Some(NodeConnections { current, available })
            }
            Connections::Forbidden | Connections::Untold => None,
        };
    }
}

/// Sentences about nodes; one that holds for several is said once.
#[derive(Default)]
struct Grouped(Vec<(String, Vec<String>)>);

impl Grouped {
    fn add(&mut self, node: &NodeAddress, sentence: String) {
        match self.0.iter_mut().find(|(known, _)| *known == sentence) {
            Some((_, nodes)) => nodes.push(node.to_string()),
            None => self.0.push((sentence, vec![node.to_string()])),
        }
    }

    fn sentences(self) -> Vec<String> {
        let groups = self.0.into_iter();
        groups
            .map(|(sentence, nodes)| format!("{}: {sentence}", nodes.join(", ")))
            .collect()
    }
}

fn is_seed(upstream: &Upstream, address: &NodeAddress) -> bool {
    let mut hosts = upstream.hosts.iter();
    hosts.any(|host| NodeAddress::tcp(&host.host, Some(host.port)) == *address)
}

const fn kind_name(kind: TopologyKind) -> &'static str {
    match kind {
        TopologyKind::Unknown => "not known",
        TopologyKind::Single => "one node",
        TopologyKind::ReplicaSetNoPrimary => "replica set without primary",
        TopologyKind::ReplicaSetWithPrimary => "replica set",
        TopologyKind::Sharded => "sharded cluster",
        TopologyKind::LoadBalanced => "load-balanced",
    }
}

const fn role_name(kind: NodeKind) -> &'static str {
    match kind {
        NodeKind::Unknown => "unknown",
        NodeKind::Standalone => "standalone",
        NodeKind::Primary => "primary",
        NodeKind::Secondary => "secondary",
        NodeKind::Mongos => "mongos",
        NodeKind::Arbiter => "arbiter",
        NodeKind::Other => "hidden or recovering member",
        NodeKind::Ghost => "uninitiated member",
        NodeKind::LoadBalancer => "load balancer",
    }
}
