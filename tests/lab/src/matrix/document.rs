//! Documents that are generated: numbered notes, sections that are replaced one by one.

use std::fmt::Write;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::Result;

/// Numbered footnotes; the same text has the same number.
#[derive(Debug, Default)]
pub struct Notes(Vec<String>);

impl Notes {
    /// The number of a text, as a table shows it.
    pub fn number(&mut self, text: &str) -> String {
        let known = self.0.iter().position(|each| each == text);
        let place = known.unwrap_or_else(|| {
            self.0.push(text.to_owned());
            self.0.len() - 1
        });
        format!("[{}]", place + 1)
    }

    /// All notes, a line for each.
    #[must_use]
    pub fn text(&self) -> String {
        let mut out = String::new();
        for (index, note) in self.0.iter().enumerate() {
            // A reason may quote a document: as code, nothing in it is markup.
            let _ = writeln!(out, "{}. {}", index + 1, note.replace('|', "\\|"));
        }
        out
    }
}

/// Today, as `2026-11-21`.
#[must_use]
pub fn today() -> String {
    let now = bson::DateTime::now().try_to_rfc3339_string();
    now.unwrap_or_default().chars().take(10).collect()
}

/// A file in the repository's `docs/results`.
#[must_use]
pub fn place(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("../../docs/results")
        .join(name)
}

/// Replaces the section under `heading`, to the next heading of its rank or the end of the
/// file; adds it when it is not there. A new file begins with `preface`.
///
/// # Errors
/// When the file cannot be written.
pub fn replace_section(file: &Path, preface: &str, heading: &str, body: &str) -> Result<()> {
    let old = fs::read_to_string(file).unwrap_or_else(|_| format!("{}\n", preface.trim_end()));
    fs::write(file, with_section(&old, heading, body))?;
    Ok(())
}

/// `text` with its section under `heading` replaced or added.
#[must_use]
pub fn with_section(text: &str, heading: &str, body: &str) -> String {
    let title = format!("## {heading}");
    let mut before = String::new();
    let mut after = String::new();
    let mut state = Place::Before;
    for line in text.lines() {
        if line == title {
            state = Place::Inside;
        } else if state == Place::Inside && line.starts_with("## ") {
            state = Place::After;
        }
        let into = match state {
            Place::Before => &mut before,
            Place::Inside => continue,
            Place::After => &mut after,
        };
        into.push_str(line);
        into.push('\n');
    }
    let section = format!("{title}\n\n{}\n", body.trim());
    let parts = [before.trim_end(), section.trim_end(), after.trim_end()];
    let parts: Vec<&str> = parts.into_iter().filter(|part| !part.is_empty()).collect();
    parts.join("\n\n") + "\n"
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Place {
    Before,
    Inside,
    After,
}
