//! Memory of a Weir that carries large messages.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::spec::BinarySubtype;
use bson::{Binary, Document, doc};
use futures_util::future::try_join_all;
use serde_json::Value;
use weir_tests::cluster::shared;
use weir_tests::memory::{can_ask, kib};
use weir_tests::message::{kind_0, kind_1, op_msg, op_msg_sections};
use weir_tests::raw::Raw;
use weir_tests::scripted::{Act, Face, Scripted};
use weir_tests::skip::skip;
use weir_tests::wait::until;
use weir_tests::weir::WeirProcess;

use crate::ALONE;

const MIB: u64 = 1024 * 1024;
/// Of 16 MB each.
const MESSAGES: usize = 1_000;
/// So many documents make one reply; a small server cannot store a larger one at once.
const ROWS: usize = 15;
const ROW: usize = 1_050_000;
/// At once.
const CLIENTS: usize = 8;
/// In this time memory is given back.
const SETTLE: Duration = Duration::from_secs(30);

fn can_look() -> bool {
    let can = can_ask();
    if !can {
        skip("memory of a process", "there is no /proc here");
    }
    can
}

fn resident(weir: &WeirProcess) -> Result<u64> {
    memory(weir, "VmRSS:")
}

/// One line of what the kernel says of its memory, in bytes.
fn memory(weir: &WeirProcess, name: &str) -> Result<u64> {
    Ok(kib(weir.pid(), name)? * 1024)
}

/// Of what its memory is: its own pages, and those of the program's file that have been used.
fn show(weir: &WeirProcess, when: &str) -> Result<()> {
    let kib = |name| anyhow::Ok(memory(weir, name)? / 1024);
    let (all, own, file) = (kib("VmRSS:")?, kib("RssAnon:")?, kib("RssFile:")?);
    println!("{when:<24} {all:>7} KiB: {own} of its own, {file} of the program");
    Ok(())
}

fn payload(bytes: usize) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes: vec![7; bytes],
    }
}

/// Ordinary work: what has been used once stays, the program's own pages most of all.
async fn small_work(weir: &WeirProcess) -> Result<()> {
    let one = async || {
        let mut raw = Raw::connect(weir.address()).await?;
        for _ in 0..50 {
            let find = doc! { "find": "large", "filter": { "_id": 0 }, "limit": 1 };
            raw.command("memory", find).await?;
        }
        anyhow::Ok(())
    };
    try_join_all((0..CLIENTS).map(|_| one())).await.map(drop)
}

