//! What people read.

use std::fmt::Write as _;
use std::time::Duration;

use crate::args::Scenario;
use crate::cell::{Cell, Seen};
use crate::dataset::Dataset;
use crate::outcome::{Comparison, Outcome, Recommendation};
use crate::plan::Plan;
use crate::sweep::whole;
use crate::{PressureArgs, Target};
use weir::config::units::show_duration;
use weir_kit::numbers::{count, wait};
use weir_kit::paint::{Paint, Style};
use weir_kit::text::wrap;

/// Shown where there was nothing to measure.
const NONE: &str = "–";

/// What is going to happen, and how long it takes.
pub(super) fn introduction(
    args: &PressureArgs,
    target: &Target,
    compare: Option<&Target>,
    plan: &Plan,
    dataset: &Dataset,
) -> String {
    let mut paragraphs = vec![
        format!("Target: {}.", described(target)),
        format!(
            "Load: {}; {}. {}",
            scenario(args.scenario),
            dataset.reads(),
            match args.write {
                true => "The database weir_bench is dropped at the end.",
                false => "Nothing is written.",
            }
        ),
        format!(
            "Pools of {} connections, the {} that watch each node counted in; {} clients each.",
            list(&plan.pools),
            target.monitors(),
            list(&plan.clients),
        ),
    ];
    if let Some(compare) = compare {
        paragraphs.push(format!(
            "Then the same load straight against {}.",
            described(compare)
        ));
    }
    paragraphs.push(format!(
        "{} of {}: about {}, {} at most. Ctrl-C ends it and prints what there is.",
        match plan.cells() {
            1 => "1 measurement".to_owned(),
            cells => format!("{cells} measurements"),
        },
        show_duration(plan.duration),
        seconds(plan.usual()),
        seconds(plan.longest()),
    ));
    paragraphs.extend(dataset.remarks.iter().cloned());
    paragraphs.extend(plan.remarks.iter().cloned());
    let wrapped: Vec<_> = paragraphs.iter().map(|paragraph| wrap(paragraph)).collect();
    format!("{}\n", wrapped.join("\n"))
}

fn described(target: &Target) -> String {
    let version = target
        .version
        .as_ref()
        .map_or(String::new(), |version| format!(", {version}"));
    let room = match target.connections {
        Some((current, available)) => format!(
            "{} connections open, {} more accepted",
            count(current),
            count(available)
        ),
        None => "its limit of connections is not known (this user may not run serverStatus; the \
                 role clusterMonitor may)"
            .to_owned(),
    };
    format!(
        "{} ({}{version}), node {}, {room}",
        target.shown, target.kind, target.node
    )
}

fn scenario(scenario: Scenario) -> &'static str {
    match scenario {
        Scenario::Steady => "every client asks again as soon as it has its answer (steady)",
        Scenario::Mixed => {
            "clients pause 10 ms between operations, one in ten reads 200 _ids in two batches \
             (mixed)"
        }
        Scenario::Exam => {
            "everybody arrives within half the time, most of them at once, and does eight \
             operations with pauses (exam)"
        }
    }
}

fn list(numbers: &[u32]) -> String {
    let numbers: Vec<_> = numbers.iter().map(|n| count(u64::from(*n))).collect();
    numbers.join(", ")
}

/// Whole seconds, upwards.
fn seconds(time: Duration) -> String {
    show_duration(Duration::from_secs(
        time.as_millis().div_ceil(1_000).try_into().unwrap_or(0),
    ))
}

/// The tables and what follows from them.
pub(super) fn results(outcome: &Outcome, paint: Paint) -> String {
    let mut text = String::from("\n");
    let heading = format!(
        "  {:>7} {:>5} {:>8}  {:>18}  {:>18}  {:>6} {:>10} {:>5}",
        "clients",
        "pool",
        "op/s",
        "answer p50    p99",
        "wait p50    p99",
        "queue",
        "in use",
        "shed"
    );
    let _ = writeln!(text, "{}", paint.apply(Style::Bold, &heading));
    for clients in outcome.clients() {
        let knee = outcome.knee_of(clients).map(|knee| knee.max_connections);
        let mut cells: Vec<_> = outcome
            .cells
            .iter()
            .filter(|cell| cell.seen.clients == clients)
            .collect();
        cells.sort_by_key(|cell| cell.max_connections);
        for cell in cells {
            let row = row(cell);
            if knee == Some(cell.max_connections) {
                let _ = writeln!(text, "{}  ← knee", paint.apply(Style::Good, &row));
            } else {
                let _ = writeln!(text, "{row}");
            }
        }
        text.push('\n');
    }
    let legend = "pool: --max-connections. wait: for a connection of the pool. queue: most \
                  operations waiting at one moment. in use: connections at work on average, \
                  ordinary + finishing work (getMore, commit). shed: turned away by Weir, or \
                  failed.";
    let _ = writeln!(text, "{}\n", paint.apply(Style::Dim, &wrap(legend)));
    if let Some(compare) = &outcome.compare {
        text.push_str(&comparison(outcome, compare, paint));
    }
    for remark in outcome.remarks.iter().skip(outcome.said) {
        let _ = writeln!(text, "{}", wrap(remark));
    }
    if let Some(said) = &outcome.recommendation {
        let said = wrap(&recommendation(outcome, said));
        let _ = writeln!(text, "{}", paint.apply(Style::Bold, &said));
    }
    text
}

