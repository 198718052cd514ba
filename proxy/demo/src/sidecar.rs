//! A sidecar: `weir serve` as a process of its own, from the same program.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use crate::error::DemoError;
use weir::config::Strings;
use weir::config::env::ProcessEnvironment;
use weir_kit::mongod::free_port;
use weir_kit::process::{Process, Scratch};

/// Its clients are gone by then, and it leaves with the last of them.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// One running process; ends when dropped.
pub(super) struct Sidecar {
    /// Where its task's workers connect.
    pub(super) address: SocketAddr,
    /// Where its status is.
    pub(super) admin: SocketAddr,
    process: Process,
    log: PathBuf,
}

impl Sidecar {
    /// Starts one without waiting until it serves. Blocks for some milliseconds.
    ///
    /// # Errors
    /// The system refuses a port or the process.
    pub(super) fn spawn(
        program: &Path,
        upstream: &str,
        cap: u32,
        scratch: &Arc<Scratch>,
    ) -> Result<Self, DemoError> {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let admin = SocketAddr::from(([127, 0, 0, 1], free_port()?));
        let log = scratch.path().join(format!("{}.log", address.port()));
        let mut command = Command::new(program);
        // The user's own settings are not for the demo.
        for name in ProcessEnvironment.names("WEIR_") {
            command.env_remove(name);
        }
        command
            .arg("serve")
            .args(["--listen", &address.to_string()])
            .args(["--admin", &admin.to_string()])
            .args(["--max-connections", &cap.to_string()])
            .args(["--log-format", "text"])
            // Other users of this machine see arguments, not variables.
            .env("WEIR_UPSTREAM", upstream)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(fs::File::create(&log)?);
        Ok(Self {
            address,
            admin,
            process: Process::spawn(&mut command, scratch)?,
            log,
        })
    }

    /// What it said last, if it has ended.
    pub(super) fn obituary(&self) -> Option<String> {
        self.process.ended().ok()??;
        let said = fs::read_to_string(&self.log).unwrap_or_default();
        let last = said.lines().rev().find(|line| !line.trim().is_empty());
        Some(last.unwrap_or("no word").to_owned())
    }

    /// Lets it leave. Blocks.
    pub(super) fn stop(self) {
        let _ = self.process.stop(STOP_LIMIT);
    }
}
