//! How a Weir is started.

use std::env;
use std::net::SocketAddr;
use std::process::{ChildStderr, Command, Stdio};
use std::sync::{Arc, Mutex};

use anyhow::Result;
use weir_kit::mongod::free_port;
use weir_kit::process::{Process, Scratch};

use super::log::Log;
use super::{WeirProcess, program};
use crate::paths::paths;

/// A process to be.
#[derive(Clone, Debug, Default)]
pub struct Builder {
    upstream: Option<String>,
    arguments: Vec<String>,
    variables: Vec<(String, String)>,
    unix: bool,
    listen: Option<SocketAddr>,
    admin: Option<SocketAddr>,
    open_files: Option<usize>,
    log_reader: LogReader,
}

/// Who reads what Weir writes to standard error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum LogReader {
    /// The test, all the time.
    #[default]
    Reads,
    /// Nobody, but the pipe stays open: it fills.
    Stalls,
    /// Nobody, and the pipe is closed at the start.
    IsGone,
}

impl LogReader {
    /// Begins to read. Returns the end of a pipe that stays open and unread.
    fn attach(self, log: &Log, pipe: Option<ChildStderr>) -> Result<Option<ChildStderr>> {
        match self {
            Self::Reads => log.follow(pipe).map(|()| None),
            Self::Stalls => Ok(pipe),
            Self::IsGone => Ok(None),
        }
    }
}

impl Builder {
    /// Who reads its log.
    #[must_use]
    pub const fn log_reader(mut self, reader: LogReader) -> Self {
        self.log_reader = reader;
        self
    }

    /// `--upstream`.
    #[must_use]
    pub fn upstream(mut self, uri: impl Into<String>) -> Self {
        self.upstream = Some(uri.into());
        self
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, argument: impl ToString) -> Self {
        self.arguments.push(argument.to_string());
        self
    }

    /// More arguments.
    #[must_use]
    pub fn args(mut self, arguments: &[&str]) -> Self {
        self.arguments
            .extend(arguments.iter().map(|argument| (*argument).to_owned()));
        self
    }

    /// An environment variable. The test's own `WEIR_*` are not passed on.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.variables.push((name.to_owned(), value.to_owned()));
        self
    }

    /// Listens on a unix socket too, see [`WeirProcess::unix_socket`].
    #[must_use]
    pub fn unix(mut self) -> Self {
        self.unix = true;
        self
    }

    /// It may have so many files open; needs `prlimit`.
    #[must_use]
    pub const fn open_files(mut self, limit: usize) -> Self {
        self.open_files = Some(limit);
        self
    }

    /// Listens here for clients and there for admin: the place of one that has ended.
    #[must_use]
    pub fn at(mut self, listen: SocketAddr, admin: SocketAddr) -> Self {
        (self.listen, self.admin) = (Some(listen), Some(admin));
        self
    }

    /// Takes the addresses of one that has ended.
    #[must_use]
    pub fn in_place_of(self, other: &WeirProcess) -> Self {
        self.at(other.listen, other.admin)
    }

    /// Starts it and waits until its admin address says it is ready.
    ///
    /// # Errors
    /// With its log when it ends instead.
    pub async fn start(self) -> Result<WeirProcess> {
        let weir = self.launch().await?;
        weir.ready().await?;
        Ok(weir)
    }

    /// Starts it without waiting: for one that shall not get ready.
    ///
    /// # Errors
    /// When the program cannot be built or started.
    pub async fn launch(self) -> Result<WeirProcess> {
        let program = program().await?;
        let scratch = Scratch::new(&paths().temporary, "weir-proxy")?;
        let place = |given: Option<SocketAddr>| match given {
            Some(given) => Ok(given),
            None => free_port().map(|port| SocketAddr::from(([127, 0, 0, 1], port))),
        };
        let (listen, admin) = (place(self.listen)?, place(self.admin)?);
        let mut command = match self.open_files {
            Some(limit) => {
                let mut limited = Command::new("prlimit");
                limited
                    .arg(format!("--nofile={limit}:{limit}"))
                    .arg(program);
                limited
            }
            None => Command::new(program),
        };
        for (name, _) in env::vars_os() {
            if name.to_string_lossy().starts_with("WEIR_") {
                command.env_remove(name);
            }
        }
        command
            .arg("serve")
            .args(["--listen", &listen.to_string()])
            .args(["--admin", &admin.to_string()])
            .args(["--log-format", "json"])
            .envs(self.variables)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        let unix_socket = scratch.path().join("weir.sock");
        if self.unix {
            command
                .arg("--listen")
                .arg(format!("unix:{}", unix_socket.display()));
        }
        if let Some(upstream) = &self.upstream {
            command.args(["--upstream", upstream]);
        }
        command.args(self.arguments);
        let process = Process::spawn(&mut command, &scratch)?;
        let log = Log::default();
        let (_, out, err) = process.take_pipes();
        log.follow(out)?;
        let stalled = self.log_reader.attach(&log, err)?;
        Ok(WeirProcess {
            process: Arc::new(process),
            listen,
            admin,
            unix_socket,
            log,
            stalled_log: Arc::new(Mutex::new(stalled)),
        })
    }
}
