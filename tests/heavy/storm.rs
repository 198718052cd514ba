//! Environments that start at once, in the short form of `weir-lambda storm`.

use anyhow::{Result, ensure};
use weir_lab::lambda::storm::{CAP, both};
use weir_tests::skip::skip;
use weir_tests::sockets::can_count;

const ENVIRONMENTS: usize = 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_storm_stays_below_the_cap_and_costs_no_error() -> Result<()> {
    let _turn = crate::turn().await;
    if !can_count() {
        skip(
            "a storm of environments",
            "this system has no /proc/net/tcp",
        );
        return Ok(());
    }
    let [direct, weir] = both(ENVIRONMENTS).await?;
    for (endpoint, it) in [("directly", &direct), ("with the layer", &weir)] {
        println!(
            "{endpoint}: {} server connections, first result after {:?} (p50), {:?} (p99), {} errors",
            it.server,
            it.percentile(50),
            it.percentile(99),
            it.errors.len(),
        );
    }
    weir.keeps_its_promises()?;
    // It is the storm that it is said to be: a driver in Lambda opens two.
    ensure!(direct.server >= 2 * ENVIRONMENTS, "{}", direct.server);
    ensure!(direct.server > CAP as usize, "{}", direct.server);
    ensure!(direct.written == ENVIRONMENTS as u64, "{:?}", direct.errors);
    let trunks = weir.service.unwrap_or_default();
    ensure!(trunks >= ENVIRONMENTS, "{trunks} to the shared Weir");
    ensure!(weir.extensions > 0 && weir.functions > 0, "no memory");
    Ok(())
}
