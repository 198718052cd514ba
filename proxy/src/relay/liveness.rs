//! Whether a connection that was idle for long still works.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::{cluster::Cluster, command::Facts, error::Class, pool::Lease};

/// A connection that was idle for longer is pinged before it carries an operation that could not
/// be sent again.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);

/// How long a ping may take.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// What a ping shows of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    /// The connection works.
    Alive {
        /// The answer changed what Weir knows of the node. Another node may have to be selected.
        changed: bool,
    },
    /// The connection is broken, and the operating system knows.
    Broken,
    /// The server does not answer.
    Silent,
}

/// Whether a connection must be pinged before it carries this operation.
///
/// That is so if it was idle for long and the operation could not be repeated if it was lost. In
/// a process that a host freezes it is so for every operation: after a freeze a NAT or load
/// balancer may have dropped the flow, and a request sent on it would wait until its timeout.
pub(super) fn is_in_doubt(lease: &Lease, facts: &Facts) -> bool {
    if let Some(freezing) = lease.pool().freezing() {
        return lease.idle_for() >= freezing.doubt_after;
    }
    !is_repeatable(facts.class) && lease.idle_for() >= TRUSTED_IDLE
}

/// Whether a driver repeats a lost operation of this class.
const fn is_repeatable(class: Class) -> bool {
    matches!(class, Class::Read | Class::RetryableWrite)
}

/// Asks the server for a hello, and passes on what it says of the node.
pub(super) async fn ping(lease: &mut Lease, cluster: &Cluster) -> Liveness {
    let freezing = lease.pool().freezing();
    let patience = freezing.map_or(CHECK_TIME, |freezing| freezing.check_time);
    let (started, node) = (Instant::now(), lease.pool().node().clone());
    let Some(conn) = lease.connection() else {
        return Liveness::Broken;
    };
    let hello = bson::rawdoc! { "hello": 1, "$db": "admin" };
    match timeout(patience, conn.ask(&hello)).await {
        Ok(Ok(document)) => Liveness::Alive {
            changed: cluster.on_hello(&node, started, &document),
        },
        Ok(Err(_)) => Liveness::Broken,
        Err(_) => Liveness::Silent,
    }
}

/// Gives up a connection that did not answer.
pub(super) fn give_up(lease: Lease, liveness: Liveness) {
    // Elsewhere a silent connection keeps its slot until the server has closed it.
    if liveness == Liveness::Silent && lease.pool().freezing().is_some() {
        lease.abandon();
    } else {
        lease.destroy();
    }
}
