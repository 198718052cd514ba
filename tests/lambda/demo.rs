//! `weir demo --as lambda`: the layer, two shared Weirs and real functions, in its short form.

use std::fs;
use std::path::PathBuf;
use std::sync::Arc;

use anyhow::{Result, ensure};
use weir_kit::process::Scratch;
use weir_tests::cluster::Cluster;
use weir_tests::demo::{Demo, END_LIMIT, cell};
use weir_tests::lambda::emulator::can_be_had;
use weir_tests::lambda::parts;
use weir_tests::paths::{blocking, paths};
use weir_tests::skip::skip;
use weir_tests::wait::until_true;
use weir_tests::weir::program_called;

/// The layer's programs as they lie in `/opt`, those of this build.
async fn layer(scratch: &Arc<Scratch>) -> Result<PathBuf> {
    let folder = scratch.path().join("layer");
    fs::create_dir_all(folder.join("extensions"))?;
    let extension = program_called("weir-extension").await?;
    fs::hard_link(&extension, folder.join("extensions/weir-extension"))
        .or_else(|_| fs::copy(&extension, folder.join("extensions/weir-extension")).map(drop))?;
    let shim = program_called("weir-shim").await?;
    fs::copy(&shim, folder.join("weir-shim"))?;
    Ok(folder)
}

/// Name spaces, AWS's emulator and Python: what the demo asks this machine for.
async fn is_possible() -> Result<bool> {
    if !can_be_had().await? {
        return Ok(false);
    }
    if let Err(error) = blocking(parts::python).await? {
        skip("Python functions", &error.to_string());
        return Ok(false);
    }
    Ok(true)
}

#[tokio::test]
async fn functions_are_served_with_the_layer_and_nothing_is_left() -> Result<()> {
    if !is_possible().await? {
        return Ok(());
    }
    let scratch = Scratch::new(&paths().temporary, "weir-demo-test")?;
    let layer = layer(&scratch).await?.display().to_string();
    let sizes = ["--clients", "10", "--seconds", "16", "--exit"];
    let arguments = [&["--as", "lambda", "--layer", &layer], &sizes[..]].concat();
    let demo = Demo::start(&scratch, &arguments).await?;
    let code = demo.end().await?;
    let said = demo.said();
    ensure!(code == Some(0), "{code:?} {said}");
    println!("{said}");

    let last = |label, back| cell(&said, label, back);
    ensure!(last("students served", 2)? == "10", "{said}");
    ensure!(last("errors shown to students", 0)? == "0", "{said}");
    ensure!(last("connections refused", 0)? == "0", "{said}");
    let answers = [
        last("answers found / confirmed", 2)?,
        last("answers found / confirmed", 0)?,
    ];
    ensure!(answers == ["50", "50"], "{said}");
    // Two Weirs with five connections each; directly twelve at most, of twenty.
    ensure!(last("server connections, peak", 0)? == "10", "{said}");
    let peak: u32 = last("server connections, peak", 2)?.parse()?;
    ensure!((4..=10).contains(&peak), "{said}");
    ensure!(last("server connections, peak", 3)? == "12", "{said}");
    let turned_away: u32 = last("students turned away", 1)?.parse()?;
    ensure!(turned_away >= 1, "{said}");
    ensure!(said.contains("through 2 Weirs"), "{said}");
    ensure!(demo.left_behind() == 0);
    Ok(())
}

/// On somebody else's server nobody connects directly, and an interrupt ends everything.
#[tokio::test]
async fn an_interrupt_leaves_no_environment_and_no_weir() -> Result<()> {
    if !is_possible().await? {
        return Ok(());
    }
    let scratch = Scratch::new(&paths().temporary, "weir-demo-test")?;
    let layer = layer(&scratch).await?.display().to_string();
    let cluster = Cluster::builder().start().await?;
    let uri = cluster.uri();
    let own = ["--upstream", &uri, "--layer", &layer];
    let arguments = [
        &["--as", "lambda", "--clients", "4", "--seconds", "40"],
        &own[..],
    ]
    .concat();
    let demo = Demo::start(&scratch, &arguments).await?;
    let playing = || ["1", "2", "3"].map(|n| demo.said().contains(&format!("done     {n}")));
    let some = || playing().contains(&true);
    until_true("the first student to be served", END_LIMIT, some).await?;
    demo.terminate()?;
    ensure!(demo.end().await? == Some(130), "{}", demo.said());
    ensure!(demo.left_behind() == 0);
    ensure!(
        demo.said().contains("Dropped the database weir_demo"),
        "{}",
        demo.said()
    );
    let port = cluster.member(0)?.address().port();
    if weir_tests::sockets::can_count() {
        let gone = || weir_tests::sockets::to_port(port).is_ok_and(|count| count < 4);
        until_true("the Weirs' sockets to be gone", END_LIMIT, gone).await?;
    }
    Ok(())
}
