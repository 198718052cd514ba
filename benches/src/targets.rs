//! What the design asks of Weir's speed, and how far it is met.

use crate::args::{ContenderName, Measure};
use crate::cell::Cell;
use crate::measure::Sample;
use crate::text::Row;

/// Which way a number is better.
#[derive(Clone, Copy)]
enum Wanted {
    AtLeast(f64),
    AtMost(f64),
    Below(f64),
}

impl Wanted {
    fn is_met_by(self, number: f64) -> bool {
        match self {
            Self::AtLeast(bound) => number >= bound,
            Self::AtMost(bound) => number <= bound,
            Self::Below(bound) => number < bound,
        }
    }

    fn text(self) -> String {
        match self {
            Self::AtLeast(bound) => format!("≥ {bound:.1}"),
            Self::AtMost(bound) => format!("≤ {bound:.1}"),
            Self::Below(bound) => format!("< {bound:.1}"),
        }
    }
}

/// One line: what, how much of it is wanted, how much was measured.
type Line = (String, Wanted, Option<f64>);

/// A target that this program has no measure for: what, how much of it, why not.
type Unmeasured = (&'static str, Wanted, &'static str);

const NO_TLS: &str = "the clients here speak no TLS; `tests/memory` holds it below 20";
const NO_MONGOBETWEEN: &str = "its module cannot be had from the Go module proxy";

/// What the design asks beyond the lines of [`rates`] and [`costs`].
const UNMEASURED: [Unmeasured; 4] = [
    (
        "KiB for each idle client with TLS",
        Wanted::AtMost(20.0),
        NO_TLS,
    ),
    (
        "operations per CPU-second, to mongobetween",
        Wanted::AtLeast(3.0),
        NO_MONGOBETWEEN,
    ),
    (
        "rate, to mongobetween",
        Wanted::AtLeast(2.0),
        NO_MONGOBETWEEN,
    ),
    (
        "memory, 1,500 clients, to mongobetween",
        Wanted::AtMost(0.2),
        NO_MONGOBETWEEN,
    ),
];

/// All targets of the design as a table.
pub(crate) fn targets(cells: &[Cell]) -> Vec<Row> {
    let head = ["target", "wanted", "measured", "verdict"];
    let mut rows = vec![head.map(ToString::to_string).to_vec()];
    let lines = rates(cells).into_iter().chain(costs(cells));
    rows.extend(lines.map(|(what, wanted, measured)| match measured {
        Some(number) => {
            let met = wanted.is_met_by(number);
            let verdict = if met { "met" } else { "missed" };
            row(&what, wanted, &format!("{number:.2}"), verdict)
        }
        None => unmeasured(&what, wanted, "its load or its contender was left out"),
    }));
    rows.extend(UNMEASURED.map(|(what, wanted, why)| unmeasured(what, wanted, why)));
    rows
}

fn row(what: &str, wanted: Wanted, measured: &str, verdict: &str) -> Row {
    vec![
        what.to_owned(),
        wanted.text(),
        measured.to_owned(),
        verdict.to_owned(),
    ]
}

fn unmeasured(what: &str, wanted: Wanted, why: &str) -> Row {
    row(what, wanted, "not measured", why)
}

fn p50(sample: &Sample) -> f64 {
    sample.outcome.p50 as f64
}

fn p99(sample: &Sample) -> f64 {
    sample.outcome.p99 as f64
}

