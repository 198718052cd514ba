//! Numbers as people read them.

use std::time::Duration;

/// `12,000`.
pub fn count(number: u64) -> String {
    let digits = number.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (index, digit) in digits.chars().enumerate() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Three digits and a unit: `0.43 ms`, `12.3 ms`, `1.24 s`.
pub fn wait(time: Duration) -> String {
    let ms = time.as_secs_f64() * 1_000.0;
    if ms < 9.995 {
        format!("{ms:.2} ms")
    } else if ms < 99.95 {
        format!("{ms:.1} ms")
    } else if ms < 999.5 {
        format!("{ms:.0} ms")
    } else if ms < 9_995.0 {
        format!("{:.2} s", ms / 1_000.0)
    } else {
        format!("{:.1} s", ms / 1_000.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn thousands_are_set_apart() {
        let shown = [0, 7, 999, 1_000, 12_345, 1_234_567].map(count);
        assert_eq!(shown, ["0", "7", "999", "1,000", "12,345", "1,234,567"]);
    }

    #[test]
    fn three_digits_whatever_the_size() {
        let shown = [
            432, 9_994, 9_996, 99_940, 99_960, 999_400, 999_600, 12_340_000,
        ]
        .map(|micros| wait(Duration::from_micros(micros)));
        let expected = [
            "0.43 ms", "9.99 ms", "10.0 ms", "99.9 ms", "100 ms", "999 ms", "1.00 s", "12.3 s",
        ];
        assert_eq!(shown, expected);
    }
}
