//! The cap, counted from outside.

use anyhow::{Context, Result, ensure};
use serde_json::json;
use weir_tests::cluster::shared;
use weir_tests::python::{Generation, Python};
use weir_tests::skip::skip;
use weir_tests::sockets::{Sampler, can_count};
use weir_tests::weir::WeirProcess;

const CAP: usize = 8;

#[tokio::test]
async fn sockets_to_a_node_never_exceed_the_cap() -> Result<()> {
    if !can_count() {
        skip(
            "the cap, counted by the kernel",
            "this system has no /proc/net/tcp",
        );
        return Ok(());
    }
    let cluster = shared::single().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .arg("--max-connections")
        .arg(CAP)
        .start()
        .await?;
    let port = cluster.member(0)?.address().port();
    let sampler = Sampler::start(weir.pid(), vec![port])?;
    let Some(python) = Python::of(Generation::Newest).await else {
        return Ok(());
    };
    let said = python
        .run("threads.py", &[&weir.uri("maxPoolSize=64"), "64", "20"])
        .await?;
    ensure!(
        said["errors"] == json!({}) && said["counted"] == 1280,
        "{said}"
    );
    let maxima = sampler.finish()?;
    let most = maxima.most.get(&port).context("no look")?;
    ensure!(maxima.looks >= 10, "{maxima:?}");
    ensure!(most.held <= CAP, "{maxima:?}");
    ensure!(most.held > CAP / 2, "the pool was hardly used: {maxima:?}");
    Ok(())
}
