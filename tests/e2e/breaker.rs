//! A node that fails although its monitor finds it well, and the rate of new connections.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::doc;
use weir_tests::cluster::Cluster;
use weir_tests::message::op_msg;
use weir_tests::raw::Raw;
use weir_tests::relay::{Fault, Side, Trigger};
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

const READS: usize = 200;

/// Every request that names this collection breaks its connection; hellos are answered.
fn broken() -> Trigger {
    Trigger {
        times: usize::MAX,
        ..Trigger::once("breaker_reads", Side::Requests, Fault::ResetNow)
    }
}

#[tokio::test]
async fn a_node_that_breaks_every_read_is_avoided_and_found_again() -> Result<()> {
    let cluster = Cluster::builder()
        .priorities(&[1, 0, 0])
        .relays()
        .start()
        .await?;
    cluster.settled().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .start()
        .await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let read = || {
        doc! {
            "find": "breaker_reads",
            "$readPreference": { "mode": "secondary" },
        }
    };
    until("both secondaries", LIMIT, || async {
        let status = weir.status().await.ok()?;
        let nodes = status["listeners"][0]["nodes"].as_array()?;
        let secondaries = nodes.iter().filter(|node| node["kind"] == "Secondary");
        (secondaries.count() == 2).then_some(())
    })
    .await?;
    cluster.relay(1)?.add(broken());
    let mut failed = 0;
    for _ in 0..READS {
        let reply = raw.command("breaker", read()).await?;
        failed += usize::from(reply.get_f64("ok")? != 1.0);
    }
    // Five in a row, and a trial every now and then.
    println!("{failed} of {READS} reads failed");
    ensure!((5..=20).contains(&failed), "{failed} of {READS} failed");
    weir.wait_for_log("fails again and again").await?;
    cluster.relay(1)?.heal();
    let healed = Instant::now();
    let avoided = "\"avoided\":true";
    while weir.status().await?.to_string().contains(avoided) {
        ensure!(healed.elapsed() < LIMIT, "it is still avoided");
        let reply = raw.command("breaker", read()).await?;
        ensure!(reply.get_f64("ok")? == 1.0, "{reply}");
    }
    Ok(())
}

/// Nothing is gained by avoiding what has nowhere else to go.
#[tokio::test]
async fn the_only_writable_node_is_never_avoided() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .start()
        .await?;
    let mut raw = Raw::connect(weir.address()).await?;
    cluster.relay(0)?.add(broken());
    let insert = |name: &str| doc! { "insert": name, "documents": [{ "n": 1 }] };
    for _ in 0..10 {
        let reply = raw.command("breaker", insert("breaker_reads")).await?;
        ensure!(reply.get_i32("code")? == 6, "{reply}");
    }
    weir.wait_for_log("fails again and again").await?;
    let began = Instant::now();
    let reply = raw.command("breaker", insert("other")).await?;
    ensure!(reply.get_i32("n")? == 1, "{reply}");
    ensure!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    Ok(())
}

/// Small Atlas tiers accept 15 new connections per second and node.
#[tokio::test]
async fn new_connections_keep_their_rate() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .args(&["--connect-rate", "15", "--max-connections", "40"])
        .args(&["--min-connections", "0"])
        .start()
        .await?;
    let mut clients = Vec::new();
    for _ in 0..30 {
        clients.push(Raw::connect(weir.address()).await?);
    }
    let relay = cluster.relay(0)?;
    let before = relay.counts().accepted;
    let began = Instant::now();
    for raw in &mut clients {
        let id = raw.fresh_id();
        let sleep = doc! { "sleep": 1, "millis": 3000, "lock": "none", "$db": "admin" };
        raw.send(&op_msg(id, 0, 0, &sleep)).await?;
    }
    until("twenty connections", LIMIT, || async {
        (relay.counts().accepted - before >= 20).then_some(())
    })
    .await?;
    let took = began.elapsed();
    println!("twenty new connections took {} ms", took.as_millis());
    // Nineteen pauses of a fifteenth of a second.
    ensure!(took >= Duration::from_millis(1200), "twenty in {took:?}");
    ensure!(took < Duration::from_secs(6), "twenty in {took:?}");
    Ok(())
}
