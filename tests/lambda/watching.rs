//! On the endpoint to the database itself a connection of its own watches it. It is frozen and
//! copied like the others, and what it says afterwards is about itself.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::doc;
use weir_tests::cluster::Cluster;
use weir_tests::lambda::{Extension, ScriptedApi};
use weir_tests::raw::Raw;
use weir_tests::relay::{Fault, Relay, Side};
use weir_tests::wait::{LIMIT, until_true};

use crate::support::{DOUBT, LONG, ends_well, extension, freeze, insert, thaw, works};

/// Between two looks of the watching connection; the least that drivers allow.
const HEARTBEAT: Duration = Duration::from_millis(500);

/// Every connection that is open now is forgotten by what lies between: what is sent on it
/// from now on is lost. New ones work.
fn forget_flows(relay: &Relay) -> usize {
    let open = relay.counts().open;
    let forgotten = |n: &usize| relay.hurt(*n, Side::Requests, Fault::Discard);
    (0..open).filter(forgotten).count()
}

async fn watched(cluster: &Cluster, more: &[(&str, &str)]) -> Result<(ScriptedApi, Extension)> {
    let uri = format!(
        "{}&heartbeatFrequencyMS={}&connectTimeoutMS=1500",
        cluster.uri(),
        HEARTBEAT.as_millis()
    );
    let variables = [&[("DB", uri.as_str()), ("WEIR_DOUBT_AFTER", DOUBT)], more].concat();
    extension(&variables).await
}

/// The watching connection finds out by a time-out that its flow is gone. By then others have
/// reached the database, so work that is under way there is not given up for it.
#[tokio::test]
async fn a_forgotten_watcher_ends_nobodys_work() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let relay = cluster.relay(0)?;
    let (api, extension) = watched(&cluster, &[]).await?;
    api.invoke("r-1", LONG);
    let mut function = Raw::connect(extension.address()).await?;
    works(&mut function, insert("watching", "r-1")).await?;
    api.is_asked().await?;
    until_true("the database to be watched", LIMIT, || {
        relay.counts().open == 2
    })
    .await?;
    freeze(&extension).await?;
    // So long that the watcher asks at once when time goes on.
    let frozen = Instant::now();
    until_true("a heartbeat to be missed", LIMIT, || {
        frozen.elapsed() > HEARTBEAT
    })
    .await?;
    ensure!(forget_flows(relay) == 2);
    thaw(&api, &extension, "r-2")?;
    works(&mut function, insert("watching", "r-2")).await?;
    // It goes on while the watcher's time runs out.
    let slow = doc! { "find": "watching", "filter": { "$where": "sleep(2000) || true" } };
    let reply = works(&mut function, slow).await?;
    extension.says("a database node is down").await?;
    let found = reply.get_document("cursor")?.get_array("firstBatch")?;
    ensure!(found.len() == 2, "{reply}");
    ends_well(&api, &extension).await?;
    Ok(())
}

/// A copy of an environment shares no connection with its original, not the watching one
/// either: bytes of both would mix in one stream.
#[tokio::test]
async fn a_copy_does_not_watch_through_its_original() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let relay = cluster.relay(0)?;
    let snap_start = [("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start")];
    let (api, extension) = watched(&cluster, &snap_start).await?;
    let mut function = Raw::connect(extension.address()).await?;
    // A function that queries in init is served, and so the image has connections.
    works(&mut function, insert("watching", "init")).await?;
    api.is_asked().await?;
    until_true("the database to be watched", LIMIT, || {
        relay.counts().open == 2
    })
    .await?;
    let of_the_original = relay.counts().accepted;
    freeze(&extension).await?;
    thaw(&api, &extension, "r-1")?;
    // The function's runtime takes some milliseconds from the event to an operation. Here the
    // operation could arrive before the event is read.
    until_true("the copy to watch by itself", LIMIT, || {
        relay.counts().accepted > of_the_original
    })
    .await?;
    works(&mut function, insert("watching", "r-1")).await?;
    until_true("connections of the copy's own", LIMIT, || {
        let counts = relay.counts();
        counts.accepted == of_the_original + 2 && counts.open == 2
    })
    .await
    .with_context(|| format!("{:?} after {of_the_original}", relay.counts()))?;
    ends_well(&api, &extension).await?;
    Ok(())
}
