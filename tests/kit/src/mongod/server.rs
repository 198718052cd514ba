//! One `mongod` process.

use std::fs;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use bson::{Document, doc};
use parking_lot::Mutex;
use rustls::ClientConfig;

use super::{Ask, Binary, MongodError};
use crate::process::{Process, Scratch, Signal, until};

/// A cold start takes a second; this is for machines with much else to do.
const START_LIMIT: Duration = Duration::from_secs(60);
/// Longest wait for one answer.
const ANSWER_LIMIT: Duration = Duration::from_secs(10);
/// After SIGTERM; a checkpoint of our small data takes well under a second.
const STOP_LIMIT: Duration = Duration::from_secs(20);
/// How many of a dead server's last log lines are worth showing.
const TAIL: usize = 12;
/// Below the ports that systems hand out for outgoing connections, so that
/// nobody takes a server's port while it restarts.
const PORTS: std::ops::Range<u16> = 12_000..32_000;

/// A loopback port that nothing listens on at this moment.
///
/// # Errors
/// When a thousand random tries found none.
pub fn free_port() -> Result<u16, MongodError> {
    for _ in 0..1_000 {
        let mut random = [0; 2];
        getrandom::fill(&mut random).map_err(std::io::Error::other)?;
        let port = PORTS.start + u16::from_ne_bytes(random) % (PORTS.end - PORTS.start);
        if TcpListener::bind((Ipv4Addr::UNSPECIFIED, port)).is_ok() {
            return Ok(port);
        }
    }
    Err(std::io::Error::from(std::io::ErrorKind::AddrInUse).into())
}

/// How a server is started, apart from its port and folder.
#[derive(Clone, Default)]
pub struct ServerOptions {
    /// The replica set's name; without one it is a standalone.
    pub set_name: Option<String>,
    /// Loopback addresses to listen on in addition to 127.0.0.1.
    pub also_bind: Vec<IpAddr>,
    /// `--maxConns`: above it the server refuses connections, as a tier does.
    /// (6.0 admits one more than it is told.)
    pub max_connections: Option<u32>,
    /// Fail points and the like.
    pub test_commands: bool,
    /// Members authenticate to each other with this file, clients must log in.
    pub key_file: Option<PathBuf>,
    /// `requireTLS`.
    pub tls: Option<ServerTls>,
    /// Any further arguments.
    pub arguments: Vec<String>,
}

/// What a server with TLS needs, and what its own helper needs to talk to it.
#[derive(Clone)]
pub struct ServerTls {
    /// Certificate and key in one PEM file.
    pub certificate_and_key: PathBuf,
    /// The authority that signed it and the clients' certificates.
    pub authority: PathBuf,
    /// Trusts that authority.
    pub client: Arc<ClientConfig>,
}

/// One running, frozen or killed server. Dropping it kills it.
pub struct Server {
    binary: Binary,
    options: ServerOptions,
    port: u16,
    folder: PathBuf,
    scratch: Arc<Scratch>,
    process: Mutex<Option<Process>>,
}

impl Server {
    /// Starts a server on `port` with its data in `scratch`, and waits until
    /// it answers.
    ///
    /// # Errors
    /// With the end of the server's log when it ended instead.
    pub fn start(
        binary: &Binary,
        scratch: &Arc<Scratch>,
        port: u16,
        options: ServerOptions,
    ) -> Result<Self, MongodError> {
        let server = Self::spawn(binary, scratch, port, options)?;
        server.wait_until_it_answers()?;
        Ok(server)
    }

    /// Starts a server without waiting, so that several can start at once.
    pub(super) fn spawn(
        binary: &Binary,
        scratch: &Arc<Scratch>,
        port: u16,
        options: ServerOptions,
    ) -> Result<Self, MongodError> {
        let server = Self {
            binary: binary.clone(),
            options,
            port,
            folder: scratch.path().join(port.to_string()),
            scratch: Arc::clone(scratch),
            process: Mutex::new(None),
        };
        fs::create_dir_all(server.folder.join("data"))?;
        server.launch()?;
        Ok(server)
    }

    fn launch(&self) -> Result<(), MongodError> {
        let process = Process::spawn(&mut self.command(), &self.scratch)?;
        *self.process.lock() = Some(process);
        Ok(())
    }

