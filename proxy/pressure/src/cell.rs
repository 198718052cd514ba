//! What one number of clients on one pool came to.

use std::time::Duration;

use serde::Serialize;

use crate::knee::Point;
use crate::proxy::{Account, Glance};
use weir::metrics::waits::WaitTimes;

/// What clients saw.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Seen {
    /// How many there were.
    pub(super) clients: u32,
    /// Successes while it was measured.
    pub(super) operations: u64,
    /// The same per second.
    pub(super) operations_per_second: f64,
    /// From question to answer.
    pub(super) latency_ms: Percentiles,
    /// Operations that failed, and connections that were refused, from the first client on.
    pub(super) failed: u64,
    /// The first error.
    pub(super) first_error: Option<String>,
    /// How much of its time this process was busy, over all its threads: near 1, this machine
    /// was the limit, not the deployment.
    pub(super) load_busy: f64,
}

/// One number of clients on one pool.
#[derive(Clone, Debug, Default, Serialize)]
pub(super) struct Cell {
    /// `--max-connections`.
    pub(super) max_connections: u32,
    #[serde(flatten)]
    pub(super) seen: Seen,
    /// Waits of ordinary operations for a connection, by Weir's own count.
    pub(super) checkout_wait_ms: Percentiles,
    /// The same for getMore and other finishing work.
    pub(super) finishing_wait_ms: Percentiles,
    /// Most operations waiting at one moment, looked at 50 times a second.
    pub(super) queue_depth_max: u64,
    /// Connections in use.
    pub(super) lanes: Lanes,
    /// Operations that Weir shed, or that waited longer than `--queue-timeout`.
    pub(super) sheds: u64,
    /// Other errors of Weir's own.
    pub(super) refused: u64,
    /// Most sockets to the node at one moment, those that watch it counted in.
    pub(super) sockets_max: u64,
    /// Throughput and latency as a multiple of what was compared.
    pub(super) against: Option<Against>,
}

/// Multiples of what was compared.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub(super) struct Against {
    pub(super) operations_per_second: f64,
    pub(super) latency_p99: f64,
}

/// Two points of a distribution, in milliseconds; none without values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Percentiles {
    pub(super) p50: Option<f64>,
    pub(super) p99: Option<f64>,
}

/// Connections in use by lane.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub(super) struct Lanes {
    pub(super) normal: Use,
    pub(super) finishing: Use,
    pub(super) awaiting: Use,
}

/// Connections in use over many looks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub(super) struct Use {
    pub(super) mean: f64,
    pub(super) max: u64,
}

/// Looks at a Weir, added up.
#[derive(Debug, Default)]
pub(super) struct Glances {
    looks: u64,
    queued: u64,
    sockets: u64,
    sums: [u64; 3],
    most: [u64; 3],
}

impl Glances {
    /// One more look.
    pub(super) fn add(&mut self, glance: Glance) {
        self.looks += 1;
        self.queued = self.queued.max(glance.queued);
        self.sockets = self.sockets.max(glance.sockets);
        let lanes = self.sums.iter_mut().zip(&mut self.most).zip(glance.lanes);
        for ((sum, most), now) in lanes {
            *sum += now;
            *most = (*most).max(now);
        }
    }

    fn lanes(&self) -> Lanes {
        let [normal, finishing, awaiting] = self.sums;
        let [most_normal, most_finishing, most_awaiting] = self.most;
        let of = |sum: u64, max| Use {
            mean: ratio(sum, self.looks),
            max,
        };
        Lanes {
            normal: of(normal, most_normal),
            finishing: of(finishing, most_finishing),
            awaiting: of(awaiting, most_awaiting),
        }
    }
}

impl Cell {
    /// Puts together what clients and Weir saw.
    pub(super) fn new(pool: u32, seen: Seen, account: &Account, glances: &Glances) -> Self {
        let [normal, finishing, _] = &account.waits;
        Self {
            max_connections: pool,
            seen,
            checkout_wait_ms: Percentiles::of_waits(normal),
            finishing_wait_ms: Percentiles::of_waits(finishing),
            queue_depth_max: glances.queued,
            lanes: glances.lanes(),
            sheds: account.shed,
            refused: account.refused,
            sockets_max: glances.sockets,
            against: None,
        }
    }

