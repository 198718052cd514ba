//! Elections, resets and silence between Weir and its servers.

use std::time::Duration;

use anyhow::{Result, bail, ensure};
use bson::{Document, doc};
use mongodb::Client;
use serde_json::json;
use weir_tests::cluster::Cluster;
use weir_tests::python::{Generation, Python};
use weir_tests::raw::Raw;
use weir_tests::relay::{Fault, Side, Trigger};
use weir_tests::wait::{LIMIT, until};

use crate::support::before;

#[tokio::test]
async fn a_stepdown_under_load_is_not_noticed() -> Result<()> {
    let cluster = Cluster::builder().priorities(&[1, 1, 0]).start().await?;
    cluster.settled().await?;
    let weir = before(&cluster).await?;
    let Some(python) = Python::of(Generation::Newest).await else {
        return Ok(());
    };
    let observer = cluster.client().await?;
    let arguments = [&weir.uri(""), "8", "200"];
    let load = python.run("threads.py", &arguments);
    tokio::pin!(load);
    let step_down = async {
        // Not while it still creates collections: no driver retries that.
        until("the load to begin", LIMIT, || has_counted(&observer)).await?;
        cluster.step_down(Duration::from_secs(60)).await
    };
    let old = tokio::select! {
        said = &mut load => bail!("the load ended before the stepdown: {said:?}"),
        old = step_down => old?,
    };
    let said = load.await?;
    ensure!(said["errors"] == json!({}), "{said}");
    ensure!(said["counted"] == 1600, "{said}");
    ensure!(cluster.primary_other_than(Some(old)).await? != old);
    Ok(())
}

/// Whether the counter of `threads.py` has moved.
async fn has_counted(observer: &Client) -> Option<()> {
    let names = observer.list_database_names().await.ok()?;
    let name = names.iter().find(|name| name.starts_with("py_"))?;
    let counters = observer.database(name).collection::<Document>("counters");
    let counter = counters.find_one(doc! { "_id": "shared" }).await.ok()??;
    (counter.get_i32("n").ok()? > 0).then_some(())
}

/// The reply is lost, the write is not; only the client may repeat it.
#[tokio::test]
async fn a_write_whose_reply_is_lost_is_sent_once() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let weir = before(&cluster).await?;
    let mut raw = Raw::connect(weir.address()).await?;
    raw.command("admin", doc! { "hello": 1 }).await?;
    let marker = "the_lost_one";
    cluster
        .relay(0)?
        .add(Trigger::once(marker, Side::Replies, Fault::Reset(0)));
    let update = doc! {
        "update": "counters",
        "updates": [{ "q": { "_id": marker }, "u": { "$inc": { "n": 1 } }, "upsert": true }],
    };
    let reply = raw.command("faults", update).await?;
    ensure!(reply.get_i32("code")? == 6, "{reply}");
    ensure!(
        !reply.contains_key("errorLabels"),
        "no txnNumber, so not retryable: {reply}"
    );
    let found = raw.command("faults", doc! { "find": "counters" }).await?;
    let batch = found.get_document("cursor")?.get_array("firstBatch")?;
    ensure!(
        batch == &vec![doc! { "_id": marker, "n": 1 }.into()],
        "{found}"
    );
    Ok(())
}

#[tokio::test]
async fn resets_everywhere_leave_the_clients_socket_open() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let weir = before(&cluster).await?;
    let client = Client::with_uri_str(weir.uri("maxPoolSize=1")).await?;
    let things = client.database("faults").collection::<Document>("things");
    for n in 0..5 {
        things.insert_one(doc! { "_id": n }).await?;
        cluster.relay(0)?.reset_all();
    }
    ensure!(things.count_documents(doc! {}).await? == 5);
    Ok(())
}
