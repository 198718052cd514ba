//! A running `weir` program and its logs.
//!
//! The program is built once per test process, with the profile the tests were
//! built with. `$WEIR_BINARY` names another one.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{ChildStderr, ExitStatus};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use serde_json::Value;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir_kit::process::{Process, Signal};

use self::log::Log;
use crate::paths::blocking;
use crate::wait::{LIMIT, until, within};

mod builder;
pub(crate) mod log;
mod program;

pub use builder::{Builder, LogReader};
pub use program::{built_programs, own_profile, profile, program, program_called};

/// A running Weir. Dropping it kills it.
pub struct WeirProcess {
    process: Arc<Process>,
    listen: SocketAddr,
    admin: SocketAddr,
    unix_socket: PathBuf,
    log: Log,
    /// The end of a log that nobody reads.
    stalled_log: Arc<Mutex<Option<ChildStderr>>>,
}

impl WeirProcess {
    /// Reads a log that nobody has read so far.
    ///
    /// # Errors
    /// When the system gives no thread.
    pub fn read_log_now(&self) -> Result<()> {
        let stalled = self.stalled_log.lock();
        let pipe = stalled.unwrap_or_else(PoisonError::into_inner).take();
        self.log.follow(pipe)
    }

    /// What to start.
    pub fn builder() -> Builder {
        Builder::default()
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.listen
    }

    /// The admin address.
    pub fn admin_address(&self) -> SocketAddr {
        self.admin
    }

    /// The unix socket of one built with [`Builder::unix`].
    pub fn unix_socket(&self) -> &Path {
        &self.unix_socket
    }

    /// The client's string. `options` go after the question mark.
    pub fn uri(&self, options: &str) -> String {
        format!("mongodb://{}/?{options}", self.listen)
    }

    /// Its process id.
    pub fn pid(&self) -> u32 {
        self.process.id()
    }

    /// Waits until it is ready.
    ///
    /// # Errors
    /// With its log when it ends instead, or takes too long.
    pub async fn ready(&self) -> Result<()> {
        let answer = until("weir to be ready", LIMIT, || async {
            match self.process.ended() {
                Ok(None) => self.get("/ready").await.is_ok().then_some(Ok(())),
                ended => Some(Err(ended)),
            }
        });
        match answer.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(ended)) => bail!("weir ended: {ended:?}\n{}", self.log.text()),
            Err(error) => bail!("{error}\n{}", self.log.text()),
        }
    }

    /// The body of an admin page.
    ///
    /// # Errors
    /// When the answer is not 200.
    pub async fn get(&self, path: &str) -> Result<String> {
        let (status, body) = self.get_any(path).await?;
        ensure!(status == 200, "{path}: {status} {body}");
        Ok(body)
    }

    /// Status and body of an admin page.
    ///
    /// # Errors
    /// When there is no answer.
    pub async fn get_any(&self, path: &str) -> Result<(u16, String)> {
        let request = format!("GET {path} HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n");
        let mut answer = Vec::new();
        within("an admin page", LIMIT, async {
            let mut stream = TcpStream::connect(self.admin).await?;
            stream.write_all(request.as_bytes()).await?;
            stream.read_to_end(&mut answer).await
        })
        .await??;
        let answer = String::from_utf8(answer)?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP")?;
        let status = head.split(' ').nth(1).context("no HTTP status")?;
        Ok((status.parse()?, body.to_owned()))
    }

    /// `/status`.
    ///
    /// # Errors
    /// When it is not JSON.
    pub async fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&self.get("/status").await?)?)
    }

    /// The sum of a metric's samples whose labels contain all of `labels`
    /// (written as in the exposition: `state="idle"`); 0 when there are none.
    ///
    /// # Errors
    /// When the metrics cannot be read.
    pub async fn metric(&self, name: &str, labels: &[&str]) -> Result<f64> {
        let text = self.get("/metrics").await?;
        let samples = text.lines().filter_map(|line| {
            let (series, value) = line.rsplit_once(' ')?;
            let (metric, its_labels) = series.split_once('{').unwrap_or((series, ""));
            let wanted = metric == name && labels.iter().all(|label| its_labels.contains(label));
            wanted.then(|| value.parse::<f64>().ok()).flatten()
        });
        Ok(samples.sum())
    }

    /// Its log lines so far, the oldest of very many left out.
    pub fn log(&self) -> Vec<String> {
        self.log.lines()
    }

    /// Waits for a log line that contains `needle`.
    ///
    /// # Errors
    /// When none comes in time.
    pub async fn wait_for_log(&self, needle: &str) -> Result<String> {
        until(&format!("a log line with {needle:?}"), LIMIT, || async {
            self.log().into_iter().find(|line| line.contains(needle))
        })
        .await
        .with_context(|| self.log.text())
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
    pub async fn wait(&self, limit: Duration) -> Result<ExitStatus> {
        let process = Arc::clone(&self.process);
        let status = blocking(move || process.wait(limit)).await??;
        status.with_context(|| format!("weir still runs after {limit:?}"))
    }

    /// SIGTERM, and waits for its end.
    ///
    /// # Errors
    /// When it still runs after `limit`.
    pub async fn stop(&self, limit: Duration) -> Result<ExitStatus> {
        self.signal(Signal::Terminate)?;
        self.wait(limit).await
    }
}
