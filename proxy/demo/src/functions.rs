//! Lambda environments: AWS's emulator with a real Python function, PyMongo in it, and a student
//! for each.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::{JoinSet, spawn_blocking};

use crate::error::DemoError;
use crate::exam::Exam;
use crate::tally::{Counter, Tally};
use weir_kit::emulator::Addresses;
use weir_kit::numbers::count;
use weir_kit::process::{Scratch, until};

mod environment;
mod student;

pub(super) use environment::{Configuration, Kit};

use environment::{Environment, log_in};
use student::{Course, attend};

/// Environments that a core bears: their cold starts are most of the work, and all of them
/// start within seconds.
const BY_CORE: usize = 30;
/// Sockets that PyMongo opens in one: for its requests, and to watch its server.
pub(super) const SOCKETS: u32 = 2;
/// The function.
const CODE: &str = include_str!("functions/app.py");
/// Until all emulators listen, on a machine with much else to do.
const START_LIMIT: Duration = Duration::from_secs(60);

/// The environments that this machine bears at the same time.
pub(super) fn bearable() -> u32 {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    u32::try_from(cores * BY_CORE).unwrap_or(u32::MAX)
}

/// Puts the function into `folder`.
///
/// # Errors
/// When the system refuses.
pub(super) fn put_code(folder: &Path) -> std::io::Result<()> {
    std::fs::create_dir_all(folder)?;
    std::fs::write(folder.join("app.py"), CODE)
}

/// What a phase is played with.
#[derive(Clone, Debug)]
pub(super) struct FunctionPlan {
    /// What every environment is made of.
    pub(super) kit: Kit,
    /// The environments' settings, which take turns.
    pub(super) configurations: Vec<Configuration>,
    /// Where the environments' log is.
    pub(super) scratch: Arc<Scratch>,
}

/// Running environments and their students; they end when it is dropped.
pub(super) struct Functions {
    students: JoinSet<()>,
    course: Arc<Course>,
}

impl Functions {
    /// Starts the emulators, and when all of them listen the exam.
    ///
    /// # Errors
    /// An emulator does not start.
    pub(super) async fn start(
        plan: &FunctionPlan,
        exam: &Exam,
        tally: &Arc<Tally>,
    ) -> Result<Self, DemoError> {
        let (plan, number) = (plan.clone(), exam.students);
        let started = spawn_blocking(move || start_all(&plan, number as usize)).await;
        let environments = started.map_err(std::io::Error::other)??;
        let course = Arc::new(Course {
            patience: exam.patience,
            tally: Arc::clone(tally),
            strays: Counter::default(),
        });
        let mut students = JoinSet::new();
        for (environment, student) in environments.into_iter().zip(0..) {
            students.spawn(attend(course.clone(), environment, exam.plan(student)));
        }
        Ok(Self { students, course })
    }

    /// Ends all environments.
    ///
    /// # Errors
    /// A function was not served by its extension: what was measured is not what was meant.
    pub(super) async fn end(mut self) -> Result<(), DemoError> {
        self.students.shutdown().await;
        match self.course.strays.get() {
            0 => Ok(()),
            strays => Err(DemoError::Strays(count(strays))),
        }
    }
}

fn start_all(plan: &FunctionPlan, number: usize) -> Result<Vec<Environment>, DemoError> {
    let mut environments = Vec::with_capacity(number);
    let addresses = Addresses::draw()?;
    for configuration in plan.configurations.iter().cycle().take(number) {
        let started = Environment::spawn(&plan.kit, configuration, &addresses, &plan.scratch)?;
        environments.push(started);
    }
    let end = Instant::now() + START_LIMIT;
    for environment in &environments {
        let left = end.saturating_duration_since(Instant::now());
        if until(left, || environment.listens().then_some(())).is_none() {
            return Err(DemoError::Emulator(last_line(plan.scratch.path())));
        }
    }
    Ok(environments)
}

fn last_line(folder: &Path) -> String {
    let said = std::fs::read_to_string(log_in(folder)).unwrap_or_default();
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("it said nothing in time").to_owned()
}
