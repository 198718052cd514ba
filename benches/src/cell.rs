//! What was measured of one load, and the medians of it.

use crate::args::{ContenderName, Measure};
use crate::measure::{Sample, Task};

/// All samples of one contender under one load, one for each round.
pub(crate) struct Series {
    /// The contender.
    pub(crate) contender: ContenderName,
    /// In the order of the rounds.
    pub(crate) samples: Vec<Sample>,
}

impl Series {
    /// The median over the rounds of one number.
    pub(crate) fn median(&self, number: impl Fn(&Sample) -> f64) -> f64 {
        median(self.samples.iter().map(number).collect())
    }

    /// The median over the rounds of this contender's number by another's of the same round.
    pub(crate) fn ratio(&self, other: &Self, number: impl Fn(&Sample) -> f64) -> f64 {
        let pairs = self.samples.iter().zip(&other.samples);
        let ratios = pairs.map(|(mine, theirs)| number(mine) / number(theirs).max(f64::EPSILON));
        median(ratios.collect())
    }
}

/// The middle one; the mean of both in the middle of an even number.
fn median(mut numbers: Vec<f64>) -> f64 {
    numbers.sort_by(f64::total_cmp);
    let middle = numbers.len() / 2;
    match (numbers.get(middle), numbers.len() % 2) {
        (Some(&upper), 0) => {
            let lower = numbers.get(middle - 1).copied().unwrap_or(upper);
            f64::midpoint(lower, upper)
        }
        (Some(&one), _) => one,
        (None, _) => f64::NAN,
    }
}

/// One load with its series.
pub(crate) struct Cell {
    /// What was measured.
    pub(crate) measure: Measure,
    /// The load.
    pub(crate) task: Task,
    /// `--max-connections` of Weir.
    pub(crate) cap: usize,
    /// One for each contender.
    pub(crate) series: Vec<Series>,
}

impl Cell {
    /// The series of a contender, if it was measured.
    pub(crate) fn of(&self, contender: ContenderName) -> Option<&Series> {
        self.series
            .iter()
            .find(|series| series.contender == contender)
    }
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_or_the_mean_of_both_middles() {
        assert!((median(vec![9.0, 1.0, 5.0]) - 5.0).abs() < 1e-9);
        assert!((median(vec![4.0, 1.0, 2.0, 9.0]) - 3.0).abs() < 1e-9);
        assert!(median(Vec::new()).is_nan());
    }
}
