//! `docs/results/errors.md`.

use std::fmt::Write;

use super::{Case, Table, expected};
use weir_tests::drivers::Driver;

/// A table for each row, then the disagreements.
#[must_use]
pub fn markdown(table: &Table) -> String {
    let mut out = String::new();
    let titles: Vec<String> = table
        .drivers
        .iter()
        .map(|(driver, _)| driver.title())
        .collect();
    let mut row = None;
    for case in &table.cases {
        let this = (case.row.name, case.face);
        if row != Some(this) {
            row = Some(this);
            let _ = writeln!(
                out,
                "\n### {} · {} · {} face\n",
                case.row.name,
                case.row.event,
                case.face.name()
            );
            let _ = writeln!(out, "| class | sent | meant | {} |", titles.join(" | "));
            let _ = writeln!(out, "|---|---|---|{}", "---|".repeat(titles.len()));
        }
        let _ = writeln!(out, "{}", line(table, case));
    }
    let disagreements = table.disagreements();
    let _ = writeln!(
        out,
        "\n## Disagreements\n\n{} cases × {} drivers in {:.0} s; {} disagreements.\n",
        table.cases.len(),
        table.drivers.len(),
        table.took.as_secs_f64(),
        disagreements.len()
    );
    for disagreement in disagreements {
        let _ = writeln!(out, "- {disagreement}");
    }
    out
}

fn line(table: &Table, case: &Case) -> String {
    let sent = case.row.error(case.class).map_or_else(
        || "socket closed".to_owned(),
        |error| {
            let labels: Vec<&str> = error.labels.names().collect();
            format!("{} {}", error.code, labels.join(" "))
        },
    );
    let meant = [true, false].map(|backpressure| {
        let sent = case.row.is_sent_to(backpressure);
        sent.then(|| expected(case.row, case.class, backpressure).words())
    });
    let meant = match meant {
        [Some(new), Some(old)] if new != old => format!("{new}; older drivers: {old}"),
        [Some(words), _] | [None, Some(words)] => words.to_owned(),
        [None, None] => String::new(),
    };
    let answers: Vec<String> = table
        .drivers
        .iter()
        .map(|(_, answers): &(Driver, _)| {
            answers.get(&case.id()).map_or_else(
                || "not tried".to_owned(),
                |answer| {
                    let wrong = if answer.wrong.is_empty() {
                        ""
                    } else {
                        "**≠** "
                    };
                    format!("{wrong}{}", answer.words())
                },
            )
        })
        .collect();
    format!(
        "| {} | {} | {meant} | {} |",
        case.class,
        sent.trim(),
        answers.join(" | ")
    )
}
