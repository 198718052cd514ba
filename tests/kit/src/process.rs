//! Child processes that never outlive the process that started them.
//!
//! A destructor is not enough for that: a killed process runs none, and
//! neither does a test binary at its end, because statics are never dropped.
//! So each [`Scratch`] folder has a watcher, a small shell that reads orders
//! from a pipe. When the pipe closes, for whatever reason, even SIGKILL, the
//! watcher kills the processes that are still registered and removes the
//! folder. (Linux' parent-death signal would need unsafe code, and macOS has
//! none.)
//!
//! Between the start of a child and its registration lie some microseconds;
//! a process killed in exactly that moment leaves its newest child behind.
//!
//! Everything here blocks; call it from a blocking thread.

use std::fs;
use std::io::{self, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::process::{Pid, kill_process};

/// The watcher's program. `$1` is the folder to remove.
///
/// Signals meant for a terminal's foreground group are ignored: the watcher
/// must outlive the process it watches.
const WATCHER: &str = r#"
trap '' HUP INT TERM
watched=
while read -r order pid; do
    kept=
    for each in $watched; do [ "$each" = "$pid" ] || kept="$kept $each"; done
    watched=$kept
    [ "$order" = watch ] && watched="$watched $pid"
done
for each in $watched; do kill -KILL "$each"; done 2>/dev/null
for _ in 1 2 3 4 5 6 7 8 9 10; do rm -rf -- "$1" 2>/dev/null && break; sleep 0.1; done
"#;

/// Time between two evaluations of a condition that is waited for.
const POLL_INTERVAL: Duration = Duration::from_millis(10);

/// Evaluates `condition` every 10 ms until it returns something, at most for `limit`.
///
/// The condition is evaluated once more after the limit. A stalled machine does not
/// turn a late success into a failure.
pub fn until<T>(limit: Duration, mut condition: impl FnMut() -> Option<T>) -> Option<T> {
    let end = Instant::now() + limit;
    loop {
        let late = Instant::now() >= end;
        if let Some(found) = condition() {
            return Some(found);
        }
        if late {
            return None;
        }
        rest();
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the pause between two evaluations of a condition that has a deadline"
)]
fn rest() {
    std::thread::sleep(POLL_INTERVAL);
}

/// A folder of our own, removed at the latest when this process is gone.
#[derive(Debug)]
pub struct Scratch {
    path: PathBuf,
    watcher: Mutex<Child>,
}

impl Scratch {
    /// Makes `<parent>/<prefix>-<random>`, readable by its owner only, and
    /// starts its watcher.
    ///
    /// # Errors
    /// When the folder cannot be made or no `sh` can be started.
    pub fn new(parent: &Path, prefix: &str) -> io::Result<Arc<Self>> {
        let mut random = [0; 4];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let path = parent.join(format!("{prefix}-{:08x}", u32::from_ne_bytes(random)));
        fs::create_dir_all(parent)?;
        let mut folder = fs::DirBuilder::new();
        std::os::unix::fs::DirBuilderExt::mode(&mut folder, 0o700);
        folder.create(&path)?;
        let watcher = Command::new("sh")
            .args(["-c", WATCHER, "weir-watcher"])
            .arg(&path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .spawn()?;
        Ok(Arc::new(Self {
            path,
            watcher: Mutex::new(watcher),
        }))
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// From now on `pid` dies with this process.
    ///
    /// # Errors
    /// When the watcher is gone.
    pub fn watch(&self, pid: u32) -> io::Result<()> {
        self.order("watch", pid)
    }

    /// `pid` has ended; its number may soon be somebody else's.
    ///
    /// # Errors
    /// When the watcher is gone.
    pub fn forget(&self, pid: u32) -> io::Result<()> {
        self.order("forget", pid)
    }

    fn order(&self, order: &str, pid: u32) -> io::Result<()> {
        match &mut self.watcher.lock().stdin {
            Some(pipe) => pipe.write_all(format!("{order} {pid}\n").as_bytes()),
            None => Err(io::ErrorKind::BrokenPipe.into()),
        }
    }
}

impl Drop for Scratch {
    /// Closes the pipe and waits for the watcher, which removes the folder.
    fn drop(&mut self) {
        let _ = self.watcher.get_mut().wait();
    }
}

/// A signal that [`Process::signal`] can send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Signal {
    /// SIGTERM: please end.
    Terminate,
    /// SIGINT: please end, from a keyboard.
    Interrupt,
    /// SIGKILL: end now, without a word.
    Kill,
    /// SIGSTOP: freeze.
    Stop,
    /// SIGCONT: go on after [`Signal::Stop`].
    Continue,
    /// SIGHUP: reload.
    HangUp,
    /// SIGUSR1.
    User1,
}

impl From<Signal> for rustix::process::Signal {
    fn from(signal: Signal) -> Self {
        match signal {
            Signal::Terminate => Self::TERM,
            Signal::Interrupt => Self::INT,
            Signal::Kill => Self::KILL,
            Signal::Stop => Self::STOP,
            Signal::Continue => Self::CONT,
            Signal::HangUp => Self::HUP,
            Signal::User1 => Self::USR1,
        }
    }
}

/// One child in a process group of its own, watched by a [`Scratch`].
///
/// Dropping it kills and reaps it.
#[derive(Debug)]
pub struct Process {
    pid: u32,
    child: Mutex<Child>,
    scratch: Arc<Scratch>,
}

impl Process {
    /// Starts `command` and registers it with the watcher of `scratch`.
    ///
    /// # Errors
    /// When the program cannot be started or the watcher is gone.
    pub fn spawn(command: &mut Command, scratch: &Arc<Scratch>) -> io::Result<Self> {
        let child = command.process_group(0).spawn()?;
        let process = Self {
            pid: child.id(),
            child: Mutex::new(child),
            scratch: Arc::clone(scratch),
        };
        process.scratch.watch(process.pid)?;
        Ok(process)
    }

    /// The process id.
    pub fn id(&self) -> u32 {
        self.pid
    }

    /// The ends of the pipes that the command asked for; each is handed out once.
    pub fn take_pipes(
        &self,
    ) -> (
        Option<std::process::ChildStdin>,
        Option<std::process::ChildStdout>,
        Option<std::process::ChildStderr>,
    ) {
        let mut child = self.child.lock();
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    }

    /// How it ended, if it has.
    ///
    /// # Errors
    /// When the system will not say.
    pub fn ended(&self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.lock().try_wait()?;
        if status.is_some() {
            let _ = self.scratch.forget(self.pid);
        }
        Ok(status)
    }

    /// Sends one signal; nothing happens when the process has ended.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: Signal) -> io::Result<()> {
        // The lock keeps the child unreaped, so the number stays ours.
        let mut child = self.child.lock();
        if child.try_wait()?.is_some() {
            return Ok(());
        }
        Ok(kill_process(Pid::from_child(&child), signal.into())?)
    }

    /// Waits until it has ended, at most for `limit`; `None` when it still runs.
    ///
    /// # Errors
    /// When the system will not say.
    pub fn wait(&self, limit: Duration) -> io::Result<Option<ExitStatus>> {
        until(limit, || self.ended().transpose()).transpose()
    }

    /// SIGTERM, then after `limit` SIGKILL. A frozen process is woken first.
    ///
    /// # Errors
    /// When a signal cannot be sent.
    pub fn stop(&self, limit: Duration) -> io::Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        self.signal(Signal::Continue)?;
        match self.wait(limit)? {
            Some(status) => Ok(status),
            None => self.kill(),
        }
    }

    /// SIGKILL, and waits for the end.
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&self) -> io::Result<ExitStatus> {
        self.signal(Signal::Kill)?;
        let status = self.child.lock().wait()?;
        let _ = self.scratch.forget(self.pid);
        Ok(status)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        let _ = self.kill();
    }
}

#[cfg(test)]
mod tests;
