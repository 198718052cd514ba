//! The structure that the documents promise, read from the sources themselves.
//!
//! | module | what it reads |
//! |---|---|
//! | [`sources`] | every package's production files, parsed |
//! | [`imports`] | which module names which |
//! | [`layers`] | the rank of every module: nothing imports to its left, and no circles |
//! | [`shape`] | lengths, spread of `impl`s, and module maps in the documentation |
//! | [`borders`] | what only one module, or no module, may use |
//! | [`words`] | the words that the glossary of `CONTRIBUTING.md` retires |
//!
//! A failure here is not a matter of taste. An import to the left makes a pure part impure
//! or closes a circle. A file that outgrew its limit has taken on a second job.

mod borders;
mod imports;
mod layers;
mod shape;
mod sources;
mod words;

/// Fails with every finding on a line of its own.
#[track_caller]
fn assert_none(what: &str, findings: &[String]) {
    assert!(findings.is_empty(), "{what}:\n{}", findings.join("\n"));
}
