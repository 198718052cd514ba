//! What a pool does outside its lock: opening, destroying, looking after the idle.

use std::{
    sync::{Arc, Weak, atomic::Ordering},
    time::Duration,
};

use tokio::time::{Instant, timeout};

use crate::{
    pool::{ConnId, NodePool, Payload, Rejection, Upkeep, state::Slot},
    upstream::ConnectError,
};

/// Longest pause between two attempts to connect.
const LONGEST_BACKOFF: Duration = Duration::from_secs(30);

/// Opens one connection and reports it to the machine.
pub(super) async fn open(pool: Arc<NodePool>, id: ConnId, generation: u64) {
    let started = Instant::now();
    match pool.connector.connect(&pool.node).await {
        Ok(connection) => {
            pool.failures.store(0, Ordering::Relaxed);
            pool.login_refused.store(false, Ordering::Relaxed);
            if let Ok(cutter) = connection.socket().handle() {
                pool.cutters.lock().insert(id, (generation, cutter));
            }
            pool.observer.connected(&pool.node, started, connection.hello());
            let lifetime = jittered(pool.lifetime);
            let mut cx = std::task::Context::from_waker(&pool.upkeep_waker);
            let _ = connection.socket().watch(&mut cx);
            pool.with_machine(|machine, now, effects| {
                machine.connected(id, generation, Box::new(connection), lifetime, now, effects);
            });
        }
        Err(error) => failed(&pool, generation, &error),
    }
}

fn failed(pool: &Arc<NodePool>, generation: u64, error: &ConnectError) {
    let failures = pool.failures.fetch_add(1, Ordering::Relaxed);
    let refused = error.is_login_refused();
    // A refused login is tried again seldom: the server may lock the account.
    let first = if refused { Duration::from_secs(1) } else { Duration::from_millis(50) };
    let pause = jittered((first * 2_u32.saturating_pow(failures.min(10))).min(LONGEST_BACKOFF));
    tracing::warn!(node = %pool.node, %error, "could not open a connection to the database");
    pool.observer.connect_failed(&pool.node, generation, error);
    pool.login_refused.store(refused, Ordering::Relaxed);
    pool.with_machine(|machine, now, effects| {
        machine.connect_failed(pause, now, effects);
        let counts = machine.counts();
        if refused && counts.idle + counts.leased.iter().sum::<usize>() == 0 {
            machine.reject_all(Rejection::LoginRefused, effects);
        }
    });
}

/// Destroys a connection; the slot is free when the server has let go of it.
pub(super) async fn destroy(pool: Arc<NodePool>, slot: Slot<Payload>) {
    let id = slot.id;
    let connection = *slot.conn;
    connection.destroy(|| pool.is_dead()).await;
    pool.cutters.lock().remove(&id);
    pool.with_machine(|machine, now, effects| machine.closed(now, effects));
}

/// Looks after the idle connections until the pool is gone: once a second, and as soon
/// as the socket of one stirs.
pub(super) async fn keep_up(pool: Weak<NodePool>, upkeep: Arc<Upkeep>) {
    loop {
        let _ = timeout(Duration::from_secs(1), upkeep.0.notified()).await;
        let Some(pool) = pool.upgrade() else { return };
        pool.with_machine(|machine, now, effects| {
            machine.tick(now, |connection| connection.socket().is_disturbed(), effects);
        });
    }
}

/// Between 80 and 100 % of `duration`, so that what began together does not end together.
pub(super) fn jittered(duration: Duration) -> Duration {
    duration.mul_f64(0.8 + 0.2 * crate::random::fraction())
}
