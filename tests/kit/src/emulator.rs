//! AWS's own emulator of a Lambda environment, and name spaces to run it in.
//!
//! Lambda looks for extensions in `/opt`. So that many environments have one each, and none
//! touches the machine's, each has name spaces of its own: of mounts, and of processes, so that
//! nothing of it outlives it.

use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};

use crate::mongod::{MongodError, free_port};
use crate::parts::{download_wheel, once, take_from_wheel};

/// The wheel with AWS's emulator in it, and its checksum.
const WHEEL: (&str, &str) = (
    "aws-sam-cli==1.170.0",
    "24ebaf5ecba38dc1758089968cb89ab61e124b84e92a344fc7a2771a47f4d0bf",
);

/// AWS's emulator for this machine; fetched at the first use.
///
/// # Errors
/// The last line of what pip said.
pub fn fetch(parts: &Path) -> io::Result<PathBuf> {
    let machine = match std::env::consts::ARCH {
        "aarch64" => "arm64",
        other => other,
    };
    let (requirement, sha256) = WHEEL;
    let place = once(parts, "aws-lambda-rie-1.170.0", |scratch, ready| {
        download_wheel(requirement, sha256, scratch)?;
        let member = format!("samcli/local/rapid/aws-lambda-rie-{machine}");
        take_from_wheel(scratch, &member, &ready.join("aws-lambda-rie"))
    })?;
    Ok(place.join("aws-lambda-rie"))
}

/// How this user gets name spaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    /// As root.
    Root,
    /// In a name space of users, in which it is root.
    User,
}

impl Isolation {
    /// The way that works here.
    ///
    /// # Errors
    /// What the system said to the last one tried. Blocks.
    pub fn find() -> Result<Self, String> {
        let mut said = String::new();
        for way in [Self::Root, Self::User] {
            let tried = way
                .command()
                .args(["sh", "-c", "mount --bind / /opt"])
                .stdin(Stdio::null())
                .output();
            match tried {
                Ok(output) if output.status.success() => return Ok(way),
                Ok(output) => said = String::from_utf8_lossy(&output.stderr).trim().to_owned(),
                Err(error) => said = format!("unshare: {error}"),
            }
        }
        Err(said)
    }

    /// What the program and its arguments are appended to.
    pub fn command(self) -> Command {
        let mut command = Command::new("unshare");
        if self == Self::User {
            command.args(["--user", "--map-root-user"]);
        }
        command
            .args(["--mount", "--propagation", "private", "--pid", "--fork"])
            .arg("--kill-child");
        command
    }
}

/// Addresses on loopback, each given out once.
///
/// Hundreds of ports that are drawn at random would not all differ, and are taken by somebody else
/// before they are used. So on Linux, where all of 127.0.0.0/8 is loopback, each has an address of
/// its own with the same port.
#[derive(Debug)]
pub struct Addresses {
    net: u8,
    port: u16,
    given: AtomicU16,
}

impl Addresses {
    /// Draws a network and a port that nobody listens on.
    ///
    /// # Errors
    /// When there is no such port.
    pub fn draw() -> Result<Self, MongodError> {
        let mut random = [0];
        getrandom::fill(&mut random).map_err(io::Error::other)?;
        let [random] = random;
        Ok(Self {
            // 0 is everybody's; the last is left out, too.
            net: random % 254 + 1,
            port: free_port()?,
            given: AtomicU16::new(0),
        })
    }

    /// The next address.
    ///
    /// # Errors
    /// Where only one address is loopback: when there is no free port.
    pub fn next(&self) -> Result<SocketAddr, MongodError> {
        if !cfg!(target_os = "linux") {
            return Ok(SocketAddr::from(([127, 0, 0, 1], free_port()?)));
        }
        let given = self.given.fetch_add(1, Ordering::Relaxed);
        // No address ends in 0 or 255.
        let (high, low) = (given / 250, given % 250 + 1);
        let part = |part: u16| u8::try_from(part).map_err(io::Error::other);
        let ip = [127, self.net, part(high)?, part(low)?];
        Ok(SocketAddr::from((ip, self.port)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_address_is_given_twice() {
        let addresses = Addresses::draw().unwrap();
        let mut given: Vec<_> = (0..600).map(|_| addresses.next().unwrap()).collect();
        assert!(given.iter().all(|address| address.ip().is_loopback()));
        std::net::TcpListener::bind(given[599]).unwrap();
        given.sort();
        given.dedup();
        assert_eq!(given.len(), 600);
    }
}
