//! The server matrix: the newest Rust driver and an older PyMongo, which speak to every
//! generation, against servers of four, directly and through Weir.
//!
//! Each server has a process of this same program to itself, because `WEIR_MONGOD` names
//! the server for a whole process.

use std::collections::BTreeMap;
use std::env;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail, ensure};
use serde_json::{Value, json};

use super::document::Notes;
use super::features::{FEATURES, Matrix, Verdict};
use super::stage::Face;
use crate::surroundings::surroundings;

/// What [`lines`] puts before each of its lines.
const MARK: &str = "cell ";

/// Exit code of `prepare` for a server that this machine cannot have.
const NOT_TO_BE_HAD: i32 = 77;

/// The servers, oldest first, and how they run.
pub const SERVERS: [(&str, &str); 4] = [
    ("4.4.2", "natively"),
    ("5.0.4", "natively"),
    ("6.0.27", "natively"),
    ("7.0.28", WINE),
];

/// Slow: it gets a set of one.
const WINE: &str = "under Wine";

/// The drivers that speak to all of them.
const DRIVERS: [&str; 2] = ["python-4.6.3", "rust-3.9.1"];

/// What one server did.
#[derive(Debug)]
pub struct Column {
    /// Its version, and how it ran.
    pub title: String,
    /// By feature, the outcome of each driver directly and through Weir.
    cells: BTreeMap<String, Vec<(Face, String, String)>>,
    /// Why there is nothing.
    pub skipped: Option<String>,
}

/// Tries one server.
///
/// # Errors
/// When it can be had but its process fails before the table is whole.
pub fn try_server(version: &str, how: &str, told: &dyn Fn(&str)) -> Result<Column> {
    let mut column = Column {
        title: format!("{version} {how}"),
        cells: BTreeMap::new(),
        skipped: None,
    };
    let program = match prepare(version)? {
        Ok(program) => program,
        Err(reason) => {
            column.skipped = Some(reason);
            return Ok(column);
        }
    };
    told(&format!("MongoDB {version} {how}"));
    let mut command = Command::new(env::current_exe()?);
    command
        .env("WEIR_MONGOD", program)
        .args(["matrix", "--lines"]);
    if how == WINE {
        command.arg("--small");
    }
    for driver in DRIVERS {
        command.args(["--driver", driver]);
    }
    for face in [Face::Direct, Face::Mongos] {
        command.args(["--face", face.name()]);
    }
    let output = command.stdin(Stdio::null()).output()?;
    let said = String::from_utf8_lossy(&output.stdout);
    for line in said.lines().filter_map(|line| line.strip_prefix(MARK)) {
        let cell: Value = serde_json::from_str(line)?;
        let text = |name: &str| cell.get(name).and_then(Value::as_str).unwrap_or_default();
        let face = Face::ALL
            .into_iter()
            .find(|face| face.name() == text("face"));
        let face = face.context("a cell without a face")?;
        let cells = column.cells.entry(text("feature").to_owned()).or_default();
        cells.push((face, text("verdict").to_owned(), text("reason").to_owned()));
    }
    ensure!(
        !column.cells.is_empty(),
        "MongoDB {version}: nothing was tried: {}",
        String::from_utf8_lossy(&output.stderr)
    );
    Ok(column)
}

/// The server's program, or why this machine cannot have it.
fn prepare(version: &str) -> Result<Result<PathBuf, String>> {
    let place = surroundings().parts().join(format!("server-{version}"));
    fs::create_dir_all(&place)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("servers/prepare");
    let output = Command::new(script)
        .arg(version)
        .arg(&place)
        .stdin(Stdio::null())
        .output()?;
    match output.status.code() {
        Some(0) => Ok(Ok(place.join("mongod"))),
        Some(NOT_TO_BE_HAD) => Ok(Err(String::from_utf8_lossy(&output.stdout).trim().into())),
        _ => bail!(
            "MongoDB {version}: {}",
            String::from_utf8_lossy(&output.stderr)
        ),
    }
}

/// Every field of a matrix, for [`try_server`] to read.
#[must_use]
pub fn lines(matrix: &Matrix) -> String {
    let mut out = String::new();
    for run in &matrix.runs {
        for (feature, cell) in &run.cells {
            let verdict = match cell.verdict {
                Verdict::Pass => "pass",
                Verdict::Fail => "fail",
                Verdict::NotApplicable => "n/a",
            };
            let line = json!({
                "face": run.face.name(), "feature": feature, "verdict": verdict,
                "reason": format!("{}: {}", run.driver.title(), brief(&cell.reason)),
            });
            let _ = writeln!(out, "{MARK}{line}");
        }
    }
    out
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

impl Column {
    /// What fails through Weir and not directly.
    #[must_use]
    pub fn lost(&self) -> Vec<String> {
        let failing = |face: Face, cells: &[(Face, String, String)]| {
            let failing = cells
                .iter()
                .filter(|(on, verdict, _)| *on == face && verdict == "fail");
            failing.count()
        };
        self.cells
            .iter()
            .filter(|(_, cells)| failing(Face::Mongos, cells) > failing(Face::Direct, cells))
            .map(|(feature, _)| format!("{}: {feature}", self.title))
            .collect()
    }

    fn field(&self, feature: &str, notes: &mut Notes) -> String {
        let Some(cells) = self.cells.get(feature) else {
            return "–".to_owned();
        };
        let of = |wanted: &str| {
            let mut found = cells
                .iter()
                .filter(|(face, verdict, _)| *face == Face::Mongos && verdict == wanted);
            found.next().map(|(_, _, reason)| reason.as_str())
        };
        if let Some(reason) = of("fail") {
            return format!("fails as directly {}", notes.number(reason));
        }
        match (of("n/a"), of("pass")) {
            (None, _) => "yes".to_owned(),
            (Some(reason), Some(_)) => format!("yes {}", notes.number(reason)),
            (Some(reason), None) => format!("n/a {}", notes.number(reason)),
        }
    }
}

/// The table of all servers, and what is lost.
#[must_use]
pub fn markdown(columns: &[Column]) -> String {
    let mut out = String::new();
    let mut notes = Notes::default();
    let tried: Vec<&Column> = columns.iter().filter(|one| one.skipped.is_none()).collect();
    let titles: Vec<&str> = tried.iter().map(|one| one.title.as_str()).collect();
    let _ = writeln!(out, "| feature through Weir | {} |", titles.join(" | "));
    let _ = writeln!(out, "|---|{}", "---|".repeat(tried.len()));
    for feature in FEATURES {
        let fields: Vec<String> = tried
            .iter()
            .map(|one| one.field(feature, &mut notes))
            .collect();
        let _ = writeln!(out, "| {feature} | {} |", fields.join(" | "));
    }
    let _ = writeln!(out, "\n{}", notes.text());
    for column in columns {
        if let Some(reason) = &column.skipped {
            let _ = writeln!(out, "- skipped: {}: {reason}", column.title);
        }
        for lost in column.lost() {
            let _ = writeln!(out, "- **fails through Weir alone**: {lost}");
        }
    }
    out
}
