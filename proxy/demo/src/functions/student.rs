//! One student, whose every request is an invocation of the environment of its own.

use std::sync::Arc;
use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep, sleep_until, timeout_at};

use super::environment::Environment;
use crate::exam::Plan;
use crate::students::RELOAD;
use crate::tally::{Counter, Op, Tally};
use weir_kit::messages::{QUIZ, student_id};

/// What the students of a phase have in common.
#[derive(Debug)]
pub(super) struct Course {
    /// How long a student waits for one answer.
    pub(super) patience: Duration,
    /// What they did.
    pub(super) tally: Arc<Tally>,
    /// Answers of functions whose driver was not where it should be.
    pub(super) strays: Counter,
}

/// What the function says.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Answer {
    ok: bool,
    duplicate: bool,
    /// The driver's error.
    error: Option<String>,
    /// It has nothing to do with connecting.
    odd: bool,
    /// Sockets that were refused since the last answer.
    refused: u64,
    /// The addresses that the driver knows.
    hosts: Vec<String>,
    /// What Lambda says when the function could not answer.
    #[serde(rename = "errorMessage")]
    lambda: Option<String>,
}

/// Lives one student's exam. The environment of one who was served stays, as Lambda keeps it;
/// that of one who gave up ends, as by Lambda's own timeout.
pub(super) async fn attend(course: Arc<Course>, environment: Environment, plan: Plan) {
    sleep(plan.arrival).await;
    course.tally.arrived.add();
    let student = Student {
        course: &course,
        environment: &environment,
    };
    if student.sit(&plan).await {
        course.tally.served.add();
        std::future::pending::<()>().await;
    }
    course.tally.gave_up.add();
    let _ = spawn_blocking(move || drop(environment)).await;
}

struct Student<'a> {
    course: &'a Course,
    environment: &'a Environment,
}

impl Student<'_> {
    /// Whether every request was answered in the end.
    async fn sit(&self, plan: &Plan) -> bool {
        let student = student_id(plan.student);
        let event = |op: Op, question: usize, choice: i32| {
            json!({
                "request": op as usize,
                "student": student,
                "quiz": QUIZ,
                "question": question,
                "choice": choice,
            })
        };
        if !self.perform(Op::Connect, event(Op::Connect, 0, 0)).await {
            return false;
        }
        let opening = [Op::FindUser, Op::FetchQuiz, Op::StartAttempt].map(|op| (op, 0, 0));
        let answers = plan.choices.iter().enumerate();
        let answers = answers.map(|(at, choice)| (Op::SubmitAnswer, at + 1, *choice));
        let script = opening.into_iter().chain(answers);
        for ((op, question, choice), think) in script.zip(plan.thinks) {
            sleep(think).await;
            if !self.perform(op, event(op, question, choice)).await {
                return false;
            }
        }
        true
    }

    /// Does `op`, loading the page again after an error, until it succeeds or patience is over.
    async fn perform(&self, op: Op, event: Value) -> bool {
        let started = Instant::now();
        let deadline = started + self.course.patience;
        let mut reloaded = false;
        loop {
            let asked = Instant::now();
            let Ok(answer) = timeout_at(deadline, self.environment.invoke(&event)).await else {
                self.course.tally.note_failed(asked);
                return false;
            };
            let answer = match answer {
                Ok(said) => serde_json::from_value(said).unwrap_or_default(),
                Err(error) => Answer {
                    lambda: Some(error.to_string()),
                    ..Answer::default()
                },
            };
            // The answer to an earlier try was lost, its effect was not.
            if self.is_success(&answer, asked) || (reloaded && answer.duplicate) {
                self.course.tally.succeeded(op, started.elapsed());
                return true;
            }
            let again = Instant::now() + RELOAD;
            if again >= deadline {
                return false;
            }
            sleep_until(again).await;
            reloaded = true;
        }
    }

    /// Counts what an answer tells, and says whether it is one.
    fn is_success(&self, answer: &Answer, asked: Instant) -> bool {
        let tally = &self.course.tally;
        tally.refused.add_many(answer.refused);
        if answer.ok {
            if !self.environment.is_served_by_extension(&answer.hosts) {
                self.course.strays.add();
            }
            return true;
        }
        if answer.duplicate {
            return false;
        }
        tally.note_failed(asked);
        let surprise = answer.error.as_ref().filter(|_| answer.odd);
        if let Some(error) = surprise.or(answer.lambda.as_ref()) {
            tally.note_surprise(error);
        }
        false
    }
}