    fn command(&self) -> Command {
        let mut command = Command::new(&self.binary.path);
        let options = &self.options;
        let addresses: Vec<String> = std::iter::once(IpAddr::V4(Ipv4Addr::LOCALHOST))
            .chain(options.also_bind.iter().copied())
            .map(|address| address.to_string())
            .collect();
        command
            .arg("--dbpath")
            .arg(self.folder.join("data"))
            .arg("--logpath")
            .arg(self.log())
            .arg("--logappend")
            .arg("--unixSocketPrefix")
            .arg(&self.folder)
            .args(["--bind_ip", &addresses.join(",")])
            .args(["--port", &self.port.to_string()])
            .args(["--wiredTigerCacheSizeGB", "0.25", "--oplogSize", "64"])
            .args(["--setParameter", "diagnosticDataCollectionEnabled=false"]);
        if let Some(name) = &options.set_name {
            command.args(["--replSet", name]);
        }
        if let Some(limit) = options.max_connections {
            command.args(["--maxConns", &limit.to_string()]);
        }
        if options.test_commands {
            command.args(["--setParameter", "enableTestCommands=1"]);
        }
        if let Some(file) = &options.key_file {
            command.arg("--keyFile").arg(file);
        }
        if let Some(tls) = &options.tls {
            command
                .args(["--tlsMode", "requireTLS"])
                .args(["--tlsAllowConnectionsWithoutCertificates"])
                .arg("--tlsCertificateKeyFile")
                .arg(&tls.certificate_and_key)
                .arg("--tlsCAFile")
                .arg(&tls.authority);
        }
        command
            .args(&options.arguments)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null());
        command
    }

    pub(super) fn wait_until_it_answers(&self) -> Result<(), MongodError> {
        let answer = until(START_LIMIT, || {
            if !self.runs() {
                return Some(Err(self.ended()));
            }
            self.hello().is_ok().then_some(Ok(()))
        });
        answer.unwrap_or(Err(MongodError::TooLong {
            what: "the start of mongod",
            limit: START_LIMIT,
        }))
    }

    fn ended(&self) -> MongodError {
        let text = fs::read_to_string(self.log()).unwrap_or_default();
        let lines: Vec<&str> = text.lines().collect();
        let from = lines.len().saturating_sub(TAIL);
        MongodError::Ended {
            log: self.log(),
            tail: lines.get(from..).unwrap_or_default().join("\n"),
        }
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        (Ipv4Addr::LOCALHOST, self.port).into()
    }

    /// Its unix socket.
    pub fn unix_socket(&self) -> PathBuf {
        self.folder.join(format!("mongodb-{}.sock", self.port))
    }

    /// Its log file.
    pub fn log(&self) -> PathBuf {
        self.folder.join("mongod.log")
    }

    /// The folder that holds its data, log and socket.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Its process id, while there is a process.
    pub fn pid(&self) -> Option<u32> {
        self.process.lock().as_ref().map(Process::id)
    }

    /// Whether there is a process, be it frozen.
    pub fn runs(&self) -> bool {
        let process = self.process.lock();
        matches!(process.as_ref().map(Process::ended), Some(Ok(None)))
    }

    /// A new connection to it.
    ///
    /// # Errors
    /// When it does not accept one.
    pub fn ask(&self) -> Result<Ask, MongodError> {
        let tls = self.options.tls.as_ref().map(|tls| &tls.client);
        Ok(Ask::connect(self.address(), tls, ANSWER_LIMIT)?)
    }

    /// What it says of itself.
    ///
    /// # Errors
    /// When it does not answer.
    pub fn hello(&self) -> Result<Document, MongodError> {
        Ok(self.ask()?.command("admin", doc! { "hello": 1 })?)
    }

    /// Sends a signal: freeze it with [`Signal::Stop`], wake it with
    /// [`Signal::Continue`].
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn signal(&self, signal: Signal) -> Result<(), MongodError> {
        match self.process.lock().as_ref() {
            Some(process) => Ok(process.signal(signal)?),
            None => Ok(()),
        }
    }

    /// SIGKILL. Its data stays, see [`Server::restart`].
    ///
    /// # Errors
    /// When the signal cannot be sent.
    pub fn kill(&self) -> Result<(), MongodError> {
        if let Some(process) = self.process.lock().take() {
            process.kill()?;
        }
        Ok(())
    }

    /// SIGTERM, and SIGKILL when that takes too long. Its data stays.
    ///
    /// # Errors
    /// When a signal cannot be sent.
    pub fn stop(&self) -> Result<(), MongodError> {
        if let Some(process) = self.process.lock().take() {
            process.stop(STOP_LIMIT)?;
        }
        Ok(())
    }

    /// Starts it again on the same port with the same data, after
    /// [`Server::kill`] or [`Server::stop`]; waits until it answers.
    ///
    /// # Errors
    /// As [`Server::start`].
    pub fn restart(&self) -> Result<(), MongodError> {
        self.stop()?;
        self.launch()?;
        self.wait_until_it_answers()
    }
}
