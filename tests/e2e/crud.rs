//! Reads and writes, through both faces and both generations of the driver.

use anyhow::{Result, ensure};
use serde_json::json;
use weir_tests::cluster::shared;
use weir_tests::python::{Generation, Python};
use weir_tests::weir::WeirProcess;

use crate::support::{passes, scripts, single};

#[tokio::test]
async fn reads_writes_and_bulks() -> Result<()> {
    passes(&single().await?, "crud.py").await
}

#[tokio::test]
async fn unacknowledged_writes_are_read_back() -> Result<()> {
    passes(&single().await?, "unacknowledged.py").await
}

#[tokio::test]
async fn files() -> Result<()> {
    passes(&single().await?, "gridfs_files.py").await
}

#[tokio::test]
async fn retries_write_once() -> Result<()> {
    passes(&single().await?, "retryable.py").await
}

#[tokio::test]
async fn replies_never_reach_another_thread() -> Result<()> {
    let weir = single().await?;
    scripts(&weir, "threads.py", &["16", "25"], |_, said| {
        ensure!(said["rounds"] == 400 && said["counted"] == 400, "{said}");
        ensure!(said["errors"] == json!({}), "{said}");
        Ok(())
    })
    .await
}

/// Whatever the server speaks, Weir and the client agree on their own.
#[tokio::test]
async fn compressed_clients() -> Result<()> {
    let weir = single().await?;
    for name in ["zlib", "snappy", "zstd"] {
        scripts(&weir, "compression.py", &[name], |_, said| {
            // null: this Python has no such module (the harness tests say so).
            ensure!(
                said["compressor"] == name || said["compressor"].is_null(),
                "{said}"
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}

#[tokio::test]
async fn a_unix_socket() -> Result<()> {
    let weir = WeirProcess::builder()
        .upstream(shared::single().await?.uri())
        .unix()
        .start()
        .await?;
    let host = weir.unix_socket().to_string_lossy().replace('/', "%2F");
    if let Some(python) = Python::of(Generation::Newest).await {
        python
            .run("cursors.py", &[&format!("mongodb://{host}/")])
            .await?;
    }
    Ok(())
}
