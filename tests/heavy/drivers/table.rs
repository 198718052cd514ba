//! That the table of expectations says what the labels permit, and that documents keep
//! what a command did not make.

use anyhow::{Context, Result, ensure};
use weir::error::Labels;
use weir_lab::matrix::document::{Notes, with_section};
use weir_lab::matrix::errors::{CLASSES, Expected, ROWS, all_cases, expected};

/// What a driver is meant to do follows from the labels that are sent.
#[test]
fn nothing_is_expected_to_run_twice_without_a_label_that_permits_it() -> Result<()> {
    let mut judged = 0;
    for case in all_cases() {
        for backpressure in [true, false] {
            if !case.row.is_sent_to(backpressure) {
                continue;
            }
            let meant = expected(case.row, case.class, backpressure);
            let Some(error) = case.row.error(case.class) else {
                continue;
            };
            let has = |label: Labels| error.labels.contains(label);
            let overload = has(Labels::OVERLOAD) && backpressure;
            let permitted = match (meant, case.class) {
                (Expected::BodyAgain, _) => has(Labels::TRANSIENT_TRANSACTION),
                (Expected::Resume, _) => has(Labels::RESUMABLE) || error.code == 43,
                (Expected::GoOn, _) => has(Labels::RESUMABLE) || has(Labels::OVERLOAD),
                // The driver decides by the code.
                (Expected::Retry, "RD") => overload || matches!(error.code, 6 | 89 | 91 | 462),
                (Expected::Retry, "CMW") => {
                    has(Labels::RETRYABLE_WRITE) || has(Labels::UNKNOWN_COMMIT) || overload
                }
                (Expected::Retry, _) => has(Labels::RETRYABLE_WRITE) || has(Labels::OVERLOAD),
                (Expected::Surface | Expected::PassOver | Expected::Anything, _) => true,
            };
            ensure!(permitted, "{}: {meant:?} after {error:?}", case.id());
            let commit = matches!(case.class, "CM" | "CMW");
            ensure!(!(commit && meant == Expected::BodyAgain), "{}", case.id());
            judged += usize::from(meant != Expected::Anything);
        }
    }
    ensure!(judged > 200, "only {judged} expectations");
    Ok(())
}

#[test]
fn every_row_happens_to_somebody() -> Result<()> {
    for row in &ROWS {
        ensure!(
            CLASSES.iter().any(|class| row.happens_to(class)),
            "{}",
            row.name
        );
        let sent = row.is_sent_to(true) || row.is_sent_to(false);
        ensure!(sent, "{} is sent to nobody", row.name);
    }
    Ok(())
}

#[test]
fn a_section_is_replaced_and_its_neighbours_stay() -> Result<()> {
    let text = "# Title\n\nBefore.\n\n## One\n\nold\n\n### deeper\n\n## Two\n\nkept\n";
    let changed = with_section(text, "One", "new");
    ensure!(
        changed == "# Title\n\nBefore.\n\n## One\n\nnew\n\n## Two\n\nkept\n",
        "{changed}"
    );
    let added = with_section(&changed, "Three", "third");
    ensure!(added.ends_with("kept\n\n## Three\n\nthird\n"), "{added}");
    let mut notes = Notes::default();
    let numbers = ["a", "b", "a"].map(|text| notes.number(text));
    ensure!(numbers == ["[1]", "[2]", "[1]"]);
    notes.text().lines().nth(1).context("two notes")?;
    Ok(())
}
