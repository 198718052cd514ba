//! Leaving in good order, as a sidecar.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::doc;
use weir::demo::process::Signal;
use weir_tests::raw::Raw;

use crate::support::single;

/// An application that gets SIGTERM at the same instant works on and sees nothing.
#[tokio::test]
async fn a_sidecar_serves_until_its_last_client_has_left() -> Result<()> {
    let weir = single().await?;
    let mut early = Raw::connect(weir.address()).await?;
    early.command("admin", doc! { "ping": 1 }).await?;
    weir.signal(Signal::Terminate)?;
    weir.wait_for_log("draining").await?;
    let mut late = Raw::connect(weir.address()).await?;
    for n in 0..20 {
        let insert = doc! { "insert": "ending", "documents": [{ "n": n }] };
        for raw in [&mut early, &mut late] {
            let reply = raw.command("ending", insert.clone()).await?;
            ensure!(reply.get_i32("n").ok() == Some(1), "{reply}");
        }
    }
    let (code, why) = weir.get_any("/ready").await?;
    ensure!(code == 503 && why.contains("leaving"), "{code} {why}");
    drop((early, late));
    ensure!(weir.wait(Duration::from_secs(10)).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_second_signal_hurries() -> Result<()> {
    let weir = single().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    raw.command("admin", doc! { "ping": 1 }).await?;
    weir.signal(Signal::Terminate)?;
    weir.wait_for_log("draining").await?;
    weir.signal(Signal::Terminate)?;
    ensure!(weir.wait(Duration::from_secs(5)).await?.success());
    Ok(())
}
