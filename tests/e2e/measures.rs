//! The numbers that the design promises, measured through a real Weir.
//!
//! A shared machine stumbles now and then, so a limit on time must hold in the best
//! of three tries; what must never happen (an error, a socket too many) is judged in
//! every one.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures_util::future::try_join_all;
use mongodb::{Client, Collection};
use weir_tests::{
    cluster::{Cluster, shared, unique},
    raw::Raw,
    relay::{Fault, Side, Trigger},
    skip::skip,
    sockets::{Sampler, can_count},
    weir::WeirProcess,
};

use crate::support::before;

/// Runs `measure` until its result is within `limit`, at most three times.
pub(crate) async fn best_of_three<T: PartialOrd + std::fmt::Debug>(
    what: &str,
    limit: T,
    mut measure: impl AsyncFnMut() -> Result<T>,
) -> Result<()> {
    let mut seen = Vec::new();
    for _ in 0..3 {
        let measured = measure().await?;
        println!("{what}: {measured:?} (limit {limit:?})");
        if measured <= limit {
            return Ok(());
        }
        seen.push(measured);
    }
    anyhow::bail!("{what}: {seen:?}, allowed are {limit:?}")
}

/// One client of 1,500: connects, greets, works.
async fn busy(weir: &WeirProcess, collection: &str, number: i32) -> Result<()> {
    let mut raw = Raw::connect(weir.address()).await?;
    raw.command("admin", doc! { "hello": 1 }).await?;
    for step in 0..3 {
        let insert = doc! { "insert": collection, "documents": [{ "_id": number * 10 + step }] };
        let reply = raw.command("crowd", insert).await?;
        ensure!(
            reply.get_i32("n").ok() == Some(1),
            "client {number}: {reply}"
        );
        let find = doc! { "find": collection, "filter": { "_id": number * 10 + step } };
        let reply = raw.command("crowd", find).await?;
        let batch = reply.get_document("cursor")?.get_array("firstBatch")?;
        ensure!(batch.len() == 1, "client {number}: {reply}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn fifteen_hundred_busy_clients_share_twenty_sockets() -> Result<()> {
    const CLIENTS: i32 = 1_500;
    const CAP: usize = 20;
    let cluster = shared::single().await?;
    let counter = cluster.counter(0).await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .args(&["--max-connections", "20", "--queue-timeout", "30s"])
        .start()
        .await?;
    let port = cluster.member(0)?.address().port();
    let sampler = can_count()
        .then(|| Sampler::start(weir.pid(), vec![port]))
        .transpose()?;
    let collection = unique("crowd");
    try_join_all((0..CLIENTS).map(|number| busy(&weir, &collection, number))).await?;
    let status = weir.status().await?;
    let used = status["listeners"][0]["nodes"][0]["sockets"]
        .as_u64()
        .context("sockets")?;
    ensure!(used <= 18, "{status}");
    // Other tests share this server; its own count can only be too high.
    println!(
        "the server counts {} above its baseline",
        counter.above_baseline().await?
    );
    match sampler {
        Some(sampler) => {
            let maxima = sampler.finish()?;
            let most = maxima.most.get(&port).context("no look")?;
            ensure!(
                most.held + most.orphans <= CAP && maxima.looks >= 3,
                "{maxima:?}"
            );
        }
        None => skip(
            "the cap, counted by the kernel",
            "this system has no /proc/net/tcp",
        ),
    }
    Ok(())
}

async fn driver(weir: &WeirProcess) -> Result<Collection<Document>> {
    let client = Client::with_uri_str(weir.uri("maxPoolSize=4")).await?;
    let things = client.database("measures").collection(&unique("things"));
    things.insert_one(doc! { "_id": 0, "n": 0 }).await?;
    Ok(things)
}

/// Counts up for `time`; returns the number of increments and the slowest one.
async fn count_up(things: &Collection<Document>, time: Duration) -> Result<(i32, Duration)> {
    let (mut done, mut worst) = (0, Duration::ZERO);
    let until = Instant::now() + time;
    while Instant::now() < until {
        let began = Instant::now();
        things
            .update_one(doc! { "_id": 0 }, doc! { "$inc": { "n": 1 } })
            .await?;
        worst = worst.max(began.elapsed());
        done += 1;
    }
    Ok((done, worst))
}

async fn counted(things: &Collection<Document>) -> Result<i32> {
    let found = things
        .find_one(doc! { "_id": 0 })
        .await?
        .context("it is gone")?;
    Ok(found.get_i32("n")?)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_reset_under_load_costs_a_quarter_of_a_second_at_most() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let weir = before(&cluster).await?;
    best_of_three(
        "worst operation around one reset",
        Duration::from_millis(250),
        async || {
            let things = driver(&weir).await?;
            let relay = cluster.relay(0)?;
            let before = relay.counts().triggered;
            let hurt = async {
                tokio::time::sleep(Duration::from_millis(500)).await;
                relay.add(Trigger::once("$inc", Side::Replies, Fault::Reset(0)));
                anyhow::Ok(())
            };
            let time = Duration::from_secs(2);
            let (a, b, _) =
                tokio::try_join!(count_up(&things, time), count_up(&things, time), hurt)?;
            ensure!(relay.counts().triggered > before, "nothing was reset");
            ensure!(
                counted(&things).await? == a.0 + b.0,
                "an increment was lost or doubled"
            );
            Ok(a.1.max(b.1))
        },
    )
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_first_write_after_a_restart_waits_a_second_at_most() -> Result<()> {
    let cluster = Cluster::builder().start().await?;
    let weir = before(&cluster).await?;
    best_of_three(
        "first write after the node takes writes",
        Duration::from_secs(1),
        async || {
            let things = driver(&weir).await?;
            let direct = unique("direct");
            cluster.kill(0)?;
            let held = async {
                things
                    .update_one(doc! { "_id": 0 }, doc! { "$inc": { "n": 1 } })
                    .await?;
                anyhow::Ok(Instant::now())
            };
            let writable = async {
                cluster.restart(0).await?;
                cluster.primary().await?;
                let client = cluster.client().await?;
                client
                    .database("measures")
                    .collection(&direct)
                    .insert_one(doc! {})
                    .await?;
                anyhow::Ok(Instant::now())
            };
            let (served, writable) = tokio::try_join!(held, writable)?;
            ensure!(counted(&things).await? == 1);
            Ok(served.saturating_duration_since(writable))
        },
    )
    .await
}

/// The kernel of a stopped server keeps acknowledging: only its silence tells.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_frozen_primary_is_survived() -> Result<()> {
    let timeout = Duration::from_secs(2);
    let cluster = Cluster::builder()
        .priorities(&[1, 1, 0])
        .election_timeout(timeout)
        .start()
        .await?;
    cluster.settled().await?;
    let weir = before(&cluster).await?;
    let things = driver(&weir).await?;
    let frozen = cluster.primary().await?;
    let hurt = async {
        tokio::time::sleep(Duration::from_millis(500)).await;
        let began = Instant::now();
        cluster.freeze(frozen)?;
        // The others wait for their own time-outs on the frozen one, as voters and as sources
        // of the log. The set is there again when it acknowledges a write by its majority.
        cluster.primary_other_than(Some(frozen)).await?;
        let direct = cluster.client().await?.database("measures");
        let direct = direct.collection::<Document>(&unique("direct"));
        direct.insert_one(doc! {}).await?;
        anyhow::Ok(began.elapsed())
    };
    let time = Duration::from_secs(1);
    let counted_up = tokio::try_join!(count_up(&things, time), count_up(&things, time), hurt);
    let (a, b, election) = counted_up?;
    let worst = a.1.max(b.1);
    println!("worst operation around a frozen primary: {worst:?}, election {election:?}");
    ensure!(worst <= election + Duration::from_secs(8), "{worst:?}");
    ensure!(
        worst >= Duration::from_secs(1),
        "the primary was not frozen: {worst:?}"
    );
    ensure!(
        counted(&things).await? == a.0 + b.0,
        "an increment was lost or doubled"
    );
    cluster.thaw(frozen)
}

/// A Weir in its load-balanced face stands for a load-balanced upstream: cursors and
/// transactions stick to a connection, which others use between two batches.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_smallest_pool_with_an_open_cursor_finishes() -> Result<()> {
    let first = WeirProcess::builder()
        .upstream(shared::single().await?.uri())
        .arg("--no-probe")
        .start()
        .await?;
    let weir = WeirProcess::builder()
        .upstream(first.uri("loadBalanced=true"))
        .args(&["--max-connections", "2", "--min-connections", "1"])
        .start()
        .await?;
    let client = Client::with_uri_str(weir.uri("")).await?;
    let things = client
        .database("measures")
        .collection::<Document>(&unique("cursor"));
    things
        .insert_many((0..100).map(|n| doc! { "_id": n }))
        .await?;
    let mut cursor = things.find(doc! {}).batch_size(10).await?;
    let mut updated = 0;
    while cursor.advance().await? {
        let id = cursor.deserialize_current()?.get_i32("_id")?;
        things
            .update_one(doc! { "_id": id }, doc! { "$set": { "seen": true } })
            .await?;
        updated += 1;
    }
    ensure!(updated == 100);
    let mut session = client.start_session().await?;
    session.start_transaction().await?;
    let mut cursor = things
        .find(doc! {})
        .batch_size(10)
        .session(&mut session)
        .await?;
    while cursor.advance(&mut session).await? {
        let id = cursor.deserialize_current()?.get_i32("_id")?;
        let inc = doc! { "$inc": { "n": 1 } };
        things
            .update_one(doc! { "_id": id }, inc)
            .session(&mut session)
            .await?;
    }
    session.commit_transaction().await?;
    ensure!(
        things
            .count_documents(doc! { "n": 1, "seen": true })
            .await?
            == 100
    );
    Ok(())
}
