//! Cursors and change streams.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::doc;
use weir_tests::cluster::{Cluster, shared, unique};
use weir_tests::message::op_msg;
use weir_tests::raw::Raw;
use weir_tests::relay::{Fault, Side, Trigger};
use weir_tests::wait::LIMIT;
use weir_tests::weir::WeirProcess;

use crate::support::{before, passes, scripts, single};

#[tokio::test]
async fn many_batches_side_by_side() -> Result<()> {
    scripts(&single().await?, "cursors.py", &[], |_, said| {
        // An awaiting getMore waits its 300 ms, not a pool's timeout.
        let waited = said["quiet_wait_ms"].as_f64().unwrap_or(0.0);
        ensure!((250.0..2_000.0).contains(&waited), "{said}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn killed_ones_are_gone() -> Result<()> {
    passes(&single().await?, "kill_cursors.py").await
}

#[tokio::test]
async fn change_streams_resume() -> Result<()> {
    passes(&single().await?, "change_stream.py").await
}

/// A mongos has no exhaust cursors, so the driver refuses them in that face.
#[tokio::test]
async fn exhaust() -> Result<()> {
    scripts(&single().await?, "exhaust.py", &[], |face, said| {
        let refused = said["refused_by_driver"].is_string();
        ensure!(refused || said["documents"] == 3000, "{face}: {said}");
        ensure!(refused || !face.is_empty(), "{face}: {said}");
        Ok(())
    })
    .await
}

/// The smallest pool: interleaved cursors and transactions still finish.
#[tokio::test]
async fn the_smallest_pool_finishes_everything() -> Result<()> {
    let weir = WeirProcess::builder()
        .upstream(shared::single().await?.uri())
        .args(&["--max-connections", "4"])
        .start()
        .await?;
    passes(&weir, "cursors.py").await?;
    passes(&weir, "transactions.py").await
}

/// In the load-balanced face cursors end with the client's connection; in the mongos face
/// another connection of the client may go on with them.
#[tokio::test]
async fn only_a_load_balanced_client_takes_its_cursors_with_it() -> Result<()> {
    let cluster = shared::single().await?;
    let weir = single().await?;
    let mut direct = Raw::connect(cluster.member(0)?.address()).await?;
    for load_balanced in [true, false] {
        let name = unique("left");
        let mut raw = Raw::connect(weir.address()).await?;
        let hello = doc! { "hello": 1, "loadBalanced": load_balanced };
        raw.command("admin", hello).await?;
        let documents: Vec<_> = (0..10).map(|n| doc! { "_id": n }).collect();
        let insert = doc! { "insert": &name, "documents": documents };
        raw.command("cursors", insert).await?;
        let find = doc! { "find": &name, "batchSize": 2 };
        let reply = raw.command("cursors", find).await?;
        let id = reply.get_document("cursor")?.get_i64("id")?;
        ensure!(id != 0, "{reply}");
        drop(raw);
        let more = doc! { "getMore": id, "collection": &name, "batchSize": 1 };
        if load_balanced {
            let gone = async || {
                let reply = direct.command("cursors", more.clone()).await.ok()?;
                (reply.get_i32("code").ok() == Some(43)).then_some(())
            };
            until_gone(gone).await?;
        } else {
            // Long enough for a tidy-up that must not happen.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let reply = direct.command("cursors", more).await?;
            ensure!(reply.get_f64("ok").ok() == Some(1.0), "{reply}");
        }
    }
    Ok(())
}

/// The same for one that leaves in the middle of a first batch too large to be held.
#[tokio::test]
async fn a_client_that_leaves_inside_a_large_batch_takes_its_cursor_with_it() -> Result<()> {
    let cluster = shared::single().await?;
    let weir = single().await?;
    let mut direct = Raw::connect(cluster.member(0)?.address()).await?;
    let name = unique("large");
    let filler = "x".repeat(1024 * 1024);
    let documents: Vec<_> = (0..13).map(|n| doc! { "_id": n, "f": &filler }).collect();
    let insert = doc! { "insert": &name, "documents": documents };
    direct.command("cursors", insert).await?;
    let mut open = async |mark: &str| -> Option<usize> {
        let theirs = doc! { "type": "idleCursor", "cursor.originatingCommand.comment": mark };
        let look = doc! { "aggregate": 1, "cursor": {},
        "pipeline": [{ "$currentOp": { "idleCursors": true } }, { "$match": theirs }] };
        let reply = direct.command("admin", look).await.ok()?;
        let found = reply.get_document("cursor").ok()?;
        Some(found.get_array("firstBatch").ok()?.len())
    };
    let find = doc! { "find": &name, "batchSize": 12 };
    // A cursor of no collection has a name of its own.
    let shorter = "x".repeat(1_000_000);
    let each = doc! { "$map": { "input": { "$range": [0, 13] }, "in": { "f": shorter } } };
    let aggregate = doc! { "aggregate": 1, "pipeline": [{ "$documents": each }],
    "cursor": { "batchSize": 12 } };
    for (mark, mut command) in [("a find", find), ("an aggregation", aggregate)] {
        let mark = format!("{mark} of {name}");
        command.extend(doc! { "comment": &mark, "$db": "cursors" });
        let mut raw = Raw::connect(weir.address()).await?;
        let hello = doc! { "hello": 1, "loadBalanced": true };
        raw.command("admin", hello).await?;
        raw.send(&op_msg(1, 0, 0, &command)).await?;
        until_is(&mark, &mut open, 1).await?;
        // Weir has as much of the reply as the sockets between hold, and no more.
        drop(raw);
        until_is(&mark, &mut open, 0).await?;
    }
    Ok(())
}

async fn until_is(
    mark: &str,
    count: &mut impl AsyncFnMut(&str) -> Option<usize>,
    wanted: usize,
) -> Result<()> {
    let began = Instant::now();
    while count(mark).await != Some(wanted) {
        ensure!(began.elapsed() < LIMIT, "never {wanted} cursors of {mark}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    Ok(())
}

/// Its batch is lost: nobody can go on with it, and Weir has nothing to remember.
#[tokio::test]
async fn a_cursor_whose_get_more_broke_is_forgotten() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let weir = before(&cluster).await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let documents: Vec<_> = (0..10).map(|n| doc! { "_id": n }).collect();
    let insert = doc! { "insert": "broken", "documents": documents };
    raw.command("cursors", insert).await?;
    let find = doc! { "find": "broken", "batchSize": 2 };
    let reply = raw.command("cursors", find).await?;
    let id = reply.get_document("cursor")?.get_i64("id")?;
    let known = async || anyhow::Ok(weir.status().await?["listeners"][0]["cursors"].as_u64());
    ensure!(known().await? == Some(1), "{}", weir.status().await?);
    let relay = cluster.relay(0)?;
    relay.add(Trigger::once("getMore", Side::Replies, Fault::Reset(0)));
    let more = doc! { "getMore": id, "collection": "broken", "batchSize": 2 };
    let reply = raw.command("cursors", more).await?;
    ensure!(reply.get_i32("code").ok() == Some(6), "{reply}");
    ensure!(known().await? == Some(0), "{}", weir.status().await?);
    Ok(())
}

/// At most eight batches are left: so often may be asked before the cursor ends by itself.
async fn until_gone(mut gone: impl AsyncFnMut() -> Option<()>) -> Result<()> {
    for _ in 0..6 {
        tokio::time::sleep(Duration::from_millis(200)).await;
        if gone().await.is_some() {
            return Ok(());
        }
    }
    anyhow::bail!("the cursor outlived its client's connection")
}
