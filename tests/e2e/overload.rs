//! More work than connections: a queue with an end, told in the form each client understands,
//! and nothing sent that nobody waits for any more.

use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures_util::future::try_join_all;
use serde_json::json;
use weir_tests::cluster::shared;
use weir_tests::message::op_msg;
use weir_tests::python::{Generation, Python};
use weir_tests::raw::Raw;
use weir_tests::scripted::{Act, Face, Scripted};
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

use crate::support::{OVERLOAD, labels, retryable_insert};

/// A server that takes its time, and a Weir with one connection for ordinary work.
struct Stage {
    server: Scripted,
    weir: WeirProcess,
}

impl Stage {
    async fn set(arguments: &[&str]) -> Result<Self> {
        let server = Scripted::start(Face::Primary)?;
        let upstream = format!("mongodb://{}/?replicaSet=rs0", server.address());
        let weir = WeirProcess::builder()
            .upstream(upstream)
            // Two for the monitor, one for what lets others proceed, one for all else.
            .args(&["--max-connections", "4"])
            .args(arguments)
            .start()
            .await?;
        Ok(Self { server, weir })
    }

    async fn client(&self, backpressure: bool) -> Result<Raw> {
        client_of(&self.weir, backpressure).await
    }

    /// The one connection is busy for so long.
    async fn occupy(&self, time: Duration) -> Result<Raw> {
        let late = Act::Late(time, doc! { "ok": 1 });
        self.server.script("distinct", [late]);
        let mut raw = self.client(false).await?;
        let busy = doc! { "distinct": "c", "key": "k", "$db": "d" };
        raw.send(&op_msg(1, 0, 0, &busy)).await?;
        let arrived = || async { (!self.server.received_of("distinct").is_empty()).then_some(()) };
        until("a busy connection", LIMIT, arrived).await?;
        Ok(raw)
    }

    /// A client whose command waits in the queue, the `nth` there.
    async fn queue(&self, command: Document, nth: u64) -> Result<Raw> {
        let mut raw = self.client(true).await?;
        let mut command = command;
        command.insert("$db", "d");
        raw.send(&op_msg(7, 0, 0, &command)).await?;
        self.queued(nth).await?;
        Ok(raw)
    }

    async fn queued(&self, count: u64) -> Result<()> {
        let looked = || async {
            let status = self.weir.status().await.ok()?;
            let queued = status.pointer("/listeners/0/nodes/0/queued")?.as_u64()?;
            (queued == count).then_some(())
        };
        until(&format!("{count} in the queue"), LIMIT, looked).await
    }
}

async fn client_of(weir: &WeirProcess, backpressure: bool) -> Result<Raw> {
    let mut raw = Raw::connect(weir.address()).await?;
    let mut hello = doc! { "hello": 1 };
    if backpressure {
        hello.insert("backpressure", "2");
    }
    raw.command("admin", hello).await?;
    Ok(raw)
}

/// Each of these is refused after its wait in the queue, in the form that makes its driver
/// try again what is safe.
#[tokio::test]
async fn who_waits_too_long_is_told_in_his_own_form() -> Result<()> {
    let stage = Stage::set(&["--queue-timeout", "300ms"]).await?;
    let _busy = stage.occupy(Duration::from_secs(20)).await?;
    let write_labels = [&OVERLOAD[..], &["RetryableWriteError", "NoWritesPerformed"]].concat();
    let old_labels = vec!["RetryableWriteError", "NoWritesPerformed"];
    let update = || doc! { "update": "c", "updates": [] };
    let cases = [
        (true, doc! { "count": "c" }, 462, OVERLOAD.to_vec()),
        (true, retryable_insert(), 462, write_labels),
        (true, update(), 462, OVERLOAD.to_vec()),
        (false, doc! { "count": "c" }, 6, vec![]),
        (false, retryable_insert(), 6, old_labels),
        (false, update(), 6, vec![]),
    ];
    for (backpressure, command, code, mut wanted) in cases {
        let mut raw = stage.client(backpressure).await?;
        let began = Instant::now();
        let reply = raw.command("d", command).await?;
        let took = began.elapsed();
        ensure!(took >= Duration::from_millis(280), "{took:?}: {reply}");
        ensure!(took < Duration::from_secs(3), "{took:?}: {reply}");
        ensure!(reply.get_i32("code").ok() == Some(code), "{reply}");
        let mut told = labels(&reply);
        told.sort_unstable();
        wanted.sort_unstable();
        ensure!(told == wanted, "{reply}");
        ensure!(
            reply.contains_key("baseBackoffMS") == backpressure,
            "{reply}"
        );
        // The socket is still good: an answer that Weir gives itself comes over it.
        let who = raw.command("admin", doc! { "connectionStatus": 1 }).await?;
        ensure!(who.get_f64("ok").ok() == Some(1.0), "{who}");
    }
    ensure!(stage.server.received_of("count").is_empty(), "it was sent");
    ensure!(stage.server.received_of("insert").is_empty(), "it was sent");
    ensure!(stage.server.received_of("update").is_empty(), "it was sent");
    Ok(())
}

