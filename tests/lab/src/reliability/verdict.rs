//! The records and the server's counters, held against each other.

use std::collections::BTreeMap;

use super::event::{Event, Window};
use super::record::{Class, Endpoint, Heard, Pool, Record};
use super::stage::{Books, CAP};
use weir_tests::drivers::Driver;

/// What one driver saw of one class of work on one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Cell {
    /// Operations.
    pub operations: usize,
    /// What was seen instead of a result, and how often.
    pub errors: BTreeMap<String, usize>,
    /// The longest operation, ms.
    pub worst: f64,
    /// For each time the event happened, the longest while without a success, ms.
    pub gaps: Vec<f64>,
}

/// What all drivers saw on one endpoint.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Verdict {
    /// Writes that were acknowledged.
    pub acknowledged: usize,
    /// Of them, those that the server does not have.
    pub lost: usize,
    /// Writes that the server has twice.
    pub doubled: usize,
    /// Errors of work that its driver can repeat.
    pub retryable_errors: usize,
    /// All other errors.
    pub other_errors: usize,
    /// Operations of work that its driver can repeat.
    pub retryable: usize,
    /// All other operations.
    pub others: usize,
    /// The longest operation, ms.
    pub worst: f64,
    /// Connections that drivers made since the event first happened.
    pub connections: usize,
    /// How often drivers gave their connections up.
    pub cleared: usize,
}

/// What came of one event.
#[derive(Clone, Debug)]
pub struct Outcome {
    /// What happened.
    pub event: Event,
    /// When.
    pub windows: Vec<Window>,
    /// What each program saw.
    pub heard: Vec<Heard>,
    /// The ledger of each endpoint.
    pub ledgers: BTreeMap<Endpoint, Books>,
    /// The most sockets that Weir had to a node, if they could be counted.
    pub sockets: Option<usize>,
}

impl Outcome {
    /// Before the books are checked.
    #[must_use]
    pub fn new(event: Event, windows: Vec<Window>, heard: Vec<Heard>) -> Self {
        Self {
            event,
            windows,
            heard,
            ledgers: BTreeMap::new(),
            sockets: None,
        }
    }

    /// The drivers, in order.
    #[must_use]
    pub fn drivers(&self) -> Vec<Driver> {
        let mut drivers: Vec<Driver> = self.heard.iter().map(|heard| heard.driver).collect();
        drivers.dedup();
        drivers
    }

    /// What one driver saw of one class of work on one endpoint.
    #[must_use]
    pub fn cell(&self, driver: Driver, endpoint: Endpoint, class: Class) -> Cell {
        let wanted = |heard: &&Heard| heard.driver == driver && heard.endpoint == endpoint;
        let records: Vec<&Record> = self
            .heard
            .iter()
            .filter(wanted)
            .flat_map(|heard| &heard.records)
            .filter(|record| record.class == class)
            .collect();
        let mut cell = Cell {
            operations: records.len(),
            ..Cell::default()
        };
        for record in &records {
            cell.worst = cell.worst.max(record.ms);
            if let Some(error) = &record.error {
                *cell.errors.entry(error.clone()).or_default() += 1;
            }
        }
        let mut successes: Vec<f64> = records
            .iter()
            .filter(|record| record.error.is_none())
            .map(|record| record.ended())
            .collect();
        successes.sort_by(f64::total_cmp);
        cell.gaps = self
            .windows
            .iter()
            .map(|window| longest_gap(&successes, window))
            .collect();
        cell
    }

    /// What all drivers saw on one endpoint.
    #[must_use]
    pub fn verdict(&self, endpoint: Endpoint) -> Verdict {
        let mut verdict = Verdict::default();
        if let Some((tally, _)) = self.ledgers.get(&endpoint) {
            verdict.acknowledged = tally.done;
            verdict.lost = tally.lost;
            verdict.doubled = tally.doubled;
        }
        let since = self.windows.first().map_or(0.0, |window| window.from);
        for heard in self.heard.iter().filter(|heard| heard.endpoint == endpoint) {
            for record in &heard.records {
                verdict.worst = verdict.worst.max(record.ms);
                match record.class.is_retryable() {
                    true => verdict.retryable += 1,
                    false => verdict.others += 1,
                }
                if record.error.is_some() && record.class.is_retryable() {
                    verdict.retryable_errors += 1;
                } else if record.error.is_some() {
                    verdict.other_errors += 1;
                }
            }
            let of = |wanted: Pool| {
                let those = heard.pools.iter();
                those
                    .filter(|(pool, at)| *pool == wanted && *at >= since)
                    .count()
            };
            verdict.connections += of(Pool::Created);
            verdict.cleared += of(Pool::Cleared);
        }
        verdict
    }

