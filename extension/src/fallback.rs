//! Decides when to bypass the shared Weir and connect to the database directly, and when to return.
//! Pure.
//!
//! If every environment did that at the same time, it would cause the very outage that the shared
//! Weir prevents. So the fallback is off by default, and `WEIR_FALLBACK_SHARE` allows it to a share
//! of the environments. Each of them waits for a time of its own first. If the database cannot be
//! reached either, the environment backs off exponentially.

use std::time::Duration;

use weir_shim::chosen;

/// How long the shared Weir must work before the environment returns to it.
const STEADY: Duration = Duration::from_secs(2);

/// How long the fallback upstream is not used after it failed: the first time and the longest.
const FIRST_REST: Duration = Duration::from_secs(60);
const LONGEST_REST: Duration = Duration::from_secs(600);

/// The decision.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turn {
    /// Keep the present upstream.
    Stay,
    /// Change to the fallback upstream.
    Divert,
    /// Return to the shared Weir.
    Return,
}

#[derive(Clone, Copy, Debug)]
struct Drawn {
    /// This environment belongs to the share that may fall back.
    may: bool,
    /// How long an upstream must fail before this environment leaves it.
    after: Duration,
}

/// The state of one environment.
#[derive(Debug)]
pub(crate) struct Fallback {
    /// Shortest time that the shared Weir must fail before an environment falls back.
    after: Duration,
    /// The share of the environments that may fall back, from 0 to 1.
    share: f64,
    /// A random number from 0 up to 1, different in each environment.
    draw: fn() -> f64,
    /// What this environment has drawn. It draws at the first failure, not earlier: a copied
    /// environment would have the draw of its original.
    drawn: Option<Drawn>,
    diverted: bool,
    /// Since when the shared Weir has failed or, while diverted, has worked again.
    since: Option<Duration>,
    /// Since when the fallback upstream has failed too.
    spare_since: Option<Duration>,
    rest: Duration,
    not_before: Duration,
}

impl Fallback {
    /// A `share` of the environments falls back after a random time between `after` and twice that.
    pub(crate) const fn new(after: Duration, share: f64, draw: fn() -> f64) -> Self {
        Self {
            after,
            share,
            draw,
            drawn: None,
            diverted: false,
            since: None,
            spare_since: None,
            rest: FIRST_REST,
            not_before: Duration::ZERO,
        }
    }

    /// Decides by the state of both upstreams. `now` is the time since any fixed moment.
    pub(crate) fn look(&mut self, trouble: bool, spare_trouble: bool, now: Duration) -> Turn {
        if self.diverted {
            self.look_back(trouble, spare_trouble, now)
        } else {
            self.look_ahead(trouble, now)
        }
    }

    fn look_ahead(&mut self, trouble: bool, now: Duration) -> Turn {
        if !trouble {
            self.since = None;
            return Turn::Stay;
        }
        let drawn = self.drawn();
        let since = *self.since.get_or_insert(now);
        if !drawn.may || now.saturating_sub(since) < drawn.after || now < self.not_before {
            return Turn::Stay;
        }
        self.diverted = true;
        self.since = None;
        self.spare_since = None;
        Turn::Divert
    }

    fn look_back(&mut self, trouble: bool, spare_trouble: bool, now: Duration) -> Turn {
        if spare_trouble {
            let since = *self.spare_since.get_or_insert(now);
            if now.saturating_sub(since) >= self.drawn().after {
                self.not_before = now + self.rest;
                self.rest = (self.rest * 2).min(LONGEST_REST);
                return self.back();
            }
        } else {
            self.spare_since = None;
        }
        if trouble {
            self.since = None;
            return Turn::Stay;
        }
        let since = *self.since.get_or_insert(now);
        if now.saturating_sub(since) < STEADY {
            return Turn::Stay;
        }
        self.rest = FIRST_REST;
        self.back()
    }

    fn drawn(&mut self) -> Drawn {
        let (share, after, draw) = (self.share, self.after, self.draw);
        *self.drawn.get_or_insert_with(|| Drawn {
            may: draw() < share,
            after: after.mul_f64(1.0 + draw().clamp(0.0, 1.0)),
        })
    }

    const fn back(&mut self) -> Turn {
        self.diverted = false;
        self.since = None;
        Turn::Return
    }
}

