//! Durations, sizes, switches and rates, as people write them.
//!
//! A number without a unit is refused: `4` may be seconds to one reader and milliseconds to the
//! next, and a pool that sheds after 4 ms is a bad way to find out.

use std::time::Duration;

/// Why a text is not the value it should be. `Display` says what is wrong, [`UnitError::hint`]
/// how to write it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum UnitError {
    /// A duration as a bare number.
    #[error("a duration without its unit")]
    DurationUnit(u64),
    /// No duration at all.
    #[error("not a duration")]
    Duration,
    /// A size as a bare number.
    #[error("a size without its unit")]
    SizeUnit(u64),
    /// No size at all.
    #[error("not a size")]
    Size,
    /// A number that does not fit.
    #[error("too large")]
    TooLarge,
    /// Neither on nor off.
    #[error("neither on nor off")]
    Switch,
    /// No whole number, or one out of its range.
    #[error("not a whole number from {min} to {max}")]
    Count {
        /// Smallest number allowed.
        min: u64,
        /// Largest number allowed.
        max: u64,
    },
    /// No rate.
    #[error("not a rate")]
    Rate,
    /// A duration of nothing where that makes no sense.
    #[error("no time at all")]
    Zero,
}

impl UnitError {
    /// How to write it.
    pub fn hint(&self) -> String {
        match self {
            Self::DurationUnit(n) => format!("add a unit: write {n}s, {n}ms or {n}m"),
            Self::Duration => {
                "write a whole number and a unit (ms, s, m, h), as in 250ms, 5s or 2m".to_owned()
            }
            Self::SizeUnit(n) => format!("add a unit: write {n}B, {n}KiB or {n}MiB"),
            Self::Size => {
                "write a whole number and a unit (B, KiB, MiB, GiB), as in 64MiB".to_owned()
            }
            Self::TooLarge => "write a smaller number".to_owned(),
            Self::Switch => "write true or false".to_owned(),
            Self::Count { min, max } => format!("write a number from {min} to {max}"),
            Self::Rate => "write a number per second above 0, as in 15 or 0.5".to_owned(),
            Self::Zero => "write 1ms or more".to_owned(),
        }
    }
}

/// Reads `250ms`, `5s`, `2m`, `1h` or a sum of them, `1m30s`.
///
/// # Errors
/// [`UnitError`] for a bare number, another unit, or more milliseconds than fit 64 bits.
pub fn duration(text: &str) -> Result<Duration, UnitError> {
    if let Ok(bare) = text.parse() {
        return Err(UnitError::DurationUnit(bare));
    }
    let mut total: u64 = 0;
    let mut rest = text;
    while !rest.is_empty() {
        let (number, unit, after) = number_and_unit(rest).ok_or(UnitError::Duration)?;
        let factor: u64 = match unit {
            "ms" => 1,
            "s" => 1_000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(UnitError::Duration),
        };
        let part: u64 = number.parse().map_err(|_| UnitError::TooLarge)?;
        total = part
            .checked_mul(factor)
            .and_then(|part| total.checked_add(part))
            .ok_or(UnitError::TooLarge)?;
        rest = after;
    }
    match text.is_empty() {
        true => Err(UnitError::Duration),
        false => Ok(Duration::from_millis(total)),
    }
}

/// As [`duration`], but longer than nothing.
///
/// # Errors
/// Those of [`duration`], and [`UnitError::Zero`].
pub fn positive_duration(text: &str) -> Result<Duration, UnitError> {
    match duration(text)? {
        Duration::ZERO => Err(UnitError::Zero),
        some => Ok(some),
    }
}

/// Reads `512B`, `64KiB`, `64MiB`, `1GiB`.
///
/// # Errors
/// [`UnitError`] for a bare number, another unit, or more bytes than the address space.
pub fn size(text: &str) -> Result<usize, UnitError> {
    if let Ok(bare) = text.parse() {
        return Err(UnitError::SizeUnit(bare));
    }
    let (number, unit, after) = number_and_unit(text).ok_or(UnitError::Size)?;
    let factor: usize = match unit {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(UnitError::Size),
    };
    if !after.is_empty() {
        return Err(UnitError::Size);
    }
    let number: usize = number.parse().map_err(|_| UnitError::TooLarge)?;
    number.checked_mul(factor).ok_or(UnitError::TooLarge)
}

/// Reads `true`, `on`, `yes`, `1` and their opposites, in any case.
///
/// # Errors
/// [`UnitError::Switch`] for anything else.
pub fn switch(text: &str) -> Result<bool, UnitError> {
    match text.to_ascii_lowercase().as_str() {
        "true" | "on" | "yes" | "1" => Ok(true),
        "false" | "off" | "no" | "0" => Ok(false),
        _ => Err(UnitError::Switch),
    }
}

