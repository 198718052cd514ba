//! Three tasks of four worker processes: real Python with PyMongo, as behind a
//! web server with threads.
//!
//! A worker gets its share of the same exam, and prints what is new ten times a
//! second; here it is added to the same tally as that of the simulated
//! environments. What PyMongo does, PyMongo does.

use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{ChildStdin, ChildStdout, Command, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, Instant};

use serde::Deserialize;
use serde_json::json;
use tokio::task::spawn_blocking;

use super::error::DemoError;
use super::exam::{Exam, Plan};
use super::tally::{Op, Tally};
use weir_kit::messages::{QUIZ, student_id};
use weir_kit::process::{Process, Scratch};

/// Tasks, each with a sidecar.
pub(super) const TASKS: usize = 3;
/// Worker processes of a task.
pub(super) const WORKERS: usize = 4;
/// Threads of a worker, and connections that it keeps open: `minPoolSize` as
/// large as the number of threads, so that a burst waits for no handshake.
pub(super) const THREADS: usize = 64;
/// Sockets with which PyMongo watches a server.
pub(super) const MONITORS: usize = 2;

const SCRIPT: &str = include_str!("fleet/worker.py");
/// Twelve interpreters at once, on a machine with much else to do.
const START_LIMIT: Duration = Duration::from_secs(60);
/// For a worker's last line.
const END_LIMIT: Duration = Duration::from_secs(5);

/// What a fleet is started with.
#[derive(Clone, Debug)]
pub(super) struct FleetPlan {
    /// The interpreter.
    pub(super) python: PathBuf,
    /// Where temporary files go.
    pub(super) temporary: PathBuf,
    /// The connection string of each task's workers.
    pub(super) uris: Vec<String>,
    /// The database with the quiz.
    pub(super) database: String,
}

/// Running workers; they end when it is dropped.
pub(super) struct Fleet {
    workers: Vec<Worker>,
}

struct Worker {
    process: Process,
    /// `None`: it was lost at its start, or is told to end.
    input: Option<ChildStdin>,
    /// It says that it has done what it was told to.
    ready: Receiver<()>,
    ended: Receiver<()>,
}

/// One line of a worker.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct News {
    /// It has done what it was told to.
    ready: bool,
    arrived: u64,
    served: u64,
    gave_up: u64,
    refused: u64,
    failed: u64,
    error: Option<String>,
    times: Times,
}

/// Seconds of every success.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Times {
    connect: Vec<f64>,
    find_user: Vec<f64>,
    fetch_quiz: Vec<f64>,
    start_attempt: Vec<f64>,
    submit_answer: Vec<f64>,
}

impl Fleet {
    /// Starts all workers, the last task when the others have their connections,
    /// as when a service scales out; then lets all begin together.
    ///
    /// # Errors
    /// No worker starts at all.
    pub(super) async fn start(
        plan: &FleetPlan,
        exam: &Exam,
        tally: &Arc<Tally>,
    ) -> Result<Self, DemoError> {
        let (plan, exam, tally) = (plan.clone(), *exam, Arc::clone(tally));
        let started = spawn_blocking(move || Self::start_blocking(&plan, &exam, &tally)).await;
        started.map_err(std::io::Error::other)?
    }

    fn start_blocking(
        plan: &FleetPlan,
        exam: &Exam,
        tally: &Arc<Tally>,
    ) -> Result<Self, DemoError> {
        let scratch = Scratch::new(&plan.temporary, "weir-fleet")?;
        let script = scratch.path().join("worker.py");
        std::fs::write(&script, SCRIPT)?;
        let all = TASKS * WORKERS;
        let mut fleet = Self {
            workers: Vec::with_capacity(all),
        };
        for number in 0..all {
            let uri = plan.uris.get(number / WORKERS).or(plan.uris.last());
            let share = share(plan, exam, number, uri.map_or("", String::as_str));
            let worker = Worker::spawn(plan, &scratch, &script, share, tally)?;
            fleet.workers.push(worker);
        }
        let errors = scratch.path().join("errors");
        fleet.wait_until_ready(0, all);
        let (first, last) = ((TASKS - 1) * WORKERS, WORKERS);
        for (skip, take) in [(0, first), (first, last)] {
            fleet.write("start", skip, take);
            fleet.wait_until_ready(skip, take);
        }
        fleet.write("begin", 0, all);
        let lost: Vec<usize> = (0..).zip(&fleet.workers).filter_map(Worker::lost).collect();
        if lost.len() == all {
            return Err(DemoError::Worker(last_line(&errors)));
        }
        for number in lost {
            tally.note_surprise(&format!("a worker process ended: {}", last_line(&errors)));
            note_lost(tally, students_of(exam, number).count());
        }
        Ok(fleet)
    }

