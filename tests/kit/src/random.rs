//! Repeatable randomness: the same seed gives the same exam in both phases.

use std::time::Duration;

/// A small generator. Each student has one, so that the order in which tasks run cannot change
/// what any of them does.
#[derive(Clone, Debug)]
pub struct Random(fastrand::Rng);

impl Random {
    /// The generator of one student in one exam.
    #[must_use]
    pub fn for_student(seed: u64, student: u32) -> Self {
        // The generator mixes its seed, so neighbouring students get unrelated numbers.
        Self(fastrand::Rng::with_seed(seed ^ (u64::from(student) << 32)))
    }

    /// The next 64 bits.
    pub fn number(&mut self) -> u64 {
        self.0.u64(..)
    }

    /// A number in `0.0..1.0`.
    pub fn unit(&mut self) -> f64 {
        self.0.f64()
    }

    /// A time in `mean × 0.5 .. mean × 1.5`.
    pub fn around(&mut self, mean: Duration) -> Duration {
        mean.mul_f64(0.5 + self.unit())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn same_seed_same_numbers_and_students_differ() {
        let draw = |seed, student| {
            let mut random = Random::for_student(seed, student);
            [random.number(), random.number(), random.number()]
        };
        assert_eq!(draw(7, 1), draw(7, 1));
        assert_ne!(draw(7, 1), draw(7, 2));
        assert_ne!(draw(7, 1), draw(8, 1));
    }

    #[test]
    fn unit_stays_in_its_range_and_fills_it() {
        let mut random = Random::for_student(1, 1);
        let draws: Vec<f64> = (0..10_000).map(|_| random.unit()).collect();
        assert!(draws.iter().all(|x| (0.0..1.0).contains(x)));
        let mean = draws.iter().sum::<f64>() / 10_000.0;
        assert!((0.48..0.52).contains(&mean), "mean {mean}");
    }
}
