//! The result: as text while it is measured, as Markdown for docs/results/benchmarks.md.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use anyhow::Result;

use crate::args::{Args, Measure, RoadName};
use crate::measure::Sample;
use crate::suite::{Cell, Series};
use crate::targets::targets;

/// Everything measured so far.
pub(crate) struct Report {
    cells: Vec<Cell>,
    how: String,
    command: String,
}

/// One row of a table.
pub(crate) type Row = Vec<String>;

impl Report {
    /// Nothing yet.
    pub(crate) fn new(args: &Args) -> Self {
        Self {
            cells: Vec::new(),
            how: format!(
                "{} rounds of {} s; the roads take turns in each; numbers and ratios are medians \
                 over the rounds",
                args.rounds, args.seconds
            ),
            command: command(std::env::args().skip(1)),
        }
    }

    /// Adds one load and prints its rows.
    pub(crate) fn add(&mut self, cell: Cell) {
        let errors = errors(&cell);
        print!("{}{errors}", aligned(&rows(&cell)));
        self.cells.push(cell);
    }

    /// Prints how the design's targets fare; writes everything to `file`.
    pub(crate) fn finish(&self, file: Option<&Path>) -> Result<()> {
        let targets = targets(&self.cells);
        print!("\n{}", aligned(&targets));
        if let Some(file) = file {
            fs::write(file, self.markdown(&targets)?)?;
            println!("\nwritten to {}", file.display());
        }
        Ok(())
    }

    fn markdown(&self, targets: &[Row]) -> Result<String> {
        let mut text = String::from("# Benchmarks\n\n");
        writeln!(text, "Made by `{}`; not written by hand.\n", self.command)?;
        writeln!(text, "Machine: {}. {}.\n", machine(), self.how)?;
        writeln!(
            text,
            "Server, proxy and clients share the machine's cores, so a rate is what is left when \
             all three have had their part; ratios are what counts. The clients are one process \
             with one thread that asks again as soon as it has its answer. Each road gets a fresh \
             process in each round.\n"
        )?;
        writeln!(text, "## Targets\n\n{}", pipes(targets)?)?;
        for (title, measures) in SECTIONS {
            let mut cells = self
                .cells
                .iter()
                .filter(|cell| measures.contains(&cell.measure));
            if let Some(first) = cells.next() {
                let mut rows = rows(first);
                for cell in cells {
                    rows.extend(self::rows(cell).into_iter().skip(1));
                }
                writeln!(text, "## {title}\n\n{}", pipes(&rows)?)?;
            }
        }
        writeln!(
            text,
            "mongobetween is not in the table: its module cannot be had from the Go \
             module proxy."
        )?;
        Ok(text)
    }
}

const SECTIONS: [(&str, &[Measure]); 4] = [
    (
        "find by `_id`, documents of 0.3 KB",
        &[Measure::Find, Measure::Many],
    ),
    ("All clients connect at once", &[Measure::Connect]),
    ("Idle clients", &[Measure::Idle]),
    ("Documents of 16 MB", &[Measure::Large]),
];

/// What was typed, as it is typed from the repository.
fn command(arguments: impl Iterator<Item = String>) -> String {
    let start = "cargo run --release -p weir-benches --".to_owned();
    arguments.fold(start, |typed, argument| typed + " " + &argument)
}

fn machine() -> String {
    let model = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = model
        .lines()
        .find_map(|line| line.strip_prefix("model name")?.split_once(':'))
        .map_or("unknown processor", |(_, name)| name.trim());
    let cores = std::thread::available_parallelism().map_or(0, usize::from);
    format!("{cores} cores, {model}")
}

fn rows(cell: &Cell) -> Vec<Row> {
    let head: &[&str] = match cell.measure {
        Measure::Find | Measure::Many => &[
            "clients",
            "cap",
            "road",
            "op/s",
            "to direct",
            "p50",
            "p99",
            "proxy CPU/op",
            "server CPU/op",
            "memory",
        ],
        Measure::Connect => &[
            "clients",
            "road",
            "all done after",
            "p50",
            "p99",
            "proxy CPU",
            "errors",
        ],
        Measure::Idle => &[
            "clients",
            "road",
            "memory before",
            "memory after",
            "per client",
        ],
        Measure::Large => &[
            "streams",
            "road",
            "MB/s",
            "to direct",
            "proxy CPU/MB",
            "peak memory",
        ],
    };
    let mut rows = vec![head.iter().map(ToString::to_string).collect()];
    rows.extend(cell.series.iter().map(|series| row(cell, series)));
    rows
}

