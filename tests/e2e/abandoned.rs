//! Work whose client has left: what may be stopped is, what must not be runs to its end.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures_util::future::try_join_all;
use weir_tests::cluster::{Cluster, shared, unique};
use weir_tests::message::op_msg;
use weir_tests::raw::Raw;
use weir_tests::scripted::{Act, Face, Scripted};
use weir_tests::skip::skip;
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

use crate::support::single;

/// Far longer than any test here.
const LONG: &str = "sleep(60000) || true";

/// Slots in use for ordinary work.
async fn busy(weir: &WeirProcess) -> Option<u64> {
    let status = weir.status().await.ok()?;
    status.pointer("/listeners/0/nodes/0/normal")?.as_u64()
}

/// The same, over all nodes.
async fn busy_everywhere(weir: &WeirProcess) -> Option<u64> {
    let status = weir.status().await.ok()?;
    let nodes = status.pointer("/listeners/0/nodes")?.as_array()?;
    nodes.iter().map(|node| node.get("normal")?.as_u64()).sum()
}

async fn until_busy(weir: &WeirProcess, wanted: u64) -> Result<()> {
    let what = format!("{wanted} slots in use");
    let look = || async { (busy(weir).await? == wanted).then_some(()) };
    until(&what, LIMIT, look).await
}

/// Operations of this mark that the server runs now.
async fn running(cluster: &Cluster, mark: &str) -> Result<usize> {
    let ask = doc! { "currentOp": 1, "command.comment": mark };
    let now = cluster.admin(0, ask).await?;
    Ok(now.get_array("inprog")?.len())
}

/// A client that sends this and does not wait.
async fn start(weir: &WeirProcess, command: Document) -> Result<Raw> {
    let mut raw = Raw::connect(weir.address()).await?;
    raw.send(&op_msg(1, 0, 0, &command)).await?;
    Ok(raw)
}

/// A collection of one row, and a find in it that does not end.
async fn endless(cluster: &Cluster) -> Result<Document> {
    let name = unique("rows");
    let mut direct = Raw::connect(cluster.member(0)?.address()).await?;
    let insert = doc! { "insert": &name, "documents": [{}] };
    direct.command("abandoned", insert).await?;
    let find = doc! { "find": &name, "filter": { "$where": LONG }, "comment": &name,
    "$db": "abandoned" };
    Ok(find)
}

#[tokio::test]
async fn a_read_is_stopped_two_seconds_after_its_client_has_left() -> Result<()> {
    let cluster = shared::single().await?;
    let weir = single().await?;
    let find = endless(cluster).await?;
    let mark = find.get_str("comment")?.to_owned();
    let raw = start(&weir, find).await?;
    until_busy(&weir, 1).await?;
    let left = Instant::now();
    drop(raw);
    until_busy(&weir, 0).await?;
    let took = left.elapsed();
    ensure!(
        took > Duration::from_millis(1_500),
        "short work may end: {took:?}"
    );
    ensure!(took < Duration::from_secs(4), "{took:?}");
    let gone = || async { (running(cluster, &mark).await.ok()? == 0).then_some(()) };
    until("the server to stop it", LIMIT, gone).await
}

