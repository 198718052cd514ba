//! How news reaches a cluster: from the monitors' events, and from the connections its
//! pools open.

use std::sync::Weak;

use tokio::{sync::mpsc, time::Instant};

use crate::{
    pool::Observer,
    relay::cluster::Cluster,
    topology::{Hello, NodeAddress, Phase, TopologyEvent},
    upstream::{ConnectError, ServerHello},
};

/// Follows the topology for as long as the cluster lives.
pub(super) async fn follow(cluster: Weak<Cluster>, mut events: mpsc::UnboundedReceiver<TopologyEvent>) {
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
pub(super) struct Reporter(pub(super) Weak<Cluster>);

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
