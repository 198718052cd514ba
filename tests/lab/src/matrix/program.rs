//! A driver's program: prepared once on a machine, started with a plan, read line by line.

use std::env;
use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::Value;
use weir_kit::process::{Process, Scratch};

use weir_tests::drivers::Driver;
use weir_tests::paths::paths;
use weir_tests::weir::built_programs;

/// The longest an installation may take.
const PREPARE_LIMIT: Duration = Duration::from_secs(600);
/// By this a `prepare` says that its language is not installed.
const NOT_INSTALLED: i32 = 77;
/// How much of what a program complained is repeated.
const COMPLAINTS: usize = 2000;

/// A program that can be run.
#[derive(Clone, Debug)]
pub struct Program {
    /// Whose it is.
    pub driver: Driver,
    folder: PathBuf,
    place: PathBuf,
    /// Becomes the program, with these variables; of the shim's tests.
    wrapper: Option<(PathBuf, Vec<(String, String)>)>,
}

/// What came of preparing one.
#[derive(Clone, Debug)]
pub enum Prepared {
    /// It can be run.
    Ready(Program),
    /// It cannot be had on this machine, because of this.
    Missing(String),
}

/// Prepares a driver's program. One at a time: two tests of a process may want the same.
///
/// # Errors
/// When `prepare` fails otherwise than by a missing language.
pub fn prepare(driver: Driver) -> Result<Prepared> {
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let _turn = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
    let Some(folder) = folder_of(driver) else {
        let missing = format!("there is no tests/drivers/{}", driver.language);
        return Ok(Prepared::Missing(missing));
    };
    let parts = paths().parts();
    fs::create_dir_all(&parts)?;
    let program = Program {
        driver,
        place: parts.join(format!("driver-{}-{}", driver.language, driver.version)),
        folder,
        wrapper: None,
    };
    let scratch = Scratch::new(&paths().temporary, "weir-prepare")?;
    let complaints = scratch.path().join("errors");
    let mut command = program.command("prepare");
    command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(fs::File::create(&complaints)?);
    let process = Process::spawn(&mut command, &scratch)?;
    let (_, out, _) = process.take_pipes();
    let lines = follow(out)?;
    let status = process.wait(PREPARE_LIMIT)?;
    if status.is_none() {
        kill_group(&process)?;
    }
    let said: Vec<String> = lines.iter().collect();
    match status.and_then(|status| status.code()) {
        Some(0) => Ok(Prepared::Ready(program)),
        Some(NOT_INSTALLED) => Ok(Prepared::Missing(said.join(" "))),
        _ => bail!(
            "{}: prepare failed: {} {}",
            driver.title(),
            said.join(" "),
            tail(&complaints)
        ),
    }
}

/// In this repository, or where `$WEIR_DRIVER_PROGRAMS` says.
fn folder_of(driver: Driver) -> Option<PathBuf> {
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../drivers");
    let given = env::var_os("WEIR_DRIVER_PROGRAMS").map(PathBuf::from);
    [Some(ours), given]
        .into_iter()
        .flatten()
        .map(|root| root.join(driver.language))
        .find(|folder| folder.join("prepare").is_file())
}

impl Program {
    /// The same, started by `wrapper`, which is given `variables` and the program as arguments.
    #[must_use]
    pub fn wrapped(mut self, wrapper: PathBuf, variables: Vec<(String, String)>) -> Self {
        self.wrapper = Some((wrapper, variables));
        self
    }

    fn command(&self, script: &str) -> Command {
        let program = self.folder.join(script);
        let mut command = match &self.wrapper {
            Some((wrapper, variables)) => {
                let mut command = Command::new(wrapper);
                let pairs = variables.iter().map(|(name, value)| (name, value));
                command.arg("--").arg(program).envs(pairs);
                command
            }
            None => Command::new(program),
        };
        command.arg(self.driver.version).arg(&self.place);
        // The Rust driver's program is one of this workspace's own.
        if let Ok(built) = built_programs() {
            command.env("WEIR_BUILT_PROGRAMS", built);
        }
        command
    }