/// Each cut costs the server a new connection: 15 in a second. The others follow.
#[tokio::test]
async fn many_reads_are_stopped_a_few_at_a_time() -> Result<()> {
    const READS: usize = 40;
    let cluster = shared::single().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .args(&["--max-connections", "60"])
        .start()
        .await?;
    let find = endless(cluster).await?;
    let all = try_join_all((0..READS).map(|_| start(&weir, find.clone()))).await?;
    until_busy(&weir, u64::try_from(READS)?).await?;
    let left = Instant::now();
    drop(all);
    let mut fewest_at = Vec::new();
    while busy(&weir).await.context("status")? > 0 {
        let passed = left.elapsed();
        ensure!(passed < Duration::from_secs(10), "some were never stopped");
        fewest_at.push((passed, busy(&weir).await.context("status")?));
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let took = left.elapsed();
    println!("{READS} abandoned reads were stopped after {took:?}");
    // 15 at once, then 15 a second: 25 more take 1.7 s beyond the two seconds of patience.
    ensure!(took > Duration::from_millis(3_300), "{took:?}");
    ensure!(took < Duration::from_secs(7), "{took:?}");
    let early = |(passed, _): &&(Duration, u64)| *passed < Duration::from_millis(2_500);
    let (_, left) = fewest_at.iter().rfind(early).context("no look")?;
    ensure!(
        *left >= 15,
        "{left} left of {READS} after half a second of cuts"
    );
    Ok(())
}

/// The ration is each node's own: two routers are rid of 60 reads in the time of 30.
#[tokio::test]
async fn each_node_has_its_own_ration_of_cuts() -> Result<()> {
    const READS: usize = 60;
    let routers = [
        Scripted::start(Face::Mongos)?,
        Scripted::start(Face::Mongos)?,
    ];
    for router in &routers {
        router.script("find", vec![Act::Nothing; READS]);
    }
    let [one, two] = routers.each_ref().map(Scripted::address);
    let weir = WeirProcess::builder()
        // Whatever a busy machine makes of the way to one of them, both are near enough.
        .upstream(format!("mongodb://{one},{two}/?localThresholdMS=10000"))
        .args(&["--max-connections", "60"])
        .start()
        .await?;
    let both = || async {
        let status = weir.status().await.ok()?;
        let nodes = status.pointer("/listeners/0/nodes")?.as_array()?.clone();
        // Before its way is measured a router is none of the near ones.
        let known = nodes
            .iter()
            .filter(|node| node["round_trip_ms"].is_number());
        (known.count() == 2).then_some(())
    };
    until("both routers to be measured", LIMIT, both).await?;
    let find = doc! { "find": "c", "$db": "d" };
    let all = try_join_all((0..READS).map(|_| start(&weir, find.clone()))).await?;
    let received = || {
        routers
            .each_ref()
            .map(|router| router.received_of("find").len())
    };
    let sent = || async { (received().iter().sum::<usize>() == READS).then_some(()) };
    let sent = until("all reads to be sent", LIMIT, sent).await;
    sent.with_context(|| format!("{:?} of {READS}", received()))?;
    let most = received().into_iter().max().context("no router")?;
    ensure!(most < READS * 2 / 3, "not shared: {:?}", received());
    let left = Instant::now();
    drop(all);
    let gone = || async { (busy_everywhere(&weir).await? == 0).then_some(()) };
    until("the end of all reads", LIMIT, gone).await?;
    let took = left.elapsed();
    println!(
        "{READS} abandoned reads on {:?} were stopped after {took:?}",
        received()
    );
    // 15 at once and 15 a second: half of them take a second beyond the two of patience; all
    // of them, from one ration, would take three.
    ensure!(took > Duration::from_millis(2_800), "{took:?}");
    ensure!(took < Duration::from_millis(4_400), "{took:?}");
    Ok(())
}

/// They run to their end and keep their connection meanwhile: nobody else could know what
/// became of them.
#[tokio::test]
async fn writes_and_transactions_run_to_their_end() -> Result<()> {
    let server = Scripted::start(Face::Primary)?;
    let upstream = format!("mongodb://{}/?replicaSet=rs0", server.address());
    let weir = WeirProcess::builder().upstream(upstream).start().await?;
    let session = || {
        doc! { "id": bson::Binary {
        subtype: bson::spec::BinarySubtype::Uuid, bytes: vec![9; 16] } }
    };
    let commands = [
        doc! { "update": "c", "updates": [] },
        doc! { "insert": "c", "documents": [{}], "lsid": session(), "txnNumber": 1_i64 },
        doc! { "aggregate": "c", "pipeline": [{ "$out": "d" }], "cursor": {} },
        doc! { "distinct": "c", "key": "k", "lsid": session(), "txnNumber": 2_i64,
        "autocommit": false, "startTransaction": true },
    ];
    for mut command in commands {
        let name = command.keys().next().context("no name")?.clone();
        command.insert("$db", "d");
        let time = Duration::from_secs(4);
        server.script(&name, [Act::Late(time, doc! { "ok": 1 })]);
        let raw = start(&weir, command).await?;
        server.wait_for(&name, 1).await?;
        let left = Instant::now();
        drop(raw);
        until_busy(&weir, 0).await?;
        let took = left.elapsed();
        ensure!(
            took > Duration::from_secs(3),
            "{name} was cut after {took:?}"
        );
        let (accepted, open) = server.connections();
        ensure!(accepted == open, "{name} cost its connection");
    }
    Ok(())
}

/// In the load-balanced face a client takes its transaction with it; in the mongos face it
/// may go on with it over another connection.
#[tokio::test]
async fn only_a_load_balanced_client_takes_its_transaction_with_it() -> Result<()> {
    let weir = single().await?;
    for load_balanced in [true, false] {
        let name = unique("left");
        let session = bson::Uuid::new();
        let statement = |command: Document, n: i64| {
            let mut command = command;
            command.insert("lsid", doc! { "id": session });
            command.insert("txnNumber", n);
            command.insert("autocommit", false);
            command
        };
        let mut raw = Raw::connect(weir.address()).await?;
        let hello = doc! { "hello": 1, "loadBalanced": load_balanced };
        raw.command("admin", hello).await?;
        raw.command("abandoned", doc! { "create": &name }).await?;
        let insert = doc! { "insert": &name, "documents": [{}], "startTransaction": true };
        let reply = raw.command("abandoned", statement(insert, 1)).await?;
        ensure!(reply.get_i32("n").ok() == Some(1), "{reply}");
        drop(raw);
        let mut other = Raw::connect(weir.address()).await?;
        other.command("admin", doc! { "hello": 1 }).await?;
        if load_balanced {
            // A write to the whole collection would wait for the transaction's locks.
            let drop = doc! { "drop": &name, "maxTimeMS": 5_000 };
            let reply = other.command("abandoned", drop).await?;
            ensure!(reply.get_f64("ok").ok() == Some(1.0), "{reply}");
        }
        let commit = statement(doc! { "commitTransaction": 1 }, 1);
        let reply = other.command("admin", commit).await?;
        let committed = reply.get_f64("ok").ok() == Some(1.0);
        ensure!(committed != load_balanced, "{load_balanced}: {reply}");
    }
    Ok(())
}

/// A peer that vanished without a word answers no probe: the kernel says whether it asks.
#[tokio::test]
async fn the_kernel_asks_after_silent_clients() -> Result<()> {
    let weir = single().await?;
    let _raw = Raw::connect(weir.address()).await?;
    let Ok(table) = std::fs::read_to_string("/proc/net/tcp") else {
        skip("keepalive", "this system has no /proc/net/tcp");
        return Ok(());
    };
    let port = format!(":{:04X}", weir.address().port());
    let probed = || async {
        let table = std::fs::read_to_string("/proc/net/tcp").ok()?;
        let accepted = table.lines().find(|row| {
            let fields: Vec<&str> = row.split_whitespace().collect();
            let ours = fields.get(1).is_some_and(|local| local.ends_with(&port));
            ours && fields.get(3) == Some(&"01")
        })?;
        // The timer that runs: 02 is keepalive.
        let timer = accepted.split_whitespace().nth(5)?;
        timer.starts_with("02:").then_some(())
    };
    until("the keepalive timer", LIMIT, probed)
        .await
        .with_context(|| table)
}
