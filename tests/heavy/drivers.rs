//! The driver matrix and the error table in their short form: the newest version of every
//! driver that is installed, through Weir in both faces; the whole is `weir-drivers`.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "all of this file is a test"
)]

mod table;

use anyhow::{Result, ensure};
use tokio::sync::OnceCell;
use weir_lab::matrix::errors;
use weir_lab::matrix::features::{self, Choice, Verdict};
use weir_lab::matrix::program::{Program, prepare_all};
use weir_lab::matrix::report;
use weir_lab::matrix::stage::{Face, Stage};
use weir_tests::drivers::newest_of_each;
use weir_tests::paths::blocking;
use weir_tests::skip::skip_language;

/// The programs of this machine; what is missing is said and counted, once.
async fn programs() -> Result<Vec<Program>> {
    static PROGRAMS: OnceCell<Vec<Program>> = OnceCell::const_new();
    Ok(PROGRAMS.get_or_try_init(prepared).await?.clone())
}

async fn prepared() -> Result<Vec<Program>> {
    let (programs, missing) = blocking(|| prepare_all(&newest_of_each())).await??;
    for (driver, reason) in missing {
        skip_language(&driver.title(), &reason)?;
    }
    let rust = programs
        .iter()
        .any(|program| program.driver.language == "rust");
    ensure!(rust, "the Rust driver's program is part of this workspace");
    Ok(programs)
}

fn tell(line: &str) {
    println!("{line}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_feature_works_through_weir_in_both_faces() -> Result<()> {
    let _turn = crate::turn().await;
    let programs = programs().await?;
    let stage = Stage::start().await?;
    let choice = Choice {
        faces: vec![Face::Mongos, Face::Balanced],
        ..Choice::default()
    };
    let tried = programs.len() * choice.faces.len() * choice.features.len();
    let matrix = blocking(move || features::run(&stage, &programs, &choice, &tell)).await?;
    println!("{}", report::summary(&matrix));
    let (failures, _) = matrix.failures();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    let counted = matrix.count(Verdict::Pass) + matrix.count(Verdict::NotApplicable);
    ensure!(counted == tried, "{counted} of {tried} fields");
    // A program that calls everything not applicable has tried nothing.
    ensure!(
        matrix.count(Verdict::Pass) * 5 > tried * 4,
        "{}",
        report::markdown(&matrix, &[])
    );
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_driver_does_what_the_error_table_means() -> Result<()> {
    let _turn = crate::turn().await;
    let mut programs = programs().await?;
    programs.retain(|program| program.driver.shows_events());
    let cases = errors::few_cases();
    let table = blocking(move || errors::run(&programs, &cases, &tell)).await??;
    let disagreements = table.disagreements();
    ensure!(disagreements.is_empty(), "{}", disagreements.join("\n"));
    Ok(())
}
