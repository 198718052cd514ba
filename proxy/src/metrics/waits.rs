//! How long operations waited, counted in buckets that cost one addition each.
//!
//! The recorder's own summaries forget. These counts are kept, so that the difference of two
//! moments says what happened between them. They begin when they are first read: only `weir
//! bench pressure` reads them, and no other operation pays for them. A bucket is a sixteenth of
//! a power of two wide: percentiles are at most 6 % too long.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Buckets per power of two, as a power of two itself.
const SHIFT: u32 = 4;
/// Enough for 2³⁶ µs, which is most of a day.
const BUCKETS: usize = ((36 - SHIFT + 2) << SHIFT) as usize;

/// The counts of one lane.
#[derive(Debug)]
pub struct Buckets(Box<[AtomicU64]>);

impl Default for Buckets {
    fn default() -> Self {
        Self((0..BUCKETS).map(|_| AtomicU64::new(0)).collect())
    }
}

impl Buckets {
    /// One more wait.
    pub fn record(&self, waited: Duration) {
        let micros = u64::try_from(waited.as_micros()).unwrap_or(u64::MAX);
        if let Some(bucket) = self.0.get(bucket_of(micros).min(BUCKETS - 1)) {
            bucket.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// The counts now.
    #[must_use]
    pub fn so_far(&self) -> WaitTimes {
        let counts = self.0.iter().map(|count| count.load(Ordering::Relaxed));
        WaitTimes(counts.collect())
    }
}

/// The counts of one moment, or of the time between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct WaitTimes(Vec<u64>);

impl WaitTimes {
    /// What came after `earlier`.
    #[must_use]
    pub fn since(&self, earlier: &Self) -> Self {
        let counts = self.0.iter().enumerate().map(|(at, count)| {
            let before = earlier.0.get(at).copied().unwrap_or(0);
            count.saturating_sub(before)
        });
        Self(counts.collect())
    }

    /// How many waits were counted.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.0.iter().sum()
    }

    /// A time that `percent` of all waits did not exceed; none without waits.
    #[must_use]
    pub fn percentile(&self, percent: u64) -> Option<Duration> {
        let rank = (self.count() * percent).div_ceil(100).max(1);
        let mut seen = 0;
        let bucket = self.0.iter().position(|count| {
            seen += count;
            seen >= rank
        })?;
        Some(Duration::from_micros(longest_in(bucket)))
    }
}

/// Small numbers have a bucket each; above, the highest five bits name it.
fn bucket_of(micros: u64) -> usize {
    let exponent = micros.max(1).ilog2();
    let bucket = match exponent.checked_sub(SHIFT) {
        None => micros,
        Some(up) => (u64::from(up) << SHIFT) + (micros >> up),
    };
    usize::try_from(bucket).unwrap_or(usize::MAX)
}

/// The longest wait that falls into a bucket.
fn longest_in(bucket: usize) -> u64 {
    let bucket = bucket as u64;
    let one = 1 << SHIFT;
    match (bucket >> SHIFT).checked_sub(1) {
        None => bucket,
        Some(up) => (((bucket & (one - 1)) + one + 1) << up) - 1,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_wait_falls_into_a_bucket_that_is_hardly_longer() {
        for micros in (0..100_000).chain([1 << 20, (1 << 30) + 12_345, 1 << 35]) {
            let bucket = bucket_of(micros);
            assert!(bucket < BUCKETS);
            let longest = longest_in(bucket);
            assert!(longest >= micros, "{micros} in a bucket up to {longest}");
            assert!(longest <= micros + micros / 16, "{micros}: {longest}");
            assert_eq!(bucket_of(longest), bucket);
            assert_eq!(bucket_of(longest + 1), bucket + 1);
        }
    }

    #[test]
    fn percentiles_are_those_of_the_time_between_two_moments() {
        let buckets = Buckets::default();
        (0..500).for_each(|_| buckets.record(Duration::from_secs(9)));
        let before = buckets.so_far();
        (1..=100).for_each(|ms| buckets.record(Duration::from_millis(ms)));
        let waits = buckets.so_far().since(&before);
        assert_eq!(waits.count(), 100);
        let ms = |percent| waits.percentile(percent).unwrap().as_secs_f64() * 1_000.0;
        assert!((50.0..53.2).contains(&ms(50)), "{}", ms(50));
        assert!((99.0..105.3).contains(&ms(99)), "{}", ms(99));
        assert_eq!(before.since(&before).percentile(50), None);
    }

    #[test]
    fn the_longest_waits_are_counted_too() {
        let buckets = Buckets::default();
        buckets.record(Duration::MAX);
        assert_eq!(buckets.so_far().count(), 1);
    }
}
