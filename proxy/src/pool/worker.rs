//! What a pool does outside its lock: opening and destroying.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    pool::{
        ConnId, NodePool, Payload, Rejection,
        state::{CloseReason, Slot},
    },
    upstream::{Connection, Failure},
};

/// Longest pause between two attempts to connect.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// The same where the process is frozen between pieces of work that take seconds, and where
/// it is no node that failed.
const LONGEST_BACKOFF_AWAKE: Duration = Duration::from_secs(2);

/// Opens one connection and reports it to the machine.
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
    pool.failures.store(0, Ordering::Relaxed);
    *pool.last_failure.lock() = None;
    pool.login_refused.store(false, Ordering::Relaxed);
    pool.abort_handles
        .lock()
        .insert(id, (generation, connection.abort_handle()));
    pool.observer
        .connected(&pool.node, started, connection.hello());
    let lifetime = jittered(pool.lifetime);
    if !pool.upkeep.watch(connection.socket()) {
        pool.upkeep.look();
    }
    pool.with_machine(|machine, now, effects| {
        machine.connected(id, generation, Box::new(connection), lifetime, now, effects);
    });
}

async fn failed(pool: &Arc<NodePool>, generation: u64, failure: Failure) {
    let Failure { error, remains } = failure;
    let failures = pool.failures.fetch_add(1, Ordering::Relaxed);
    let refused = error.is_login_refused();
    // A refused login is tried again seldom: the server may lock the account.
    let first = if refused {
        Duration::from_secs(1)
    } else {
        Duration::from_millis(50)
    };
    let longest = match pool.freezing() {
        Some(_) if !refused => LONGEST_BACKOFF_AWAKE,
        // Nobody tells when whoever gives out keys is back.
        _ if error.is_of_credentials() => LONGEST_BACKOFF_AWAKE,
        _ => LONGEST_BACKOFF,
    };
    let pause = jittered((first * 2_u32.saturating_pow(failures.min(10))).min(longest));
    tracing::warn!(node = %pool.node, %error, "could not open a connection to the database");
    *pool.last_failure.lock() = Some(format!("{}: {error}", pool.node));
    if error.is_of_node() {
        pool.failed();
    }
    pool.observer.connect_failed(&pool.node, generation, &error);
    pool.login_refused.store(refused, Ordering::Relaxed);
    let lingers = remains.is_some();
    pool.with_machine(|machine, now, effects| {
        machine.connect_failed(generation, pause, lingers, now, effects);
        let counts = machine.counts();
        if refused && counts.idle + counts.leased.iter().sum::<usize>() == 0 {
            machine.reject_all(Rejection::LoginRefused, effects);
        }
    });
    if let Some(remains) = remains {
        remains.destroy(|| pool.is_dead()).await;
        pool.with_machine(|machine, now, effects| machine.closed(now, effects));
    }
}

/// Destroys a connection; the slot is free when the server has let go of it.
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

/// Between 80 and 100 % of `duration`, so that what began together does not end together.
fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.8 + 0.2 * crate::random::fraction())
}
