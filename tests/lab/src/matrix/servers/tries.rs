//! The processes of the server matrix: one for a server, or, where the server is frail, one for
//! each driver and endpoint, and another one after each feature that the server did not survive.

use std::env;
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};

use crate::matrix::features::{Cell, FEATURES, Matrix, Verdict};
use crate::matrix::stage::{Face, Stage};

/// The drivers that speak to all servers.
const DRIVERS: [&str; 2] = ["python-4.6.3", "rust-3.9.1"];
/// The endpoints that are compared.
const FACES: [Face; 2] = [Face::Direct, Face::Mongos];
/// So many servers are given to a feature that they do not survive.
const TRIES: usize = 6;
/// What [`lines`] puts before each of its lines.
const MARK: &str = "cell ";
/// The line that says that the server is no more.
const ENDED: &str = "the server itself ended";

/// One feature, one driver, one endpoint.
#[derive(Clone, Debug)]
pub(super) struct Seen {
    pub(super) feature: String,
    pub(super) driver: String,
    pub(super) face: Face,
    pub(super) verdict: String,
    pub(super) reason: String,
}

impl Seen {
    /// A feature that failed, and works when it is tried once more.
    fn look_again(&mut self, again: &[Self]) {
        let same = |other: &&Self| {
            other.feature == self.feature && other.driver == self.driver && other.face == self.face
        };
        let works = again
            .iter()
            .find(same)
            .is_some_and(|now| now.verdict == "pass");
        if self.verdict == "fail" && works {
            self.verdict = "pass".to_owned();
            self.reason = format!("at the second try; at the first: {}", self.reason);
        }
    }
}

/// Whether any driver failed this feature on any endpoint.
fn fails(seen: &[Seen], feature: &str) -> bool {
    let mut seen = seen.iter();
    seen.any(|seen| seen.feature == feature && seen.verdict == "fail")
}

/// What one process has seen.
struct Try {
    seen: Vec<Seen>,
    /// The server did not live to its end.
    ended: bool,
}

/// Everything with one server that holds out. What fails is tried once more: an old server
/// refuses transactions for a moment after a collection was made, and says so in a note.
pub(super) fn sturdy(server: &Path) -> Result<Vec<Seen>> {
    let mut all = ask(server, false, &DRIVERS, &FACES, &FEATURES)?.seen;
    let has_failed = |feature: &&str| fails(&all, feature);
    let failed: Vec<&str> = FEATURES.into_iter().filter(has_failed).collect();
    if !failed.is_empty() {
        let again = ask(server, false, &DRIVERS, &FACES, &failed)?.seen;
        all.iter_mut().for_each(|seen| seen.look_again(&again));
    }
    Ok(all)
}

/// Everything with a server that is slow and may end at any time: it gets a set of one.
pub(super) fn frail(server: &Path) -> Result<Vec<Seen>> {
    let mut all = Vec::new();
    for driver in DRIVERS {
        for face in FACES {
            let mut left = FEATURES.as_slice();
            let mut ends = 0;
            while !left.is_empty() {
                let tried = ask(server, true, &[driver], &[face], left)?;
                (left, ends) = take(tried, left, ends, &mut all);
            }
        }
    }
    Ok(all)
}

/// Keeps what was seen up to the feature that the server did not survive; returns what is to
/// be tried with a new one, and how many servers its first feature has ended. `ends`: how many
/// the first of `features` had ended before.
fn take<'a>(
    tried: Try,
    features: &'a [&'a str],
    ends: usize,
    all: &mut Vec<Seen>,
) -> (&'a [&'a str], usize) {
    let failed = |feature: &&str| fails(&tried.seen, feature);
    let fatal = tried.ended.then(|| features.iter().position(failed));
    let (done, next_ends) = match fatal.flatten() {
        None => (features.len(), 0),
        Some(0) if ends + 1 >= TRIES => (1, 0),
        Some(0) => (0, ends + 1),
        Some(fatal) => (fatal, 1),
    };
    let (done, left) = features.split_at(done);
    let first = features.first().copied().unwrap_or_default();
    for mut seen in tried.seen {
        if !done.contains(&seen.feature.as_str()) {
            continue;
        }
        if ends > 0 && seen.feature == first {
            let before = format!("{ends} servers before this one did not survive it");
            seen.reason = format!("{before} {}", seen.reason);
        }
        all.push(seen);
    }
    (left, next_ends)
}

