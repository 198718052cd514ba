//! Parses a client's `$readPreference`.
//!
//! Weir answers as a mongos, so the checks, their order and their error codes are those of a
//! mongos. Unknown fields, such as `hedge`, are ignored. The bytes are forwarded unchanged, because
//! a secondary requires them.

use std::time::Duration;

use bson::raw::{RawBsonRef, RawDocument};
use thiserror::Error;

/// The smallest `maxStalenessSeconds` that a server accepts (*Max Staleness*).
pub const SMALLEST_MAX_STALENESS: Duration = Duration::from_secs(90);

/// Which kind of node may serve a read (*Server Selection*, "mode").
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Mode {
    /// Only the primary.
    #[default]
    Primary,
    /// The primary, or a secondary while there is no primary.
    PrimaryPreferred,
    /// Only a secondary.
    Secondary,
    /// A secondary, or the primary when no secondary is suitable.
    SecondaryPreferred,
    /// Any of them, by latency only.
    Nearest,
}

impl Mode {
    fn parse(text: &str) -> Option<Self> {
        Some(match text {
            "primary" => Self::Primary,
            "primaryPreferred" => Self::PrimaryPreferred,
            "secondary" => Self::Secondary,
            "secondaryPreferred" => Self::SecondaryPreferred,
            "nearest" => Self::Nearest,
            _ => return None,
        })
    }
}

/// Tags that a node must have, all of them. Every node matches an empty set.
pub type TagSet = Vec<(String, String)>;

/// A read preference. The default one is `primary`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ReadPreference {
    /// The kind of node.
    pub mode: Mode,
    /// Tag sets in the order in which they are tried. An empty list means any node.
    pub tag_sets: Vec<TagSet>,
    /// How far a secondary may lag; `None`: no limit.
    pub max_staleness: Option<Duration>,
}

impl ReadPreference {
    /// `primary`, the preference of a command without `$readPreference`.
    pub const PRIMARY: Self = Self {
        mode: Mode::Primary,
        tag_sets: Vec::new(),
        max_staleness: None,
    };

    /// A preference that has only a mode.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub const fn mode(mode: Mode) -> Self {
        Self {
            mode,
            tag_sets: Vec::new(),
            max_staleness: None,
        }
    }

    /// Parses the value of a command's `$readPreference`, a raw BSON document. Allocates only for
    /// tag sets.
    ///
    /// # Errors
    ///
    /// The error of a mongos for the same document.
    pub fn parse(document: &[u8]) -> Result<Self, RouteError> {
        let document = RawDocument::from_bytes(document).map_err(|_| RouteError::Malformed)?;
        let mut preference = Self::default();
        let mut mode = Err(RouteError::ModeMissing);
        for element in document {
            let (key, value) = element.map_err(|_| RouteError::Malformed)?;
            match key.as_str() {
                "mode" => mode = parse_mode(value),
                // The official Rust driver (3.9.1) writes `tagSets`. A mongos ignores that and
                // reads anywhere, while the same client is obeyed without one.
                "tags" | "tagSets" => preference.tag_sets = parse_tag_sets(value)?,
                "maxStalenessSeconds" => preference.max_staleness = parse_max_staleness(value)?,
                _ => {}
            }
        }
        preference.mode = mode?;
        if preference.mode == Mode::Primary {
            if preference.tag_sets.iter().any(|set| !set.is_empty()) {
                return Err(RouteError::TagsWithPrimary);
            }
            if preference.max_staleness.is_some() {
                return Err(RouteError::MaxStalenessWithPrimary);
            }
        }
        Ok(preference)
    }
}

fn parse_mode(value: RawBsonRef<'_>) -> Result<Mode, RouteError> {
    let text = value.as_str().ok_or(RouteError::WrongType {
        field: "mode",
        expected: "string",
    })?;
    Mode::parse(text).ok_or(RouteError::UnknownMode)
}

fn parse_tag_sets(value: RawBsonRef<'_>) -> Result<Vec<TagSet>, RouteError> {
    const TAGS: &str = "tags";
    let sets = value.as_array().ok_or(RouteError::WrongType {
        field: TAGS,
        expected: "array",
    })?;
    sets.into_iter()
        .map(|set| {
            let set = set.map_err(|_| RouteError::Malformed)?;
            let set = set.as_document().ok_or(RouteError::WrongType {
                field: TAGS,
                expected: "array of objects",
            })?;
            set.into_iter()
                .map(|tag| {
                    let (name, value) = tag.map_err(|_| RouteError::Malformed)?;
                    let value = value.as_str().ok_or(RouteError::WrongType {
                        field: TAGS,
                        expected: "array of objects of strings",
                    })?;
                    Ok((name.to_string(), value.to_owned()))
                })
                .collect()
        })
        .collect()
}

/// As on a server, 0 means no limit, and a fraction is cut off.
fn parse_max_staleness(value: RawBsonRef<'_>) -> Result<Option<Duration>, RouteError> {
    let seconds = match value {
        RawBsonRef::Int32(seconds) => i64::from(seconds),
        RawBsonRef::Int64(seconds) => seconds,
        RawBsonRef::Double(seconds) if seconds.is_finite() => seconds as i64,
        _ => {
            return Err(RouteError::WrongType {
                field: "maxStalenessSeconds",
                expected: "number",
            });
        }
    };
    let seconds = u64::try_from(seconds).map_err(|_| RouteError::NegativeMaxStaleness)?;
    match Duration::from_secs(seconds) {
        Duration::ZERO => Ok(None),
        short if short < SMALLEST_MAX_STALENESS => Err(RouteError::MaxStalenessTooSmall {
            smallest: SMALLEST_MAX_STALENESS.as_secs(),
        }),
        staleness => Ok(Some(staleness)),
    }
}