fn row(cell: &Cell) -> String {
    let lanes = format!(
        "{:.1}+{:.1}",
        cell.lanes.normal.mean, cell.lanes.finishing.mean
    );
    format!(
        "  {:>7} {:>5} {:>8}  {:>9}{:>9}  {:>9}{:>9}  {:>6} {:>10} {:>5}",
        count(cell.seen.clients.into()),
        cell.max_connections,
        count(whole(cell.seen.operations_per_second)),
        ms(cell.seen.latency_ms.p50),
        ms(cell.seen.latency_ms.p99),
        ms(cell.checkout_wait_ms.p50),
        ms(cell.checkout_wait_ms.p99),
        count(cell.queue_depth_max),
        lanes,
        count(cell.point().lost),
    )
}

fn ms(ms: Option<f64>) -> String {
    ms.map_or(NONE.to_owned(), |ms| {
        wait(Duration::from_secs_f64(ms / 1_000.0))
    })
}

fn comparison(outcome: &Outcome, compare: &Comparison, paint: Paint) -> String {
    let mut text = String::new();
    let title = format!(
        "  Straight against {}, a connection for each client",
        compare.with.uri
    );
    let _ = writeln!(text, "{}", paint.apply(Style::Bold, &title));
    let heading = format!(
        "  {:>7} {:>14}  {:>18}  {:>6}   Weir with the knee's pool:",
        "clients", "op/s", "answer p50    p99", "failed"
    );
    let _ = writeln!(text, "{}", paint.apply(Style::Bold, &heading));
    for seen in &compare.cells {
        let _ = writeln!(text, "{}", compared(outcome, seen));
    }
    text.push('\n');
    text
}

fn compared(outcome: &Outcome, seen: &Seen) -> String {
    let knee = outcome.knee_of(seen.clients);
    let against = knee.and_then(|knee| {
        let mut cells = outcome.cells.iter();
        let cell = cells.find(|cell| {
            cell.seen.clients == seen.clients && cell.max_connections == knee.max_connections
        });
        cell?.against
    });
    let ratios = against.map_or(NONE.to_owned(), |against| {
        format!(
            "{:.2} × op/s, {:.2} × p99",
            against.operations_per_second, against.latency_p99
        )
    });
    format!(
        "  {:>7} {:>14}  {:>9}{:>9}  {:>6}   {ratios}",
        count(seen.clients.into()),
        count(whole(seen.operations_per_second)),
        ms(seen.latency_ms.p50),
        ms(seen.latency_ms.p99),
        count(seen.failed),
    )
}

fn recommendation(outcome: &Outcome, said: &Recommendation) -> String {
    let (pool, monitors) = (said.max_connections, outcome.monitor_sockets);
    let bound = show_duration(Duration::from_secs_f64(outcome.wait_bound_ms / 1_000.0));
    let mut text = format!(
        "Recommended: --max-connections {pool} ({} for operations, {monitors} that watch the \
         node), for each Weir that serves up to {} such clients.",
        pool.saturating_sub(monitors),
        count(said.clients.into()),
    );
    text.push_str(&match said.calm {
        true => format!(
            " It is the smallest pool within 5 % of the best throughput whose p99 wait stays \
             under {bound}."
        ),
        false => format!(
            " No pool near the best throughput kept the p99 wait under {bound} without losing \
             an operation: so many clients ask for more than was answered. This pool had the \
             shortest wait among them."
        ),
    });
    if said.largest_tried && said.smallest_tried {
        text.push_str(" No other was tried.");
    } else if said.largest_tried {
        text.push_str(" It is the largest that was tried: try larger --pools, one may do better.");
    } else if said.smallest_tried {
        text.push_str(" It is the smallest that was tried: a smaller one may do as well.");
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::outcome::tests::{cell, outcome};

    const PLAIN: Paint = Paint { colour: false };

    fn shown(cells: Vec<Cell>) -> String {
        let mut outcome = outcome(cells);
        outcome.conclude(Duration::from_millis(100), true);
        results(&outcome, PLAIN)
    }

    #[test]
    fn rows_line_up_and_the_knee_is_marked() {
        let text = shown(vec![
            cell(5, 16, 900.0, 1.0),
            cell(10, 16, 12_000.0, 1.0),
            cell(20, 16, 12_100.0, 1.0),
        ]);
        let rows: Vec<_> = text.lines().filter(|line| line.contains(" ms ")).collect();
        let widths: Vec<_> = rows
            .iter()
            .map(|row| row.trim_end_matches("  ← knee").chars().count())
            .collect();
        assert_eq!(widths.len(), 3, "{text}");
        assert!(widths.iter().all(|width| *width == widths[0]), "{text}");
        let marked: Vec<_> = rows.iter().filter(|row| row.ends_with("← knee")).collect();
        assert_eq!(marked.len(), 1, "{text}");
        assert!(marked[0].contains("12,000"), "{text}");
        assert!(
            text.contains("--max-connections 10 (8 for operations, 2"),
            "{text}"
        );
    }

    #[test]
    fn the_edges_of_the_sweep_are_named() {
        let rising = shown(vec![cell(5, 16, 900.0, 1.0), cell(10, 16, 2_000.0, 1.0)]);
        assert!(flat(&rising).contains("try larger --pools"), "{rising}");
        let even = shown(vec![cell(5, 16, 900.0, 1.0), cell(10, 16, 900.0, 1.0)]);
        assert!(
            flat(&even).contains("a smaller one may do as well"),
            "{even}"
        );
        let slow = shown(vec![cell(5, 16, 900.0, 400.0), cell(10, 16, 900.0, 300.0)]);
        assert!(flat(&slow).contains("No pool near the best"), "{slow}");
    }

    fn flat(text: &str) -> String {
        text.split_whitespace().collect::<Vec<_>>().join(" ")
    }
}
