//! A running `weir-extension`, without Lambda around it.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use serde_json::Value;
use weir_kit::mongod::free_port;
use weir_kit::process::{Process, Scratch, Signal};

use super::ScriptedApi;
use crate::paths::{blocking, paths};
use crate::wait::{LIMIT, until};
use crate::weir::log::Log;
use crate::weir::program_called;

/// A running extension. Dropping it kills it.
pub struct Extension {
    process: Arc<Process>,
    listen: SocketAddr,
    /// Standard error: its log.
    log: Log,
    /// Standard output: its counters.
    out: Log,
}

impl Extension {
    /// Starts it with these variables and no others, before `api`.
    ///
    /// # Errors
    /// When the program cannot be built or started.
    pub async fn start(api: &ScriptedApi, variables: &[(&str, &str)]) -> Result<Self> {
        Self::before(&api.address().to_string(), variables).await
    }

    /// The same before another API, as `AWS_LAMBDA_RUNTIME_API` names it.
    ///
    /// # Errors
    /// When the program cannot be built or started.
    pub async fn before(api: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let program = program_called("weir-extension").await?;
        Self::spawn(&program, api, variables)
    }

    fn spawn(program: &Path, api: &str, variables: &[(&str, &str)]) -> Result<Self> {
        let scratch = Scratch::new(&paths().temporary, "weir-extension")?;
        let listen = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let mut command = Command::new(program);
        command
            .env_clear()
            .env("AWS_LAMBDA_RUNTIME_API", api)
            .env("AWS_LAMBDA_FUNCTION_NAME", "exam")
            .env("WEIR_LISTEN", listen.to_string())
            .envs(variables.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let process = Process::spawn(&mut command, &scratch)?;
        let (log, out) = (Log::default(), Log::default());
        let (_, stdout, stderr) = process.take_pipes();
        out.follow(stdout)?;
        log.follow(stderr)?;
        Ok(Self {
            process: Arc::new(process),
            listen,
            log,
            out,
        })
    }

    /// Where the function's driver connects.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The function's connection string after the shim.
    pub fn uri(&self) -> String {
        format!("mongodb://{}/", self.listen)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Its log lines so far.
    ///
    /// # Errors
    /// When one is no JSON.
    pub fn log(&self) -> Result<Vec<Value>> {
        let lines = self.log.lines();
        let read = |line: &String| serde_json::from_str(line).context(line.clone());
        lines.iter().map(read).collect()
    }

    /// Everything it has printed to standard output, a line each.
    pub fn out(&self) -> Vec<String> {
        self.out.lines()
    }

    /// Waits for a log line that contains `needle`.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn says(&self, needle: &str) -> Result<Value> {
        until(&format!("a log line with {needle:?}"), LIMIT, || async {
            let lines = self.log.lines();
            let line = lines.iter().find(|line| line.contains(needle))?;
            serde_json::from_str(line).ok()
        })
        .await
        .with_context(|| self.log.text())
    }

    /// Whether it still runs.
    ///
    /// # Errors
    /// When the system will not say.
    pub fn lives(&self) -> Result<bool> {
        Ok(self.process.ended()?.is_none())
    }

    /// Sends a signal.
    ///
    /// # Errors
    /// When it cannot be sent.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        Ok(self.process.signal(signal)?)
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn ends(&self, limit: Duration) -> Result<ExitStatus> {
        let process = Arc::clone(&self.process);
        let status = blocking(move || process.wait(limit)).await??;
        status.with_context(|| format!("it still runs after {limit:?}\n{}", self.log.text()))
    }
}
