//! The pool against a server on loopback that counts its connections itself.

use std::pin::pin;

use bson::rawdoc;
use tokio::{
    task::JoinSet,
    time::{sleep, timeout},
};

use crate::{
    config::{Credential, Secret},
    random,
    upstream::auth::Principal,
};

use super::*;

mod ends;
mod server;

use server::Server;

struct Silent;

impl Observer for Silent {
    fn connected(&self, _: &NodeAddress, _: Instant, _: &ServerHello) {}
    fn connect_failed(&self, _: &NodeAddress, _: u64, _: &ConnectError) {}
}

const fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

/// Long enough for anything that works at all on a busy machine.
const LONG: Duration = Duration::from_secs(30);

fn limits(slots: usize) -> Limits {
    Limits {
        slots,
        depth: 10_000,
        min: 0,
        max_connecting: 2,
        idle_time: None,
        connect_spacing: Duration::ZERO,
        affinity: false,
    }
}

fn connector() -> Connector {
    Connector {
        tls: None,
        principal: None,
        app_name: None,
        compressors: Vec::new(),
        time_limit: LONG,
        load_balanced: false,
        process_id: [0; 12],
    }
}

fn pool_with(server: &Server, limits: Limits, connector: Connector) -> Arc<NodePool> {
    pool_after(server, limits, connector, None)
}

fn pool_after(
    server: &Server,
    limits: Limits,
    connector: Connector,
    before: Option<Arc<NodePool>>,
) -> Arc<NodePool> {
    let lifetime = Duration::from_secs(3600);
    let address = server.address.clone();
    NodePool::start(
        address,
        limits,
        1,
        Life {
            lifetime,
            freezing: None,
            before,
        },
        Arc::new(connector),
        Arc::new(Silent),
    )
}

fn pool(server: &Server, slots: usize) -> Arc<NodePool> {
    pool_with(server, limits(slots), connector())
}

/// Any slot will do.
const FINISHING: Want = Want {
    lane: Lane::Finishing,
    only: None,
    opens_transaction: false,
    place: None,
};

async fn lease(pool: &Arc<NodePool>) -> Lease {
    pool.lease(FINISHING, Instant::now() + LONG).await.unwrap()
}

async fn ping(lease: &mut Lease) -> bool {
    lease
        .connection()
        .unwrap()
        .ask(&rawdoc! { "ping": 1 })
        .await
        .is_ok()
}

/// Waits for a condition, with a deadline.
async fn until(what: &str, holds: impl Fn() -> bool) {
    within(LONG, what, holds).await;
}

async fn within(limit: Duration, what: &str, holds: impl Fn() -> bool) {
    let waited = timeout(limit, async {
        while !holds() {
            sleep(ms(2)).await;
        }
    });
    waited
        .await
        .unwrap_or_else(|_| panic!("waited {limit:?}: {what}"));
}

