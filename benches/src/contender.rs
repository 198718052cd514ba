//! What is between the clients and the server: a running proxy, or none.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fmt::Write as _};

use anyhow::{Context, Result};
use weir_kit::mongod::free_port;
use weir_kit::process::{Process, until};

use crate::args::ContenderName;
use crate::server::Server;

/// The hidden first argument that makes this program the `weir` command.
pub(crate) const AS_WEIR: &str = "as-weir";
/// How long a proxy may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A contender that runs.
pub(crate) struct Contender {
    /// Where its clients connect.
    pub(crate) address: SocketAddr,
    process: Option<Process>,
}

impl Contender {
    /// Starts the contender with `cap` connections to the server, where it has such a limit.
    pub(crate) fn open(
        name: ContenderName,
        server: &Server,
        cap: usize,
        weir_arguments: &[String],
    ) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = match name {
            ContenderName::Direct => {
                return Ok(Self {
                    address: server.address()?,
                    process: None,
                });
            }
            ContenderName::Haproxy => haproxy(server, address)?,
            ContenderName::Weir => weir(server, address, cap, weir_arguments)?,
        };
        let log = server.scratch.path().join(format!("{}.log", name.name()));
        let log = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        let process = Process::spawn(command.stderr(log), &server.scratch)?;
        until(START_LIMIT, || TcpStream::connect(address).ok())
            .with_context(|| format!("{} does not listen", name.name()))?;
        Ok(Self {
            address,
            process: Some(process),
        })
    }

    /// The proxy's process.
    pub(crate) fn pid(&self) -> Option<u32> {
        self.process.as_ref().map(Process::id)
    }
}

/// The program of a contender; `None` when this machine has none.
pub(crate) fn program(name: ContenderName) -> Option<PathBuf> {
    if name != ContenderName::Haproxy {
        return env::current_exe().ok();
    }
    let folders = env::var_os("PATH")?;
    let sbin = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&folders)
        .chain(sbin)
        .map(|folder| folder.join("haproxy"))
        .find(|path| path.is_file())
}

fn weir(server: &Server, address: SocketAddr, cap: usize, arguments: &[String]) -> Result<Command> {
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let mut command = Command::new(&server.program);
    command
        .args([AS_WEIR, "serve", "--log-format", "json"])
        .args(["--upstream", &server.uri()])
        .args(["--listen", &address.to_string()])
        .args(["--admin", &admin.to_string()])
        .args(["--max-connections", &cap.to_string()])
        .args(arguments);
    Ok(command)
}

fn haproxy(server: &Server, address: SocketAddr) -> Result<Command> {
    let program = program(ContenderName::Haproxy).context("no haproxy")?;
    let mut text = String::new();
    writeln!(text, "global\n  maxconn 9000")?;
    writeln!(text, "defaults\n  mode tcp\n  timeout connect 10s")?;
    writeln!(text, "  timeout client 10m\n  timeout server 10m")?;
    writeln!(
        text,
        "listen mongo\n  bind {address}\n  server one {}",
        server.address()?
    )?;
    let file = write(server, "haproxy.cfg", &text)?;
    let mut command = Command::new(program);
    command.args(["-db", "-f"]).arg(file);
    Ok(command)
}

fn write(server: &Server, name: &str, text: &str) -> Result<PathBuf> {
    let file = Path::new(server.scratch.path()).join(name);
    fs::write(&file, text)?;
    Ok(file)
}
