//! Cursors whose node is away: for a while, for good, or back as another process.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::{Document, doc};
use mongodb::Client;
use mongodb::change_stream::ChangeStream;
use mongodb::change_stream::event::ChangeStreamEvent;
use weir_tests::cluster::Cluster;
use weir_tests::raw::Raw;
use weir_tests::wait::{LIMIT, until, within};
use weir_tests::weir::WeirProcess;

use crate::support::before;

type Events = ChangeStream<ChangeStreamEvent<Document>>;

/// A cursor with batches left.
async fn open_cursor(raw: &mut Raw) -> Result<i64> {
    let documents: Vec<_> = (0..10).map(|n| doc! { "_id": n }).collect();
    let insert = doc! { "insert": "away", "documents": documents };
    raw.command("cursors", insert).await?;
    let find = doc! { "find": "away", "batchSize": 2 };
    let reply = raw.command("cursors", find).await?;
    Ok(reply.get_document("cursor")?.get_i64("id")?)
}

fn more(id: i64) -> Document {
    doc! { "getMore": id, "collection": "away", "batchSize": 2 }
}

/// Whether Weir takes the only node for dead.
async fn is_dead(weir: &WeirProcess) -> Option<()> {
    let status = weir.status().await.ok()?;
    let kind = status.pointer("/listeners/0/nodes/0/kind")?;
    (kind == "Unknown").then_some(())
}

/// The next event, which must be of this document.
async fn event_of(stream: &mut Events, id: i32) -> Result<()> {
    loop {
        if let Some(event) = stream.next_if_any().await? {
            let key = event.document_key.unwrap_or_default();
            ensure!(key.get_i32("_id").ok() == Some(id), "{key}");
            return Ok(());
        }
    }
}

#[tokio::test]
async fn a_change_stream_goes_on_when_its_node_is_gone_for_good() -> Result<()> {
    let cluster = Cluster::builder().members(3).start().await?;
    cluster.settled().await?;
    let weir = before(&cluster).await?;
    let client = Client::with_uri_str(weir.uri("")).await?;
    let things = client.database("away").collection::<Document>("things");
    things.insert_one(doc! { "_id": 0 }).await?;
    let mut stream = things.watch().await?;
    things.insert_one(doc! { "_id": 1 }).await?;
    within("an event", LIMIT, event_of(&mut stream, 1)).await??;
    cluster.kill(cluster.primary().await?)?;
    things.insert_one(doc! { "_id": 2 }).await?;
    let elected = Instant::now();
    within("the event", LIMIT, event_of(&mut stream, 2)).await??;
    let took = elected.elapsed();
    println!("the event came {took:?} after the first write to the new primary");
    ensure!(took < Duration::from_secs(8), "{took:?}");
    Ok(())
}

/// The server would say the same, but only once it can: with logins it first lacks the keys
/// to check the client's cluster time, and says 211, after which no stream resumes.
#[tokio::test]
async fn a_cursor_ends_with_its_servers_process() -> Result<()> {
    let cluster = Cluster::builder().start().await?;
    let weir = before(&cluster).await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let id = open_cursor(&mut raw).await?;
    cluster.kill(0)?;
    cluster.restart(0).await?;
    let reply = raw.command("cursors", more(id)).await?;
    ensure!(reply.get_i32("code").ok() == Some(43), "{reply}");
    let said = reply.get_str("errmsg")?;
    ensure!(
        said.contains("no database node knows"),
        "Weir asked: {reply}"
    );
    Ok(())
}

/// Longer than any wait in the queue: a node that is away is no matter of the queue.
#[tokio::test]
async fn a_cursor_waits_for_its_node() -> Result<()> {
    let cluster = Cluster::builder().start().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .args(&["--queue-timeout", "500ms"])
        .start()
        .await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let id = open_cursor(&mut raw).await?;
    cluster.freeze(0)?;
    until("the node to be given up", LIMIT, || is_dead(&weir)).await?;
    let thaw = async {
        tokio::time::sleep(Duration::from_millis(1_500)).await;
        cluster.thaw(0)
    };
    let (reply, thawed) = tokio::join!(raw.command("cursors", more(id)), thaw);
    thawed?;
    let reply = reply?;
    let batch = reply.get_document("cursor")?.get_array("nextBatch")?;
    ensure!(batch.len() == 2, "{reply}");
    Ok(())
}

/// It was given up for dead, and may have rolled back since: then the cursor is gone in a way
/// (code 175) after which no driver resumes.
#[tokio::test]
async fn a_change_stream_does_not_trust_a_node_that_was_dead() -> Result<()> {
    let cluster = Cluster::builder().start().await?;
    let weir = before(&cluster).await?;
    let mut raw = Raw::connect(weir.address()).await?;
    raw.command("cursors", doc! { "create": "away" }).await?;
    let watch = doc! { "aggregate": "away", "pipeline": [{ "$changeStream": {} }], "cursor": {} };
    let reply = raw.command("cursors", watch).await?;
    let id = reply.get_document("cursor")?.get_i64("id")?;
    let more = doc! { "getMore": id, "collection": "away" };
    let quiet = raw.command("cursors", more.clone()).await?;
    ensure!(quiet.get_f64("ok").ok() == Some(1.0), "{quiet}");
    cluster.freeze(0)?;
    until("the node to be given up", LIMIT, || is_dead(&weir)).await?;
    cluster.thaw(0)?;
    raw.command("cursors", doc! { "insert": "away", "documents": [{}] })
        .await?;
    let reply = raw.command("cursors", more).await?;
    ensure!(reply.get_i32("code").ok() == Some(6), "{reply}");
    let labels = reply.get_array("errorLabels")?;
    ensure!(
        labels == &vec!["ResumableChangeStreamError".into()],
        "{reply}"
    );
    Ok(())
}