    /// Waits until each of these workers says once more that it is ready. A worker that does not
    /// is lost: under a full server that is a result, not an error of the demo.
    fn wait_until_ready(&mut self, skip: usize, take: usize) {
        let end = Instant::now() + START_LIMIT;
        for worker in self.workers.iter_mut().skip(skip).take(take) {
            let left = end.saturating_duration_since(Instant::now());
            if worker.ready.recv_timeout(left).is_err() {
                worker.input = None;
            }
        }
    }

    /// Sends a line to each of these workers. A worker whose pipe is closed is lost.
    fn write(&mut self, line: &str, skip: usize, take: usize) {
        for worker in self.workers.iter_mut().skip(skip).take(take) {
            if worker.write(line).is_err() {
                worker.input = None;
            }
        }
    }

    /// Ends all workers, and waits for the last of what they have to say.
    pub(super) async fn end(self) {
        let workers = self.workers;
        let _ = spawn_blocking(move || end(workers)).await;
    }
}

/// The students of a worker that was lost came and were turned away.
fn note_lost(tally: &Tally, students: usize) {
    let students = students as u64;
    tally.refused.add_many(1);
    tally.arrived.add_many(students);
    tally.gave_up.add_many(students);
}

fn end(mut workers: Vec<Worker>) {
    for worker in &mut workers {
        drop(worker.input.take());
    }
    let end = Instant::now() + END_LIMIT;
    for worker in &workers {
        let left = end.saturating_duration_since(Instant::now());
        let _ = worker.ended.recv_timeout(left);
        let _ = worker.process.kill();
    }
}

impl Worker {
    fn spawn(
        plan: &FleetPlan,
        scratch: &Arc<Scratch>,
        script: &Path,
        share: String,
        tally: &Arc<Tally>,
    ) -> Result<Self, DemoError> {
        let errors = std::fs::File::options()
            .create(true)
            .append(true)
            .open(scratch.path().join("errors"))?;
        let mut command = Command::new(&plan.python);
        command
            .arg(script)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(errors);
        let process = Process::spawn(&mut command, scratch)?;
        let (input, output, _) = process.take_pipes();
        let output = output.ok_or_else(|| std::io::Error::from(std::io::ErrorKind::BrokenPipe))?;
        let (say_ready, ready) = channel();
        let (say_ended, ended) = channel();
        let tally = Arc::clone(tally);
        let listen = move || {
            listen(output, &tally, || say_ready.send(()).unwrap_or_default());
            drop(say_ended);
        };
        std::thread::Builder::new()
            .name("weir-demo-worker".to_owned())
            .spawn(listen)?;
        let mut worker = Self {
            process,
            input,
            ready,
            ended,
        };
        // One that has ended already is found when it is waited for.
        let _ = worker.write(&share);
        Ok(worker)
    }

    /// Its number, if it was lost.
    fn lost((number, worker): (usize, &Self)) -> Option<usize> {
        worker.input.is_none().then_some(number)
    }

    fn write(&mut self, line: &str) -> std::io::Result<()> {
        match &mut self.input {
            Some(input) => input.write_all(format!("{line}\n").as_bytes()),
            None => Err(std::io::ErrorKind::BrokenPipe.into()),
        }
    }
}

/// Adds up what a worker prints, until it ends.
fn listen(output: ChildStdout, tally: &Tally, on_ready: impl Fn()) {
    for line in BufReader::new(output).lines().map_while(Result::ok) {
        let Ok(news) = serde_json::from_str::<News>(&line) else {
            continue;
        };
        if news.ready {
            on_ready();
        }
        news.add_to(tally);
    }
}

impl News {
    fn add_to(&self, tally: &Tally) {
        let times = [
            (Op::Connect, &self.times.connect),
            (Op::FindUser, &self.times.find_user),
            (Op::FetchQuiz, &self.times.fetch_quiz),
            (Op::StartAttempt, &self.times.start_attempt),
            (Op::SubmitAnswer, &self.times.submit_answer),
        ];
        for (op, times) in times {
            for seconds in times {
                let took = Duration::try_from_secs_f64(*seconds).unwrap_or_default();
                tally.succeeded(op, took);
            }
        }
        if let Some(error) = &self.error {
            tally.note_surprise(error);
        }
        let now = tokio::time::Instant::now();
        // Who has an outcome has also arrived.
        tally.arrived.add_many(self.arrived);
        tally.refused.add_many(self.refused);
        (0..self.failed).for_each(|_| tally.note_failed(now));
        tally.served.add_many(self.served);
        tally.gave_up.add_many(self.gave_up);
    }
}

/// A worker's plan, as one line: every twelfth student is its own.
fn share(plan: &FleetPlan, exam: &Exam, number: usize, uri: &str) -> String {
    let students: Vec<_> = students_of(exam, number)
        .map(|student| student_json(&exam.plan(student)))
        .collect();
    let share = json!({
        "uri": uri,
        "database": plan.database,
        "quiz": QUIZ,
        "threads": THREADS,
        "patience": exam.patience.as_secs_f64(),
        "students": students,
    });
    share.to_string()
}

