//! Several Weirs behind one balancer address, clients that say nothing of a balancer: each
//! connection goes to another Weir, and so may a cursor's next batch.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use weir_tests::balancer::Balancer;
use weir_tests::cluster::{Cluster, shared, unique};
use weir_tests::message::op_msg;
use weir_tests::python::{Generation, Python};
use weir_tests::raw::Raw;
use weir_tests::scripted::{Act, Face, Scripted};
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

use crate::support::before;

/// Two Weirs and the one address before them.
struct Pair {
    weirs: [WeirProcess; 2],
    balancer: Balancer,
}

impl Pair {
    async fn before(cluster: &Cluster) -> Result<Self> {
        let weirs = [before(cluster).await?, before(cluster).await?];
        let balancer = Balancer::start(weirs.iter().map(WeirProcess::address))?;
        Ok(Self { weirs, balancer })
    }

    async fn client(&self) -> Result<Raw> {
        let mut raw = Raw::connect(self.balancer.address()).await?;
        raw.command("admin", doc! { "hello": 1 }).await?;
        Ok(raw)
    }

    /// What `/status` of each Weir says of its only listener.
    async fn count(&self, what: &str) -> Result<[u64; 2]> {
        let mut counts = [0; 2];
        for (weir, count) in self.weirs.iter().zip(&mut counts) {
            let status = weir.status().await?;
            let found = status.pointer(&format!("/listeners/0/{what}"));
            *count = found
                .and_then(serde_json::Value::as_u64)
                .context("status")?;
        }
        Ok(counts)
    }
}

async fn rows(raw: &mut Raw, name: &str) -> Result<()> {
    let documents: Vec<Document> = (0..10).map(|n| doc! { "_id": n }).collect();
    // On all three: a majority may lack the very secondary that is asked next.
    let insert = doc! { "insert": name, "documents": documents,
    "writeConcern": { "w": 3 } };
    let reply = raw.command("several", insert).await?;
    ensure!(reply.get_i32("n").ok() == Some(10), "{reply}");
    Ok(())
}

async fn open(raw: &mut Raw, name: &str, mode: &str) -> Result<i64> {
    let find = doc! { "find": name, "batchSize": 2, "sort": { "_id": 1 },
    "$readPreference": { "mode": mode } };
    let reply = raw.command("several", find).await?;
    Ok(reply.get_document("cursor")?.get_i64("id")?)
}

fn more(id: i64, name: &str) -> Document {
    doc! { "getMore": id, "collection": name, "batchSize": 2 }
}

