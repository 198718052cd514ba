//! The matrix as a text and as a part of `docs/results/drivers.md`.

use std::fmt::Write;

use super::document::Notes;
use super::features::{Cell, Matrix, Verdict};
use super::stage::Face;
use weir_tests::drivers::Driver;

/// A table per face, the footnotes, and what failed.
#[must_use]
pub fn markdown(matrix: &Matrix, missing: &[(Driver, String)]) -> String {
    let mut out = String::new();
    let mut notes = Notes::default();
    for face in &matrix.faces {
        let _ = writeln!(out, "### {}\n", title(*face));
        table(&mut out, matrix, *face, &mut notes);
    }
    out.push_str(&summary(matrix));
    for (driver, reason) in missing {
        let _ = writeln!(out, "- skipped: {}: {reason}", driver.title());
    }
    let _ = writeln!(out, "\n{}", notes.text());
    let (ours, everywhere) = matrix.failures();
    failed(&mut out, "Fails through Weir, not directly", &ours);
    failed(&mut out, "Fails directly too", &everywhere);
    out
}

/// The counts in one line.
#[must_use]
pub fn summary(matrix: &Matrix) -> String {
    let (ours, everywhere) = matrix.failures();
    format!(
        "{} passed ({} of them before the scripted server), {} failed ({} of them through Weir alone), {} not applicable; {:.0} s, \
         two programs at a time.\n",
        matrix.count(Verdict::Pass),
        matrix.scripted_passes(),
        ours.len() + everywhere.len(),
        ours.len(),
        matrix.count(Verdict::NotApplicable),
        matrix.took.as_secs_f64(),
    )
}

fn title(face: Face) -> &'static str {
    match face {
        Face::Direct => "Directly",
        Face::Mongos => "Through Weir, as a mongos",
        Face::Balanced => "Through Weir, `loadBalanced=true`",
    }
}

fn table(out: &mut String, matrix: &Matrix, face: Face, notes: &mut Notes) {
    let drivers = matrix.drivers();
    let titles: Vec<String> = drivers.iter().map(Driver::title).collect();
    let _ = writeln!(out, "| feature | {} |", titles.join(" | "));
    let _ = writeln!(out, "|---|{}", "---:|".repeat(drivers.len()));
    for feature in &matrix.features {
        let fields: Vec<String> = drivers
            .iter()
            .map(|driver| field(matrix.cell(*driver, face, feature), notes))
            .collect();
        let _ = writeln!(out, "| {feature} | {} |", fields.join(" | "));
    }
    out.push('\n');
}

fn field(cell: Option<&Cell>, notes: &mut Notes) -> String {
    let Some(cell) = cell else {
        return "not tried".to_owned();
    };
    let scripted = if cell.scripted { " scripted" } else { "" };
    match cell.verdict {
        Verdict::Pass if cell.reason.is_empty() => format!("{} ms{scripted}", cell.ms),
        // It passed by other means than the feature's name says.
        Verdict::Pass => format!("{} ms{scripted} {}", cell.ms, notes.number(&cell.reason)),
        Verdict::Fail => format!("**fail**{scripted} {}", notes.number(&cell.reason)),
        Verdict::NotApplicable => format!("n/a {}", notes.number(&cell.reason)),
    }
}

fn failed(out: &mut String, heading: &str, lines: &[String]) {
    if lines.is_empty() {
        return;
    }
    let _ = writeln!(out, "### {heading}\n");
    for line in lines {
        let _ = writeln!(out, "- {line}");
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_by_other_means_has_a_note() {
        let mut cell = Cell {
            verdict: Verdict::Pass,
            reason: String::new(),
            ms: 7,
            scripted: false,
        };
        let mut notes = Notes::default();
        assert_eq!(field(Some(&cell), &mut notes), "7 ms");
        cell.reason = "by maxTimeMS".to_owned();
        assert_eq!(field(Some(&cell), &mut notes), "7 ms [1]");
        assert_eq!(notes.text(), "1. by maxTimeMS\n");
    }
}
