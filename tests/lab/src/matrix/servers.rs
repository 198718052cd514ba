//! The server matrix: the newest Rust driver and an older PyMongo, which speak to every
//! generation, against servers of four, directly and through Weir.

mod tries;

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, bail};

use self::tries::Seen;
use super::document::Notes;
use super::features::FEATURES;
use super::stage::Face;
use weir_tests::paths::paths;

pub use self::tries::lines;

/// Exit code of `prepare` for a server that this machine cannot have.
const NOT_TO_BE_HAD: i32 = 77;

/// The servers, oldest first, and how they run.
pub const SERVERS: [(&str, &str); 4] = [
    ("4.4.2", "natively"),
    ("5.0.4", "natively"),
    ("6.0.27", "natively"),
    ("7.0.28", WINE),
];

/// Slow, and it may end at any time.
const WINE: &str = "under Wine";

/// What one server did.
#[derive(Debug)]
pub struct Column {
    /// Its version, and how it ran.
    pub title: String,
    /// By feature, the outcome of each driver directly and through Weir.
    cells: BTreeMap<String, Vec<Seen>>,
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
    let seen = if how == WINE {
        tries::frail(&program)
    } else {
        tries::sturdy(&program)
    };
    for seen in seen.with_context(|| format!("MongoDB {version}"))? {
        let cells = column.cells.entry(seen.feature.clone()).or_default();
        cells.push(seen);
    }
    Ok(column)
}

/// The server's program, or why this machine cannot have it.
fn prepare(version: &str) -> Result<Result<PathBuf, String>> {
    let place = paths().parts().join(format!("server-{version}"));
    fs::create_dir_all(&place)?;
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("../servers/prepare");
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

impl Seen {
    fn told(&self) -> String {
        format!("{}: {}", self.driver, self.reason)
    }
}

impl Column {
    /// What fails through Weir with a driver that does not fail directly.
    #[must_use]
    pub fn lost(&self) -> Vec<String> {
        let told = |(feature, cells): (&String, &Vec<Seen>)| {
            let lost = cells.iter().filter(|seen| is_lost(seen, cells));
            let told = lost.map(|seen| format!("{}: {feature}: {}", self.title, seen.told()));
            told.collect::<Vec<_>>()
        };
        self.cells.iter().flat_map(told).collect()
    }

    fn field(&self, feature: &str, notes: &mut Notes) -> String {
        let Some(cells) = self.cells.get(feature) else {
            return "–".to_owned();
        };
        let of = |wanted: &'static str| {
            let through = cells.iter().filter(|seen| seen.face == Face::Mongos);
            through.filter(move |seen| seen.verdict == wanted)
        };
        if let Some(lost) = of("fail").find(|seen| is_lost(seen, cells)) {
            return format!("**fails** {}", notes.number(&lost.told()));
        }
        if let Some(failing) = of("fail").next() {
            return format!("fails as directly {}", notes.number(&failing.told()));
        }
        let told = of("pass").find(|seen| !seen.reason.is_empty());
        match (of("n/a").next().or(told), of("pass").next()) {
            (None, _) => "yes".to_owned(),
            (Some(seen), Some(_)) => format!("yes {}", notes.number(&seen.told())),
            (Some(seen), None) => format!("n/a {}", notes.number(&seen.told())),
        }
    }
}

/// It fails through Weir, and the same driver does not fail directly.
fn is_lost(seen: &Seen, cells: &[Seen]) -> bool {
    let fails_directly = |other: &Seen| {
        other.face == Face::Direct && other.driver == seen.driver && other.verdict == "fail"
    };
    seen.face == Face::Mongos && seen.verdict == "fail" && !cells.iter().any(fails_directly)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(driver: &str, face: Face, verdict: &str) -> Seen {
        Seen {
            feature: "crud".to_owned(),
            driver: driver.to_owned(),
            face,
            verdict: verdict.to_owned(),
            reason: "why".to_owned(),
        }
    }

    fn column(cells: Vec<Seen>) -> Column {
        Column {
            title: "9.0".to_owned(),
            cells: BTreeMap::from([("crud".to_owned(), cells)]),
            skipped: None,
        }
    }

    #[test]
    fn another_drivers_failure_hides_nothing() {
        let cells = vec![
            seen("Rust", Face::Direct, "fail"),
            seen("Rust", Face::Mongos, "fail"),
            seen("Python", Face::Direct, "n/a"),
            seen("Python", Face::Mongos, "fail"),
        ];
        let column = column(cells);
        assert_eq!(column.lost(), ["9.0: crud: Python: why"]);
        let field = column.field("crud", &mut Notes::default());
        assert!(field.starts_with("**fails**"), "{field}");
    }

    #[test]
    fn what_fails_directly_too_is_not_lost() {
        let cells = vec![
            seen("Rust", Face::Direct, "fail"),
            seen("Rust", Face::Mongos, "fail"),
        ];
        let column = column(cells);
        assert!(column.lost().is_empty());
        let field = column.field("crud", &mut Notes::default());
        assert!(field.starts_with("fails as directly"), "{field}");
    }
}
