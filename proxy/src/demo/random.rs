//! Repeatable randomness: the same seed gives the same exam in both phases.
//!
//! `SplitMix64` (Steele, Lea, Flood: "Fast splittable pseudorandom number
//! generators", 2014). It decides arrival and thinking times, nothing secret.

use std::time::Duration;

/// A small generator; one per student, so that the order in which tasks run
/// cannot change what any of them does.
#[derive(Clone, Debug)]
pub(crate) struct Random(u64);

impl Random {
    /// The generator of one student in one exam.
    pub(crate) fn for_student(seed: u64, student: u32) -> Self {
        let mut random = Self(seed ^ (u64::from(student) << 32 | u64::from(student)));
        random.next();
        random
    }

    /// The next 64 bits.
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number in `0.0..1.0`.
    pub(crate) fn unit(&mut self) -> f64 {
        // 53 bits are what an f64 holds exactly.
        let bits = self.next() >> 11;
        #[allow(clippy::cast_precision_loss)]
        let fraction = bits as f64 / (1_u64 << 53) as f64;
        fraction
    }

    /// A time in `mean × 0.5 .. mean × 1.5`.
    pub(crate) fn around(&mut self, mean: Duration) -> Duration {
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
            [random.next(), random.next(), random.next()]
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
