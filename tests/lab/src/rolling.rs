//! Work in every language through Weirs that are replaced meanwhile, and what became of it.
//!
//! Each driver's program works on a database of its own until it is told to stop (plan
//! `load` in `tests/drivers/README.md`) and says what it was acknowledged and what failed;
//! [`Work::end`] compares that with what the database holds.

use std::collections::HashSet;
use std::env;
use std::fs;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, ensure};
use bson::{Document, doc};
use mongodb::{Client, Database};
use serde_json::{Value, json};
use weir_kit::process::Scratch;

use crate::matrix::program::{Program, prepare_all};
use weir_tests::drivers::newest_of_each;
use weir_tests::paths::{blocking, paths};
use weir_tests::skip::skip_language;
use weir_tests::wait::{LIMIT, until};

/// A program that does not end when told is killed.
const PROGRAM_LIMIT: Duration = Duration::from_secs(180);

/// The programs of this machine, mongosh's aside; what is missing is said and counted.
/// `$WEIR_ROLLING_DRIVERS` chooses some: `python,go`.
///
/// # Errors
/// When one cannot be prepared.
pub async fn programs() -> Result<Vec<Program>> {
    let chosen = env::var("WEIR_ROLLING_DRIVERS").unwrap_or_default();
    let mut drivers = newest_of_each();
    drivers.retain(|driver| {
        let is_meant = || chosen.split(',').any(|choice| driver.is_meant_by(choice));
        driver.shows_events() && (chosen.is_empty() || is_meant())
    });
    let (programs, missing) = blocking(move || prepare_all(&drivers)).await??;
    for (driver, reason) in missing {
        skip_language(&format!("rolling replacement, {}", driver.title()), &reason)?;
    }
    Ok(programs)
}

/// Programs at work.
pub struct Work {
    running: Vec<Running>,
    stop: PathBuf,
    targets: usize,
    _scratch: Arc<Scratch>,
}

struct Running {
    title: String,
    database: String,
    thread: JoinHandle<Result<Vec<Value>>>,
}

/// What one program did on one endpoint.
#[derive(Clone, Debug)]
pub struct Done {
    /// The driver.
    pub title: String,
    /// The endpoint.
    pub target: String,
    /// How many operations it tried.
    pub operations: u64,
    /// What failed, as the application saw it.
    pub errors: Vec<String>,
    /// The slowest operation.
    pub slowest: Duration,
}

impl Work {
    /// Starts every program with one client for each of `targets`, named, and so many
    /// workers for each client.
    ///
    /// # Errors
    /// When a thread cannot be started.
    pub fn start(
        programs: Vec<Program>,
        targets: &[(&str, String)],
        workers: usize,
    ) -> Result<Self> {
        let scratch = Scratch::new(&paths().temporary, "weir-rolling")?;
        let stop = scratch.path().join("stop");
        let named = |(name, uri): &(&str, String)| json!({ "name": name, "uri": uri });
        let list: Vec<Value> = targets.iter().map(named).collect();
        let mut running = Vec::new();
        for program in programs {
            let database = format!("rolling_{}", program.driver.language);
            let plan = json!({
                "mode": "rolling",
                "database": database,
                "workers": workers,
                "stop": stop,
                "targets": list,
            });
            let title = program.driver.title();
            let thread = std::thread::Builder::new()
                .name(title.clone())
                .spawn(move || {
                    let mut lines = Vec::new();
                    program.run(&plan, PROGRAM_LIMIT, |line| lines.push(line))?;
                    Ok(lines)
                })?;
            running.push(Running {
                title,
                database,
                thread,
            });
        }
        Ok(Self {
            running,
            stop,
            targets: targets.len(),
            _scratch: scratch,
        })
    }