fn row(cell: &Cell, series: &Series) -> Row {
    let clients = cell.task.clients.to_string();
    let name = series.road.name().to_owned();
    let direct = cell.of(RoadName::Direct);
    let by_direct = |number: fn(&Sample) -> f64| {
        direct.map_or("–".into(), |direct| {
            format!("{:.2}×", series.ratio(direct, number))
        })
    };
    let proxied = |text: String| {
        if series.road == RoadName::Direct {
            "–".into()
        } else {
            text
        }
    };
    let p50 = micros(series.median(|one| one.outcome.p50 as f64));
    let p99 = micros(series.median(|one| one.outcome.p99 as f64));
    let memory = mebibytes(series.median(|one| one.memory as f64));
    match cell.measure {
        Measure::Find | Measure::Many => vec![
            clients,
            if series.road == RoadName::Weir {
                cell.cap.to_string()
            } else {
                "–".into()
            },
            name,
            format!("{:.0}", series.median(Sample::rate)),
            by_direct(Sample::rate),
            p50,
            p99,
            proxied(micros(series.median(Sample::proxy_per_operation))),
            micros(series.median(Sample::server_per_operation)),
            proxied(memory),
        ],
        Measure::Connect => vec![
            clients,
            name,
            micros(series.median(|one| one.outcome.seconds * 1e6)),
            p50,
            p99,
            proxied(micros(series.median(|one| one.proxy.as_secs_f64() * 1e6))),
            format!("{:.0}", series.median(|one| one.outcome.errors as f64)),
        ],
        Measure::Idle => vec![
            clients,
            name,
            mebibytes(series.median(|one| one.before as f64)),
            memory,
            format!(
                "{:.1} KiB",
                series.median(|one| per_client(one, cell.task.clients))
            ),
        ],
        Measure::Large => vec![
            clients,
            name,
            format!("{:.0}", series.median(bytes_rate)),
            by_direct(bytes_rate),
            proxied(micros(series.median(|one| {
                one.proxy.as_secs_f64() * 1e12 / one.outcome.bytes.max(1) as f64
            }))),
            proxied(mebibytes(series.median(|one| one.peak as f64))),
        ],
    }
}

fn errors(cell: &Cell) -> String {
    let samples = cell.series.iter().flat_map(|series| {
        let road = series.road;
        series.samples.iter().map(move |sample| (road, sample))
    });
    samples
        .filter_map(|(road, sample)| {
            let first = sample.outcome.first_error.as_ref()?;
            let count = sample.outcome.errors;
            Some(format!(
                "  {}: {count} errors, the first: {first}\n",
                road.name()
            ))
        })
        .collect()
}

/// MB/s.
pub(crate) fn bytes_rate(sample: &Sample) -> f64 {
    sample.outcome.bytes as f64 / 1e6 / sample.outcome.seconds.max(f64::EPSILON)
}

/// KiB.
pub(crate) fn per_client(sample: &Sample, clients: usize) -> f64 {
    sample.memory.saturating_sub(sample.before) as f64 / clients.max(1) as f64
}

fn micros(number: f64) -> String {
    match number {
        n if n < 1000.0 => format!("{n:.0} µs"),
        n if n < 1e6 => format!("{:.2} ms", n / 1e3),
        n => format!("{:.2} s", n / 1e6),
    }
}

fn mebibytes(kibibytes: f64) -> String {
    format!("{:.1} MiB", kibibytes / 1024.0)
}

fn aligned(rows: &[Row]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let width = |column: usize| {
        let cells = rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let line = |row: &Row| {
        let cells = row
            .iter()
            .zip(&widths)
            .map(|(cell, width)| format!("{cell:>width$}"));
        format!("{}\n", cells.collect::<Vec<_>>().join("  "))
    };
    rows.iter().map(line).collect()
}

fn pipes(rows: &[Row]) -> Result<String> {
    let mut text = String::new();
    for (number, row) in rows.iter().enumerate() {
        writeln!(text, "| {} |", row.join(" | "))?;
        if number == 0 {
            writeln!(text, "|{}", "---|".repeat(row.len()))?;
        }
    }
    Ok(text)
}

#[cfg(test)]
mod tests {
    use super::command;

    #[test]
    fn the_command_has_its_arguments() {
        let typed = ["--seconds", "2.5"].map(str::to_owned);
        let wanted = "cargo run --release -p weir-benches -- --seconds 2.5";
        assert_eq!(command(typed.into_iter()), wanted);
    }
}
