//! The two phases side by side. Pure: reports in, text out.

use super::outage::Away;
use super::report::Report;
use super::tally::Op;
use weir_kit::numbers::{count, wait};
use weir_kit::paint::{Paint, Style};

const LABEL: usize = 26;
const HALF: usize = 10;
const COLUMN: usize = 2 * HALF;
/// Shown where a number is not known, or there was nothing to measure.
const NONE: &str = "–";

/// One phase under its heading.
#[derive(Clone, Copy, Debug)]
pub(super) struct Column<'a> {
    /// `directly` or `through Weir`.
    pub(super) title: &'a str,
    /// Its numbers.
    pub(super) report: &'a Report,
    /// The server's own limit of connections, where there is one.
    pub(super) limit: Option<u64>,
}

/// Renders the table, one line per measure, ending in a line break.
pub(super) fn render(columns: &[Column<'_>], paint: Paint) -> String {
    let mut table = Table {
        columns,
        paint,
        text: String::new(),
    };
    table.heading();
    table.students();
    table.outage();
    table.server();
    table.waits();
    table.text
}

struct Table<'a> {
    columns: &'a [Column<'a>],
    paint: Paint,
    text: String,
}

impl Table<'_> {
    fn heading(&mut self) {
        let titles: String = self
            .columns
            .iter()
            .map(|column| format!("{:>COLUMN$}", column.title))
            .collect();
        let line = format!("  {:LABEL$}{titles}", "");
        self.line(&self.paint.apply(Style::Bold, &line));
        let rule = "─".repeat(LABEL + COLUMN * self.columns.len());
        self.line(&self.paint.apply(Style::Dim, &format!("  {rule}")));
    }

    fn students(&mut self) {
        self.judged("students served", |c| {
            let all = c.report.turned_away() == 0;
            (of(c.report.served, c.report.students), all)
        });
        self.judged("students turned away", |c| {
            let none = c.report.turned_away() == 0;
            (count(c.report.turned_away()), none)
        });
        self.judged("errors shown to students", |c| {
            (count(c.report.failed), c.report.failed == 0)
        });
        self.row("operations done", |c| of(c.report.done, c.report.planned));
        self.judged("answers found / confirmed", |c| {
            let confirmed = c.report.acknowledged;
            let found = c.report.stored.map_or(NONE.into(), count);
            let same = c.report.stored.is_none_or(|stored| stored == confirmed);
            (format!("{found} / {}", count(confirmed)), same)
        });
        self.line("");
    }

    /// What it was to students that the database was away, if it was.
    fn outage(&mut self) {
        if self
            .columns
            .iter()
            .all(|column| column.report.away.is_none())
        {
            return;
        }
        let cell = |cell: fn(Away) -> String| {
            move |c: &Column<'_>| c.report.away.map_or(NONE.into(), cell)
        };
        self.row("database away", cell(|away| wait(away.time)));
        self.row("requests that waited", cell(|away| count(away.waited)));
        self.row("longest of these waits", cell(|away| wait(away.longest)));
        self.judged("requests failed meanwhile", |c| {
            let failed = c.report.away.map(|away| away.failed);
            (
                failed.map_or(NONE.into(), count),
                failed.is_none_or(|failed| failed == 0),
            )
        });
        self.line("");
    }

    fn server(&mut self) {
        self.row("server connections, peak", |c| {
            match (c.report.connections(), c.limit) {
                (Some(ours), Some(limit)) => of(ours.peak, limit),
                (Some(ours), None) => count(ours.peak),
                (None, _) => NONE.into(),
            }
        });
        self.row("connections opened", |c| {
            let ours = c.report.connections();
            ours.map_or(NONE.into(), |ours| count(ours.opened))
        });
        self.judged("connections refused", |c| {
            (count(c.report.refused), c.report.refused == 0)
        });
        self.row("server memory, peak", |c| {
            let memory = c.report.server.map(|server| server.memory);
            memory.map_or(NONE.into(), |mib| format!("{} MiB", count(mib)))
        });
        self.line("");
    }

    fn waits(&mut self) {
        let halves = format!("{:>HALF$}{:>HALF$}", "p50", "p99").repeat(self.columns.len());
        let line = format!("  {:LABEL$}{halves}", "time until success");
        self.line(&self.paint.apply(Style::Dim, &line));
        for (index, op) in Op::ALL.into_iter().enumerate() {
            self.row(op.name(), |c| {
                let latency = c.report.waits.get(index).copied().flatten();
                let [p50, p99] = latency.map_or([NONE.into(), NONE.into()], |latency| {
                    [latency.p50, latency.p99].map(wait)
                });
                format!("{p50:>HALF$}{p99:>HALF$}")
            });
        }
    }

    fn row(&mut self, label: &str, cell: impl Fn(&Column<'_>) -> String) {
        let cells: String = self
            .columns
            .iter()
            .map(|column| format!("{:>COLUMN$}", cell(column)))
            .collect();
        self.line(&format!("  {label:LABEL$}{cells}"));
    }

    /// A row whose cells are good or bad.
    fn judged(&mut self, label: &str, cell: impl Fn(&Column<'_>) -> (String, bool)) {
        let cells: String = self
            .columns
            .iter()
            .map(|column| {
                let (text, good) = cell(column);
                let style = if good { Style::Good } else { Style::Bad };
                self.paint.apply(style, &format!("{text:>COLUMN$}"))
            })
            .collect();
        self.line(&format!("  {label:LABEL$}{cells}"));
    }

    fn line(&mut self, line: &str) {
        self.text.push_str(line);
        self.text.push('\n');
    }
}

fn of(part: u64, whole: u64) -> String {
    format!("{} of {}", count(part), count(whole))
}

#[cfg(test)]
pub(super) mod tests;
