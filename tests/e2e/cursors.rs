//! Cursors and change streams.

use anyhow::{Result, ensure};
use weir_tests::cluster::shared;
use weir_tests::weir::WeirProcess;

use crate::support::{passes, scripts, single};

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