/// The students of one worker.
fn students_of(exam: &Exam, number: usize) -> impl Iterator<Item = u32> {
    let all = TASKS * WORKERS;
    (0..exam.students).filter(move |student| *student as usize % all == number)
}

fn student_json(plan: &Plan) -> serde_json::Value {
    json!([
        student_id(plan.student),
        plan.arrival.as_secs_f64(),
        plan.thinks.map(|think| think.as_secs_f64()),
        plan.choices,
    ])
}

fn last_line(file: &Path) -> String {
    let said = std::fs::read_to_string(file).unwrap_or_default();
    let last = said.lines().rev().find(|line| !line.trim().is_empty());
    last.unwrap_or("it said nothing in time").to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exam() -> Exam {
        Exam {
            students: 30,
            length: Duration::from_secs(20),
            patience: Duration::from_secs(10),
            seed: 1,
        }
    }

    #[test]
    fn every_student_has_one_worker() {
        let plan = FleetPlan {
            python: PathBuf::new(),
            temporary: PathBuf::new(),
            uris: Vec::new(),
            database: "quiz".to_owned(),
        };
        let mut seen = Vec::new();
        for number in 0..TASKS * WORKERS {
            let line = share(&plan, &exam(), number, "mongodb://h");
            assert!(!line.contains('\n'));
            let share: serde_json::Value = serde_json::from_str(&line).unwrap();
            let students = share["students"].as_array().unwrap().iter();
            seen.extend(students.map(|one| one[0].as_str().unwrap().to_owned()));
        }
        seen.sort();
        let expected: Vec<_> = (0..30).map(student_id).collect();
        assert_eq!(seen, expected);
    }

    /// A stand-in for Python: the first one to start ends at once, with what PyMongo says
    /// when the server takes no more connections.
    const STAND_IN: &str = r#"#!/bin/sh
        if mkdir "$0.first" 2>/dev/null; then
            echo 'pymongo.errors.AutoReconnect: connection closed' >&2
            exit 1
        fi
        read -r plan && echo '{"ready": true}'
        read -r start && echo '{"ready": true}'
        read -r begin && echo '{"arrived": 1, "served": 1}'
        read -r end
    "#;

    #[tokio::test(flavor = "multi_thread")]
    async fn a_worker_that_ends_at_its_start_does_not_end_the_demo() {
        use std::os::unix::fs::PermissionsExt;

        let temporary = std::env::temp_dir();
        let scratch = Scratch::new(&temporary, "weir-stand-in").unwrap();
        let python = scratch.path().join("python");
        std::fs::write(&python, STAND_IN).unwrap();
        std::fs::set_permissions(&python, std::fs::Permissions::from_mode(0o755)).unwrap();
        let plan = FleetPlan {
            python,
            temporary,
            uris: vec!["mongodb://h".to_owned()],
            database: "quiz".to_owned(),
        };
        let exam = Exam {
            students: 12,
            ..exam()
        };
        let tally = Arc::new(Tally::default());
        let fleet = Fleet::start(&plan, &exam, &tally).await.unwrap();
        fleet.end().await;
        let counts = [
            &tally.arrived,
            &tally.served,
            &tally.gave_up,
            &tally.refused,
        ];
        assert_eq!(counts.map(|count| count.get()), [12, 11, 1, 1]);
        assert!(tally.surprise().unwrap().contains("AutoReconnect"));
    }

    #[test]
    fn a_lost_worker_is_a_refusal_and_its_students_gave_up() {
        let tally = Tally::default();
        note_lost(&tally, students_of(&exam(), 3).count());
        let counts = [&tally.arrived, &tally.gave_up, &tally.refused];
        assert_eq!(counts.map(|count| count.get()), [3, 3, 1]);
    }

    #[test]
    fn what_a_worker_says_is_counted_as_that_of_an_environment() {
        let tally = Tally::default();
        let line = r#"{"arrived": 3, "served": 1, "gave_up": 1, "refused": 7, "failed": 2,
            "error": "odd", "times": {"find_user": [0.01, 0.02], "submit_answer": [0.5]}}"#;
        serde_json::from_str::<News>(line).unwrap().add_to(&tally);
        let counts = [
            &tally.arrived,
            &tally.served,
            &tally.gave_up,
            &tally.refused,
            &tally.failed,
        ];
        assert_eq!(counts.map(|count| count.get()), [3, 1, 1, 7, 2]);
        assert_eq!((tally.done.get(), tally.answers.get()), (3, 1));
        assert_eq!(tally.surprise().as_deref(), Some("odd"));
        let slowest = tally.latency(Op::SubmitAnswer).unwrap().p99;
        assert_eq!(slowest, Duration::from_millis(500));
    }
}