/// Why a read preference can never be used. The operation fails without waiting.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum RouteError {
    /// The document is no valid BSON.
    #[error("$readPreference is not a valid document")]
    Malformed,
    /// There is no `mode`.
    #[error("$readPreference has no \"mode\"")]
    ModeMissing,
    /// The mode is none of the five.
    #[error(
        "Could not parse $readPreference mode. Only the modes 'primary', 'primaryPreferred', \
         'secondary', 'secondaryPreferred', and 'nearest' are supported."
    )]
    UnknownMode,
    /// A field has the wrong BSON type.
    #[error("\"{field}\" of $readPreference has the wrong type, expected {expected}")]
    WrongType {
        /// The name of the field.
        field: &'static str,
        /// The type that it must have.
        expected: &'static str,
    },
    /// Tags with mode `primary`: there is only one primary.
    #[error("Only empty tags are allowed with primary read preference")]
    TagsWithPrimary,
    /// `maxStalenessSeconds` with mode `primary`, which is never stale.
    #[error("primary read preference with maxStalenessSeconds not supported")]
    MaxStalenessWithPrimary,
    /// `maxStalenessSeconds` below zero.
    #[error("maxStalenessSeconds must be a non-negative integer")]
    NegativeMaxStaleness,
    /// `maxStalenessSeconds` below the smallest value that can be measured.
    #[error("maxStalenessSeconds value can not be less than {smallest}")]
    MaxStalenessTooSmall {
        /// The smallest allowed value, in seconds.
        smallest: u64,
    },
    /// No wire version in common with a node of the deployment.
    #[error("{0}")]
    Incompatible(String),
}

impl RouteError {
    /// The code and its name, as a server sends them.
    #[must_use]
    pub fn code(&self) -> (i32, &'static str) {
        match self {
            Self::Malformed | Self::UnknownMode => (9, "FailedToParse"),
            Self::ModeMissing => (4, "NoSuchKey"),
            Self::WrongType { .. } => (14, "TypeMismatch"),
            Self::TagsWithPrimary | Self::MaxStalenessWithPrimary | Self::NegativeMaxStaleness => {
                (2, "BadValue")
            }
            Self::MaxStalenessTooSmall { .. } => (160, "MaxStalenessOutOfRange"),
            Self::Incompatible(_) => (188, "IncompatibleServerVersion"),
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::{Bson, Document, doc};
    use proptest::prelude::*;

    use super::*;

    fn parse(document: &Document) -> Result<ReadPreference, RouteError> {
        ReadPreference::parse(&document.to_vec().unwrap())
    }

    #[test]
    fn modes_tags_and_staleness_are_read() {
        for (text, mode) in [
            ("primary", Mode::Primary),
            ("primaryPreferred", Mode::PrimaryPreferred),
            ("secondary", Mode::Secondary),
            ("secondaryPreferred", Mode::SecondaryPreferred),
            ("nearest", Mode::Nearest),
        ] {
            assert_eq!(
                parse(&doc! { "mode": text }),
                Ok(ReadPreference::mode(mode))
            );
        }
        let full = doc! {
            "hedge": { "enabled": true },
            "maxStalenessSeconds": 120.0,
            "tags": [{ "dc": "ny", "rack": "1" }, {}],
            "mode": "nearest",
        };
        let expected = ReadPreference {
            mode: Mode::Nearest,
            tag_sets: vec![
                vec![("dc".into(), "ny".into()), ("rack".into(), "1".into())],
                vec![],
            ],
            max_staleness: Some(Duration::from_secs(120)),
        };
        assert_eq!(parse(&full), Ok(expected));
    }

    #[test]
    fn what_says_nothing_is_nothing() {
        assert_eq!(
            parse(&doc! { "mode": "primary", "tags": [] }),
            Ok(ReadPreference::PRIMARY)
        );
        assert!(parse(&doc! { "mode": "primary", "tags": [{}] }).is_ok());
        let zero = doc! { "mode": "secondary", "maxStalenessSeconds": 0_i64 };
        assert_eq!(parse(&zero), Ok(ReadPreference::mode(Mode::Secondary)));
    }

    #[test]
    fn refusals_carry_the_codes_of_a_server() {
        for (document, code) in [
            (doc! {}, 4),
            (doc! { "mode": 1 }, 14),
            (doc! { "mode": "Primary" }, 9),
            (doc! { "mode": "nearest", "tags": "dc:ny" }, 14),
            (doc! { "mode": "nearest", "tags": ["dc:ny"] }, 14),
            (doc! { "mode": "nearest", "tags": [{ "dc": 1 }] }, 14),
            (doc! { "mode": "primary", "tags": [{ "dc": "ny" }] }, 2),
            (doc! { "mode": "primary", "maxStalenessSeconds": 120 }, 2),
            (doc! { "mode": "nearest", "maxStalenessSeconds": -1 }, 2),
            (doc! { "mode": "nearest", "maxStalenessSeconds": 89 }, 160),
            (
                doc! { "mode": "nearest", "maxStalenessSeconds": Bson::Null },
                14,
            ),
        ] {
            assert_eq!(parse(&document).unwrap_err().code().0, code, "{document}");
        }
        assert_eq!(
            ReadPreference::parse(&[5, 0, 0]),
            Err(RouteError::Malformed)
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = ReadPreference::parse(&bytes);
        }
    }
}
