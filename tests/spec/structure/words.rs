//! The words that the glossary of `CONTRIBUTING.md` retires.

use std::{fs, process::Command};

use super::{assert_none, sources::repository};

/// Text that is not ours to reword, or that has to name the words.
const EXEMPT: [&str; 3] = ["CONTRIBUTING.md", "Cargo.lock", "LICENSE"];

/// The third column of the glossary: words and phrases in backquotes.
fn retired() -> Vec<String> {
    let text = fs::read_to_string(repository().join("CONTRIBUTING.md")).unwrap();
    let glossary = text
        .split("## Glossary")
        .nth(1)
        .expect("CONTRIBUTING.md has a glossary");
    let rows = glossary.lines().filter(|line| line.starts_with('|'));
    let third = rows.filter_map(|row| row.split('|').nth(3));
    let words: Vec<String> = third
        .flat_map(|cell| cell.split('`').skip(1).step_by(2))
        .map(str::to_owned)
        .collect();
    assert!(
        words.len() >= 30,
        "the glossary retires only {} words",
        words.len()
    );
    words
}

#[test]
fn retired_words_stand_nowhere() {
    let retired = retired();
    let mut wrong = Vec::new();
    for (file, text) in tracked() {
        for (number, line) in (1..).zip(text.lines()) {
            for word in retired.iter().filter(|word| has_word(line, word)) {
                wrong.push(format!("{file}:{number}: `{word}`: {}", line.trim()));
            }
        }
    }
    assert_none("words that the glossary retires", &wrong);
}

/// Every tracked text file outside of the exemptions.
fn tracked() -> Vec<(String, String)> {
    let list = Command::new("git")
        .args(["ls-files", "-z"])
        .current_dir(repository())
        .output()
        .expect("git lists the tracked files");
    let names = String::from_utf8(list.stdout).unwrap();
    let names = names.split('\0').filter(|name| !name.is_empty());
    let names = names.filter(|name| !EXEMPT.iter().any(|exempt| name.ends_with(exempt)));
    let read = |name: &str| {
        Some((
            name.to_owned(),
            fs::read_to_string(repository().join(name)).ok()?,
        ))
    };
    let files: Vec<_> = names.filter_map(read).collect();
    assert!(files.len() > 300, "only {} files are tracked", files.len());
    files
}

/// Whether `line` contains `word` as a whole word.
fn has_word(line: &str, word: &str) -> bool {
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    line.match_indices(word).any(|(at, _)| {
        let before = line[..at].chars().next_back();
        let after = line[at + word.len()..].chars().next();
        !before.is_some_and(is_part) && !after.is_some_and(is_part)
    })
}

#[test]
fn only_whole_words_count() {
    assert!(has_word("to oldword it", "oldword"));
    assert!(has_word("oldword", "oldword"));
    assert!(!has_word("an oldwords it", "oldword"));
    assert!(!has_word("oldword_it", "oldword"));
}