    /// What the knee is found by.
    pub(super) fn point(&self) -> Point {
        let wait = self.checkout_wait_ms.p99.unwrap_or(0.0);
        Point {
            pool: self.max_connections,
            rate: self.seen.operations_per_second,
            wait: Duration::from_secs_f64(wait / 1_000.0),
            lost: self.sheds + self.refused + self.seen.failed,
        }
    }

    /// Sets itself against what was compared.
    pub(super) fn set_against(&mut self, other: &Seen) {
        let divide = |ours: f64, theirs: f64| (theirs > 0.0).then(|| ours / theirs);
        let (ours, theirs) = (&self.seen, other);
        let rate = divide(ours.operations_per_second, theirs.operations_per_second);
        let (p99, others) = (ours.latency_ms.p99, theirs.latency_ms.p99);
        let latency = p99
            .zip(others)
            .and_then(|(ours, theirs)| divide(ours, theirs));
        self.against = rate.zip(latency).map(|(rate, latency)| Against {
            operations_per_second: rate,
            latency_p99: latency,
        });
    }
}

impl Percentiles {
    /// Of ascending microseconds.
    pub(super) fn of_micros(sorted: &[u32]) -> Self {
        let rank = |percent: usize| {
            let rank = (sorted.len() * percent).div_ceil(100).checked_sub(1)?;
            sorted.get(rank).map(|micros| f64::from(*micros) / 1_000.0)
        };
        Self {
            p50: rank(50),
            p99: rank(99),
        }
    }

    fn of_waits(waits: &WaitTimes) -> Self {
        let ms = |percent| {
            let time = waits.percentile(percent)?;
            Some(time.as_secs_f64() * 1_000.0)
        };
        Self {
            p50: ms(50),
            p99: ms(99),
        }
    }
}

#[expect(
    clippy::cast_precision_loss,
    reason = "counts of operations and looks are small"
)]
pub(super) fn ratio(sum: u64, by: u64) -> f64 {
    sum as f64 / by.max(1) as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lane_use_is_the_mean_and_the_most_of_all_looks() {
        let mut glances = Glances::default();
        for (normal, queued, sockets) in [(2, 0, 4), (6, 9, 8), (4, 3, 8)] {
            glances.add(Glance {
                queued,
                lanes: [normal, 1, 0],
                sockets,
            });
        }
        let cell = Cell::new(10, Seen::default(), &Account::default(), &glances);
        assert_eq!(cell.lanes.normal, Use { mean: 4.0, max: 6 });
        assert_eq!(cell.lanes.finishing, Use { mean: 1.0, max: 1 });
        assert_eq!((cell.queue_depth_max, cell.sockets_max), (9, 8));
    }

    #[test]
    fn ratios_are_ours_over_theirs_and_absent_where_nothing_was_done() {
        let seen = |rate, p99| Seen {
            operations_per_second: rate,
            latency_ms: Percentiles { p50: p99, p99 },
            ..Seen::default()
        };
        let mut cell = Cell {
            seen: seen(900.0, Some(5.0)),
            ..Cell::default()
        };
        cell.set_against(&seen(1_000.0, Some(10.0)));
        let expected = Against {
            operations_per_second: 0.9,
            latency_p99: 0.5,
        };
        assert_eq!(cell.against, Some(expected));
        cell.set_against(&seen(0.0, None));
        assert_eq!(cell.against, None);
    }

    #[test]
    fn every_operation_that_did_not_succeed_is_lost() {
        let cell = Cell {
            sheds: 1,
            refused: 2,
            seen: Seen {
                failed: 4,
                ..Seen::default()
            },
            ..Cell::default()
        };
        assert_eq!(cell.point().lost, 7);
    }

    #[test]
    fn percentiles_are_nearest_ranks() {
        let micros: Vec<u32> = (1..=1_000).collect();
        let expected = Percentiles {
            p50: Some(0.5),
            p99: Some(0.99),
        };
        assert_eq!(Percentiles::of_micros(&micros), expected);
        assert_eq!(Percentiles::of_micros(&[]), Percentiles::default());
    }
}
