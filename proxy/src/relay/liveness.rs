//! Whether a connection that was idle for long still works.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::{cluster::Cluster, command::Facts, error::Class, pool::Lease};

/// A connection idle for longer is asked for a sign of life before it carries what
/// could not be sent again.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);

/// How long that sign of life may take.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// What a connection that was asked shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Liveness {
    /// It works. `news`: its hello says of the node what was not known.
    Alive {
        /// A node may have to be chosen again.
        news: bool,
    },
    /// It is broken, and the system knows.
    Broken,
    /// It does not answer.
    Silent,
}

/// Whether a connection that was idle for long is to carry something whose loss could
/// not be mended. Where the process may have been frozen meanwhile, nothing is trusted:
/// a flow may have been forgotten on the way, and what is sent into it is waited for in vain.
pub(super) fn is_in_doubt(lease: &Lease, facts: &Facts) -> bool {
    if let Some(freezing) = lease.pool().freezing() {
        return lease.idle_for() >= freezing.doubt_after;
    }
    let precious = !matches!(facts.class, Class::Read | Class::RetryableWrite);
    precious && lease.idle_for() >= TRUSTED_IDLE
}

/// Asks a connection whether it still works, and passes on what it says of its node.
pub(super) async fn ping(lease: &mut Lease, cluster: &Cluster) -> Liveness {
    let patience = lease.pool().freezing().map_or(CHECK_TIME, |f| f.check_time);
    let (started, node) = (Instant::now(), lease.pool().node().clone());
    let Some(conn) = lease.connection() else {
        return Liveness::Broken;
    };
    let hello = bson::rawdoc! { "hello": 1, "$db": "admin" };
    match timeout(patience, conn.ask(&hello)).await {
        Ok(Ok(document)) => Liveness::Alive {
            news: cluster.heard(&node, started, &document),
        },
        Ok(Err(_)) => Liveness::Broken,
        Err(_) => Liveness::Silent,
    }
}

/// Lets go of a connection that did not pass.
pub(super) fn give_up(lease: Lease, liveness: Liveness) {
    // Elsewhere a silent connection keeps its slot until the server has let go of it.
    if liveness == Liveness::Silent && lease.pool().freezing().is_some() {
        lease.abandon();
    } else {
        lease.destroy();
    }
}