/// One life of an operation: it waits, works, gives up or breaks, at random.
async fn live(pool: Arc<NodePool>) {
    let lane = Lane::ALL[usize::try_from(random::number() % 3).unwrap()];
    let want = Want {
        lane,
        ..Want::default()
    };
    let patience = ms(random::number() % 30);
    let leased = match random::number() % 3 {
        // Gives up from outside: the future is dropped wherever it is.
        0 => timeout(patience, pool.lease(want, Instant::now() + LONG))
            .await
            .ok(),
        1 => Some(pool.lease(want, Instant::now() + patience).await),
        _ => Some(pool.lease(want, Instant::now() + LONG).await),
    };
    let Some(Ok(mut lease)) = leased else { return };
    match random::number() % 8 {
        0 => drop(lease),
        1 => lease.destroy(),
        // Cut off in the middle of the exchange, at times.
        2 => drop(timeout(ms(random::number() % 2), ping(&mut lease)).await),
        3 => {
            ping(&mut lease).await;
            sleep(ms(random::number() % 3)).await;
            lease.give_back();
        }
        _ => {
            if ping(&mut lease).await {
                lease.give_back();
            }
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_cap_holds_and_no_slot_leaks_whatever_becomes_of_operations() {
    const SLOTS: usize = 8;
    let server = Server::start().await;
    let pool = pool(&server, SLOTS);
    let mut tasks = JoinSet::new();
    let mut handles = Vec::new();
    for _ in 0..200 {
        let pool = Arc::clone(&pool);
        handles.push(tasks.spawn(async move {
            for _ in 0..12 {
                live(Arc::clone(&pool)).await;
            }
        }));
    }
    let mut generation = 1;
    for (n, handle) in handles.iter().enumerate() {
        match n % 20 {
            3 => handle.abort(),
            7 => drop(pool.probe()),
            11 => {
                generation += 1;
                pool.clear(generation);
            }
            15 => {
                generation += 1;
                pool.interrupt(generation);
                pool.set_available(true);
            }
            19 => server.set(|mood| mood.closings += 1),
            _ => {}
        }
        assert!(pool.counts().sockets() <= SLOTS);
        sleep(ms(2)).await;
    }
    while let Some(ended) = tasks.join_next().await {
        assert!(ended.is_ok() || ended.unwrap_err().is_cancelled());
    }
    until("all is given back", || {
        let counts = pool.counts();
        counts.leased == [0; 3] && counts.closing + counts.connecting + counts.queued == 0
    })
    .await;
    // Every slot can still be had.
    let mut all = Vec::new();
    for _ in 0..SLOTS {
        all.push(lease(&pool).await);
    }
    let sockets = server.sockets();
    assert_eq!(sockets.open, SLOTS);
    assert_eq!(sockets.most, SLOTS, "of {} accepted", sockets.accepted);
    assert!(
        sockets.accepted > SLOTS * 3,
        "too quiet a test: {sockets:?}"
    );
}

#[tokio::test]
async fn a_connection_handed_to_who_has_left_goes_to_the_next() {
    let server = Server::start().await;
    let pool = pool(&server, 2);
    let want = Want::default();
    let held = pool.lease(want, Instant::now() + LONG).await.unwrap();
    let id = held.id();
    {
        let mut waits = pin!(pool.lease(want, Instant::now() + LONG));
        assert!(futures_util::poll!(waits.as_mut()).is_pending());
        held.give_back();
        assert_eq!(pool.counts().leased, [1, 0, 0], "on its way to the waiter");
    }
    assert_eq!(pool.counts().leased, [0; 3]);
    let again = pool.lease(want, Instant::now() + LONG).await.unwrap();
    assert_eq!(
        (again.id(), server.sockets().accepted),
        (id, 1),
        "untouched, it was kept"
    );
}

#[tokio::test]
async fn any_number_of_waiters_may_have_left_without_a_word() {
    let server = Server::start().await;
    let pool = pool_with(
        &server,
        Limits {
            depth: 60_000,
            ..limits(2)
        },
        connector(),
    );
    let held = pool
        .lease(Want::default(), Instant::now() + LONG)
        .await
        .unwrap();
    for _ in 0..50_000 {
        // Their places in the queue stay behind.
        assert!(matches!(
            pool.try_lease(Want::default()),
            Ok(Tried::Queued(..))
        ));
    }
    held.give_back();
    let counts = pool.counts();
    assert_eq!((counts.queued, counts.idle, counts.leased), (0, 1, [0; 3]));
}

/// A node may greet and fail whatever it is asked to do.
#[tokio::test]
async fn a_hello_does_not_count_as_success() {
    let server = Server::start().await;
    let pool = pool(&server, 2);
    let lease = || pool.lease(Want::default(), Instant::now() + LONG);
    (0..5).for_each(|_| pool.failed());
    lease().await.unwrap().give_back_greeted();
    assert!(pool.has_tripped());
    lease().await.unwrap().give_back();
    assert!(!pool.has_tripped());
}

#[tokio::test]
async fn an_operation_that_gives_up_leaves_the_queue() {
    let server = Server::start().await;
    let pool = pool(&server, 2);
    let _held = pool
        .lease(Want::default(), Instant::now() + LONG)
        .await
        .unwrap();
    let late = pool.lease(Want::default(), Instant::now() + ms(5)).await;
    assert_eq!(late.unwrap_err(), LeaseError::TimedOut);
    assert_eq!(pool.counts().queued, 0);
    let dropped = timeout(ms(5), pool.lease(Want::default(), Instant::now() + LONG)).await;
    assert!(dropped.is_err());
    assert_eq!(pool.counts().queued, 0);
}

#[tokio::test]
async fn a_waiting_handshake_begins_at_its_time_and_not_at_the_next_second() {
    let server = Server::start().await;
    let spaced = Limits {
        connect_spacing: ms(60),
        ..limits(8)
    };
    let pool = pool_with(&server, spaced, connector());
    let began = Instant::now();
    let mut all = Vec::new();
    for _ in 0..8 {
        let pool = Arc::clone(&pool);
        all.push(tokio::spawn(async move { lease(&pool).await }));
    }
    let mut leases = Vec::new();
    for one in all {
        leases.push(one.await.unwrap());
    }
    let took = began.elapsed();
    // Eight ticks of a second each, were it not so.
    assert!((ms(420)..ms(4000)).contains(&took), "{took:?}");
}

#[tokio::test]
async fn a_failed_handshake_is_repeated_soon() {
    let server = Server::start().await;
    server.set(|mood| mood.unfriendly = true);
    let pool = pool(&server, 4);
    let waits = tokio::spawn({
        let pool = Arc::clone(&pool);
        async move { lease(&pool).await }
    });
    // Pauses of 50, 100, 200 ms: three seconds if each waited for its tick.
    until("four attempts", || server.sockets().accepted >= 3).await;
    let began = Instant::now();
    server.set(|mood| mood.unfriendly = false);
    waits.await.unwrap();
    assert!(began.elapsed() < ms(900), "{:?}", began.elapsed());
}

#[tokio::test]
async fn a_refused_login_is_told_at_once() {
    let server = Server::start().await;
    let credential = Credential {
        username: "app".into(),
        password: Secret::new("wrong"),
        session_token: None,
        source: "admin".into(),
        mechanism: None,
    };
    let principal = Some(Arc::new(Principal::new(&credential).unwrap()));
    let pool = pool_with(
        &server,
        limits(4),
        Connector {
            principal,
            ..connector()
        },
    );
    for _ in 0..3 {
        let refused = pool.lease(FINISHING, Instant::now() + LONG).await;
        assert_eq!(refused.unwrap_err(), LeaseError::LoginRefused);
    }
    assert!(pool.login_refused());
    assert!(
        server.sockets().accepted <= 2,
        "the account is not hammered"
    );
    until("nothing is left behind", || pool.counts().sockets() == 0).await;
}