#[tokio::test]
async fn above_its_depth_the_queue_takes_nobody() -> Result<()> {
    let stage = Stage::set(&["--queue-depth", "3", "--queue-timeout", "30s"]).await?;
    let _busy = stage.occupy(Duration::from_secs(5)).await?;
    let mut waiting = Vec::new();
    for nth in 1..=3 {
        waiting.push(stage.queue(doc! { "count": "c" }, nth).await?);
    }
    let began = Instant::now();
    let mut late = stage.client(true).await?;
    let reply = late.command("d", doc! { "count": "c" }).await?;
    let took = began.elapsed();
    ensure!(
        reply.get_i32("code").ok() == Some(462),
        "after {took:?}: {reply}"
    );
    ensure!(took < Duration::from_secs(1), "it waited {took:?}");
    for mut raw in waiting {
        let reply = raw.receive().await?.body;
        ensure!(!reply.contains_key("code"), "{reply}");
    }
    Ok(())
}

/// The pause that is suggested while so many wait and each takes so long.
async fn suggested(each: Duration) -> Result<i32> {
    const WAITING: usize = 40;
    let depth = WAITING.to_string();
    let stage = Stage::set(&["--queue-depth", &depth, "--queue-timeout", "30s"]).await?;
    stage.server.answer_with(Arc::new(move |_| {
        Some(Act::Late(each, doc! { "ok": 1, "n": 0 }))
    }));
    let busy = async |_: usize| {
        let mut raw = stage.client(false).await?;
        let until = Instant::now() + Duration::from_secs(3);
        while Instant::now() < until {
            raw.command("d", doc! { "count": "c" }).await?;
        }
        anyhow::Ok(())
    };
    let ask = async {
        // The pace is taken over a second.
        tokio::time::sleep(Duration::from_millis(2_200)).await;
        let mut raw = stage.client(true).await?;
        for _ in 0..200 {
            let reply = raw.command("d", doc! { "count": "c" }).await?;
            if reply.get_i32("code").ok() == Some(462) {
                return reply.get_i32("baseBackoffMS").context("no pause");
            }
        }
        anyhow::bail!("the queue was never full")
    };
    let all = try_join_all((0..WAITING + 2).map(busy));
    let (_, pause) = tokio::try_join!(all, ask)?;
    Ok(pause)
}

/// By the time its driver comes back, the queue of now has been served.
#[tokio::test]
async fn the_pause_that_is_suggested_follows_the_pace_of_the_queue() -> Result<()> {
    let quick = suggested(Duration::from_millis(5)).await?;
    let slow = suggested(Duration::from_millis(40)).await?;
    println!("40 wait: {quick} ms at 5 ms each, {slow} ms at 40 ms each");
    // 40 × 40 ms; a busy machine adds.
    ensure!((1_200..5_000).contains(&slow), "{slow}");
    ensure!(quick * 2 < slow, "{quick} and {slow}");
    Ok(())
}

