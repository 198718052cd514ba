//! A short form of `weir-suites go`: the specifications that lean hardest on Weir, in the
//! mongos face. The whole is run by its command, see `docs/testing.md`.

mod judging;

use anyhow::{Result, ensure};
use weir_lab::suites::edition::{V1, build};
use weir_lab::suites::stage::Stage;
use weir_lab::suites::{Endpoint, execute, judge, known, report};
use weir_tests::paths::blocking;
use weir_tests::skip::{is_installed, skip_language};

/// Whole files of them, some seconds each.
const SHORT: &str = "TestUnifiedSpec/(crud|sessions|retryable-writes|transactions|versioned-api)|\
                     TestUnifiedSpecs/convenient-transactions|TestConvenientTransactions";

/// A selection that shrinks unseen proves nothing.
const LEAST_KEPT: usize = 250;

#[tokio::test]
async fn the_go_drivers_own_tests_pass_through_weir() -> Result<()> {
    let _turn = crate::turn().await;
    if !is_installed("go") {
        return skip_language("the Go driver's own tests", "go is not installed");
    }
    let built = blocking(|| build(V1)).await??;
    let stage = Stage::start(3).await?;
    let choice = execute::Choice {
        tests: Some(SHORT.to_owned()),
        ..Default::default()
    };
    let runner = execute::Runner {
        built: &built,
        stage: Some(&stage),
    };
    let mut outcome = execute::all(runner, &[Endpoint::Mongos], &choice).await?;
    let known = known::of(V1.name)?;
    for judged in outcome.faces.values_mut() {
        let stale = judge::excuse(&mut judged.fates, &known, Endpoint::Mongos, false);
        let (lost, counts) = (report::losses(judged), report::count(judged));
        ensure!(lost.is_empty(), "lost: {lost:#?}");
        ensure!(stale.is_empty(), "fit nothing any more: {stale:#?}");
        ensure!(counts.kept + counts.gained >= LEAST_KEPT, "{counts:?}");
    }
    Ok(())
}