/// Half of the messages are requests, half are replies.
async fn large_work(weir: &WeirProcess, messages: usize) -> Result<()> {
    let one = async |_: usize| {
        let mut raw = Raw::connect(weir.address()).await?;
        for _ in 0..messages.div_ceil(CLIENTS * 2) {
            let find = doc! { "find": "large", "filter": { "_id": { "$gt": 0 } } };
            let reply = raw.command("memory", find).await?;
            let rows = reply.get_document("cursor")?.get_array("firstBatch")?;
            ensure!(rows.len() == ROWS, "not the large ones");
            // Nothing that a small server would have to store.
            let ping = doc! { "ping": 1, "comment": payload(ROWS * ROW) };
            let reply = raw.command("memory", ping).await?;
            ensure!(reply.get_f64("ok").ok() == Some(1.0), "{reply}");
        }
        Ok(())
    };
    try_join_all((0..CLIENTS).map(one)).await.map(drop)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_large_messages_leave_no_memory_behind() -> Result<()> {
    let _alone = ALONE.lock().await;
    if !can_look() {
        return Ok(());
    }
    let cluster = shared::single().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .start()
        .await?;
    let direct = cluster.direct(0).await?;
    let large = direct.database("memory").collection::<Document>("large");
    large.insert_one(doc! { "_id": 0 }).await?;
    for id in 1..=i32::try_from(ROWS)? {
        let row = doc! { "_id": id, "payload": payload(ROW) };
        large.insert_one(row).await?;
    }
    small_work(&weir).await?;
    show(&weir, "before")?;
    let before = resident(&weir)?;
    let began = Instant::now();
    large_work(&weir, MESSAGES).await?;
    println!("{MESSAGES} messages of 16 MB in {:?}", began.elapsed());
    show(&weir, "right after")?;
    let ended = Instant::now();
    let tenth = || async {
        let now = resident(&weir).ok()?;
        (now <= before + before / 10).then_some(())
    };
    let settled = until("the memory of before", SETTLE, tenth).await;
    println!("no more than a tenth above: {:?} later", ended.elapsed());
    show(&weir, "then")?;
    settled
}

/// The most that a Weir holds while some work goes on: bytes in flight, and memory beyond
/// what it has at first.
async fn most_held<F: Future<Output = Result<()>>>(
    weir: &WeirProcess,
    work: F,
) -> Result<(u64, u64)> {
    let first = resident(weir)?;
    let (bytes, memory) = (AtomicU64::new(0), AtomicU64::new(0));
    let over = AtomicBool::new(false);
    let look = async {
        while !over.load(Ordering::Relaxed) {
            let status = weir.status().await?;
            let held = status.pointer("/listeners/0/bytes_in_flight");
            let held = held.and_then(Value::as_u64).context("status")?;
            bytes.fetch_max(held, Ordering::Relaxed);
            memory.fetch_max(resident(weir)?.saturating_sub(first), Ordering::Relaxed);
        }
        anyhow::Ok(())
    };
    let work = async {
        let done = work.await;
        over.store(true, Ordering::Relaxed);
        done
    };
    let (done, looked) = tokio::join!(work, look);
    done?;
    looked?;
    Ok((bytes.into_inner(), memory.into_inner()))
}

/// A message of 47 MB each way, given and taken slowly: about one MiB of it is held.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_message_of_48_megabytes_is_passed_on_in_pieces() -> Result<()> {
    let _alone = ALONE.lock().await;
    const LARGE: usize = 47_000_000;
    const PIECE: usize = 512 * 1024;
    if !can_look() {
        return Ok(());
    }
    let server = Scripted::start(Face::Primary)?;
    let upstream = format!("mongodb://{}/?replicaSet=rs0", server.address());
    let weir = WeirProcess::builder().upstream(upstream).start().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    raw.command("memory", doc! { "ping": 1 }).await?;
    // As drivers send it: the documents in a sequence of their own.
    let body = kind_0(&doc! { "insert": "c", "$db": "d" });
    let row = kind_1("documents", &[doc! { "p": payload(LARGE) }]);
    let request = op_msg_sections(5, 0, 0, &[body, row]);
    let sent = most_held(&weir, async {
        for piece in request.chunks(PIECE) {
            raw.send(piece).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        let reply = raw.receive().await?;
        ensure!(!reply.body.contains_key("code"), "{}", reply.body);
        Ok(())
    });
    let (bytes, memory) = sent.await?;
    println!(
        "sent: {bytes} bytes in flight, {} KiB more memory",
        memory / 1024
    );
    ensure!(bytes > 0 && bytes <= MIB + MIB / 4, "{bytes}");
    ensure!(memory <= 4 * MIB, "{memory}");
    let received = server.received_of("insert");
    let arrived = received.last().context("nothing arrived")?;
    let sections = &arrived.message.sequences;
    let (_, rows) = sections.first().context("no documents")?;
    ensure!(rows == &[doc! { "p": payload(LARGE) }], "not what was sent");

    let reply = doc! { "ok": 1, "payload": payload(LARGE) };
    server.script("find", [Act::Reply(reply)]);
    let find = doc! { "find": "c", "$db": "d" };
    let taken = most_held(&weir, async {
        raw.send(&op_msg(6, 0, 0, &find)).await?;
        for _ in 0..LARGE / PIECE {
            raw.taste(PIECE).await?;
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        Ok(())
    });
    let (bytes, memory) = taken.await?;
    println!(
        "taken: {bytes} bytes in flight, {} KiB more memory",
        memory / 1024
    );
    ensure!(bytes > 0 && bytes <= MIB + MIB / 4, "{bytes}");
    ensure!(memory <= 4 * MIB, "{memory}");
    Ok(())
}
