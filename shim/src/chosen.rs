//! Whether this environment is among the chosen part. Pure.
//!
//! The decision rests on a hash of salt and environment: the same salt keeps everybody who was
//! chosen at 10 % chosen at 25, 50 and 100; another salt draws anew.

/// Finest step of the percentage: a hundredth.
const STEPS: u64 = 10_000;

/// 100 %, in hundredths of a percent.
pub const ALL: u64 = STEPS;

/// Reads `25`, `25%` or `0.5`, in hundredths of a percent.
#[must_use]
pub fn percent(text: &str) -> Option<u64> {
    let text = text.trim();
    let number = text.strip_suffix('%').unwrap_or(text).trim_end();
    let percent: f64 = number.parse().ok()?;
    (0.0..=100.0)
        .contains(&percent)
        .then(|| (percent * 100.0).round() as u64)
}

/// Whether `environment` is among the first `hundredths` of all.
#[must_use]
pub fn is_chosen(salt: &str, environment: &str, hundredths: u64) -> bool {
    hash(salt, environment) % STEPS < hundredths
}

/// FNV-1a, and a finish that spreads it over all bits.
fn hash(salt: &str, environment: &str) -> u64 {
    // A byte that is in neither, so that they cannot run into each other.
    let bytes = salt.bytes().chain([0xff]).chain(environment.bytes());
    let mixed = bytes.fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    let mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    mixed ^ (mixed >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn environment(n: u32) -> String {
        format!("2026/11/21/[$LATEST]{n:032x}")
    }

    #[test]
    fn the_share_is_right_and_only_grows() {
        let steps = [0, 50, 1_000, 2_500, 5_000, 10_000];
        let counts = steps.map(|step| {
            let chosen = |n: &u32| is_chosen("weir", &environment(*n), step);
            (0..10_000).filter(chosen).count()
        });
        for (count, step) in counts.iter().zip(steps) {
            let expected = i64::try_from(step).unwrap();
            let off = i64::try_from(*count).unwrap() - expected;
            assert!(off.abs() <= 200, "{count} of 10000 at {step}");
        }
        assert_eq!((counts[0], counts[5]), (0, 10_000));
        for n in 0..1_000 {
            let chosen = steps.map(|step| is_chosen("weir", &environment(n), step));
            assert!(chosen.is_sorted(), "{n}: {chosen:?}");
        }
    }

    #[test]
    fn another_salt_draws_anew() {
        let both = |n: &u32| {
            let chosen = |salt| is_chosen(salt, &environment(*n), 5_000);
            chosen("a") && chosen("b")
        };
        let both = (0..10_000).filter(both).count();
        assert!((2_200..2_800).contains(&both), "{both}");
    }

    #[test]
    fn the_decision_is_pinned() {
        // A change of the hash would draw anew in the middle of a migration.
        assert_eq!(hash("weir", "environment") % STEPS, 820);
        assert_ne!(hash("we", "ira"), hash("weir", "a"));
    }

    #[test]
    fn percentages_are_read() {
        for (text, hundredths) in [
            ("0", Some(0)),
            ("25", Some(2_500)),
            (" 25 % ", Some(2_500)),
            ("0.5", Some(50)),
            ("100", Some(10_000)),
            ("101", None),
            ("-1", None),
            ("NaN", None),
            ("many", None),
            ("", None),
        ] {
            assert_eq!(percent(text), hundredths, "{text}");
        }
    }
}