/// Runs this same program for a part of the matrix: `WEIR_MONGOD` names the server for a whole
/// process.
fn ask(
    server: &Path,
    small: bool,
    drivers: &[&str],
    faces: &[Face],
    features: &[&str],
) -> Result<Try> {
    let mut command = Command::new(env::current_exe()?);
    command
        .env("WEIR_MONGOD", server)
        .args(["matrix", "--lines"]);
    if small {
        command.arg("--small");
    }
    let names = faces.iter().map(|face| face.name());
    let chosen = drivers.iter().map(|driver| ("--driver", *driver));
    let chosen = chosen.chain(names.map(|name| ("--face", name)));
    for (option, value) in chosen.chain(features.iter().map(|name| ("--feature", *name))) {
        command.args([option, value]);
    }
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    let cells = said.lines().filter_map(|line| line.strip_prefix(MARK));
    let seen = cells.map(read).collect::<Result<Vec<_>>>()?;
    ensure!(
        !seen.is_empty(),
        "nothing was tried: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    let ended = said.lines().any(|line| line == ENDED);
    Ok(Try { seen, ended })
}

fn read(line: &str) -> Result<Seen> {
    let cell: Value = serde_json::from_str(line)?;
    let text = |name: &str| {
        let text = cell.get(name).and_then(Value::as_str);
        text.unwrap_or_default().to_owned()
    };
    let face = Face::ALL
        .into_iter()
        .find(|face| face.name() == text("face"));
    Ok(Seen {
        feature: text("feature"),
        driver: text("driver"),
        face: face.context("a cell without a face")?,
        verdict: text("verdict"),
        reason: text("reason"),
    })
}

/// Every field of a matrix, and whether the server is still there, for this module to read.
#[must_use]
pub fn lines(matrix: &Matrix, stage: &Stage) -> String {
    let mut out = String::new();
    for run in &matrix.runs {
        for (feature, cell) in &run.cells {
            let (verdict, reason) = of_this_server(cell);
            let line = json!({
                "face": run.face.name(), "feature": feature, "verdict": verdict,
                "driver": run.driver.title(), "reason": brief(reason),
            });
            out.push_str(&format!("{MARK}{line}\n"));
        }
    }
    if !stage.server_lives() {
        out.push_str(&format!("{ENDED}\n"));
    }
    out
}

/// What a cell says of the server of this process: what works before the scripted server of a
/// newer version does not work here.
fn of_this_server(cell: &Cell) -> (&'static str, &str) {
    match cell.verdict {
        Verdict::Fail => ("fail", &cell.reason),
        _ if cell.scripted => ("n/a", "this server has no bulkWrite command"),
        Verdict::Pass => ("pass", &cell.reason),
        Verdict::NotApplicable => ("n/a", &cell.reason),
    }
}

/// The beginning of a reason: a footnote is no place for a backtrace.
fn brief(reason: &str) -> String {
    const MOST: usize = 160;
    let mut brief: String = reason.chars().take(MOST).collect();
    if brief.len() < reason.len() {
        brief.push('…');
    }
    brief
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tried(ended: bool) -> Try {
        let cell = |feature: &str, verdict: &str| Seen {
            feature: feature.to_owned(),
            driver: "Rust".to_owned(),
            face: Face::Mongos,
            verdict: verdict.to_owned(),
            reason: "why".to_owned(),
        };
        Try {
            seen: vec![cell("a", "pass"), cell("b", "fail"), cell("c", "fail")],
            ended,
        }
    }

    #[test]
    fn what_the_server_did_not_survive_is_tried_again() {
        let mut all = Vec::new();
        let (left, ends) = take(tried(true), &["a", "b", "c"], 0, &mut all);
        assert_eq!((left, ends), (["b", "c"].as_slice(), 1));
        let seen: Vec<_> = all.iter().map(|seen| seen.feature.as_str()).collect();
        assert_eq!(seen, ["a"]);
    }

    #[test]
    fn after_many_servers_it_has_failed() {
        let mut all = Vec::new();
        let (left, ends) = take(tried(true), &["b", "c"], TRIES - 2, &mut all);
        assert_eq!((left.len(), ends), (2, TRIES - 1));
        assert!(all.is_empty());
        let (left, ends) = take(tried(true), &["b", "c"], ends, &mut all);
        assert_eq!((left, ends), (["c"].as_slice(), 0));
        assert_eq!(
            all[0].reason,
            "5 servers before this one did not survive it why"
        );
    }

    #[test]
    fn what_works_at_the_second_try_says_so() {
        let mut seen = tried(false).seen;
        let mut again = seen.clone();
        again[1].verdict = "pass".to_owned();
        seen.iter_mut().for_each(|seen| seen.look_again(&again));
        let verdicts: Vec<_> = seen.iter().map(|seen| seen.verdict.as_str()).collect();
        assert_eq!(verdicts, ["pass", "pass", "fail"]);
        assert_eq!(seen[1].reason, "at the second try; at the first: why");
    }

    #[test]
    fn what_a_scripted_server_does_is_not_this_servers() {
        let cell = |verdict, scripted| Cell {
            verdict,
            reason: "why".to_owned(),
            ms: 1,
            scripted,
        };
        let none = ("n/a", "this server has no bulkWrite command");
        assert_eq!(of_this_server(&cell(Verdict::Pass, true)), none);
        assert_eq!(of_this_server(&cell(Verdict::NotApplicable, true)), none);
        let failed = cell(Verdict::Fail, true);
        assert_eq!(of_this_server(&failed), ("fail", "why"));
        let passed = cell(Verdict::Pass, false);
        assert_eq!(of_this_server(&passed), ("pass", "why"));
    }

    #[test]
    fn a_server_that_lives_has_had_its_say() {
        let mut all = Vec::new();
        let (left, _) = take(tried(false), &["a", "b", "c"], 0, &mut all);
        assert!(left.is_empty());
        assert_eq!(all.len(), 3);
    }
}
