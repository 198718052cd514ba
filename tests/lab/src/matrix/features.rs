//! Driver × feature × face.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::Value;

use super::program::{Program, two_at_a_time};
use super::stage::{BULK_WRITE, Face, Stage};
use weir_tests::drivers::{Driver, SERVER_STATUS};

/// Every feature, in the order of `tests/drivers/README.md`.
pub const FEATURES: [&str; 36] = [
    "connect",
    "server-api",
    "server-api-strict",
    "scram-sha-256",
    "scram-sha-1",
    "crud",
    "bulk",
    "client-bulk-write",
    "out-merge",
    "large-results",
    "transactions",
    "transaction-retry",
    "with-transaction",
    "causal",
    "snapshot",
    "change-stream",
    "gridfs",
    "retryable-read",
    "retryable-write",
    "read-preference",
    "max-staleness",
    "unacknowledged",
    "tailable",
    "exhaust",
    "snappy",
    "zlib",
    "zstd",
    "timeout",
    "tls",
    "unix",
    "balanced",
    "sessions",
    "concurrent",
    "commands",
    "pool",
    SERVER_STATUS,
];

/// No program may take longer for all its features.
const LIMIT: Duration = Duration::from_secs(300);

/// What became of one feature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It works.
    Pass,
    /// It does not.
    Fail,
    /// The driver, the server or the face cannot do it.
    NotApplicable,
}

/// One field of the table.
#[derive(Clone, Debug)]
pub struct Cell {
    /// What became of it.
    pub verdict: Verdict,
    /// Why; of a pass, what it does not show.
    pub reason: String,
    /// How long it took.
    pub ms: u64,
    /// Against the scripted server of a newer version.
    pub scripted: bool,
}

/// One driver on one endpoint.
#[derive(Clone, Debug)]
pub struct Run {
    /// The driver.
    pub driver: Driver,
    /// The endpoint.
    pub face: Face,
    /// By feature.
    pub cells: BTreeMap<String, Cell>,
}

/// The whole table.
#[derive(Clone, Debug)]
pub struct Matrix {
    /// Drivers in the order of the tables, their faces in order.
    pub runs: Vec<Run>,
    /// What was tried.
    pub features: Vec<String>,
    /// Where it was tried.
    pub faces: Vec<Face>,
    /// The server's version.
    pub server: String,
    /// How long everything took.
    pub took: Duration,
}

/// What was wanted.
#[derive(Clone, Debug)]
pub struct Choice {
    /// Endpoints, in order.
    pub faces: Vec<Face>,
    /// Features, in order.
    pub features: Vec<String>,
}

impl Default for Choice {
    fn default() -> Self {
        Self {
            faces: Face::ALL.to_vec(),
            features: FEATURES.map(str::to_owned).to_vec(),
        }
    }
}

/// Runs every program on every endpoint, two at a time; `told` hears of each feature at once.
pub fn run(
    stage: &Stage,
    programs: &[Program],
    choice: &Choice,
    told: &(dyn Fn(&str) + Sync),
) -> Matrix {
    let start = Instant::now();
    // A server has one `failCommand`: programs that are with it directly take turns.
    let direct = Mutex::new(());
    let jobs = programs
        .iter()
        .flat_map(|program| choice.faces.iter().map(move |face| (program, *face)))
        .collect();
    let runs = two_at_a_time(jobs, |lane, (program, face)| {
        let _turn =
            (face == Face::Direct).then(|| direct.lock().unwrap_or_else(PoisonError::into_inner));
        one(stage, program, face, lane, &choice.features, told)
    });
    Matrix {
        runs,
        features: choice.features.clone(),
        faces: choice.faces.clone(),
        server: stage.version.clone(),
        took: start.elapsed(),
    }
}

fn one(
    stage: &Stage,
    program: &Program,
    face: Face,
    lane: usize,
    features: &[String],
    told: &(dyn Fn(&str) + Sync),
) -> Run {
    let mut run = Run {
        driver: program.driver,
        face,
        cells: BTreeMap::new(),
    };
    let scripted =
        |feature: &str| feature == "client-bulk-write" && stage.wire_version < BULK_WRITE;
    let mut real = Vec::new();
    for feature in features {
        let lacking = program.driver.not_applicable(feature);
        match lacking.or_else(|| stage.not_applicable(face, feature)) {
            Some(reason) => run.note(feature, Cell::not_applicable(reason), told),
            None if scripted(feature) => {}
            None => real.push(feature.clone()),
        }
    }
    if !real.is_empty() {
        let plan = stage.plan(program.driver, face, lane, &real);
        run.play(program, plan, &real, false, told);
    }
    if features.iter().any(|feature| scripted(feature)) {
        let plan = stage.scripted_plan(program.driver, face, lane);
        run.play(program, plan, &["client-bulk-write".to_owned()], true, told);
    }
    for line in stage.complaints(lane) {
        told(&format!("weir said: {line}"));
    }
    run
}

