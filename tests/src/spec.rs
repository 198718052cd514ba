//! The public specification files: JSON fixtures of the MongoDB specifications.
//!
//! Their licence does not allow keeping copies here. The Go module of the official
//! driver carries them, so they are fetched with the `go` command at test time,
//! once, into its own module cache.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use serde_json::Value;

/// The Go module and version whose `testdata` folder is used.
pub const MODULE: &str = "go.mongodb.org/mongo-driver@v1.17.10";

/// The folder with the specification files: `$WEIR_SPEC_TESTDATA`, or that of
/// [`MODULE`]. `None` when neither is to be had; why is printed once.
#[must_use]
pub fn testdata() -> Option<PathBuf> {
    static FOUND: OnceLock<Option<PathBuf>> = OnceLock::new();
    FOUND
        .get_or_init(|| match std::env::var_os("WEIR_SPEC_TESTDATA") {
            Some(folder) => Some(folder.into()),
            None => download()
                .inspect_err(|error| say(&format!("no specification files: {error}")))
                .ok(),
        })
        .clone()
}

/// Every JSON file below a folder of [`testdata`], by name.
#[must_use]
pub fn fixtures(folder: &Path) -> Vec<(String, Value)> {
    let mut found = Vec::new();
    collect(folder, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).ok()?;
        let name = path
            .strip_prefix(folder)
            .unwrap_or(&path)
            .with_extension("");
        Some((
            name.display().to_string(),
            serde_json::from_str(&text).ok()?,
        ))
    };
    found.into_iter().filter_map(read).collect()
}

/// Writes a line that the test runner does not swallow.
pub fn say(line: &str) {
    let _ = writeln!(std::io::stderr().lock(), "{line}");
}

fn collect(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            collect(&path, found);
        } else if path
            .extension()
            .is_some_and(|extension| extension == "json")
        {
            found.push(path);
        }
    }
}

/// Downloads [`MODULE`]; the cache of Go makes the second time free.
fn download() -> anyhow::Result<PathBuf> {
    let folder = std::env::temp_dir().join(format!("weir-spec-{}", std::process::id()));
    fs::create_dir_all(&folder)?;
    fs::write(folder.join("go.mod"), "module weir/spec\n\ngo 1.21\n")?;
    let output = Command::new("go")
        .args(["mod", "download", "-json", MODULE])
        .env("GOFLAGS", "-mod=mod")
        .current_dir(&folder)
        .output();
    let _ = fs::remove_dir_all(&folder);
    let output = output.map_err(|error| anyhow::anyhow!("the go command: {error}"))?;
    let answer: Value = serde_json::from_slice(&output.stdout)?;
    match answer.get("Dir").and_then(Value::as_str) {
        Some(module) => Ok(Path::new(module).join("testdata")),
        None => anyhow::bail!("{MODULE}: {}", answer.get("Error").unwrap_or(&Value::Null)),
    }
}
