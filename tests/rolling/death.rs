//! Weir is killed without a word, and another takes its place.

use std::net::SocketAddr;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::doc;
use weir_kit::process::Signal;
use weir_lab::rolling::{Work, programs};
use weir_tests::cluster::Cluster;
use weir_tests::message::op_msg;
use weir_tests::raw::Raw;
use weir_tests::skip::skip;
use weir_tests::sockets::{self, Sampler, can_count};
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

use super::{HEARTBEAT, TURN, builder, weir};

/// Until an operation through one of these is answered by a living Weir.
async fn recovered(addresses: &[SocketAddr]) -> Result<()> {
    until("an answer", LIMIT, || async {
        for address in addresses {
            let Ok(mut raw) = Raw::connect(*address).await else {
                continue;
            };
            let insert = doc! { "insert": "recovery", "documents": [{ "n": 1 }] };
            if raw
                .command("death", insert)
                .await
                .is_ok_and(|reply| reply.get_i32("n").ok() == Some(1))
            {
                return Some(());
            }
        }
        None
    })
    .await
}

/// Kills `weirs[0]` under load and starts it again; `list` is what clients know.
async fn kill_under_load(weirs: &mut [WeirProcess], cluster: &Cluster) -> Result<()> {
    let direct = cluster.client().await?;
    let addresses: Vec<_> = weirs.iter().map(WeirProcess::address).collect();
    let hosts: Vec<_> = addresses.iter().map(ToString::to_string).collect();
    let uri = format!("mongodb://{}/?{HEARTBEAT}", hosts.join(","));
    let work = Work::start(programs().await?, &[("killed", uri)], 2)?;
    work.goes_on(&direct, 30).await?;
    let victim = weirs.first_mut().context("no Weir")?;
    let killed = Instant::now();
    victim.signal(Signal::Kill)?;
    victim.wait(Duration::from_secs(5)).await?;
    let alone = addresses.len() == 1;
    if !alone {
        recovered(&addresses).await?;
        println!(
            "shared: served again {} ms after the kill",
            killed.elapsed().as_millis()
        );
    }
    let successor = builder(cluster, "none").at(victim.address(), victim.admin_address());
    *victim = successor.start().await?;
    recovered(&addresses).await?;
    if alone {
        println!(
            "sidecar: served again {} ms after the kill",
            killed.elapsed().as_millis()
        );
    }
    work.goes_on(&direct, 30).await?;
    // What was acknowledged is there, and nothing twice.
    for done in work.end(&direct).await? {
        let (title, slowest) = (&done.title, done.slowest.as_millis());
        println!("{title:<16} slowest {slowest} ms, seen: {:#?}", done.errors);
        ensure!(done.operations > 100, "{done:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_sidecar_doubles_nothing() -> Result<()> {
    let _turn = TURN.lock().await;
    let cluster = Cluster::builder().start().await?;
    kill_under_load(&mut [weir(&cluster, "none").await?], &cluster).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_killed_weir_of_a_list_doubles_nothing() -> Result<()> {
    let _turn = TURN.lock().await;
    let cluster = Cluster::builder().start().await?;
    let mut weirs = [weir(&cluster, "list").await?, weir(&cluster, "list").await?];
    kill_under_load(&mut weirs, &cluster).await
}

const CAP: usize = 6;

/// The server goes on counting the connections of a dead Weir until their commands end.
#[tokio::test]
async fn a_successor_keeps_the_cap_while_old_sockets_linger() -> Result<()> {
    if !can_count() {
        skip("the cap of a successor", "this system has no /proc/net/tcp");
        return Ok(());
    }
    let _turn = TURN.lock().await;
    let cluster = Cluster::builder().start().await?;
    let port = cluster.member(0)?.address().port();
    let capped = || builder(&cluster, "none").arg("--max-connections").arg(CAP);
    let weir = capped().start().await?;
    let mut slow = Vec::new();
    for _ in 0..3 {
        let mut raw = Raw::connect(weir.address()).await?;
        let id = raw.fresh_id();
        let sleep = doc! { "sleep": 1, "millis": 4000, "lock": "none", "$db": "admin" };
        raw.send(&op_msg(id, 0, 0, &sleep)).await?;
        slow.push(raw);
    }
    until("three slow commands", LIMIT, || async {
        let leased = weir
            .metric("weir_checkout_wait_seconds_count", &["lane=\"normal\""])
            .await;
        leased.is_ok_and(|leased| leased >= 3.0).then_some(())
    })
    .await?;
    let killed = Instant::now();
    weir.signal(Signal::Kill)?;
    weir.wait(Duration::from_secs(5)).await?;
    let successor = capped()
        .at(weir.address(), weir.admin_address())
        .launch()
        .await?;
    let sampler = Sampler::start(successor.pid(), vec![port])?;
    successor.ready().await?;
    recovered(&[successor.address()]).await?;
    let lingering = sockets::of_process(successor.pid(), &[port])?;
    let lingering = lingering.get(&port).context("no look")?.orphans;
    println!(
        "served {} ms after the kill, {lingering} old sockets still there",
        killed.elapsed().as_millis()
    );
    ensure!(lingering > 0, "no old sockets: nothing was shown");
    // As many clients as there would be slots: they must share what is left.
    let mut clients = Vec::new();
    for _ in 0..8 {
        clients.push(Raw::connect(successor.address()).await?);
    }
    let end = Instant::now() + LIMIT;
    loop {
        for client in &mut clients {
            let id = client.fresh_id();
            let ping = doc! { "ping": 1, "$db": "admin" };
            client.send(&op_msg(id, 0, 0, &ping)).await?;
        }
        for client in &mut clients {
            client.receive().await?;
        }
        let counts = sockets::of_process(successor.pid(), &[port])?;
        if counts.get(&port).context("no look")?.orphans == 0 {
            break;
        }
        ensure!(Instant::now() < end, "the old sockets are still there");
    }
    let maxima = sampler.finish()?;
    let together = maxima.together.get(&port).copied().unwrap_or_default();
    ensure!(together <= CAP, "{maxima:?}");
    ensure!(maxima.looks >= 10 && together > 3, "{maxima:?}");
    Ok(())
}
