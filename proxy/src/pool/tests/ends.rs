//! How connections end.

use std::task::{Context, Waker};

use super::*;

#[tokio::test]
async fn a_destroyed_connection_counts_until_the_server_lets_go() {
    let server = Server::start().await;
    let pool = pool(&server, 2);
    let both = [lease(&pool).await, lease(&pool).await];
    server.set(|mood| mood.clinging = true);
    both.into_iter().for_each(Lease::destroy);
    assert_eq!(pool.counts().closing, 2);
    let late = pool.lease(FINISHING, Instant::now() + ms(200)).await;
    assert_eq!(late.unwrap_err(), LeaseError::TimedOut);
    assert_eq!(server.sockets().accepted, 2);
    server.set(|mood| mood.clinging = false);
    drop(lease(&pool).await);
    assert_eq!(server.sockets().most, 2);
}

#[tokio::test]
async fn an_interrupt_wakes_readers_and_frees_no_slot_that_the_server_counts() {
    let server = Server::start().await;
    let pool = pool(&server, 2);
    server.set(|mood| {
        mood.slow = true;
        mood.clinging = true;
    });
    let readers = [lease(&pool).await, lease(&pool).await].map(|mut lease| {
        tokio::spawn(async move {
            let answered = ping(&mut lease).await;
            drop(lease);
            answered
        })
    });
    sleep(ms(20)).await;
    assert!(readers.iter().all(|reader| !reader.is_finished()));
    pool.interrupt(2);
    for reader in readers {
        let answered = timeout(ms(900), reader).await.expect("it still reads");
        assert!(!answered.unwrap());
    }
    assert!(pool.is_dead());
    // The node lives after all: it holds both connections still.
    pool.set_available(true);
    assert!(!pool.is_dead());
    let late = pool.lease(FINISHING, Instant::now() + ms(100)).await;
    assert_eq!(late.unwrap_err(), LeaseError::TimedOut);
    assert_eq!((pool.counts().closing, server.sockets().accepted), (2, 2));
    server.set(|mood| mood.clinging = false);
    let fresh = lease(&pool).await;
    assert_eq!((fresh.generation(), server.sockets().most), (2, 2));
}

#[tokio::test]
async fn an_interrupt_wakes_writers() {
    let server = Server::start().await;
    let pool = pool(&server, 2);
    let mut lease = lease(&pool).await;
    // Nobody reads this much: the announced length never arrives whole.
    let mut message = vec![0; 40 << 20];
    message[..4].copy_from_slice(&(48_000_000_i32).to_le_bytes());
    message[12..16].copy_from_slice(&2013_i32.to_le_bytes());
    server.set(|mood| mood.slow = true);
    let writer = tokio::spawn(async move {
        loop {
            if lease.connection().unwrap().send(&message).await.is_err() {
                return;
            }
        }
    });
    sleep(ms(50)).await;
    pool.interrupt(2);
    timeout(LONG, writer)
        .await
        .expect("it still writes")
        .unwrap();
}

#[tokio::test]
async fn an_interrupt_spares_connections_of_its_own_generation() {
    let server = Server::start().await;
    let pool = pool(&server, 2);
    let mut old = lease(&pool).await;
    pool.clear(2);
    let mut new = lease(&pool).await;
    pool.interrupt(2);
    assert!(ping(&mut new).await);
    server.set(|mood| mood.slow = true);
    assert!(!timeout(LONG, ping(&mut old)).await.unwrap());
}

#[tokio::test]
async fn the_end_of_an_idle_connection_is_noticed_at_once() {
    let server = Server::start().await;
    let pool = pool(&server, 4);
    // More often than ticks could explain.
    for round in 1..=6 {
        let mut lease = lease(&pool).await;
        assert!(ping(&mut lease).await);
        lease.give_back();
        // A look must not make it deaf.
        if round % 2 == 0 {
            pool.upkeep.wake();
        }
        sleep(ms(5)).await;
        assert_eq!(pool.counts().idle, 1);
        server.set(|mood| mood.closings += 1);
        within(ms(250), "it is closed here too", || {
            pool.counts().sockets() == 0
        })
        .await;
        assert_eq!(server.sockets().accepted, round);
    }
}

#[tokio::test]
async fn an_idle_connection_that_speaks_is_given_up() {
    let server = Server::start().await;
    let pool = pool(&server, 4);
    let first = lease(&pool).await;
    let id = first.id();
    first.give_back();
    server.set(|mood| mood.noises += 1);
    until("it is closed", || server.sockets().open == 0).await;
    assert_ne!(lease(&pool).await.id(), id);
}

#[tokio::test]
async fn a_connection_that_died_is_not_leased_even_if_nobody_has_looked() {
    let server = Server::start().await;
    let pool = pool(&server, 4);
    lease(&pool).await.give_back();
    pool.with_machine(|machine, now, effects| {
        // As if the upkeep were far behind: it is not woken.
        let deafen = |connection: &Payload| {
            let mut cx = Context::from_waker(Waker::noop());
            connection.socket().watch(&mut cx).is_ready()
        };
        machine.tick(now, deafen, effects);
    });
    server.set(|mood| mood.closings += 1);
    until("it is closed", || server.sockets().open == 0).await;
    sleep(ms(5)).await;
    assert_eq!(lease(&pool).await.id(), ConnId(2));
}