/// Reads `5`, `5%` or `0.5`: a share between 0 and 1.
pub(crate) fn share(text: &str) -> Result<f64, String> {
    let hundredths = chosen::percent(text).and_then(|percent| u32::try_from(percent).ok());
    hundredths
        .map(|hundredths| f64::from(hundredths) / 10_000.0)
        .ok_or_else(|| "not a percentage; write a number from 0 to 100".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const AFTER: Duration = Duration::from_secs(1);

    fn at(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn the_other_way_is_taken_only_when_the_first_one_stays_closed() {
        let mut fallback = Fallback::new(AFTER, 1.0, || 0.0);
        assert_eq!(fallback.look(true, false, at(0)), Turn::Stay);
        assert_eq!(fallback.look(false, false, at(900)), Turn::Stay);
        assert_eq!(fallback.look(true, false, at(1_000)), Turn::Stay);
        assert_eq!(fallback.look(true, false, at(1_999)), Turn::Stay);
        assert_eq!(fallback.look(true, false, at(2_000)), Turn::Divert);
        assert_eq!(fallback.look(true, false, at(9_000)), Turn::Stay);
    }

    /// An environment draws once, at the first failure. If it drew at every failure, the share would
    /// grow with each of them.
    #[test]
    fn the_share_is_that_of_all_environments_and_does_not_grow() {
        let goes = |fallback: &mut Fallback, ms| {
            fallback.look(true, false, at(ms));
            fallback.look(true, false, at(ms + 2_000)) == Turn::Divert
        };
        let environments = (0..20_000).map(|_| Fallback::new(AFTER, 0.05, crate::failover::draw));
        let mut environments: Vec<_> = environments.collect();
        assert!(
            environments
                .iter()
                .all(|environment| environment.drawn.is_none())
        );
        let first = environments
            .iter_mut()
            .filter_map(|e| goes(e, 0).then_some(()))
            .count();
        // A thousand, and ten times the standard deviation of that.
        assert!((700..1_300).contains(&first), "{first} of 20000");
        let stayed = environments
            .iter_mut()
            .filter(|environment| !environment.diverted);
        let later = stayed.filter_map(|e| {
            e.look(false, false, at(4_000));
            goes(e, 5_000).then_some(())
        });
        assert_eq!(later.count(), 0);
    }

    #[test]
    fn environments_do_not_all_do_it_at_once() {
        let mut late = Fallback::new(AFTER, 1.0, || 0.9);
        assert_eq!(late.look(true, false, at(0)), Turn::Stay);
        assert_eq!(late.look(true, false, at(1_800)), Turn::Stay);
        assert_eq!(late.look(true, false, at(1_900)), Turn::Divert);
    }

    fn diverted() -> Fallback {
        let mut fallback = Fallback::new(AFTER, 1.0, || 0.0);
        fallback.look(true, false, at(0));
        assert_eq!(fallback.look(true, false, at(1_000)), Turn::Divert);
        fallback
    }

    #[test]
    fn the_first_way_is_taken_again_when_it_has_been_open_for_a_while() {
        let mut fallback = diverted();
        assert_eq!(fallback.look(false, false, at(2_000)), Turn::Stay);
        assert_eq!(fallback.look(true, false, at(3_000)), Turn::Stay);
        assert_eq!(fallback.look(false, false, at(4_000)), Turn::Stay);
        assert_eq!(fallback.look(false, false, at(6_000)), Turn::Return);
        assert_eq!(fallback.look(false, false, at(7_000)), Turn::Stay);
    }

    #[test]
    fn a_way_that_does_not_work_either_is_left_alone_for_longer_and_longer() {
        let mut fallback = diverted();
        let mut now = 2_000;
        for rest in [60_000, 120_000, 240_000, 480_000, 600_000, 600_000] {
            assert_eq!(fallback.look(true, true, at(now)), Turn::Stay);
            assert_eq!(fallback.look(true, true, at(now + 1_000)), Turn::Return);
            assert_eq!(fallback.look(true, false, at(now + 1_100)), Turn::Stay);
            assert_eq!(fallback.look(true, false, at(now + rest)), Turn::Stay);
            now += 1_000 + rest;
            assert_eq!(fallback.look(true, false, at(now)), Turn::Divert, "{rest}");
        }
    }

    #[test]
    fn shares_are_read() {
        assert_eq!(share("5"), Ok(0.05));
        assert_eq!(share("2.5 %"), Ok(0.025));
        for wrong in ["-1", "101", "NaN", "all"] {
            assert!(share(wrong).is_err(), "{wrong}");
        }
    }
}
