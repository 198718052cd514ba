//! The same function in each language under AWS's own emulator: shim, extension, shared Weir,
//! real replica set.

use std::time::Instant;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use weir_tests::cluster::unique;
use weir_tests::lambda::Language;
use weir_tests::wait::{LIMIT, until_true};

use crate::stage::Stage;

#[tokio::test]
async fn a_python_function_works_unchanged() -> Result<()> {
    works_unchanged(Language::Python).await
}

#[tokio::test]
async fn a_node_function_works_unchanged() -> Result<()> {
    works_unchanged(Language::Node).await
}

#[tokio::test]
async fn a_java_function_works_unchanged() -> Result<()> {
    works_unchanged(Language::Java).await
}

#[tokio::test]
async fn a_rust_function_works_unchanged() -> Result<()> {
    works_unchanged(Language::Rust).await
}

/// From its cold start to its end, over one trunk.
async fn works_unchanged(language: Language) -> Result<()> {
    let Some(stage) = Stage::of(language, |function| function.cut_off_after(30)).await? else {
        return Ok(());
    };
    let (emulator, service) = (&stage.emulator, &stage.service);
    let mark = unique("cold");
    let began = Instant::now();
    let first = emulator.succeed(json!({ "mark": mark })).await?;
    let cold = began.elapsed();
    println!(
        "{language:?}: cold start {cold:?}, {} ms in it",
        first["ms"]
    );
    let uri = first["uri"].as_str().context("no uri")?;
    ensure!(uri.contains(&stage.listen), "the function uses {uri}");
    ensure!(
        !uri.contains("replicaSet") && uri.contains("appName=exam"),
        "{uri}"
    );
    for _ in 0..10 {
        let warm = emulator.succeed(json!({ "mark": mark })).await?;
        ensure!(warm["pid"] == first["pid"], "it was started anew: {warm}");
    }
    let counted = json!({ "do": "count", "mark": mark });
    let counted = emulator.succeed(counted).await?;
    ensure!(counted["count"] == 11, "{counted}");
    ensure!(service.counts().accepted == 1, "{:?}", service.counts());
    let many = json!({ "do": "many", "times": 200, "mark": unique("many") });
    let many = emulator.succeed(many).await?;
    println!("{language:?}: 200 inserts at once {} ms", many["ms"]);
    ensure!(many["count"] == 200, "{many}");
    ensure!(service.counts().most_open <= 2, "{:?}", service.counts());
    emulator.says("serving the function").await?;
    emulator.terminate(LIMIT).await?;
    emulator.says("the environment ends").await?;
    until_true("the trunk to be closed", LIMIT, || {
        service.counts().open == 0
    })
    .await
}