/// Reads a whole number from `min` to `max`.
///
/// # Errors
/// [`UnitError::Count`] for anything else.
pub fn count(text: &str, min: u64, max: u64) -> Result<u64, UnitError> {
    text.parse()
        .ok()
        .filter(|number| (min..=max).contains(number))
        .ok_or(UnitError::Count { min, max })
}

/// Reads a number per second, `15` or `15/s`.
///
/// # Errors
/// [`UnitError::Rate`] for anything that is not a number above 0.
pub fn rate(text: &str) -> Result<f64, UnitError> {
    text.strip_suffix("/s")
        .unwrap_or(text)
        .parse()
        .ok()
        .filter(|rate: &f64| rate.is_finite() && *rate > 0.0)
        .ok_or(UnitError::Rate)
}

/// A duration as one would write it, in its largest exact unit.
pub fn show_duration(duration: Duration) -> String {
    let ms = duration.as_millis();
    match ms {
        0 => "0s".to_owned(),
        _ if ms.is_multiple_of(3_600_000) => format!("{}h", ms / 3_600_000),
        _ if ms.is_multiple_of(60_000) => format!("{}m", ms / 60_000),
        _ if ms.is_multiple_of(1_000) => format!("{}s", ms / 1_000),
        _ => format!("{ms}ms"),
    }
}

/// A size as one would write it, in its largest exact unit.
pub fn show_size(bytes: usize) -> String {
    match bytes {
        _ if bytes == 0 || !bytes.is_multiple_of(1 << 10) => format!("{bytes}B"),
        _ if bytes.is_multiple_of(1 << 30) => format!("{}GiB", bytes >> 30),
        _ if bytes.is_multiple_of(1 << 20) => format!("{}MiB", bytes >> 20),
        _ => format!("{}KiB", bytes >> 10),
    }
}

/// Splits `30s5ms` into `30`, `s` and `5ms`. `None` unless both parts are there.
fn number_and_unit(text: &str) -> Option<(&str, &str, &str)> {
    let digits = text.find(|c: char| !c.is_ascii_digit())?;
    let (number, rest) = text.split_at_checked(digits)?;
    let letters = rest
        .find(|c: char| !c.is_ascii_alphabetic())
        .unwrap_or(rest.len());
    let (unit, after) = rest.split_at_checked(letters)?;
    (!number.is_empty() && !unit.is_empty()).then_some((number, unit, after))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_durations_with_their_units() {
        for (text, ms) in [
            ("250ms", 250),
            ("5s", 5_000),
            ("2m", 120_000),
            ("1h", 3_600_000),
            ("1m30s", 90_000),
            ("0s", 0),
        ] {
            assert_eq!(duration(text), Ok(Duration::from_millis(ms)), "{text}");
        }
    }

    #[test]
    fn refuses_bare_numbers_and_says_which_unit_to_add() {
        let hint = duration("4").unwrap_err().hint();
        assert_eq!(hint, "add a unit: write 4s, 4ms or 4m");
        let hint = size("64").unwrap_err().hint();
        assert_eq!(hint, "add a unit: write 64B, 64KiB or 64MiB");
        for text in ["", "s", "5 s", "-5s", "5d", "1.5s", "5s4", "5S", "s5"] {
            assert_eq!(duration(text), Err(UnitError::Duration), "{text}");
        }
        for text in ["", "MiB", "64MB", "64 MiB", "64MiB1B", "-1B"] {
            assert_eq!(size(text), Err(UnitError::Size), "{text}");
        }
        assert_eq!(duration("99999999999999999999s"), Err(UnitError::TooLarge));
        assert_eq!(duration("18446744073709551615h"), Err(UnitError::TooLarge));
        assert_eq!(size("18446744073709551615KiB"), Err(UnitError::TooLarge));
        assert_eq!(positive_duration("0ms"), Err(UnitError::Zero));
    }

    #[test]
    fn reads_switches_counts_and_rates() {
        assert_eq!((switch("ON"), switch("0")), (Ok(true), Ok(false)));
        assert_eq!(switch("maybe"), Err(UnitError::Switch));
        assert_eq!(count("20", 1, 100), Ok(20));
        for text in ["0", "101", "x", "-1", ""] {
            let error = UnitError::Count { min: 1, max: 100 };
            assert_eq!(count(text, 1, 100), Err(error), "{text}");
        }
        assert_eq!((rate("15"), rate("0.5/s")), (Ok(15.0), Ok(0.5)));
        for text in ["0", "-1", "inf", "NaN", "fast", ""] {
            assert_eq!(rate(text), Err(UnitError::Rate), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_shown_reads_back(ms in 0_u64..10_000_000_000, bytes in 0_usize..1 << 40) {
            let shown = Duration::from_millis(ms);
            prop_assert_eq!(duration(&show_duration(shown)), Ok(shown));
            prop_assert_eq!(size(&show_size(bytes)), Ok(bytes));
        }

        #[test]
        fn no_text_panics(text in ".*") {
            let _ = (duration(&text), size(&text), switch(&text), rate(&text));
        }
    }
}
