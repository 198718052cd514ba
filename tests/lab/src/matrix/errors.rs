//! The error table, executed: every error document of Weir's, in every class of operation,
//! shown once to every driver by a scripted face of Weir; what the driver made of it is
//! compared with what the table means it to do.
//!
//! The documents come from [`weir::error`], so the test follows the code.

mod expected;
mod face;
mod judge;
mod report;
mod rows;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use anyhow::Result;
use serde_json::{Value, json};

pub use expected::{Expected, expected};
pub use judge::{Answer, Probe};
pub use report::markdown;
pub use rows::{Fault, ROWS, Row};

use super::program::{Program, two_at_a_time};
use super::stage::Face;
use face::Rehearsal;
use weir_tests::drivers::Driver;

/// Classes of operations, as `tests/drivers/README.md` names them.
pub const CLASSES: [&str; 10] = ["RD", "RW", "NW", "TX", "TXW", "CM", "CMW", "AB", "GM", "CS"];

/// The longest that one case takes, and some.
const LIMIT: Duration = Duration::from_secs(27);

/// One fault in one class of operation.
#[derive(Clone, Debug)]
pub struct Case {
    /// The row.
    pub row: &'static Row,
    /// The class.
    pub class: &'static str,
    /// In which face.
    pub face: Face,
}

impl Case {
    /// What the program calls it.
    #[must_use]
    pub fn id(&self) -> String {
        format!("{}-{}-{}", self.row.name, self.class, self.face.name())
    }
}

/// Every row in every class in which it can happen, in the mongos face; in the
/// load-balanced one the rows in which the faces differ.
#[must_use]
pub fn all_cases() -> Vec<Case> {
    let mongos = ROWS.iter().map(|row| (row, Face::Mongos));
    let differs = |row: &&Row| row.differs_by_face;
    let balanced = ROWS.iter().filter(differs).map(|row| (row, Face::Balanced));
    mongos
        .chain(balanced)
        .flat_map(|(row, face)| {
            let possible = CLASSES.into_iter().filter(|class| row.happens_to(class));
            possible.map(move |class| Case { row, class, face })
        })
        .collect()
}

/// The rows that a short run shows, mongos face: those every deployment meets.
#[must_use]
pub fn few_cases() -> Vec<Case> {
    let wanted = |case: &Case| {
        case.face == Face::Mongos && matches!(case.row.name, "B" | "E" | "F" | "F'" | "G" | "I")
    };
    all_cases().into_iter().filter(wanted).collect()
}

/// What all drivers made of all cases.
#[derive(Debug)]
pub struct Table {
    /// The cases, in order.
    pub cases: Vec<Case>,
    /// The drivers, each with its answers by the case's id.
    pub drivers: Vec<(Driver, BTreeMap<String, Answer>)>,
    /// How long it took.
    pub took: Duration,
}

impl Table {
    /// Every disagreement, a line for each.
    #[must_use]
    pub fn disagreements(&self) -> Vec<String> {
        let mut lines = Vec::new();
        for (driver, answers) in &self.drivers {
            for case in &self.cases {
                let answer = answers.get(&case.id());
                for wrong in answer
                    .map(|answer| answer.wrong.as_slice())
                    .unwrap_or_default()
                {
                    lines.push(format!("{} {}: {wrong}", driver.title(), case.id()));
                }
            }
        }
        lines
    }
}

/// Shows all cases to all programs, two programs at a time.
///
/// # Errors
/// When a face cannot listen, or a program breaks off.
pub fn run(programs: &[Program], cases: &[Case], told: &(dyn Fn(&str) + Sync)) -> Result<Table> {
    let start = Instant::now();
    let results = two_at_a_time(programs.to_vec(), |_, program| {
        let answers = one(&program, cases, told)?;
        Ok((program.driver, answers))
    });
    Ok(Table {
        cases: cases.to_vec(),
        drivers: results.into_iter().collect::<Result<Vec<_>>>()?,
        took: start.elapsed(),
    })
}

fn one(
    program: &Program,
    cases: &[Case],
    told: &(dyn Fn(&str) + Sync),
) -> Result<BTreeMap<String, Answer>> {
    let rehearsals = cases
        .iter()
        .map(|case| Ok((case.id(), Rehearsal::start(case)?)))
        .collect::<Result<BTreeMap<_, _>>>()?;
    let planned = |case: &Case| {
        let uri = rehearsals.get(&case.id()).map(Rehearsal::uri);
        json!({ "id": case.id(), "class": case.class, "uri": uri })
    };
    let plan = json!({
        "mode": "probe",
        "cases": cases.iter().map(planned).collect::<Vec<Value>>(),
    });
    let limit = LIMIT * u32::try_from(cases.len())?;
    let mut answers = BTreeMap::new();
    let title = program.driver.title();
    program.run(&plan, limit, |line| {
        let id = line.get("id").and_then(Value::as_str).unwrap_or_default();
        let case = cases.iter().find(|case| case.id() == id);
        let Some((case, rehearsal)) = case.zip(rehearsals.get(id)) else {
            return;
        };
        let answer = judge::judge(case, &line, rehearsal);
        told(&format!("{title:<16} {id:<20} {}", answer.words()));
        for wrong in &answer.wrong {
            told(&format!("{title:<16} {id:<20} DISAGREES: {wrong}"));
        }
        answers.insert(id.to_owned(), answer);
    })?;
    for case in cases {
        answers.entry(case.id()).or_insert_with(Answer::none);
    }
    Ok(answers)
}
