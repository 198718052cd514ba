//! The structure that the documents promise, read from the sources.
//!
//! A test that fails here is not a matter of taste: an import that points to the
//! left makes a pure part impure or a circle, and a file that has grown too long has
//! taken on a second job.

#![allow(
    clippy::unwrap_used,
    clippy::string_slice,
    reason = "all of this file is a test"
)]

use std::{
    fs,
    path::{Path, PathBuf},
};

/// The parts of a request's way, from left to right. Nothing imports to its left.
const WAY: [(&str, usize); 9] = [
    ("listener", 0),
    ("downstream", 1),
    ("relay", 2),
    ("command", 3),
    ("route", 3),
    ("pool", 3),
    ("topology", 3),
    ("upstream", 4),
    ("wire", 5),
];

/// Imports to the left that are plain data: the name of a node.
const NAMES: [&str; 1] = ["topology::NodeAddress"];

/// Files that do no I/O and read no clock.
const PURE: [&str; 9] = [
    "wire/",
    "wire.rs",
    "command/",
    "command.rs",
    "route/",
    "route.rs",
    "scram/",
    "pool/state",
    "topology/sdam",
];

/// Production lines a file may have.
const LONGEST: usize = 600;

/// Tables and the like, which read best in one piece.
const LONG_BY_NATURE: [(&str, usize); 2] =
    [("config/settings.rs", 600), ("config/uri/options.rs", 370)];

fn sources() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .parent()
        .unwrap()
        .join("proxy/src")
}

struct Source {
    /// Relative to `proxy/src`.
    name: String,
    /// Without its tests.
    text: String,
}

fn collect(folder: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.file_stem().is_some_and(|stem| stem == "tests") {
            continue;
        }
        if path.is_dir() {
            collect(&path, into);
        } else if path.extension().is_some_and(|e| e == "rs") {
            into.push(path);
        }
    }
}

fn all() -> Vec<Source> {
    let root = sources();
    let mut paths = Vec::new();
    collect(&root, &mut paths);
    paths.sort();
    let read = |path: PathBuf| {
        let whole = fs::read_to_string(&path).unwrap();
        let text = whole
            .split("\n#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or_default();
        let name = path.strip_prefix(&root).unwrap().display().to_string();
        Source {
            name,
            text: text.to_owned(),
        }
    };
    let sources: Vec<_> = paths.into_iter().map(read).collect();
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

/// Lines of code: comments may say what code may not do.
fn code(source: &Source) -> impl Iterator<Item = (usize, &str)> {
    let lines = source.text.lines().enumerate();
    lines
        .map(|(n, line)| (n + 1, line))
        .filter(|(_, line)| !line.trim_start().starts_with("//"))
}

fn part_of(name: &str) -> &str {
    name.split(['/', '.']).next().unwrap_or_default()
}

fn rank(part: &str) -> Option<usize> {
    WAY.iter()
        .find(|(name, _)| *name == part)
        .map(|(_, rank)| *rank)
}

/// The crate's modules that a source names, with the name behind them.
fn imports(source: &Source) -> Vec<String> {
    let mut found = Vec::new();
    let code: String = code(source)
        .map(|(_, line)| line.trim())
        .collect::<Vec<_>>()
        .join(" ");
    for tail in code.split("crate::").skip(1) {
        if let Some(group) = tail.strip_prefix('{') {
            found.extend(first_level(group));
        } else {
            found.push(path_of(tail));
        }
    }
    found
}

fn path_of(text: &str) -> String {
    text.chars()
        .take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':'))
        .collect()
}

/// `a::b, c::{d, e}, f}` → `a::b`, `c::`, `f`.
fn first_level(group: &str) -> Vec<String> {
    let mut depth = 0;
    let mut start = 0;
    let mut parts = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' if depth == 0 => {
                parts.push(path_of(group[start..at].trim()));
                break;
            }
            '}' => depth -= 1,
            ',' if depth == 0 => {
                parts.push(path_of(group[start..at].trim()));
                start = at + 1;
            }
            _ => {}
        }
    }
    parts
}

#[test]
fn nothing_imports_to_its_left() {
    let mut wrong = Vec::new();
    for source in all() {
        let Some(mine) = rank(part_of(&source.name)) else {
            continue;
        };
        for import in imports(&source) {
            let part = import.split("::").next().unwrap_or_default();
            let allowed = NAMES.iter().any(|name| import.starts_with(name));
            if rank(part).is_some_and(|theirs| theirs < mine) && !allowed {
                wrong.push(format!("{} imports crate::{import}", source.name));
            }
        }
    }
    assert!(
        wrong.is_empty(),
        "imports to the left:\n{}",
        wrong.join("\n")
    );
}

#[test]
fn both_sides_of_the_proxy_do_not_know_each_other() {
    for source in all() {
        for (side, other) in [("downstream", "upstream"), ("upstream", "downstream")] {
            if part_of(&source.name) == side {
                let named: Vec<_> = imports(&source)
                    .into_iter()
                    .filter(|i| i.starts_with(other))
                    .collect();
                assert!(named.is_empty(), "{} imports {named:?}", source.name);
            }
        }
    }
}

fn forbid(words: &[&str], files: impl Fn(&str) -> bool, why: &str) {
    let mut wrong = Vec::new();
    for source in all().iter().filter(|source| files(&source.name)) {
        for (number, line) in code(source) {
            if words.iter().any(|word| line.contains(word)) {
                wrong.push(format!("{}:{number}: {}", source.name, line.trim()));
            }
        }
    }
    assert!(wrong.is_empty(), "{why}:\n{}", wrong.join("\n"));
}

#[test]
fn pure_parts_do_no_io_and_read_no_clock() {
    let words = [
        "tokio::",
        "tracing::",
        "use metrics",
        "Instant::now",
        "SystemTime::now",
    ];
    let pure = |name: &str| PURE.iter().any(|p| name.starts_with(p));
    forbid(&words, pure, "pure files must stay pure");
}

#[test]
fn the_driver_stays_behind_its_two_doors() {
    let door = |name: &str| name.starts_with("config/uri") || name.starts_with("topology/monitor");
    forbid(
        &["mongodb::"],
        |name| !door(name),
        "the driver's types stop at two modules",
    );
}

#[test]
fn the_environment_is_read_in_one_place() {
    let words = [
        "std::env::var",
        "std::env::args",
        "env::vars",
        "env::set_var",
        "env::var(",
    ];
    forbid(
        &words,
        |name| name != "config/env.rs",
        "only config/env.rs reads the environment",
    );
}

#[test]
fn metrics_are_made_in_one_place() {
    let words = ["use metrics::", "counter!(", "gauge!(", "histogram!("];
    forbid(
        &words,
        |name| name != "metrics.rs",
        "only metrics.rs makes metrics",
    );
}

#[test]
fn the_proxy_does_not_know_lambda() {
    forbid(
        &["lambda_extension", "lambda_runtime"],
        |_| true,
        "Lambda belongs to extension and tests",
    );
}

#[test]
fn files_have_one_job() {
    let mut long = Vec::new();
    for source in all() {
        let lines = source.text.lines().count();
        let limit = LONG_BY_NATURE.iter().find(|(name, _)| *name == source.name);
        let limit = limit.map_or(LONGEST, |(_, limit)| *limit);
        if lines > limit {
            long.push(format!("{}: {lines} lines, {limit} allowed", source.name));
        }
    }
    assert!(long.is_empty(), "too long:\n{}", long.join("\n"));
}
