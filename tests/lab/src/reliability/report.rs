//! The tables.

use std::fmt::Write;

use super::goals;
use super::record::{Class, Endpoint};
use super::stage::CAP;
use super::verdict::{Cell, Outcome};

/// The whole document below its preface.
#[must_use]
pub fn markdown(outcomes: &[Outcome]) -> String {
    let mut out = format!("## Goals\n\n{}\n", goals::table(outcomes));
    out.push_str(&summary(outcomes));
    for outcome in outcomes {
        let _ = write!(out, "\n## {}\n\n{}", outcome.event.title(), table(outcome));
    }
    out
}

fn summary(outcomes: &[Outcome]) -> String {
    let mut out = String::from(
        "## In short\n\n\
         | event | times | path | writes acknowledged | of them lost | applied twice | errors of \
         retryable work | other errors | pools cleared | connections made | worst operation | \
         most sockets to a node |\n|---|---|---|---|---|---|---|---|---|---|---|---|\n",
    );
    for outcome in outcomes {
        for endpoint in Endpoint::ALL {
            let it = outcome.verdict(endpoint);
            let sockets = match (endpoint, outcome.sockets) {
                (Endpoint::Weir, Some(sockets)) => format!("{sockets} of {CAP}"),
                (Endpoint::Weir, None) => "not counted".to_owned(),
                (Endpoint::Direct, _) => String::new(),
            };
            let (event, times) = match endpoint {
                Endpoint::Direct => (outcome.event.title(), outcome.windows.len().to_string()),
                Endpoint::Weir => ("", String::new()),
            };
            let _ = writeln!(
                out,
                "| {event} | {times} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {sockets} |",
                endpoint.name(),
                it.acknowledged,
                it.lost,
                it.doubled,
                it.retryable_errors,
                it.other_errors,
                it.cleared,
                it.connections,
                seconds(it.worst),
            );
        }
    }
    out
}

fn table(outcome: &Outcome) -> String {
    let mut out = String::new();
    let left: Vec<f64> = outcome.windows.iter().filter_map(|it| it.left).collect();
    if !left.is_empty() {
        let _ = writeln!(out, "Weir exited with 0 after {}.\n", recovery(&left));
    }
    let elected: Vec<f64> = outcome.windows.iter().filter_map(|it| it.elected).collect();
    if !elected.is_empty() {
        let _ = writeln!(
            out,
            "Another node was primary after {}.\n",
            recovery(&elected)
        );
    }
    for late in outcome.windows.iter().filter_map(|each| each.late.as_ref()) {
        let _ = writeln!(out, "**Not as it should be:** {late}.\n");
    }
    out.push_str(
        "| class of work | driver | direct: saw | recovery | worst | Weir: saw | recovery | worst \
         |\n|---|---|---|---|---|---|---|---|\n",
    );
    for class in Class::ALL {
        for (index, driver) in outcome.drivers().into_iter().enumerate() {
            let title = if index == 0 { class.title() } else { "" };
            let direct = fields(&outcome.cell(driver, Endpoint::Direct, class));
            let weir = fields(&outcome.cell(driver, Endpoint::Weir, class));
            let name = driver.name;
            let _ = writeln!(out, "| {title} | {name} | {direct} | {weir} |");
        }
    }
    out
}

fn fields(cell: &Cell) -> String {
    let failed: usize = cell.errors.values().sum();
    let mut saw = format!("{} ok", cell.operations - failed);
    for (error, count) in &cell.errors {
        let _ = write!(saw, ", {count} × {error}");
    }
    format!("{saw} | {} | {}", recovery(&cell.gaps), seconds(cell.worst))
}

/// The middle one of several times, and the longest.
fn recovery(gaps: &[f64]) -> String {
    let mut sorted = gaps.to_vec();
    sorted.sort_by(f64::total_cmp);
    let longest = sorted.last().copied().unwrap_or(0.0);
    if sorted.len() < 2 {
        return seconds(longest);
    }
    let middle = sorted.get(sorted.len() / 2).copied().unwrap_or(0.0);
    format!("{}, at most {}", seconds(middle), seconds(longest))
}

fn seconds(ms: f64) -> String {
    format!("{:.1} s", ms / 1_000.0)
}