impl Run {
    /// Runs the program once; a feature it says nothing of has failed.
    fn play(
        &mut self,
        program: &Program,
        plan: Result<Value>,
        features: &[String],
        scripted: bool,
        told: &(dyn Fn(&str) + Sync),
    ) {
        let ended = plan.and_then(|plan| {
            program.run(&plan, LIMIT, |line| {
                let feature = line.get("feature").and_then(Value::as_str).unwrap_or("?");
                let mut cell = Cell::read(&line);
                cell.scripted = scripted;
                self.note(feature, cell, told);
            })
        });
        let why = ended.err().map_or_else(
            || "the program ended without a word about it".to_owned(),
            |error| format!("{error:#}"),
        );
        for feature in features {
            if !self.cells.contains_key(feature) {
                self.note(feature, Cell::failed(why.clone()), told);
            }
        }
    }

    fn note(&mut self, feature: &str, cell: Cell, told: &(dyn Fn(&str) + Sync)) {
        let word = match cell.verdict {
            Verdict::Pass => "pass",
            Verdict::Fail => "FAIL",
            Verdict::NotApplicable => "n/a",
        };
        told(&format!(
            "{:<16} {:<9} {feature:<18} {word:<4} {:>6} ms {}",
            self.driver.title(),
            self.face.name(),
            cell.ms,
            cell.reason
        ));
        self.cells.insert(feature.to_owned(), cell);
    }
}

impl Cell {
    fn read(line: &Value) -> Self {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        let verdict = match text("result") {
            "pass" => Verdict::Pass,
            "n/a" => Verdict::NotApplicable,
            _ => Verdict::Fail,
        };
        Self {
            verdict,
            reason: text("reason").replace('\n', " "),
            ms: line.get("ms").and_then(Value::as_u64).unwrap_or(0),
            scripted: false,
        }
    }

    fn failed(reason: String) -> Self {
        Self {
            verdict: Verdict::Fail,
            reason: reason.replace('\n', " "),
            ms: 0,
            scripted: false,
        }
    }

    fn not_applicable(reason: String) -> Self {
        Self {
            verdict: Verdict::NotApplicable,
            ..Self::failed(reason)
        }
    }
}

impl Matrix {
    /// One field, if it was tried.
    #[must_use]
    pub fn cell(&self, driver: Driver, face: Face, feature: &str) -> Option<&Cell> {
        let run = |run: &&Run| run.driver == driver && run.face == face;
        self.runs.iter().find(run)?.cells.get(feature)
    }

    /// The drivers tried.
    #[must_use]
    pub fn drivers(&self) -> Vec<Driver> {
        let mut drivers: Vec<Driver> = self.runs.iter().map(|run| run.driver).collect();
        drivers.dedup();
        drivers
    }

    /// Failures as lines: those through Weir alone, and those that are the same directly.
    #[must_use]
    pub fn failures(&self) -> (Vec<String>, Vec<String>) {
        let (mut ours, mut everywhere) = (Vec::new(), Vec::new());
        for run in &self.runs {
            for (feature, cell) in &run.cells {
                if cell.verdict != Verdict::Fail {
                    continue;
                }
                let directly = self.cell(run.driver, Face::Direct, feature);
                let too = directly.is_some_and(|cell| cell.verdict == Verdict::Fail);
                let line = format!(
                    "{} {} {feature}: {}",
                    run.driver.title(),
                    run.face.name(),
                    cell.reason
                );
                if too { &mut everywhere } else { &mut ours }.push(line);
            }
        }
        (ours, everywhere)
    }

    /// How many fields have this verdict.
    #[must_use]
    pub fn count(&self, verdict: Verdict) -> usize {
        let cells = self.runs.iter().flat_map(|run| run.cells.values());
        cells.filter(|cell| cell.verdict == verdict).count()
    }

    /// How many fields passed before the scripted server only.
    #[must_use]
    pub fn scripted_passes(&self) -> usize {
        let cells = self.runs.iter().flat_map(|run| run.cells.values());
        let is_one = |cell: &&Cell| cell.scripted && cell.verdict == Verdict::Pass;
        cells.filter(is_one).count()
    }
}

#[cfg(test)]
mod tests {
    use weir_tests::drivers::DRIVERS;

    use super::*;

    #[test]
    fn what_is_typed_in_the_shell_is_tried_in_the_shell_alone() {
        assert!(FEATURES.contains(&SERVER_STATUS));
        let tried = |driver: &&Driver| driver.not_applicable(SERVER_STATUS).is_none();
        let names: Vec<_> = DRIVERS.iter().filter(tried).map(|each| each.name).collect();
        assert_eq!(names, ["mongosh"]);
        assert!(
            DRIVERS
                .iter()
                .all(|each| each.not_applicable("crud").is_none())
        );
    }
}
