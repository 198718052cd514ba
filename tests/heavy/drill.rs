//! A migration by percentage, in the short form of `weir-lambda drill`.

use anyhow::{Context, Result, ensure};
use weir_lab::lambda::drill::{STEPS, run};

const ENVIRONMENTS: usize = 40;

/// What each step must be is judged by the drill itself; here, that it was a drill.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn environments_move_over_step_by_step_and_back() -> Result<()> {
    let _turn = crate::turn().await;
    let steps = run(ENVIRONMENTS, |step| {
        println!("{}: {} moved in {:?}", step.change, step.count(), step.took);
    })
    .await?;
    let counts: Vec<usize> = steps.iter().map(|step| step.count()).collect();
    ensure!(counts.len() == STEPS.len() + 1, "{counts:?}");
    let (back, forth) = counts.split_last().context("no step")?;
    ensure!(*back == 0, "{counts:?}");
    ensure!(forth.is_sorted() && forth.first() > Some(&0), "{counts:?}");
    ensure!(forth.last() == Some(&ENVIRONMENTS), "{counts:?}");
    Ok(())
}