    /// What must not be, through Weir.
    #[must_use]
    pub fn violations(&self) -> Vec<String> {
        let verdict = self.verdict(Endpoint::Weir);
        let mut wrong: Vec<String> = self.ledgers.get(&Endpoint::Weir).map_or_else(
            || vec!["the books were not checked".to_owned()],
            |(_, wrong)| wrong.clone(),
        );
        if self.event.is_survived() && verdict.retryable_errors > 0 {
            let count = verdict.retryable_errors;
            wrong.push(format!("{count} errors of retryable work"));
        }
        if self.event.deadline().is_some() && verdict.other_errors > 0 {
            let count = verdict.other_errors;
            wrong.push(format!("{count} errors of other work"));
        }
        if let Some(deadline) = self.event.deadline() {
            let within = |left: f64| left < deadline.as_secs_f64() * 1_000.0;
            let all = self.windows.iter().filter(|it| it.left.is_some_and(within));
            if all.count() != self.windows.len() {
                wrong.push(format!("Weir did not end with 0 in less than {deadline:?}"));
            }
        }
        if self.event.keeps_pools() && verdict.cleared > 0 {
            wrong.push(format!("{} pools cleared", verdict.cleared));
        }
        if self.sockets.is_some_and(|sockets| sockets > CAP) {
            wrong.push(format!("{:?} sockets of {CAP}", self.sockets));
        }
        for late in self.windows.iter().filter_map(|each| each.late.as_ref()) {
            wrong.push(late.clone());
        }
        for heard in self
            .heard
            .iter()
            .filter(|heard| heard.endpoint == Endpoint::Weir)
        {
            for record in &heard.records {
                wrong.extend(self.violation(heard, record));
            }
        }
        wrong
    }

    /// What no application may see, whatever happens.
    fn violation(&self, heard: &Heard, record: &Record) -> Option<String> {
        let error = record.error.as_deref()?;
        let name = heard.driver.name;
        let class = record.class.title();
        let since = self
            .windows
            .iter()
            .rev()
            .find(|it| it.from <= record.ended());
        let after = since.map_or(0.0, |window| record.ended() - window.from) / 1_000.0;
        let text = format!(
            "{name}, {class}: {error} {after:.1} s after it happened, after {:.1} s of its own: {}",
            record.ms / 1_000.0,
            record.message
        );
        let impossible = matches!(error, "Wrong" | "no answer");
        // Refused logins are told as such (row A2), or the connection broke (row B).
        let known = error.ends_with(" 18") || error.ends_with(" 6");
        let strange = self.event == Event::Password && !known;
        // What a class cannot repeat is told, and never as more than that.
        let retryable = self.event.is_survived() && record.class.is_retryable()
            || self.event.deadline().is_some();
        (impossible || strange || retryable).then_some(text)
    }

    /// A few lines for a terminal.
    #[must_use]
    pub fn in_short(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for endpoint in Endpoint::ALL {
            let it = self.verdict(endpoint);
            lines.push(format!(
                "  {:<6} {} acknowledged, {} lost, {} twice; errors: {} retryable, {} other; \
                 worst {:.1} s; pools cleared {}, connections made {}",
                endpoint.name(),
                it.acknowledged,
                it.lost,
                it.doubled,
                it.retryable_errors,
                it.other_errors,
                it.worst / 1_000.0,
                it.cleared,
                it.connections,
            ));
        }
        if let Some(sockets) = self.sockets {
            lines.push(format!("  at most {sockets} sockets of {CAP} to a node"));
        }
        for left in self.windows.iter().filter_map(|window| window.left) {
            lines.push(format!(
                "  Weir had left after {:.1} s, with 0",
                left / 1_000.0
            ));
        }
        let violations = self.violations();
        lines.extend(
            violations
                .iter()
                .map(|wrong| format!("  VIOLATION {wrong}")),
        );
        lines
    }
}

/// The longest while without a success that touches this window. Successes are in order.
fn longest_gap(successes: &[f64], window: &Window) -> f64 {
    let before = successes.partition_point(|at| *at <= window.from);
    let mut last = before
        .checked_sub(1)
        .and_then(|at| successes.get(at))
        .map_or(window.from, |at| at.max(window.from));
    let mut longest: f64 = 0.0;
    for at in successes.get(before..).unwrap_or_default() {
        if last > window.to {
            break;
        }
        longest = longest.max(at - last);
        last = *at;
    }
    longest.max(window.to - last)
}
