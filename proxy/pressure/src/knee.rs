//! Which pool is enough. Pure.
//!
//! The knee of one number of clients is **the smallest pool whose throughput is within 5 % of
//! the best and whose 99th percentile of waiting for a connection stays under the bound**.
//! Only pools that turned no operation away are looked at. Where no pool near the best keeps
//! the bound, the knee is the one among them with the shortest wait, and `calm` is false: so
//! many clients ask for more than the deployment answers, whatever the pool.

use std::time::Duration;

/// How much of the best throughput is as good as the best.
const NEAR: f64 = 0.95;

/// One pool under one number of clients.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) struct Point {
    /// `--max-connections`.
    pub(super) pool: u32,
    /// Operations per second.
    pub(super) rate: f64,
    /// 99th percentile of waiting for a connection.
    pub(super) wait: Duration,
    /// Operations that Weir turned away, or that failed.
    pub(super) lost: u64,
}

/// The pool that is enough.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Knee {
    /// `--max-connections`.
    pub(super) pool: u32,
    /// The wait is under the bound and nothing was lost.
    pub(super) calm: bool,
}

/// The knee among `points`; none without points.
pub(super) fn knee(points: &[Point], bound: Duration) -> Option<Knee> {
    let whole: Vec<_> = points.iter().filter(|point| point.lost == 0).collect();
    if whole.is_empty() {
        let least = points.iter().min_by_key(|point| (point.lost, point.pool));
        return least.map(|point| Knee {
            pool: point.pool,
            calm: false,
        });
    }
    let best = whole.iter().map(|point| point.rate).fold(0.0, f64::max);
    let near = || whole.iter().filter(|point| point.rate >= best * NEAR);
    let calm = near().filter(|point| point.wait <= bound);
    if let Some(pool) = calm.map(|point| point.pool).min() {
        return Some(Knee { pool, calm: true });
    }
    let quickest = near().min_by_key(|point| (point.wait, point.pool));
    quickest.map(|point| Knee {
        pool: point.pool,
        calm: false,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUND: Duration = Duration::from_millis(100);

    fn point(pool: u32, rate: f64, ms: u64) -> Point {
        Point {
            pool,
            rate,
            wait: Duration::from_millis(ms),
            lost: 0,
        }
    }

    fn calm(pool: u32) -> Option<Knee> {
        Some(Knee { pool, calm: true })
    }

    #[test]
    fn the_smallest_pool_near_the_best_is_enough() {
        let points = [
            point(5, 4_000.0, 80),
            point(10, 7_700.0, 40),
            point(20, 8_000.0, 10),
            point(40, 7_900.0, 2),
        ];
        assert_eq!(knee(&points, BOUND), calm(10));
        let slower = points.map(|p| {
            if p.pool == 10 {
                point(10, 7_590.0, 40)
            } else {
                p
            }
        });
        assert_eq!(knee(&slower, BOUND), calm(20));
    }

    #[test]
    fn the_order_of_the_points_does_not_matter() {
        let points = [point(40, 100.0, 1), point(10, 99.0, 1), point(20, 98.0, 1)];
        assert_eq!(knee(&points, BOUND), calm(10));
    }

    #[test]
    fn a_long_wait_asks_for_a_larger_pool() {
        let points = [
            point(5, 1_000.0, 300),
            point(10, 1_000.0, 101),
            point(20, 1_000.0, 100),
        ];
        assert_eq!(knee(&points, BOUND), calm(20));
    }

    #[test]
    fn where_everybody_waits_the_shortest_wait_is_taken_and_not_called_calm() {
        let points = [
            point(5, 1_000.0, 300),
            point(10, 1_000.0, 200),
            point(20, 900.0, 20),
        ];
        let found = knee(&points, BOUND);
        assert_eq!(
            found,
            Some(Knee {
                pool: 10,
                calm: false
            })
        );
    }

    #[test]
    fn a_pool_that_loses_operations_is_not_enough() {
        let shedding = Point {
            lost: 1,
            ..point(5, 9_000.0, 1)
        };
        let points = [shedding, point(10, 8_000.0, 1)];
        assert_eq!(knee(&points, BOUND), calm(10));
        let all = points.map(|p| Point {
            lost: u64::from(30 - p.pool),
            ..p
        });
        assert_eq!(
            knee(&all, BOUND),
            Some(Knee {
                pool: 10,
                calm: false
            })
        );
        assert_eq!(knee(&[], BOUND), None);
    }
}
