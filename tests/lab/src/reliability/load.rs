//! The drivers' load programs, running.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use anyhow::{Context, Result, anyhow};
use serde_json::{Value, json};
use weir_kit::process::Scratch;

use super::record::{Class, Endpoint, Heard, Line};
use super::stage::{COUNTERS, DATABASE, Stage};
use crate::matrix::program::Program;
use weir_tests::paths::{blocking, paths};
use weir_tests::wait::until;

/// No load is longer.
const LONGEST: Duration = Duration::from_secs(1_800);
/// Longer than any driver waits for a server, and than Weir's longest back-off.
const RECOVERY: Duration = Duration::from_secs(100);
/// Of a program's first words, so many are repeated when it says nothing useful.
const WORDS: usize = 300;

/// How much work there is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    /// Of each class in each program.
    pub(super) workers: usize,
    /// After each operation.
    pub(super) pause: Duration,
}

type Shared = Arc<Mutex<Heard>>;

/// Programs at work.
pub(super) struct Load {
    scratch: Arc<Scratch>,
    programs: Vec<(Shared, JoinHandle<Result<()>>)>,
}

/// The name of a program's counters and streams.
pub(super) fn name(event: &str, program: &Program, endpoint: Endpoint) -> String {
    format!("{event}-{}-{}", program.driver.key(), endpoint.name())
}

impl Load {
    /// Starts each program on both endpoints.
    pub(super) fn start(
        stage: &Stage,
        event: &str,
        programs: &[Program],
        pace: Pace,
    ) -> Result<Self> {
        let scratch = Scratch::new(&paths().temporary, "weir-load")?;
        let stop = stop(scratch.path());
        let mut running = Vec::new();
        for program in programs {
            for endpoint in Endpoint::ALL {
                let plan = json!({
                    "mode": "load",
                    "uri": stage.uri(endpoint),
                    "database": DATABASE,
                    "name": name(event, program, endpoint),
                    "classes": Class::ALL.map(Class::key),
                    "workers": pace.workers,
                    "pause_ms": u64::try_from(pace.pause.as_millis())?,
                    "counters": COUNTERS,
                    "stop": stop,
                });
                running.push(run(program.clone(), endpoint, plan)?);
            }
        }
        Ok(Self {
            scratch,
            programs: running,
        })
    }

    /// Waits until every class of every program has succeeded with something that it began
    /// after this moment.
    ///
    /// # Errors
    /// When one has not in time, naming it, or a program has ended.
    pub(super) async fn all_succeed_after(&self, moment: f64) -> Result<()> {
        let waited = until("all classes of work", RECOVERY, || async {
            let late = self.not_yet(moment);
            late.is_empty().then_some(())
        });
        waited.await.map_err(|error| {
            let late = self.not_yet(moment).join(", ");
            anyhow!("{error}; none yet: {late}")
        })
    }

    fn not_yet(&self, moment: f64) -> Vec<String> {
        let mut late = Vec::new();
        for (heard, thread) in &self.programs {
            let heard = lock(heard);
            let title = format!("{} {}", heard.driver.title(), heard.endpoint.name());
            for class in Class::ALL {
                // The latest ones are last.
                let mut latest = heard.records.iter().rev();
                let done = latest
                    .any(|each| each.class == class && each.error.is_none() && each.at >= moment);
                if !done {
                    late.push(format!("{title} {}", class.title()));
                }
            }
            if thread.is_finished() {
                late.push(format!("{title} has ended"));
            }
        }
        late
    }

    /// Tells the programs to end, and waits for them.
    pub(super) async fn finish(self) -> Result<Vec<Heard>> {
        fs::write(stop(self.scratch.path()), b"")?;
        let mut all = Vec::new();
        for (heard, thread) in self.programs {
            let ended = blocking(move || thread.join()).await?;
            let said = lock(&heard).clone();
            let title = format!("{} {}", said.driver.title(), said.endpoint.name());
            ended
                .map_err(|_| anyhow!("a thread panicked"))?
                .with_context(|| title)?;
            all.push(said);
        }
        Ok(all)
    }
}

fn stop(folder: &Path) -> PathBuf {
    folder.join("stop")
}

fn run(
    program: Program,
    endpoint: Endpoint,
    plan: Value,
) -> Result<(Shared, JoinHandle<Result<()>>)> {
    let heard = Arc::new(Mutex::new(Heard {
        driver: program.driver,
        endpoint,
        records: Vec::new(),
        pools: Vec::new(),
    }));
    let into = Arc::clone(&heard);
    let thread = std::thread::Builder::new()
        .name("load".into())
        .spawn(move || {
            let mut wrong = None;
            program.run(&plan, LONGEST, |line| match Line::read(&line) {
                Ok(Line::Record(record)) => lock(&into).records.push(record),
                Ok(Line::Pool(pool, at)) => lock(&into).pools.push((pool, at)),
                Err(error) => wrong = Some(error),
            })?;
            wrong.map_or(Ok(()), |error: anyhow::Error| {
                let words: String = error.to_string().chars().take(WORDS).collect();
                Err(anyhow!(words))
            })
        })?;
    Ok((heard, thread))
}

fn lock(heard: &Mutex<Heard>) -> MutexGuard<'_, Heard> {
    heard.lock().unwrap_or_else(PoisonError::into_inner)
}
