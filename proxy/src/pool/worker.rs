//! Opens and destroys connections. Both run outside of the machine's lock.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    pool::{
        ConnId, ConnectFailures, NodePool, Payload,
        state::{CloseReason, FailedConnect, Slot},
    },
    upstream::{ConnectError, Connection, Failure},
};

/// Longest pause between two attempts to connect.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The same in a process that is frozen between invocations of a few seconds, and when the
/// credential source failed instead of the node.
const LONGEST_BACKOFF_AWAKE: Duration = Duration::from_secs(2);

/// Opens one connection and reports the outcome to the machine.
pub(super) async fn open(pool: Arc<NodePool>, id: ConnId, generation: u64) {
    let started = Instant::now();
    match pool.connector.connect(&pool.node).await {
        Ok(connection) => opened(&pool, id, generation, started, connection),
        Err(failure) => failed(&pool, generation, failure).await,
    }
}

fn opened(
    pool: &Arc<NodePool>,
    id: ConnId,
    generation: u64,
    started: Instant,
    connection: Connection,
) {
    *pool.connect_failures.lock() = ConnectFailures::default();
    pool.abort_handles
        .lock()
        .insert(id, (generation, connection.abort_handle()));
    pool.observer
        .connected(&pool.node, started, connection.hello());
    let lifetime = jittered(pool.lifetime);
    if !pool.upkeep.watch(connection.socket()) {
        pool.upkeep.wake();
    }
    pool.with_machine(|machine, now, effects| {
        machine.connected(id, generation, Box::new(connection), lifetime, now, effects);
    });
}

async fn failed(pool: &Arc<NodePool>, generation: u64, failure: Failure) {
    let Failure { error, remains } = failure;
    tracing::warn!(node = %pool.node, %error, "could not open a connection to the database");
    let failures = {
        let mut known = pool.connect_failures.lock();
        known.last = Some(format!("{}: {error}", pool.node));
        let before = known.in_a_row;
        known.in_a_row = before.saturating_add(1);
        before
    };
    if error.is_of_node() {
        pool.failed();
    }
    pool.observer.connect_failed(&pool.node, generation, &error);
    let failed = FailedConnect {
        retry_after: jittered(backoff(pool, &error, failures)),
        login_refused: error.is_login_refused(),
        lingers: remains.is_some(),
    };
    pool.with_machine(|machine, now, effects| {
        machine.connect_failed(generation, failed, now, effects);
    });
    if let Some(remains) = remains {
        remains.destroy(|| pool.is_dead()).await;
        pool.with_machine(|machine, now, effects| machine.closed(now, effects));
    }
}

/// The pause after a failed attempt that followed `failures` others in a row.
fn backoff(pool: &NodePool, error: &ConnectError, failures: u32) -> Duration {
    let refused = error.is_login_refused();
    // A refused login is tried again seldom: the server may lock the account.
    let first = if refused {
        Duration::from_secs(1)
    } else {
        Duration::from_millis(50)
    };
    let longest = match pool.freezing() {
        Some(_) if !refused => LONGEST_BACKOFF_AWAKE,
        // Nothing tells when the credential source answers again.
        _ if error.is_of_credentials() => LONGEST_BACKOFF_AWAKE,
        _ => LONGEST_BACKOFF,
    };
    (first * 2_u32.saturating_pow(failures.min(10))).min(longest)
}

/// Destroys a connection. The slot becomes free when the server has let go of it.
pub(super) async fn destroy(pool: Arc<NodePool>, slot: Slot<Payload>, why: CloseReason) {
    let id = slot.id;
    let connection = *slot.conn;
    if why == CloseReason::Silent {
        connection.abandon();
    } else {
        connection.destroy(|| pool.is_dead()).await;
    }
    pool.abort_handles.lock().remove(&id);
    pool.with_machine(|machine, now, effects| machine.closed(now, effects));
}

/// Between 80 and 100 % of `duration`, so that connections made together do not end together.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.8 + 0.2 * crate::random::fraction())
}
