//! An invocation is cut off at its deadline: who waits then is answered before.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::{Document, doc};
use weir_tests::raw::Raw;
use weir_tests::scripted::{Act, Face, Scripted};

use crate::support::{ends_well, extension, insert, works};

/// How late an answer may be on a busy machine; the notice is 200 ms.
const NOTICE: Duration = Duration::from_millis(200);

/// The answer to `command` in an invocation of one second, and when it came.
async fn answered(upstream: &str, command: Document) -> Result<(Document, Duration)> {
    let (api, extension) = extension(&[("WEIR_UPSTREAM", upstream)]).await?;
    let mut function = Raw::connect(extension.address()).await?;
    let began = Instant::now();
    api.invoke("r-1", Duration::from_secs(1));
    api.is_asked().await?;
    let reply = function.command("lambda", command).await?;
    let took = began.elapsed();
    // The next invocation is not bound by the last one's end.
    api.invoke("r-2", Duration::from_secs(60));
    api.is_asked().await?;
    ends_well(&api, &extension).await?;
    Ok((reply, took))
}

fn in_time(took: Duration) -> Result<()> {
    // Lambda tells the deadline in whole milliseconds.
    let rounding = Duration::from_millis(1);
    let earliest = Duration::from_secs(1) - NOTICE - rounding;
    let latest = Duration::from_secs(1);
    ensure!(
        (earliest..latest).contains(&took),
        "answered after {took:?}"
    );
    Ok(())
}

fn retryable() -> Document {
    let mut command = insert("late", "r-1");
    command.insert("lsid", doc! { "id": bson::Uuid::new() });
    command.insert("txnNumber", 1_i64);
    command
}

#[tokio::test]
async fn who_waits_for_a_connection_is_told_that_nothing_was_sent() -> Result<()> {
    let nowhere = Scripted::start(Face::Silent)?;
    let upstream = format!("mongodb://{}/?loadBalanced=true", nowhere.address());
    let (reply, took) = answered(&upstream, retryable()).await?;
    in_time(took)?;
    ensure!(reply.get_i32("code")? == 50, "{reply}");
    let labels = reply.get_array("errorLabels");
    ensure!(
        labels.is_err(),
        "a retry would find no time either: {reply}"
    );
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_reply_is_told_that_it_may_have_run() -> Result<()> {
    let slow = Scripted::start(Face::LoadBalanced)?;
    slow.script("insert", [Act::Nothing]);
    let upstream = format!("mongodb://{}/?loadBalanced=true", slow.address());
    let (reply, took) = answered(&upstream, retryable()).await?;
    in_time(took)?;
    ensure!(reply.get_i32("code")? == 50, "{reply}");
    ensure!(
        reply
            .get_str("errmsg")?
            .contains("may have been carried out"),
        "{reply}"
    );
    let labels = reply.get_array("errorLabels");
    ensure!(labels.is_err(), "there is no time for another try: {reply}");
    Ok(())
}

#[tokio::test]
async fn who_waits_for_a_primary_is_answered() -> Result<()> {
    let alone = Scripted::start(Face::Secondary)?;
    let upstream = format!("mongodb://{}/?replicaSet=rs0", alone.address());
    let (reply, took) = answered(&upstream, retryable()).await?;
    in_time(took)?;
    ensure!(reply.get_i32("code")? == 50, "{reply}");
    Ok(())
}

/// The deadline may become known after the first operation of an invocation has arrived, and
/// the last one's is over then.
#[tokio::test]
async fn the_deadline_reaches_operations_that_came_before_it() -> Result<()> {
    let slow = Scripted::start(Face::LoadBalanced)?;
    slow.script("insert", [Act::Nothing]);
    let upstream = format!("mongodb://{}/?loadBalanced=true", slow.address());
    let (api, extension) = extension(&[("WEIR_UPSTREAM", &upstream)]).await?;
    api.invoke("r-1", Duration::from_millis(1));
    api.is_asked().await?;
    let mut function = Raw::connect(extension.address()).await?;
    let waiting = async { function.command("lambda", retryable()).await };
    let telling = async {
        slow.wait_for("insert", 1).await?;
        let told = Instant::now();
        api.invoke("r-2", Duration::from_secs(1));
        Ok::<_, anyhow::Error>(told)
    };
    let (reply, told) = tokio::try_join!(waiting, telling)?;
    in_time(told.elapsed())?;
    ensure!(reply.get_i32("code")? == 50, "{reply}");
    works(&mut function, doc! { "ping": 1 }).await?;
    ends_well(&api, &extension).await?;
    Ok(())
}