/// How fast.
fn rates(cells: &[Cell]) -> Vec<Line> {
    use ContenderName::{Direct, Haproxy};
    use Wanted::{AtLeast, AtMost, Below};
    let find = |clients, contender, number: fn(&Sample) -> f64| {
        ratio(cells, (Measure::Find, clients), contender, number)
    };
    let line = |what: &str, wanted, measured| (what.to_owned(), wanted, measured);
    vec![
        line(
            "p50, 1 client, to HAProxy",
            AtMost(1.0),
            find(1, Haproxy, p50),
        ),
        line(
            "rate, 8 clients, to direct",
            AtLeast(0.9),
            find(8, Direct, Sample::rate),
        ),
        line(
            "rate, 64 clients over 16, to direct",
            AtLeast(1.0),
            find(64, Direct, Sample::rate),
        ),
        line(
            "rate, 1,500 clients over 20, to direct",
            AtLeast(1.2),
            find(1500, Direct, Sample::rate),
        ),
        line(
            "p99, 1,500 clients, to direct",
            Below(1.0),
            find(1500, Direct, p99),
        ),
        line(
            "rate, 1,500 clients, to HAProxy",
            AtLeast(2.0),
            find(1500, Haproxy, Sample::rate),
        ),
        line(
            "p99 of 1,500 connects at once, to HAProxy",
            AtMost(0.2),
            ratio(cells, (Measure::Connect, 1500), Haproxy, p99),
        ),
        line(
            "p99/p50, 10,000 clients over 40",
            AtMost(1.5),
            weir(cells, (Measure::Many, 10_000), |one| {
                p99(one) / p50(one).max(1.0)
            }),
        ),
    ]
}

/// At what price.
fn costs(cells: &[Cell]) -> Vec<Line> {
    use ContenderName::Haproxy;
    use Wanted::{AtLeast, AtMost};
    let cpu = |clients| {
        let load = (Measure::Find, clients);
        let measured = ratio(cells, load, Haproxy, Sample::proxy_per_operation);
        let what = format!("proxy CPU/op, {clients} clients, to HAProxy");
        (what, AtMost(1.0), measured)
    };
    let idle = weir(cells, (Measure::Idle, 1500), |one| {
        one.memory_per_client(1500)
    });
    let large = |streams| {
        let measured = ratio(
            cells,
            (Measure::Large, streams),
            Haproxy,
            Sample::bytes_rate,
        );
        let what = format!("MB/s of 16 MB replies, {streams} streams, to HAProxy");
        (what, AtLeast(0.9), measured)
    };
    vec![
        cpu(64),
        cpu(500),
        cpu(1500),
        ("KiB for each idle client".to_owned(), AtMost(4.0), idle),
        large(1),
        large(4),
        (
            "MiB for each stream of 16 MB replies".to_owned(),
            AtMost(1.0),
            weir(cells, (Measure::Large, 4), |one| per_stream(one, 4)),
        ),
    ]
}

/// What the proxy's memory rose by at its highest.
fn per_stream(sample: &Sample, streams: u32) -> f64 {
    sample.peak.saturating_sub(sample.before) as f64 / 1024.0 / f64::from(streams)
}

type Load = (Measure, usize);

fn find_cell(cells: &[Cell], (measure, clients): Load) -> Option<&Cell> {
    cells
        .iter()
        .find(|cell| cell.measure == measure && cell.task.clients == clients)
}

/// Weir's number by the other contender's.
fn ratio(
    cells: &[Cell],
    load: Load,
    contender: ContenderName,
    number: fn(&Sample) -> f64,
) -> Option<f64> {
    let cell = find_cell(cells, load)?;
    Some(
        cell.of(ContenderName::Weir)?
            .ratio(cell.of(contender)?, number),
    )
}

/// Weir's own number.
fn weir(cells: &[Cell], load: Load, number: fn(&Sample) -> f64) -> Option<f64> {
    Some(
        find_cell(cells, load)?
            .of(ContenderName::Weir)?
            .median(number),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_measured_is_listed_with_the_reason() {
        let rows = targets(&[]);
        let body: Vec<_> = rows.iter().skip(1).collect();
        assert_eq!(body.len(), 19);
        for row in body {
            assert_eq!(row.get(2).map(String::as_str), Some("not measured"));
            assert!(row.get(3).is_some_and(|why| why.len() > 10), "{row:?}");
        }
    }
}
