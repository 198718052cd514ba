//! The soak in its short form; `weir-soak` is the long one.

mod checks;

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::soak::{Options, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_operations_and_everything_checked() -> Result<()> {
    let seed = std::env::var("WEIR_SOAK_SEED");
    let violations = run(Options {
        operations: 20_000,
        clients: 100,
        seed: seed.ok().and_then(|seed| seed.parse().ok()).unwrap_or(1),
        hurt_every: Duration::from_millis(150),
    })
    .await?;
    ensure!(violations.is_empty(), "{violations:#?}");
    Ok(())
}
