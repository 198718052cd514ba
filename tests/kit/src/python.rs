//! Python with one version of PyMongo, in an environment of its own among the parts.

use std::io;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::parts::{once, step};

/// The newest driver, which the demo's workers use.
pub const NEWEST: &str = "4.20.0";

/// AWS's runtime client: what the managed runtime runs.
const RUNTIME: &str = "awslambdaric==4.2.2";

/// The interpreter of the environment with that version; made at the first use on a machine.
///
/// # Errors
/// The last line of what Python or pip said.
pub fn environment(parts: &Path, version: &str) -> io::Result<PathBuf> {
    let place = once(parts, &format!("pymongo-{version}"), |scratch, ready| {
        step(
            Command::new("python3").args(["-m", "venv"]).arg(ready),
            scratch,
        )?;
        let pip = |requirement: &str| {
            step(
                Command::new(ready.join("bin/python"))
                    .args(["-m", "pip", "install", "--quiet"])
                    .args(["--disable-pip-version-check", "--only-binary=:all:"])
                    .arg(requirement),
                scratch,
            )
        };
        // Where the compressors cannot be had, zlib alone is tried.
        pip(&format!("pymongo[snappy,zstd]=={version}"))
            .or_else(|_| pip(&format!("pymongo=={version}")))
    })?;
    Ok(place.join("bin/python"))
}

/// The interpreter of an environment with the newest driver and AWS's runtime client, as in
/// Lambda's managed runtime; made at the first use on a machine.
///
/// # Errors
/// The last line of what Python or pip said.
pub fn for_lambda(parts: &Path) -> io::Result<PathBuf> {
    let place = once(
        parts,
        &format!("lambda-python-{NEWEST}"),
        |scratch, ready| {
            step(
                Command::new("python3").args(["-m", "venv"]).arg(ready),
                scratch,
            )?;
            step(
                Command::new(ready.join("bin/python"))
                    .args(["-m", "pip", "install", "--quiet"])
                    .args(["--disable-pip-version-check", "--only-binary=:all:"])
                    .args([RUNTIME, &format!("pymongo=={NEWEST}")]),
                scratch,
            )
        },
    )?;
    Ok(place.join("bin/python"))
}
