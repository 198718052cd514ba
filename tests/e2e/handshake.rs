//! What Weir says it is.

use anyhow::{Result, ensure};
use bson::doc;
use serde_json::json;
use weir_tests::raw::Raw;

use crate::support::{scripts, single};

#[tokio::test]
async fn drivers_see_a_mongos_or_a_load_balanced_service() -> Result<()> {
    scripts(&single().await?, "topology.py", &[], |face, said| {
        let (topology, server) = match face {
            "" => ("Sharded", "Mongos"),
            _ => ("LoadBalanced", "LoadBalancer"),
        };
        ensure!(said["topology"] == topology, "{face}: {said}");
        ensure!(said["servers"] == json!([server]), "{face}: {said}");
        ensure!(
            said["max_wire_version"].as_i64() >= Some(17),
            "{face}: {said}"
        );
        Ok(())
    })
    .await
}

#[tokio::test]
async fn hello_never_tells_of_the_set_behind() -> Result<()> {
    let weir = single().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let legacy = raw
        .query("admin", &doc! { "isMaster": 1, "helloOk": true })
        .await?;
    let modern = raw.command("admin", doc! { "hello": 1 }).await?;
    ensure!(
        legacy.get_bool("ismaster")? && legacy.get_bool("helloOk")?,
        "{legacy}"
    );
    ensure!(modern.get_bool("isWritablePrimary")?, "{modern}");
    for reply in [&legacy, &modern] {
        ensure!(reply.get_str("msg")? == "isdbgrid", "{reply}");
        ensure!(reply.contains_key("weir"), "{reply}");
        for field in ["hosts", "setName", "me", "primary", "serviceId"] {
            ensure!(!reply.contains_key(field), "{field} in {reply}");
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_waiting_hello_waits_no_longer_than_it_says() -> Result<()> {
    let weir = single().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let first = raw.command("admin", doc! { "hello": 1 }).await?;
    let Ok(version) = first.get_document("topologyVersion") else {
        return Ok(());
    };
    let start = std::time::Instant::now();
    let waiting = doc! { "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": 300 };
    let second = raw.command("admin", waiting).await?;
    ensure!(start.elapsed().as_millis() >= 290, "{:?}", start.elapsed());
    ensure!(second.get_document("topologyVersion")? == version);
    let half = doc! { "hello": 1, "maxAwaitTimeMS": 300 };
    ensure!(raw.command("admin", half).await?.get_i32("code")? == 51_760);
    Ok(())
}