    /// Runs it with a plan; hands over each line as it comes.
    ///
    /// # Errors
    /// When it says something that is no JSON, ends badly or takes longer than `limit`.
    pub fn run(&self, plan: &Value, limit: Duration, mut heard: impl FnMut(Value)) -> Result<()> {
        let end = Instant::now() + limit;
        let scratch = Scratch::new(&paths().temporary, "weir-driver")?;
        let complaints = scratch.path().join("errors");
        let mut command = self.command("run");
        command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(fs::File::create(&complaints)?);
        let process = Process::spawn(&mut command, &scratch)?;
        let (input, out, _) = process.take_pipes();
        let lines = follow(out)?;
        let mut input = input.context("no pipe")?;
        // A program that ends without reading has said why.
        let _ = input.write_all(plan.to_string().as_bytes());
        drop(input);
        loop {
            match lines.recv_timeout(end.saturating_duration_since(Instant::now())) {
                Ok(line) => match serde_json::from_str(&line) {
                    Ok(value) => heard(value),
                    Err(_) => bail!("it said {line}"),
                },
                Err(RecvTimeoutError::Disconnected) => break,
                Err(RecvTimeoutError::Timeout) => {
                    kill_group(&process)?;
                    bail!("it took longer than {limit:?} {}", tail(&complaints));
                }
            }
        }
        match process.wait(Duration::from_secs(10))? {
            Some(status) if status.success() => Ok(()),
            Some(status) => bail!("it ended with {status} {}", tail(&complaints)),
            None => {
                kill_group(&process)?;
                bail!("it did not end after its last line");
            }
        }
    }
}

/// Lines as they come; ends with the stream.
fn follow(stream: Option<impl Read + Send + 'static>) -> Result<Receiver<String>> {
    let stream = stream.context("no pipe")?;
    let (sender, receiver) = channel();
    std::thread::Builder::new()
        .name("driver's lines".into())
        .spawn(move || {
            for line in BufReader::new(stream).lines().map_while(Result::ok) {
                if !line.trim().is_empty() && sender.send(line).is_err() {
                    break;
                }
            }
        })?;
    Ok(receiver)
}

/// Kills it with its children: `run` may be a shell that waits for the program.
fn kill_group(process: &Process) -> Result<()> {
    Command::new("sh")
        .args([
            "-c",
            "kill -s KILL -- \"-$1\"",
            "sh",
            &process.id().to_string(),
        ])
        .status()?;
    process.kill()?;
    Ok(())
}

fn tail(file: &Path) -> String {
    let text = fs::read_to_string(file).unwrap_or_default();
    let skipped = text.chars().count().saturating_sub(COMPLAINTS);
    text.chars().skip(skipped).collect()
}

/// Drivers that cannot be had on this machine, each with the reason.
pub type Missing = Vec<(Driver, String)>;

/// Prepares several; what is missing comes back with its reason.
///
/// # Errors
/// As [`prepare`].
pub fn prepare_all(drivers: &[Driver]) -> Result<(Vec<Program>, Missing)> {
    let (mut ready, mut missing) = (Vec::new(), Vec::new());
    for driver in drivers {
        match prepare(*driver)? {
            Prepared::Ready(program) => ready.push(program),
            Prepared::Missing(reason) => missing.push((*driver, reason)),
        }
    }
    Ok((ready, missing))
}

/// Runs a job for each item on two threads: two programs at a time.
pub fn two_at_a_time<T: Send, R: Send>(
    jobs: Vec<T>,
    work: impl Fn(usize, T) -> R + Sync,
) -> Vec<R> {
    let jobs: Vec<(usize, T)> = jobs.into_iter().enumerate().collect();
    let queue = Mutex::new(jobs.into_iter());
    let results = Mutex::new(Vec::new());
    let lane = |lane: usize| {
        loop {
            let next = queue.lock().unwrap_or_else(PoisonError::into_inner).next();
            let Some((index, job)) = next else { break };
            let result = work(lane, job);
            let mut results = results.lock().unwrap_or_else(PoisonError::into_inner);
            results.push((index, result));
        }
    };
    std::thread::scope(|scope| {
        scope.spawn(|| lane(0));
        scope.spawn(|| lane(1));
    });
    let mut results = std::mem::take(&mut *results.lock().unwrap_or_else(PoisonError::into_inner));
    results.sort_by_key(|(index, _)| *index);
    results.into_iter().map(|(_, result)| result).collect()
}
