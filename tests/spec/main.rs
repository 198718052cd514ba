//! Runs the public specification files against Weir's own server discovery,
//! server selection and connection pooling, the bodies of the fuzz targets over damaged
//! seeds, and the checks of the repository's own structure.

// A fixture that is not as expected must fail its test: everything here is a test.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::string_slice,
    clippy::panic
)]

mod discovery;
mod fuzz;
mod json;
mod pooling;
mod selection;
mod structure;

use std::path::Path;

use serde_json::Value;
use weir_tests::spec;

/// What became of one fixture.
enum Outcome {
    Passed,
    /// The fixture is about something Weir does not do itself.
    Skipped(&'static str),
    Failed(String),
}

/// Runs every fixture of a folder, prints the counts, and fails if one failed or
/// fewer than `expected` passed: a fixture that silently stops running is a bug.
fn run(folder: &str, expected: usize, check: impl Fn(&str, &Value) -> Outcome) {
    let Some(testdata) = spec::testdata() else {
        spec::say(&format!(
            "{folder}: 0 passed, {expected} skipped (no specification files)"
        ));
        return;
    };
    let (mut passed, mut failed) = (0, Vec::new());
    let mut skipped = std::collections::BTreeMap::<_, usize>::new();
    for (name, fixture) in spec::fixtures(&Path::new(&testdata).join(folder)) {
        match check(&name, &fixture) {
            Outcome::Passed => passed += 1,
            Outcome::Skipped(reason) => *skipped.entry(reason).or_default() += 1,
            Outcome::Failed(why) => failed.push(format!("{name}: {why}")),
        }
    }
    let reasons: Vec<_> = skipped
        .iter()
        .map(|(reason, count)| format!("{count} {reason}"))
        .collect();
    let total: usize = skipped.values().sum();
    let reasons = if reasons.is_empty() {
        String::new()
    } else {
        format!(" ({})", reasons.join(", "))
    };
    spec::say(&format!(
        "{folder}: {passed} passed, {total} skipped{reasons}"
    ));
    assert!(
        failed.is_empty(),
        "{} failed:\n{}",
        failed.len(),
        failed.join("\n")
    );
    assert!(
        passed >= expected,
        "{passed} passed, at least {expected} were expected"
    );
}

fn outcome(result: Result<(), String>) -> Outcome {
    result.map_or_else(Outcome::Failed, |()| Outcome::Passed)
}