#[tokio::test]
async fn a_touched_connection_that_is_dropped_is_destroyed() {
    let server = Server::start().await;
    let pool = pool(&server, 4);
    let untouched = lease(&pool).await;
    let id = untouched.id();
    drop(untouched);
    let mut touched = lease(&pool).await;
    assert_eq!(touched.id(), id);
    touched.connection();
    drop(touched);
    assert_ne!(lease(&pool).await.id(), id);
}

#[tokio::test]
async fn the_socket_of_a_handshake_that_failed_counts_too() {
    let server = Server::start().await;
    server.set(|mood| {
        mood.deaf = true;
        mood.clinging = true;
    });
    let pool = pool_with(
        &server,
        limits(2),
        Connector {
            time_limit: ms(20),
            ..connector()
        },
    );
    let late = pool.lease(FINISHING, Instant::now() + ms(600)).await;
    assert_eq!(late.unwrap_err(), LeaseError::TimedOut);
    assert_eq!(server.sockets().most, 2);
    assert_eq!(pool.counts().closing, 2);
    server.set(|mood| {
        mood.deaf = false;
        mood.clinging = false;
    });
    drop(lease(&pool).await);
    assert_eq!(server.sockets().most, 2);
}

#[tokio::test]
async fn a_probe_is_made_when_the_broken_connection_has_freed_its_slot() {
    let server = Server::start().await;
    let pool = pool(&server, 2);
    let [mut broken, _busy] = [lease(&pool).await, lease(&pool).await];
    broken.connection();
    pool.probe();
    assert_eq!(server.sockets().accepted, 2);
    drop(broken);
    until("the probe", || server.sockets().accepted == 3).await;
    assert_eq!(server.sockets().most, 2);
}

#[tokio::test]
async fn a_retired_pool_keeps_nothing_warm() {
    let server = Server::start().await;
    let pool = pool_with(
        &server,
        Limits {
            min: 2,
            ..limits(4)
        },
        connector(),
    );
    pool.set_available(true);
    until("it is warm", || pool.counts().idle == 2).await;
    pool.retire();
    until("all are closed", || server.sockets().open == 0).await;
    pool.upkeep.wake();
    sleep(ms(20)).await;
    assert_eq!((pool.counts().sockets(), server.sockets().accepted), (0, 2));
}

/// Where connections break again and again, an operation that went to the end of the queue each
/// time would wait for ever.
#[tokio::test]
async fn who_is_sent_away_by_a_clear_may_come_back_to_his_place() {
    let server = Server::start().await;
    let pool = pool(&server, 2);
    let (held, _other) = (lease(&pool).await, lease(&pool).await);
    let wait = |want: Want| {
        let pool = Arc::clone(&pool);
        tokio::spawn(async move { pool.lease(want, Instant::now() + LONG).await })
    };
    let first = wait(FINISHING);
    until("the first waits", || pool.counts().queued == 1).await;
    let second = wait(FINISHING);
    until("the second waits", || pool.counts().queued == 2).await;
    pool.clear(2);
    let place = |answer: Result<Lease, LeaseError>| match answer {
        Err(LeaseError::Cleared(place)) => Some(place),
        other => panic!("{other:?}"),
    };
    let places = [place(first.await.unwrap()), place(second.await.unwrap())];
    let [first, second] = places.map(|place| Want { place, ..FINISHING });
    // They come back in the other order.
    let second = wait(second);
    until("the second is back", || pool.counts().queued == 1).await;
    let first = wait(first);
    until("the first is back", || pool.counts().queued == 2).await;
    held.destroy();
    let served = timeout(LONG, first).await.unwrap().unwrap();
    assert!(served.is_ok());
    assert!(!second.is_finished());
}

#[tokio::test]
async fn a_node_that_is_removed_and_added_again_keeps_its_cap() {
    let server = Server::start().await;
    let first = pool(&server, 3);
    let mut leases = Vec::new();
    for _ in 0..3 {
        leases.push(lease(&first).await);
    }
    first.retire();
    let asked = first.lease(FINISHING, Instant::now() + LONG).await;
    assert_eq!(asked.err(), Some(LeaseError::Retired));
    let second = pool_after(&server, limits(3), connector(), Some(Arc::clone(&first)));
    let refused = second.lease(FINISHING, Instant::now() + ms(300)).await;
    assert_eq!(refused.err(), Some(LeaseError::TimedOut));
    // What was in use finishes; then its slot is the new pool's.
    let mut last = leases.pop().unwrap();
    assert!(ping(&mut last).await);
    last.give_back();
    let mut got = lease(&second).await;
    assert!(ping(&mut got).await);
    drop(leases);
    let (_one, _two) = (lease(&second).await, lease(&second).await);
    assert_eq!(server.sockets().most, 3);
    until("the first pool to be empty", || {
        first.counts().sockets() == 0
    })
    .await;
}