/// A cursor on a secondary too: the one that did not open it finds it by asking.
#[tokio::test]
async fn a_batch_may_be_asked_of_the_other_weir() -> Result<()> {
    let pair = Pair::before(shared::three().await?).await?;
    let (mut one, mut other) = (pair.client().await?, pair.client().await?);
    let name = unique("batches");
    rows(&mut one, &name).await?;
    for mode in ["primary", "secondary"] {
        let id = open(&mut one, &name, mode).await?;
        let mut known = pair.count("cursors").await?;
        known.sort_unstable();
        ensure!(known == [0, 1], "it is known to one: {known:?}");
        let mut seen = 2;
        for turn in 0..4 {
            let raw = if turn % 2 == 0 { &mut other } else { &mut one };
            let reply = raw.command("several", more(id, &name)).await?;
            let cursor = reply
                .get_document("cursor")
                .with_context(|| reply.to_string())?;
            for row in cursor.get_array("nextBatch")? {
                let row = row.as_document().context("no row")?;
                ensure!(row.get_i32("_id").ok() == Some(seen), "{mode}: {reply}");
                seen += 1;
            }
        }
        ensure!(seen == 10, "{mode}: {seen} rows");
        let mut end = more(id, &name);
        end.insert("batchSize", 1);
        // The last batch was full, so only this one tells that there is no more.
        let reply = other.command("several", end).await?;
        let ended = reply.get_i32("code").ok() == Some(43)
            || reply.get_document("cursor")?.get_i64("id")? == 0;
        ensure!(ended, "{mode}: {reply}");
        // What the first one remembers it forgets when it is asked for it.
        one.command("several", more(id, &name)).await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_cursor_may_be_killed_through_the_other_weir() -> Result<()> {
    let pair = Pair::before(shared::three().await?).await?;
    let (mut one, mut other) = (pair.client().await?, pair.client().await?);
    let name = unique("killed");
    rows(&mut one, &name).await?;
    for mode in ["primary", "secondary"] {
        let id = open(&mut one, &name, mode).await?;
        let kill = doc! { "killCursors": &name, "cursors": [id, 4_711_i64] };
        let reply = other.command("several", kill).await?;
        ensure!(
            reply.get_array("cursorsKilled")? == &vec![id.into()],
            "{mode}: {reply}"
        );
        let unknown = reply.get_array("cursorsNotFound")?;
        ensure!(unknown == &vec![4_711_i64.into()], "{mode}: {reply}");
        let reply = one.command("several", more(id, &name)).await?;
        ensure!(reply.get_i32("code").ok() == Some(43), "{mode}: {reply}");
    }
    let reply = other.command("several", more(4_711, &name)).await?;
    ensure!(reply.get_i32("code").ok() == Some(43), "{reply}");
    Ok(())
}

/// Whole drivers, whose pools spread over both.
#[tokio::test]
async fn drivers_work_as_if_there_were_one() -> Result<()> {
    let pair = Pair::before(shared::single().await?).await?;
    let uri = format!("mongodb://{}/", pair.balancer.address());
    for generation in Generation::ALL {
        let Some(python) = Python::of(generation).await else {
            continue;
        };
        for script in [
            "cursors.py",
            "kill_cursors.py",
            "transactions.py",
            "change_stream.py",
        ] {
            let said = python.run(script, &[&uri]).await;
            said.with_context(|| format!("{script}, {}", generation.version()))?;
        }
    }
    Ok(())
}

/// Who waits for data at a Weir that did not open the cursor takes no slot from others there.
#[tokio::test]
async fn waiting_at_the_other_weir_is_nobodys_loss() -> Result<()> {
    const STREAMS: u64 = 6;
    let cluster = shared::single().await?;
    let opener = before(cluster).await?;
    let other = WeirProcess::builder()
        .upstream(cluster.uri())
        .args(&["--max-connections", "4"])
        .start()
        .await?;
    let name = unique("streams");
    let mut one = Raw::connect(opener.address()).await?;
    one.command("several", doc! { "create": &name }).await?;
    let began = Instant::now();
    let mut waiting = Vec::new();
    for _ in 0..STREAMS {
        let watch = doc! { "aggregate": &name, "pipeline": [{ "$changeStream": {} }],
        "cursor": {} };
        let reply = one.command("several", watch).await?;
        let id = reply.get_document("cursor")?.get_i64("id")?;
        let wait = doc! { "getMore": id, "collection": &name, "maxTimeMS": 20_000,
        "$db": "several" };
        let mut raw = Raw::connect(other.address()).await?;
        raw.send(&op_msg(1, 0, 0, &wait)).await?;
        waiting.push(raw);
    }
    let found = || async {
        let status = other.status().await.ok()?;
        let known = status.pointer("/listeners/0/cursors")?.as_u64()?;
        (known == STREAMS).then_some(())
    };
    until("every stream to be found", LIMIT, found).await?;
    let mut busy = Raw::connect(other.address()).await?;
    for n in 0..20 {
        let insert = doc! { "insert": "ordinary", "documents": [{ "n": n }] };
        busy.command("several", insert).await?;
    }
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(8), "others waited: {took:?}");
    let event = doc! { "insert": &name, "documents": [{ "_id": "event" }] };
    busy.command("several", event).await?;
    for raw in &mut waiting {
        let reply = raw.receive().await?.body;
        let batch = reply.get_document("cursor")?.get_array("nextBatch")?;
        ensure!(batch.len() == 1, "{reply}");
    }
    Ok(())
}

/// One router does not know the cursor, the other is away: it is waited for a little, and who
/// leaves meanwhile is forgotten.
#[tokio::test]
async fn a_getmore_waits_a_little_for_a_node_that_is_away() -> Result<()> {
    let router = Scripted::start(Face::Mongos)?;
    let unknown = || Act::error(43, "CursorNotFound", &[]);
    router.script("getMore", [unknown(), unknown()]);
    let away = weir_kit::mongod::free_port()?;
    let weir = WeirProcess::builder()
        .upstream(format!("mongodb://{},127.0.0.1:{away}/", router.address()))
        .start()
        .await?;
    let more = doc! { "getMore": 7_i64, "collection": "c", "$db": "d" };
    let mut leaving = Raw::connect(weir.address()).await?;
    leaving.send(&op_msg(1, 0, 0, &more)).await?;
    let asked = || async { (!router.received_of("getMore").is_empty()).then_some(()) };
    until("the router to be asked", LIMIT, asked).await?;
    drop(leaving);
    let mut staying = Raw::connect(weir.address()).await?;
    let began = Instant::now();
    let reply = staying.command("d", more).await?;
    let took = began.elapsed();
    ensure!(reply.get_i32("code").ok() == Some(43), "{reply}");
    ensure!(took > Duration::from_millis(1_500), "{took:?}");
    ensure!(took < Duration::from_secs(10), "{took:?}");
    Ok(())
}