#[tokio::test]
async fn work_whose_time_is_over_is_dropped_unsent() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let mut busy = stage.occupy(Duration::from_millis(1_200)).await?;
    let mut raw = stage.client(true).await?;
    let began = Instant::now();
    let count = doc! { "count": "c", "maxTimeMS": 200 };
    let reply = raw.command("d", count).await?;
    ensure!(reply.get_i32("code").ok() == Some(50), "{reply}");
    ensure!(
        began.elapsed() < Duration::from_secs(1),
        "{:?}",
        began.elapsed()
    );
    busy.receive().await?;
    // What comes after it has passed where it would have been sent.
    raw.command("d", doc! { "ping": 1 }).await?;
    ensure!(stage.server.received_of("count").is_empty(), "it was sent");
    Ok(())
}

/// The application may have tried again elsewhere: a write that comes late comes twice.
#[tokio::test]
async fn work_whose_client_has_left_is_dropped_unsent() -> Result<()> {
    let stage = Stage::set(&[]).await?;
    let mut busy = stage.occupy(Duration::from_millis(1_200)).await?;
    let update = doc! { "update": "c", "updates": [] };
    drop(stage.queue(update, 1).await?);
    stage.queued(0).await?;
    busy.receive().await?;
    stage
        .client(true)
        .await?
        .command("d", doc! { "ping": 1 })
        .await?;
    ensure!(stage.server.received_of("update").is_empty(), "it was sent");
    Ok(())
}

/// A shared Weir with one connection, and one like an extension's before it.
async fn two_tiers(upstream: String) -> Result<(WeirProcess, WeirProcess)> {
    let shared = WeirProcess::builder()
        .upstream(upstream)
        .args(&["--max-connections", "4", "--queue-timeout", "20ms"])
        .start()
        .await?;
    let before = WeirProcess::builder()
        .upstream(shared.uri(""))
        .args(&["--max-connections", "40"])
        .start()
        .await?;
    Ok((shared, before))
}

/// How often a Weir has refused work for want of a connection.
async fn refused(weir: &WeirProcess) -> Result<f64> {
    weir.metric("weir_refused_total", &["cause=\"overloaded\""])
        .await
}

/// The shared Weir says 462 to the one before it, which says it to new clients only.
#[tokio::test]
async fn an_old_client_behind_two_weirs_never_sees_462() -> Result<()> {
    let server = Scripted::start(Face::Primary)?;
    server.answer_with(Arc::new(|_| {
        let reply = doc! { "ok": 1, "n": 0 };
        Some(Act::Late(Duration::from_millis(50), reply))
    }));
    let upstream = format!("mongodb://{}/?replicaSet=rs0", server.address());
    let (shared, before) = two_tiers(upstream).await?;
    let codes = async |backpressure: bool| {
        let one = async || {
            let mut raw = client_of(&before, backpressure).await?;
            let mut codes = Vec::new();
            for _ in 0..10 {
                let reply = raw.command("d", doc! { "count": "c" }).await?;
                codes.push(reply.get_i32("code").unwrap_or(0));
            }
            anyhow::Ok(codes)
        };
        anyhow::Ok(try_join_all((0..20).map(|_| one())).await?.concat())
    };
    let old = codes(false).await?;
    ensure!(old.contains(&6), "nothing was refused: {old:?}");
    ensure!(old.iter().all(|code| [0, 6].contains(code)), "{old:?}");
    ensure!(
        refused(&shared).await? > 0.0,
        "the shared Weir refused nothing"
    );
    let new = codes(true).await?;
    ensure!(new.contains(&462), "a new client is told: {new:?}");
    ensure!(new.iter().all(|code| [0, 462].contains(code)), "{new:?}");
    Ok(())
}

#[tokio::test]
async fn an_old_driver_behind_two_weirs_never_sees_462() -> Result<()> {
    let Some(python) = Python::of(Generation::Older).await else {
        return Ok(());
    };
    let (shared, before) = two_tiers(shared::single().await?.uri()).await?;
    let uri = before.uri("maxPoolSize=40");
    let said = python.run("threads.py", &[&uri, "40", "40"]).await?;
    let errors = said["errors"].as_object().context("errors")?;
    println!("40 threads over one connection: {said}");
    ensure!(
        refused(&shared).await? > 0.0,
        "the shared Weir refused nothing"
    );
    ensure!(errors.keys().all(|error| error.ends_with(" 6")), "{said}");
    ensure!(said["rounds"] != json!(0), "{said}");
    Ok(())
}
