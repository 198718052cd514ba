//! `weir demo`, seen from the terminal it runs in.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{Mutex, MutexGuard};
use weir_kit::process::{Process, Scratch, Signal};

use crate::paths::{blocking, mongod};
use crate::weir::program;

/// Two short phases, two servers, and a machine with much else to do.
pub const END_LIMIT: Duration = Duration::from_secs(120);

/// One demo at a time: each fills the machine, and its students have no patience.
static TURN: Mutex<()> = Mutex::const_new(());

/// A running demo that writes into a file.
pub struct Demo {
    _turn: MutexGuard<'static, ()>,
    process: Arc<Process>,
    output: PathBuf,
    temporary: PathBuf,
}

impl Demo {
    /// Starts `weir demo` with these arguments.
    ///
    /// # Errors
    /// When there is no program or no server.
    pub async fn start(scratch: &Arc<Scratch>, arguments: &[&str]) -> Result<Self> {
        let turn = TURN.lock().await;
        let output = scratch.path().join("output.txt");
        let temporary = scratch.path().join("tmp");
        fs::create_dir(&temporary)?;
        let mut command = Command::new(program().await?);
        command
            .arg("demo")
            .args(arguments)
            .env("WEIR_MONGOD", mongod().await?.path)
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(Stdio::inherit());
        Ok(Self {
            _turn: turn,
            process: Arc::new(Process::spawn(&mut command, scratch)?),
            output,
            temporary,
        })
    }

    /// Everything it has written so far.
    pub fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Waits for its end and returns the exit code.
    ///
    /// # Errors
    /// When it still runs after [`END_LIMIT`].
    pub async fn end(&self) -> Result<Option<i32>> {
        let process = self.process.clone();
        let status = blocking(move || process.wait(END_LIMIT)).await??;
        Ok(status.context("the demo did not end")?.code())
    }

    /// SIGTERM.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn terminate(&self) -> Result<()> {
        Ok(self.process.signal(Signal::Terminate)?)
    }

    /// Where it keeps what it starts.
    pub fn temporary(&self) -> &Path {
        &self.temporary
    }

    /// The folders that it has made for what it started.
    pub fn left_behind(&self) -> usize {
        fs::read_dir(&self.temporary).map_or(0, Iterator::count)
    }
}

/// The cells of the first row with that label.
pub fn row<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.trim().starts_with(label))?;
    Some(line.trim().strip_prefix(label)?.trim())
}

/// A cell of that row, counted from its end.
///
/// # Errors
/// When there is none.
pub fn cell(text: &str, label: &str, back: usize) -> Result<String> {
    let cells = row(text, label).context("no table")?;
    let cell = cells.split_whitespace().rev().nth(back);
    Ok(cell.context("too few cells")?.to_owned())
}
