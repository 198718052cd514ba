//! How often a fail point acts.

use crate::{
    error::ErrorReply,
    random,
    wire::raw::{Element, find},
};

const CHOICES: &str = "'mode' must be one of 'off', 'alwaysOn', '{times:n}', '{skip:n}' or \
                       '{activationProbability:p}'";

/// How often a fail point acts.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Mode {
    Off,
    Always,
    Times(u64),
    /// Spares this many requests, then acts on all.
    Skip(u64),
    Probability(f64),
}

impl Mode {
    /// The `mode` of a `configureFailPoint`.
    pub(super) fn read(mode: Option<&Element<'_>>) -> Result<Self, ErrorReply> {
        let bad = |text: &str| ErrorReply::new(2, "BadValue", text.to_owned());
        let Some(mode) = mode else {
            let text = "When setting a failpoint, you must supply a 'mode'";
            return Err(ErrorReply::new(20, "IllegalOperation", text));
        };
        match mode.as_str() {
            Some(b"off") => return Ok(Self::Off),
            Some(b"alwaysOn") => return Ok(Self::Always),
            Some(other) => {
                let other = String::from_utf8_lossy(other);
                return Err(bad(&format!("unknown mode: {other}")));
            }
            None => {}
        }
        let Some(document) = mode.as_document() else {
            let text = "'mode' must be a string or JSON object";
            return Err(ErrorReply::new(14, "TypeMismatch", text));
        };
        let count = |key: &str| {
            let number = find(document, key.as_bytes())?.as_number_i64();
            let text = format!("'{key}' option to 'mode' must be positive");
            Some(number.and_then(|n| u64::try_from(n).ok()).ok_or(text))
        };
        if let Some(times) = count("times") {
            return times.map(Self::Times).map_err(|text| bad(&text));
        }
        if let Some(skip) = count("skip") {
            return skip.map(Self::Skip).map_err(|text| bad(&text));
        }
        let chance = find(document, b"activationProbability").ok_or_else(|| bad(CHOICES))?;
        let whole = || chance.as_i32().map(f64::from);
        let chance = chance.as_f64().or_else(whole);
        match chance.filter(|p| (0.0..=1.0).contains(p)) {
            Some(chance) => Ok(Self::Probability(chance)),
            None => Err(bad("activationProbability must be between 0.0 and 1.0")),
        }
    }

    /// Counts one request. Returns whether the fail point acts on it.
    pub(super) fn acts(&mut self) -> bool {
        match self {
            Self::Off | Self::Times(0) => false,
            Self::Always | Self::Skip(0) => true,
            Self::Times(left) => {
                *left -= 1;
                true
            }
            Self::Skip(left) => {
                *left -= 1;
                false
            }
            Self::Probability(chance) => {
                let drawn = f64::from(u32::from_le_bytes(random::secret()));
                drawn < *chance * (f64::from(u32::MAX) + 1.0)
            }
        }
    }

    /// Whether it will never act again.
    pub(super) const fn is_over(self) -> bool {
        matches!(self, Self::Off | Self::Times(0))
    }
}