    /// Waits until every program has inserted so many documents more than now.
    ///
    /// # Errors
    /// When one does not, or has ended.
    pub async fn goes_on(&self, direct: &Client, documents: u64) -> Result<()> {
        for each in &self.running {
            let things = direct
                .database(&each.database)
                .collection::<Document>("things");
            let count = || async { things.estimated_document_count().await.unwrap_or(0) };
            let wanted = count().await + documents;
            let what = format!("{} to go on", each.title);
            let worked = until(&what, LIMIT, || async {
                let ended = each.thread.is_finished();
                (count().await >= wanted || ended).then_some(ended)
            });
            ensure!(!worked.await?, "{} has ended", each.title);
        }
        Ok(())
    }

    /// Tells every program to stop; compares what it says with what is in the database.
    ///
    /// # Errors
    /// When a program failed, or something acknowledged is missing or there twice.
    pub async fn end(self, direct: &Client) -> Result<Vec<Done>> {
        fs::write(&self.stop, "")?;
        let mut all = Vec::new();
        for each in self.running {
            let title = each.title;
            let lines = blocking(move || each.thread.join())
                .await?
                .map_err(|_| anyhow!("a thread panicked"))?
                .with_context(|| title.clone())?;
            ensure!(lines.len() == self.targets, "{title}: {lines:?}");
            compare(&direct.database(&each.database), &lines)
                .await
                .with_context(|| title.clone())?;
            all.extend(lines.iter().map(|line| Done::read(&title, line)));
        }
        Ok(all)
    }
}

impl Done {
    fn read(title: &str, line: &Value) -> Self {
        let number = |key: &str| line.get(key).and_then(Value::as_u64).unwrap_or_default();
        let errors = line.get("errors").and_then(Value::as_object);
        let count = |(text, count): (&String, &Value)| format!("{count} × {text}");
        Self {
            title: title.to_owned(),
            target: line
                .get("target")
                .and_then(Value::as_str)
                .unwrap_or_default()
                .to_owned(),
            operations: number("operations"),
            errors: errors.into_iter().flatten().map(count).collect(),
            slowest: Duration::from_millis(number("slowestMs")),
        }
    }
}

/// Acknowledged means present exactly once. What failed may be there or not, so each number
/// has an upper bound too.
async fn compare(database: &Database, lines: &[Value]) -> Result<()> {
    let sum = |key: &str| -> u64 {
        let numbers = lines.iter().filter_map(|line| line.get(key)?.as_u64());
        numbers.sum()
    };
    let failed: u64 = lines
        .iter()
        .filter_map(|line| line.get("errors")?.as_object())
        .flat_map(|errors| errors.values().filter_map(Value::as_u64))
        .sum();
    let pushed = |field: &'static str| pushed(database, field);
    let documents = |name: &'static str| async move {
        let collection = database.collection::<Document>(name);
        anyhow::Ok(collection.count_documents(doc! {}).await?)
    };
    let found = [
        ("inserted", documents("things").await?, 1),
        ("pairs", documents("pairs").await?, 2),
        ("increments", pushed("one").await?, 1),
        ("many", pushed("many").await?, 1),
    ];
    for (what, found, each) in found {
        let acknowledged = sum(what);
        ensure!(acknowledged > 0, "no {what} were tried");
        ensure!(
            (acknowledged..=acknowledged + failed * each).contains(&found),
            "{what}: {acknowledged} acknowledged, {failed} failed, {found} found"
        );
    }
    Ok(())
}

/// How many numbers stand in this field of all counters; none may stand there twice.
async fn pushed(database: &Database, field: &str) -> Result<u64> {
    let mut total = 0;
    let mut counters = database
        .collection::<Document>("counters")
        .find(doc! {})
        .await?;
    while counters.advance().await? {
        let counter = counters.deserialize_current()?;
        let numbers = counter.get_array(field)?;
        let distinct: HashSet<String> = numbers.iter().map(ToString::to_string).collect();
        let id = counter.get_str("_id")?;
        ensure!(
            distinct.len() == numbers.len(),
            "{id}: something was applied twice: {numbers:?}"
        );
        total += u64::try_from(numbers.len())?;
    }
    Ok(total)
}
