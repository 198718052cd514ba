//! Addresses to listen on: TCP, or a unix socket.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::str::FromStr;

/// One address a listener is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ListenAddr {
    /// An IP address and port. Port 0 asks the system for a free one.
    Tcp(SocketAddr),
    /// A host name and port, looked up when the listener binds.
    Name {
        /// The host name.
        host: String,
        /// The port.
        port: u16,
    },
    /// A unix socket at this path.
    Unix(PathBuf),
}

impl ListenAddr {
    /// Whether only this machine can reach it: loopback, `localhost` or a unix socket.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => match address.ip() {
                IpAddr::V4(ip) => ip.is_loopback(),
                IpAddr::V6(ip) => {
                    ip.is_loopback() || ip.to_ipv4_mapped().is_some_and(|ip| ip.is_loopback())
                }
            },
            Self::Name { host, .. } => host.eq_ignore_ascii_case("localhost"),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for ListenAddr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Name { host, port } => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// Why a text is no address to listen on. `Display` says what is wrong, [`ListenAddrError::hint`]
/// how to write it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ListenAddrError {
    /// `unix:` with nothing, or a relative path, behind it.
    #[error("a unix socket without an absolute path")]
    UnixPath,
    /// No port.
    #[error("an address without a port")]
    NoPort,
    /// No host.
    #[error("an address without a host")]
    NoHost,
    /// The port is no number from 0 to 65535.
    #[error("an address whose port is no number from 0 to 65535")]
    BadPort,
    /// The host is neither an address nor a name.
    #[error("an address whose host is neither an address nor a name")]
    BadHost,
}

impl ListenAddrError {
    /// How to write it.
    pub const fn hint(self) -> &'static str {
        match self {
            Self::UnixPath => "write unix:/run/weir.sock",
            Self::NoPort | Self::BadPort => "write host:port, as in 127.0.0.1:27017",
            Self::NoHost => "write 127.0.0.1:27017 for this machine, 0.0.0.0:27017 for all",
            Self::BadHost => "write host:port, with an IPv6 address in brackets: [::1]:27017",
        }
    }
}

impl FromStr for ListenAddr {
    type Err = ListenAddrError;

    fn from_str(text: &str) -> Result<Self, ListenAddrError> {
        if let Some(path) = text.strip_prefix("unix:") {
            return match path.starts_with('/') {
                true => Ok(Self::Unix(PathBuf::from(path))),
                false => Err(ListenAddrError::UnixPath),
            };
        }
        if let Ok(address) = text.parse() {
            return Ok(Self::Tcp(address));
        }
        let (host, port) = text.rsplit_once(':').ok_or(ListenAddrError::NoPort)?;
        if host.is_empty() {
            return Err(ListenAddrError::NoHost);
        }
        let name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '-' | '_');
        if !host.chars().all(name) {
            return Err(ListenAddrError::BadHost);
        }
        let port = port.parse().map_err(|_| ListenAddrError::BadPort)?;
        Ok(Self::Name {
            host: host.to_owned(),
            port,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_every_form() {
        for (text, local) in [
            ("127.0.0.1:27017", true),
            ("127.0.0.9:0", true),
            ("[::1]:27017", true),
            ("[::ffff:127.0.0.1]:1", true),
            ("localhost:27017", true),
            ("unix:/run/weir.sock", true),
            ("0.0.0.0:27017", false),
            ("[::]:27017", false),
            ("weir.internal:27017", false),
        ] {
            let address: ListenAddr = text.parse().unwrap();
            assert_eq!(address.is_local(), local, "{text}");
            assert_eq!(address.to_string(), text);
        }
    }

    #[test]
    fn says_what_is_missing() {
        for (text, error) in [
            ("unix:weir.sock", ListenAddrError::UnixPath),
            ("unix:", ListenAddrError::UnixPath),
            ("127.0.0.1", ListenAddrError::NoPort),
            (":27017", ListenAddrError::NoHost),
            ("127.0.0.1:port", ListenAddrError::BadPort),
            ("127.0.0.1:70000", ListenAddrError::BadPort),
            ("::1:27017", ListenAddrError::BadHost),
            ("a b:1", ListenAddrError::BadHost),
        ] {
            assert_eq!(text.parse::<ListenAddr>(), Err(error), "{text}");
        }
    }
}
