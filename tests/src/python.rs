//! The official Python driver, in two generations.
//!
//! Each has an environment of its own among the parts. The scripts in
//! `tests/python/` take a connection string, check what they do, and print one
//! line of JSON.

use std::io::Read;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use tokio::sync::OnceCell;
use weir_kit::process::{Process, Scratch};

use crate::paths::{blocking, paths};
use crate::skip::skip;

/// A script that takes longer is killed.
const LIMIT: Duration = Duration::from_secs(120);

/// The scripts that need nothing but a connection string, and one member.
pub const PLAIN: [&str; 9] = [
    "causal.py",
    "change_stream.py",
    "crud.py",
    "cursors.py",
    "gridfs_files.py",
    "kill_cursors.py",
    "retryable.py",
    "transactions.py",
    "unacknowledged.py",
];

/// A generation of the driver.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Generation {
    /// 4.20.0.
    Newest,
    /// 4.6.3, which knows nothing of overload labels.
    Older,
}

impl Generation {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Newest, Self::Older];

    /// As PyMongo names itself.
    pub fn version(self) -> &'static str {
        match self {
            Self::Newest => weir_kit::python::NEWEST,
            Self::Older => "4.6.3",
        }
    }
}

/// An environment with one PyMongo in it.
#[derive(Clone, Debug)]
pub struct Python {
    program: PathBuf,
    scripts: PathBuf,
}

impl Python {
    /// The environment; made at the first use on a machine. `None` when it
    /// cannot be had, which is counted as a skip.
    pub async fn of(generation: Generation) -> Option<Self> {
        static NEWEST: OnceCell<Option<Python>> = OnceCell::const_new();
        static OLDER: OnceCell<Option<Python>> = OnceCell::const_new();
        let cell = match generation {
            Generation::Newest => &NEWEST,
            Generation::Older => &OLDER,
        };
        let make = || async move {
            let made = blocking(move || environment(generation)).await;
            match made.and_then(|made| made) {
                Ok(python) => Some(python),
                Err(error) => {
                    let what = format!("PyMongo {}", generation.version());
                    skip(&what, &format!("{error:#}"));
                    None
                }
            }
        };
        cell.get_or_init(make).await.clone()
    }

    /// Runs a script and returns the JSON of its last line.
    ///
    /// # Errors
    /// With everything it printed when it fails.
    pub async fn run(&self, script: &str, arguments: &[&str]) -> Result<Value> {
        let python = self.clone();
        let script = script.to_owned();
        let arguments: Vec<String> = arguments.iter().map(|each| (*each).to_owned()).collect();
        blocking(move || python.run_blocking(&script, &arguments)).await?
    }

    fn run_blocking(&self, script: &str, arguments: &[String]) -> Result<Value> {
        let scratch = Scratch::new(&paths().temporary, "weir-python")?;
        let mut command = Command::new(&self.program);
        command
            .arg(self.scripts.join(script))
            .args(arguments)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(std::fs::File::create(scratch.path().join("errors"))?);
        let process = Process::spawn(&mut command, &scratch)?;
        let (_, out, _) = process.take_pipes();
        let mut out = out.context("no pipe")?;
        let reader = std::thread::spawn(move || {
            let mut said = String::new();
            out.read_to_string(&mut said).map(|_| said)
        });
        let status = process.wait(LIMIT)?;
        if status.is_none() {
            process.kill()?;
        }
        let said = reader.join().unwrap_or_else(|_| Ok(String::new()))?;
        let errors = std::fs::read_to_string(scratch.path().join("errors"))?;
        match status {
            Some(status) if status.success() => {
                let last = said.lines().last().context("the script printed nothing")?;
                serde_json::from_str(last).with_context(|| format!("{script} printed {last}"))
            }
            Some(_) => bail!("{script} failed\n{said}{errors}"),
            None => bail!("{script} took longer than {LIMIT:?}\n{said}{errors}"),
        }
    }
}

fn environment(generation: Generation) -> Result<Python> {
    let parts = paths().parts();
    let program = weir_kit::python::environment(&parts, generation.version())?;
    Ok(Python {
        program,
        scripts: PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("python"),
    })
}
