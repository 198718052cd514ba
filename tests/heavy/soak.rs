//! The soak in its short form; `weir-soak` is the long one.

mod checks;

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_lab::soak::{Options, run};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn twenty_thousand_operations_and_everything_checked() -> Result<()> {
    let _turn = crate::turn().await;
    let violations = run(Options {
        operations: 20_000,
        clients: 100,
        seed: seed(),
        hurt_every: Duration::from_millis(150),
        disasters: 0,
    })
    .await?;
    ensure!(violations.is_empty(), "{violations:#?}");
    Ok(())
}

fn seed() -> u64 {
    let given = std::env::var("WEIR_SOAK_SEED").ok();
    given.and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Elections, kills, silence, resets, bursts, clients that leave, Weirs that leave and die.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn chaos_and_everything_checked() -> Result<()> {
    let _turn = crate::turn().await;
    let violations = run(Options {
        operations: 0,
        clients: 40,
        seed: seed(),
        hurt_every: Duration::from_millis(600),
        disasters: 6,
    })
    .await?;
    ensure!(violations.is_empty(), "{violations:#?}");
    Ok(())
}
