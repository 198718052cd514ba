//! Memory of a whole process, which is why this test has a process of its own.

mod idle;
mod large;

use std::time::Duration;

use anyhow::{Result, ensure};
use tokio::time::Instant;
use weir::admin;
use weir::metrics::Metrics;
use weir::pool::Lane;
use weir_tests::memory::{can_ask, resident_kib};

/// A recorder that is not tidied up keeps 16 bytes of each.
const OPERATIONS: u32 = 5_000_000;
const MIB: u64 = 1024 * 1024;

/// What one test's clients hold would be counted by another.
static ALONE: tokio::sync::Mutex<()> = tokio::sync::Mutex::const_new(());

fn resident() -> Result<u64> {
    Ok(resident_kib(std::process::id())? * 1024)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn waits_that_nobody_scrapes_leave_no_memory_behind() -> Result<()> {
    let _alone = ALONE.lock().await;
    if !can_ask() {
        weir_tests::skip::skip("memory of the recorder", "there is no /proc here");
        return Ok(());
    }
    drop(admin::recorder());
    let metrics = Metrics::new("memory");
    let tidying = tokio::spawn(admin::run_upkeep_every(Duration::from_millis(10)));
    let before = resident()?;
    for operation in 0..OPERATIONS {
        metrics.waited(Lane::Normal, Instant::now());
        if operation % 1_000 == 0 {
            tokio::task::yield_now().await;
        }
    }
    let grown = resident()?.saturating_sub(before) / MIB;
    tidying.abort();
    ensure!(grown < 40, "grown by {grown} MiB");
    Ok(())
}
