//! Losses that the protocol makes, each with its reason: `tests/suites/known.json`.

use std::fs;
use std::path::PathBuf;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Endpoint;

/// One entry.
#[derive(Clone, Debug)]
pub struct Known {
    /// The face, or both.
    pub face: Option<String>,
    /// A test's whole name: a pattern would excuse tests that are lost later.
    pub test: String,
    /// Why no face of Weir can pass it.
    pub reason: String,
}

impl Known {
    /// Whether the entry speaks of this test.
    pub fn means(&self, endpoint: Endpoint, test: &str) -> bool {
        let face = self
            .face
            .as_deref()
            .is_none_or(|face| face == endpoint.name());
        face && test == self.test
    }
}

/// The entries of one edition.
///
/// # Errors
/// When the file is not what it should be.
pub fn of(edition: &str) -> Result<Vec<Known>> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../suites/known.json");
    let text = fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    let all: Value = serde_json::from_str(&text)?;
    let entries = all.as_array().context("known.json is no list")?;
    let mut found = Vec::new();
    for entry in entries {
        let text = |key: &str| entry.get(key).and_then(Value::as_str).map(str::to_owned);
        if text("edition").is_none_or(|named| named == edition) {
            found.push(Known {
                face: text("face"),
                test: text("test").context("an entry names no test")?,
                reason: text("reason").context("an entry gives no reason")?,
            });
        }
    }
    Ok(found)
}
