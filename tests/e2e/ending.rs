//! Leaving in good order, behind nothing, a list and a balancer.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::spec::BinarySubtype;
use bson::{Binary, Document, doc};
use weir_kit::process::Signal;
use weir_tests::cluster::shared;
use weir_tests::message::op_msg;
use weir_tests::raw::Raw;
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

use crate::support::single;

/// An application that gets SIGTERM at the same instant works on and sees nothing.
#[tokio::test]
async fn a_sidecar_serves_until_its_last_client_has_left() -> Result<()> {
    let weir = single().await?;
    let mut early = Raw::connect(weir.address()).await?;
    early.command("admin", doc! { "ping": 1 }).await?;
    weir.signal(Signal::Terminate)?;
    weir.wait_for_log("draining").await?;
    let mut late = Raw::connect(weir.address()).await?;
    for n in 0..20 {
        let insert = doc! { "insert": "ending", "documents": [{ "n": n }] };
        for raw in [&mut early, &mut late] {
            let reply = raw.command("ending", insert.clone()).await?;
            ensure!(reply.get_i32("n").ok() == Some(1), "{reply}");
        }
    }
    let (code, why) = weir.get_any("/ready").await?;
    ensure!(code == 503 && why.contains("leaving"), "{code} {why}");
    drop((early, late));
    ensure!(weir.wait(Duration::from_secs(10)).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_second_signal_hurries() -> Result<()> {
    let weir = single().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    raw.command("admin", doc! { "ping": 1 }).await?;
    weir.signal(Signal::Terminate)?;
    weir.wait_for_log("draining").await?;
    weir.signal(Signal::Terminate)?;
    ensure!(weir.wait(Duration::from_secs(5)).await?.success());
    Ok(())
}

/// A hello that says how a driver's monitor waits for news.
fn awaiting(hello: &Document) -> Result<Document> {
    let version = hello.get_document("topologyVersion")?.clone();
    Ok(doc! { "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": 60_000 })
}

async fn leaving(behind: &str) -> Result<WeirProcess> {
    WeirProcess::builder()
        .upstream(shared::single().await?.uri())
        .args(&["--behind", behind, "--drain-timeout", "8s"])
        .start()
        .await
}

/// A client of a driver: its monitor waits for news, its connection works.
async fn with_monitor(weir: &WeirProcess) -> Result<(Raw, Raw)> {
    let mut monitor = Raw::connect(weir.address()).await?;
    let hello = monitor.command("admin", doc! { "hello": 1 }).await?;
    let id = monitor.fresh_id();
    let mut waits = awaiting(&hello)?;
    waits.insert("$db", "admin");
    monitor.send(&op_msg(id, 0, 0, &waits)).await?;
    let mut working = Raw::connect(weir.address()).await?;
    working.command("admin", doc! { "hello": 1 }).await?;
    working.command("admin", doc! { "ping": 1 }).await?;
    Ok((monitor, working))
}

fn session(number: u8) -> Document {
    let bytes = vec![number; 16];
    let subtype = BinarySubtype::Uuid;
    doc! { "id": Binary { subtype, bytes } }
}

fn retryable(number: i64) -> Document {
    doc! {
        "insert": "ending",
        "documents": [{ "n": number }],
        "lsid": session(1),
        "txnNumber": number,
    }
}

fn code(reply: &Document) -> i32 {
    reply.get_i32("code").unwrap_or_default()
}

/// Until half of its time is over everything is served; then the listening socket closes,
/// then monitors do, then clients are sent away at what their drivers try again.
#[tokio::test]
async fn a_weir_in_a_list_closes_its_door_and_moves_its_clients() -> Result<()> {
    let weir = leaving("list").await?;
    let (mut monitor, mut working) = with_monitor(&weir).await?;
    // It has greeted once, as connections for operations do.
    let mut idle = Raw::connect(weir.address()).await?;
    idle.command("admin", doc! { "hello": 1 }).await?;
    weir.signal(Signal::Terminate)?;
    let begun = Instant::now();
    weir.wait_for_log("draining").await?;
    ensure!(weir.get_any("/ready").await?.0 == 503);
    // Drivers take note of what they measured with each hello of their stream.
    let reminder = monitor.receive().await?;
    ensure!(code(&reminder.body) == 0, "{}", reminder.body);
    // Who measures the way finds it long.
    let mut far = Raw::connect(weir.address()).await?;
    far.command("admin", doc! { "hello": 1 }).await?;
    let measured = Instant::now();
    far.command("admin", doc! { "hello": 1 }).await?;
    ensure!(
        measured.elapsed() >= Duration::from_millis(400),
        "it does not seem far"
    );
    let served = working.command("ending", retryable(1)).await?;
    ensure!(code(&served) == 0, "{served}");
    monitor.closed().await?;
    far.closed().await?;
    ensure!(
        begun.elapsed() >= Duration::from_secs(4),
        "monitors were closed too soon"
    );
    ensure!(
        Raw::connect(weir.address()).await.is_err(),
        "the door is open"
    );
    // A read that drivers do not try again, and a write that carries no number, are served.
    for command in [
        doc! { "ping": 1 },
        doc! { "update": "ending", "updates": [] },
    ] {
        let reply = working.command("ending", command).await?;
        ensure!(code(&reply) != 91, "{reply}");
    }
    weir.wait_for_log("sending clients away").await?;
    let away = working.command("ending", retryable(2)).await?;
    ensure!(code(&away) == 91, "{away}");
    let labels = away.get_array("errorLabels")?;
    ensure!(labels.len() == 2, "{away}");
    let again = working.command("ending", retryable(2)).await?;
    ensure!(code(&again) == 0, "the second try: {again}");
    let pong = idle.command("admin", doc! { "ping": 1 }).await?;
    ensure!(code(&pong) == 0, "an idle client was closed: {pong}");
    drop((working, idle));
    ensure!(weir.wait(Duration::from_secs(5)).await?.success());
    Ok(())
}

/// The driver of a change stream goes on with it where it goes by then. One that has come
/// back is served.
#[tokio::test]
async fn a_weir_in_a_list_sends_change_streams_away_once() -> Result<()> {
    let weir = leaving("list").await?;
    let mut raw = Raw::connect(weir.address()).await?;
    raw.command("admin", doc! { "hello": 1 }).await?;
    let insert = doc! { "insert": "ending-streams", "documents": [{}] };
    raw.command("ending", insert).await?;
    let open = doc! {
        "aggregate": "ending-streams", "pipeline": [{ "$changeStream": {} }], "cursor": {},
    };
    let plain = doc! { "find": "ending-streams", "batchSize": 0 };
    let cursor =
        |reply: &Document| Ok::<_, anyhow::Error>(reply.get_document("cursor")?.get_i64("id")?);
    let more = |id: i64| doc! { "getMore": id, "collection": "ending-streams", "maxTimeMS": 50 };
    let stream = cursor(&raw.command("ending", open.clone()).await?)?;
    let plain = cursor(&raw.command("ending", plain).await?)?;
    weir.signal(Signal::Terminate)?;
    let begun = Instant::now();
    loop {
        let reply = raw.command("ending", more(stream)).await?;
        if code(&reply) == 43 {
            break;
        }
        ensure!(code(&reply) == 0, "{reply}");
        ensure!(begun.elapsed() < Duration::from_secs(4), "it stays");
    }
    ensure!(
        begun.elapsed() > Duration::from_secs(3),
        "too soon for its driver"
    );
    let again = cursor(&raw.command("ending", open).await?)?;
    let reply = raw.command("ending", more(again)).await?;
    ensure!(code(&reply) == 0, "{reply}");
    let mut rest = more(plain);
    rest.remove("maxTimeMS");
    let reply = raw.command("ending", rest).await?;
    ensure!(code(&reply) == 0, "no driver resumes it: {reply}");
    drop(raw);
    ensure!(weir.wait(Duration::from_secs(8)).await?.success());
    Ok(())
}

/// A balancer goes on sending clients; they are served, and their drivers poll.
#[tokio::test]
async fn a_weir_behind_a_balancer_keeps_its_door_open() -> Result<()> {
    let weir = leaving("balancer").await?;
    let (mut monitor, working) = with_monitor(&weir).await?;
    drop(working);
    let mut balanced = Raw::connect(weir.address()).await?;
    balanced
        .command("admin", doc! { "hello": 1, "loadBalanced": true })
        .await?;
    balanced.command("admin", doc! { "ping": 1 }).await?;
    weir.signal(Signal::Terminate)?;
    monitor.closed().await?;
    let mut late = Raw::connect(weir.address()).await?;
    let hello = late.command("admin", doc! { "hello": 1 }).await?;
    ensure!(!hello.contains_key("topologyVersion"), "{hello}");
    let reply = late
        .command(
            "ending",
            doc! { "insert": "ending", "documents": [{ "n": 1 }] },
        )
        .await?;
    ensure!(reply.get_i32("n").ok() == Some(1), "{reply}");
    // Without a monitor it is told at its next command, unless it has something open; a
    // read may be one that its driver does not try again, and is served for a while.
    let find = doc! { "find": "ending", "lsid": session(2) };
    let found = balanced.command("ending", find).await?;
    ensure!(code(&found) == 0, "{found}");
    let away = balanced.command("ending", retryable(3)).await?;
    ensure!(code(&away) == 91, "{away}");
    drop((late, balanced));
    ensure!(weir.wait(Duration::from_secs(5)).await?.success());
    Ok(())
}

/// At the end nothing new is begun, and what runs may finish.
#[tokio::test]
async fn what_runs_at_the_end_may_finish() -> Result<()> {
    let weir = single().await?;
    let mut slow = Raw::connect(weir.address()).await?;
    let mut other = Raw::connect(weir.address()).await?;
    other.command("admin", doc! { "ping": 1 }).await?;
    let id = slow.fresh_id();
    let command = doc! { "sleep": 1, "millis": 1000, "lock": "none", "$db": "admin" };
    slow.send(&op_msg(id, 0, 0, &command)).await?;
    until("the slow command to run", LIMIT, || async {
        let status = weir.status().await.ok()?;
        let nodes = status["listeners"][0]["nodes"].as_array()?;
        nodes.iter().any(|node| node["normal"] == 1).then_some(())
    })
    .await?;
    weir.signal(Signal::Terminate)?;
    weir.wait_for_log("draining").await?;
    weir.signal(Signal::Interrupt)?;
    weir.wait_for_log("told twice").await?;
    let refused = other.command("admin", doc! { "ping": 1 }).await?;
    ensure!(code(&refused) == 91, "{refused}");
    let reply = slow.receive().await?;
    ensure!(
        reply.body.get_f64("ok").ok() == Some(1.0),
        "{:?}",
        reply.body
    );
    ensure!(weir.wait(Duration::from_secs(5)).await?.success());
    Ok(())
}
