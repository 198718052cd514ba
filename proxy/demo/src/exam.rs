//! The exam: who arrives when, and how long each student thinks.
//!
//! Time is compressed. A real exam start spreads over a minute and a student
//! reads a question for longer; the shape is kept: everybody arrives in a
//! burst, most of them at its beginning, and nobody leaves.

use std::time::Duration;

use weir_kit::random::Random;

/// Questions in the quiz; one fetch brings all of them.
pub(super) const QUESTIONS: i32 = 20;

/// Answers a student submits in the part of the exam that is played.
pub(super) const ANSWERS: usize = 5;

/// Operations of one student: find the user, fetch the quiz, start the
/// attempt, submit the answers.
pub(super) const OPERATIONS: usize = 3 + ANSWERS;

/// What both phases have in common.
#[derive(Clone, Copy, Debug)]
pub(super) struct Exam {
    /// Students, each in a Lambda environment of its own.
    pub(super) students: u32,
    /// The longest a phase lasts.
    pub(super) length: Duration,
    /// How long a student waits for one answer before giving up.
    pub(super) patience: Duration,
    /// Seed of all arrival and thinking times.
    pub(super) seed: u64,
}

impl Exam {
    /// All students have arrived by then.
    pub(super) fn arrivals(&self) -> Duration {
        self.length / 2
    }

    /// Operations of all students together.
    pub(super) fn operations(&self) -> u64 {
        u64::from(self.students) * OPERATIONS as u64
    }

    /// What the student of this number is going to do.
    pub(super) fn plan(&self, student: u32) -> Plan {
        let mut random = Random::for_student(self.seed, student);
        // Squaring puts half of the arrivals into the first quarter.
        let arrival = self.arrivals().mul_f64(random.unit().powi(2));
        // A quarter of the phase is spent thinking, so that the last arrival
        // can finish well before its end.
        let pause = self.length / 4 / OPERATIONS as u32;
        let thinks = std::array::from_fn(|_| random.around(pause));
        let choices = std::array::from_fn(|_| (random.number() % 4) as i32);
        Plan {
            student,
            arrival,
            thinks,
            choices,
        }
    }
}

/// One student's exam.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// The student's number, from 0.
    pub(super) student: u32,
    /// From the start of the phase to the student's first connection.
    pub(super) arrival: Duration,
    /// The pause before each operation.
    pub(super) thinks: [Duration; OPERATIONS],
    /// The choice made in each answer, 0 to 3.
    pub(super) choices: [i32; ANSWERS],
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exam() -> Exam {
        Exam {
            students: 1_500,
            length: Duration::from_secs(20),
            patience: Duration::from_secs(10),
            seed: 42,
        }
    }

    #[test]
    fn both_phases_play_the_same_exam() {
        let (first, second) = (exam(), exam());
        assert!((0..1_500).all(|n| first.plan(n) == second.plan(n)));
        let other = Exam { seed: 43, ..exam() };
        assert_ne!(first.plan(0), other.plan(0));
    }

    #[test]
    fn everybody_can_finish_before_the_end() {
        let exam = exam();
        for plan in (0..exam.students).map(|n| exam.plan(n)) {
            assert!(plan.arrival <= exam.arrivals());
            let busy = plan.arrival + plan.thinks.iter().sum::<Duration>();
            assert!(busy < exam.length.mul_f64(0.9), "{plan:?}");
        }
    }

    #[test]
    fn arrivals_come_in_a_burst_at_the_start() {
        let exam = exam();
        let early = (0..exam.students)
            .filter(|&n| exam.plan(n).arrival <= exam.arrivals() / 4)
            .count();
        assert!((675..825).contains(&early), "{early} of 1500");
    }
}
