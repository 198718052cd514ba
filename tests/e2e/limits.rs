//! The cap, counted from outside.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::doc;
use futures_util::future::try_join_all;
use serde_json::json;
use weir_tests::cluster::{Cluster, shared};
use weir_tests::python::{Generation, Python};
use weir_tests::raw::Raw;
use weir_tests::skip::skip;
use weir_tests::sockets::{Sampler, can_count};
use weir_tests::weir::WeirProcess;

const CAP: usize = 8;

/// The kernel's table of sockets cannot be read here: says so.
fn cannot_count(what: &str) -> bool {
    if !can_count() {
        skip(what, "this system has no /proc/net/tcp");
    }
    !can_count()
}

#[tokio::test]
async fn sockets_to_a_node_never_exceed_the_cap() -> Result<()> {
    if cannot_count("the cap, counted by the kernel") {
        return Ok(());
    }
    let cluster = shared::single().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .arg("--max-connections")
        .arg(CAP)
        .start()
        .await?;
    let port = cluster.member(0)?.address().port();
    let sampler = Sampler::start(weir.pid(), vec![port])?;
    let Some(python) = Python::of(Generation::Newest).await else {
        return Ok(());
    };
    let said = python
        .run("threads.py", &[&weir.uri("maxPoolSize=64"), "64", "20"])
        .await?;
    ensure!(
        said["errors"] == json!({}) && said["counted"] == 1280,
        "{said}"
    );
    let maxima = sampler.finish()?;
    let most = maxima.most.get(&port).context("no look")?;
    ensure!(maxima.looks >= 10, "{maxima:?}");
    ensure!(most.held <= CAP, "{maxima:?}");
    ensure!(most.held > CAP / 2, "the pool was hardly used: {maxima:?}");
    Ok(())
}

/// Every slot in use at once, by as many clients.
async fn all_at_once(weir: &WeirProcess, clients: usize) -> Result<()> {
    let one = async || {
        let mut raw = Raw::connect(weir.address()).await?;
        raw.limit = Duration::from_secs(60);
        let sleep = doc! { "sleep": 1, "millis": 300, "lock": "none" };
        raw.command("admin", sleep).await
    };
    try_join_all((0..clients).map(|_| one())).await.map(drop)
}

/// A node that does not answer is declared dead not earlier than this.
const DEAD_AFTER: Duration = Duration::from_secs(5);

/// Nobody closes the other side of what is given up there. Weir itself never holds more than
/// it may; what its monitors have given up may stand in the kernel's table beside that, but
/// only while the node is dead.
#[tokio::test]
async fn the_cap_holds_towards_a_node_that_is_cut_off() -> Result<()> {
    if cannot_count("the cap of a node that is cut off") {
        return Ok(());
    }
    let cluster = Cluster::builder().relays().start().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .arg("--max-connections")
        .arg(CAP)
        .start()
        .await?;
    let relay = cluster.relay(0)?;
    let port = relay.address().port();
    let sampler = Sampler::limited(weir.pid(), vec![port], CAP)?;
    all_at_once(&weir, CAP).await?;
    let cut = Instant::now();
    relay.cut();
    tokio::time::sleep(DEAD_AFTER * 5 / 2).await;
    let healed = Instant::now();
    relay.heal();
    for _ in 0..3 {
        all_at_once(&weir, CAP * 2).await?;
    }
    let maxima = sampler.finish()?;
    let most = maxima.most.get(&port).context("no look")?;
    println!(
        "{most:?}, {} peaks of {} looks",
        maxima.peaks.len(),
        maxima.looks
    );
    ensure!(most.held <= CAP, "{maxima:?}");
    ensure!(most.held > CAP / 2, "the pool was hardly used: {maxima:?}");
    let dead = cut + DEAD_AFTER..healed + Duration::from_millis(200);
    let strange = maxima.peaks.iter().find(|peak| !dead.contains(&peak.at));
    ensure!(strange.is_none(), "{strange:?}, cut at {cut:?}: {maxima:?}");
    Ok(())
}
