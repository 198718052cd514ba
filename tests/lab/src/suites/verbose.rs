//! What a Go test program says with `-test.v=test2json`: lines of the framework begin
//! with a mark, everything else belongs to the test that was named last.

use std::collections::BTreeMap;

/// The framework's mark (SYN).
const MARK: char = '\u{16}';

/// No failure needs more of its output than this.
const LONGEST: usize = 4_000;

/// How a test ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It passed.
    Pass,
    /// It failed, or never ended.
    Fail,
    /// It chose not to run.
    Skip,
}

/// One test and what it printed.
#[derive(Clone, Debug)]
pub struct Ended {
    /// How.
    pub verdict: Verdict,
    /// Its own lines, cut.
    pub said: String,
}

/// The tests of one run, by full name.
pub type Results = BTreeMap<String, Ended>;

/// Reads the whole output. A test that began and never ended has failed.
pub fn read(output: &str) -> Results {
    let mut results = Results::new();
    let mut current = String::new();
    for line in output.lines() {
        // A test may end its last line without a newline.
        let (own, framework) = match line.split_once(MARK) {
            Some((own, framework)) => (own, Some(framework)),
            None => (line, None),
        };
        if !own.is_empty() {
            say(&mut results, &current, own);
        }
        match framework.map(event) {
            Some(Event::Current(name)) => {
                current = name.to_owned();
                results.entry(current.clone()).or_insert_with(|| Ended {
                    verdict: Verdict::Fail,
                    said: String::new(),
                });
            }
            Some(Event::End(verdict, name)) => {
                current = name.to_owned();
                if let Some(ended) = results.get_mut(name) {
                    ended.verdict = verdict;
                }
            }
            Some(Event::Other) | None => {}
        }
    }
    results
}

fn say(results: &mut Results, test: &str, line: &str) {
    if let Some(ended) = results.get_mut(test)
        && ended.said.len() < LONGEST
    {
        ended.said.push_str(line);
        ended.said.push('\n');
    }
}

enum Event<'a> {
    /// `=== RUN`, `=== NAME`, `=== CONT`: what follows is of this test.
    Current(&'a str),
    End(Verdict, &'a str),
    Other,
}

fn event(line: &str) -> Event<'_> {
    for start in ["=== RUN   ", "=== NAME  ", "=== CONT  "] {
        if let Some(name) = line.strip_prefix(start) {
            return Event::Current(name.trim_end());
        }
    }
    let ends = [
        ("--- PASS: ", Verdict::Pass),
        ("--- FAIL: ", Verdict::Fail),
        ("--- SKIP: ", Verdict::Skip),
    ];
    for (start, verdict) in ends {
        if let Some(rest) = line.trim_start().strip_prefix(start) {
            let name = rest.rsplit_once(" (").map_or(rest, |(name, _)| name);
            return Event::End(verdict, name);
        }
    }
    Event::Other
}

/// A test's own words without the place in the source that Go puts before them.
pub fn words(said: &str) -> String {
    let line = said.lines().find(|line| line.contains(".go:"));
    let line = line.or_else(|| said.lines().last()).unwrap_or_default();
    let line = line.trim();
    let spoken = line.split_once(".go:").and_then(|(_, rest)| {
        let (place, words) = rest.split_once(": ")?;
        place.bytes().all(|b| b.is_ascii_digit()).then_some(words)
    });
    spoken.unwrap_or(line).to_owned()
}
