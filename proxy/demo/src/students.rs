//! One simulated Lambda environment with one student in it.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::{Instant, sleep, sleep_until, timeout_at};
use tokio_util::task::AbortOnDropHandle;

use super::driver::Driver;
use super::exam::Plan;
use super::link::{Failure, Link};
use super::monitor::monitor;
use super::tally::Op;
use super::world::World;
use weir_kit::messages::Values;

/// A student who got an error page loads it again after this time.
pub(super) const RELOAD: Duration = Duration::from_secs(1);

/// The student sat the whole exam, or gave up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Outcome {
    /// Every operation succeeded in the end.
    Served,
    /// One did not, for as long as the student's patience lasted.
    GaveUp,
}

/// Lives one student's exam. A served student's environment keeps its sockets
/// until the task is aborted, as Lambda keeps an environment for minutes after
/// its last request; one that gave up is ended by Lambda's own timeout, which
/// closes them.
pub(super) async fn attend(world: Arc<World>, plan: Plan) {
    sleep(plan.arrival).await;
    world.tally.arrived.add();
    let link = Arc::new(Link::default());
    let watching = {
        let (world, link) = (world.clone(), link.clone());
        AbortOnDropHandle::new(tokio::spawn(async move { monitor(&world, &link).await }))
    };
    let mut student = Student {
        driver: Driver::new(world.clone(), link),
        values: Values {
            student: plan.student,
            session: session(world.salt, plan.student),
            ..Values::default()
        },
        world,
    };
    match student.sit(&plan).await {
        Outcome::GaveUp => student.world.tally.gave_up.add(),
        Outcome::Served => {
            student.world.tally.served.add();
            std::future::pending::<()>().await;
        }
    }
    drop(watching);
}

/// A session id of the student's own.
fn session(salt: [u8; 16], student: u32) -> [u8; 16] {
    (u128::from_le_bytes(salt) ^ u128::from(student)).to_le_bytes()
}

struct Student {
    world: Arc<World>,
    driver: Driver,
    values: Values,
}

impl Student {
    async fn sit(&mut self, plan: &Plan) -> Outcome {
        if !self.perform(Op::Connect).await {
            return Outcome::GaveUp;
        }
        let opening = [Op::FindUser, Op::FetchQuiz, Op::StartAttempt];
        let answers = plan.choices.map(|choice| (Op::SubmitAnswer, choice));
        let script = opening.map(|op| (op, 0)).into_iter().chain(answers);
        for ((op, choice), think) in script.zip(plan.thinks) {
            sleep(think).await;
            self.values.choice = choice;
            self.values.question += i32::from(op == Op::SubmitAnswer);
            if !self.perform(op).await {
                return Outcome::GaveUp;
            }
        }
        Outcome::Served
    }

    /// Does `op`, loading the page again after an error, until it succeeds or
    /// patience is over; says whether it succeeded.
    async fn perform(&mut self, op: Op) -> bool {
        let started = Instant::now();
        let deadline = started + self.world.patience;
        let mut reloaded = false;
        loop {
            let asked = Instant::now();
            match timeout_at(deadline, self.request(op)).await {
                Ok(Ok(())) => break,
                // The answer to an earlier try was lost, its effect was not.
                Ok(Err(error)) if reloaded && error.is_duplicate_key() => break,
                Ok(Err(error)) => {
                    self.world.tally.note_failure(&error, asked);
                    let again = Instant::now() + RELOAD;
                    if again >= deadline {
                        return false;
                    }
                    sleep_until(again).await;
                    reloaded = true;
                }
                // No answer at all: the page was still loading.
                Err(_) => {
                    self.world.tally.note_failed(asked);
                    return false;
                }
            }
        }
        self.world.tally.succeeded(op, started.elapsed());
        true
    }

    /// What the application asks its driver for, once.
    async fn request(&mut self, op: Op) -> Result<(), Failure> {
        let template = match op {
            Op::Connect => return self.driver.connect().await,
            Op::FindUser => &self.world.messages.find_user,
            Op::FetchQuiz => &self.world.messages.fetch_quiz,
            Op::StartAttempt => &self.world.messages.start_attempt,
            Op::SubmitAnswer => &self.world.messages.submit_answer,
        };
        self.values.transaction += 1;
        self.driver.run(&template.fill(&self.values)).await
    }
}

#[cfg(test)]
mod tests;
