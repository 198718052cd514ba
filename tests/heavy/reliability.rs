//! The worst minutes in their short form; `weir-reliability` is the long one.

mod checks;

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_lab::matrix::program::prepare_all;
use weir_lab::reliability::event::Event;
use weir_lab::reliability::record::{Class, Endpoint};
use weir_lab::reliability::{Options, run};
use weir_tests::drivers;
use weir_tests::skip::skip_language;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn elections_and_kills_cost_time_and_nothing_else() -> Result<()> {
    let _turn = crate::turn().await;
    let mut chosen = drivers::chosen(&["python".to_owned()]);
    chosen.retain(|driver| driver.newest);
    let (programs, missing) = prepare_all(&chosen)?;
    for (driver, reason) in &missing {
        skip_language(&driver.title(), reason)?;
    }
    if programs.is_empty() {
        return Ok(());
    }
    let options = Options {
        events: vec![
            (Event::StepDown, 3),
            (Event::Kill, 2),
            (Event::WeirKill, 1),
            (Event::WeirTerm, 1),
        ],
        workers: 3,
        pause: Duration::from_millis(40),
    };
    let outcomes = run(&options, &programs, |line| println!("{line}")).await?;
    for outcome in &outcomes {
        let title = outcome.event.title();
        let wrong = outcome.violations();
        ensure!(wrong.is_empty(), "{title}: {wrong:#?}");
        let verdict = outcome.verdict(Endpoint::Weir);
        ensure!(verdict.acknowledged > 30, "{title}: hardly any load");
        for driver in outcome.drivers() {
            for class in Class::ALL {
                let cell = outcome.cell(driver, Endpoint::Weir, class);
                ensure!(cell.operations > 3, "{title}: {} {cell:?}", class.title());
            }
        }
    }
    Ok(())
}
