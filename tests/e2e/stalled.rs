//! Clients that ask for much and read nothing: nobody else waits for them.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures_util::future::try_join_all;
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use weir_tests::cluster::{Cluster, shared};
use weir_tests::message::op_msg;
use weir_tests::raw::Raw;
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

use crate::measures::best_of_three;

const BIG: &str = "big";

/// One document of 15 MB.
async fn put_big(cluster: &Cluster) -> Result<()> {
    let client = cluster.client().await?;
    let big = client.database("measures").collection::<Document>(BIG);
    big.drop().await?;
    // Half of it at a time: a small cache does not take it in one transaction.
    let half = "x".repeat(7 * 1024 * 1024 + 512 * 1024);
    big.insert_one(doc! { "_id": 1, "a": &half }).await?;
    let rest = doc! { "$set": { "b": half } };
    big.update_one(doc! { "_id": 1 }, rest).await?;
    Ok(())
}

/// Clients that ask for the large document and read nothing.
async fn stall(weir: &WeirProcess, clients: usize) -> Result<Vec<Raw>> {
    let mut stalled = Vec::new();
    for _ in 0..clients {
        let mut raw = Raw::connect(weir.address()).await?;
        raw.send(&op_msg(1, 0, 0, &doc! { "find": BIG, "$db": "measures" }))
            .await?;
        stalled.push(raw);
    }
    Ok(stalled)
}

/// Latencies of small finds for `time`, sorted.
async fn finds(weir: &WeirProcess, time: Duration) -> Result<Vec<Duration>> {
    let one = async || {
        let mut raw = Raw::connect(weir.address()).await?;
        let mut took = Vec::new();
        let until = Instant::now() + time;
        while Instant::now() < until {
            let began = Instant::now();
            let find = doc! { "find": "small", "filter": { "_id": 1 }, "limit": 1 };
            let reply = raw.command("measures", find).await?;
            ensure!(reply.get_f64("ok").ok() == Some(1.0), "{reply}");
            took.push(began.elapsed());
        }
        Ok(took)
    };
    let all = try_join_all((0..8).map(|_| one())).await?;
    let mut all: Vec<_> = all.into_iter().flatten().collect();
    all.sort();
    Ok(all)
}

fn p99(sorted: &[Duration]) -> Duration {
    sorted
        .get(sorted.len() * 99 / 100)
        .copied()
        .unwrap_or_default()
}

/// Connections of the ordinary lane that are in use.
async fn in_use(weir: &WeirProcess) -> Option<u64> {
    let status = weir.status().await.ok()?;
    status.pointer("/listeners/0/nodes/0/normal")?.as_u64()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_stop_reading_do_not_hold_the_pool() -> Result<()> {
    let cluster = shared::single().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .args(&["--max-connections", "10", "--max-in-flight", "64MiB"])
        .start()
        .await?;
    put_big(cluster).await?;
    best_of_three(
        "p99 beside 20 stalled clients, as a multiple of p99 before",
        1.5,
        async || {
            let quiet = p99(&finds(&weir, Duration::from_secs(3)).await?);
            let stalled = stall(&weir, 20).await?;
            // After two seconds without a byte taken, their connections are free again.
            until("connections in use", LIMIT, async || {
                in_use(&weir).await.filter(|count| *count > 0)
            })
            .await?;
            until("connections that are free again", LIMIT, async || {
                in_use(&weir).await.filter(|count| *count == 0)
            })
            .await?;
            let beside = p99(&finds(&weir, Duration::from_secs(3)).await?);
            println!("p99 {quiet:?} alone, {beside:?} beside 20 stalled clients");
            let normal = in_use(&weir).await;
            ensure!(
                normal == Some(0),
                "stalled clients hold connections: {normal:?}"
            );
            drop(stalled);
            Ok(beside.as_secs_f64() / quiet.as_secs_f64().max(0.000_5))
        },
    )
    .await
}

/// The longest of many small finds, one begun every 20 ms whatever became of those before.
async fn worst_find(weir: &WeirProcess, time: Duration) -> Result<Duration> {
    let mut ready = Vec::new();
    for _ in 0..40 {
        ready.push(Arc::new(Mutex::new(Raw::connect(weir.address()).await?)));
    }
    let mut asked = JoinSet::new();
    let until = Instant::now() + time;
    for raw in ready.iter().cycle() {
        if Instant::now() >= until {
            break;
        }
        let raw = Arc::clone(raw);
        asked.spawn(async move {
            let began = Instant::now();
            let find = doc! { "find": "small", "filter": { "_id": 1 }, "limit": 1 };
            let reply = raw.lock().await.command("measures", find).await?;
            ensure!(reply.get_f64("ok").ok() == Some(1.0), "{reply}");
            Ok(began.elapsed())
        });
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let all: Result<Vec<Duration>> = asked.join_all().await.into_iter().collect();
    all?.into_iter().max().context("nothing was asked")
}

/// From the first moment on: nobody waits for the end of somebody else's pause, be there
/// room for what is not taken or not.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn clients_that_stop_reading_hold_nobody_up() -> Result<()> {
    let cluster = Cluster::builder().start().await?;
    put_big(&cluster).await?;
    for (room, limit) in [("512MiB", 1_000), ("64MiB", 3_500)] {
        let weir = WeirProcess::builder()
            .upstream(cluster.uri())
            .args(&["--max-connections", "10", "--max-in-flight", room])
            .start()
            .await?;
        let limit = Duration::from_millis(limit);
        let what = format!("worst find beside 20 clients that stop reading, {room}");
        best_of_three(&what, limit, async || {
            let stalled = stall(&weir, 20).await?;
            let worst = worst_find(&weir, Duration::from_secs(4)).await?;
            drop(stalled);
            Ok(worst)
        })
        .await?;
    }
    Ok(())
}
