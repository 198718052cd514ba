//! One way from the clients to the server: a running proxy, or none.

use std::fs;
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;
use std::{env, fmt::Write as _};

use anyhow::{Context, Result};
use weir_kit::mongod::free_port;
use weir_kit::process::{Process, until};

use crate::args::RoadName;
use crate::stand::Stand;

/// The hidden first argument that makes this program the `weir` command.
pub(crate) const AS_WEIR: &str = "as-weir";
/// How long a proxy may take until it listens.
const START_LIMIT: Duration = Duration::from_secs(20);

/// A road that is open.
pub(crate) struct Road {
    /// Where its clients connect.
    pub(crate) address: SocketAddr,
    process: Option<Process>,
}

impl Road {
    /// Opens the road with `cap` connections to the server, where it has such a limit.
    pub(crate) fn open(
        name: RoadName,
        stand: &Stand,
        cap: usize,
        weir_arguments: &[String],
    ) -> Result<Self> {
        let address = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
        let mut command = match name {
            RoadName::Direct => {
                return Ok(Self {
                    address: stand.address()?,
                    process: None,
                });
            }
            RoadName::Haproxy => haproxy(stand, address)?,
            RoadName::Weir => weir(stand, address, cap, weir_arguments)?,
        };
        let log = stand.scratch.path().join(format!("{}.log", name.name()));
        let log = fs::File::create(log)?;
        command.stdin(Stdio::null()).stdout(log.try_clone()?);
        let process = Process::spawn(command.stderr(log), &stand.scratch)?;
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

/// Where the program of a road is; `None` when this machine has none.
pub(crate) fn program(name: RoadName) -> Option<PathBuf> {
    if name != RoadName::Haproxy {
        return env::current_exe().ok();
    }
    let folders = env::var_os("PATH")?;
    let sbin = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    env::split_paths(&folders)
        .chain(sbin)
        .map(|folder| folder.join("haproxy"))
        .find(|path| path.is_file())
}

fn weir(stand: &Stand, address: SocketAddr, cap: usize, arguments: &[String]) -> Result<Command> {
    let admin = SocketAddr::from((Ipv4Addr::LOCALHOST, free_port()?));
    let mut command = Command::new(&stand.program);
    command
        .args([AS_WEIR, "serve", "--log-format", "json"])
        .args(["--upstream", &stand.uri()])
        .args(["--listen", &address.to_string()])
        .args(["--admin", &admin.to_string()])
        .args(["--max-connections", &cap.to_string()])
        .args(arguments);
    Ok(command)
}

fn haproxy(stand: &Stand, address: SocketAddr) -> Result<Command> {
    let program = program(RoadName::Haproxy).context("no haproxy")?;
    let mut text = String::new();
    writeln!(text, "global\n  maxconn 9000")?;
    writeln!(text, "defaults\n  mode tcp\n  timeout connect 10s")?;
    writeln!(text, "  timeout client 10m\n  timeout server 10m")?;
    writeln!(
        text,
        "listen mongo\n  bind {address}\n  server one {}",
        stand.address()?
    )?;
    let file = write(stand, "haproxy.cfg", &text)?;
    let mut command = Command::new(program);
    command.args(["-db", "-f"]).arg(file);
    Ok(command)
}

fn write(stand: &Stand, name: &str, text: &str) -> Result<PathBuf> {
    let file = Path::new(stand.scratch.path()).join(name);
    fs::write(&file, text)?;
    Ok(file)
}
