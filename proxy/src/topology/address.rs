//! The address of a node, in one normal form.
//!
//! Two spellings of one address must compare equal. Otherwise one node would be known as two. Host
//! names are lower-cased, a missing port is 27017, and the brackets of an IPv6 literal are removed
//! (*Server Discovery and Monitoring*, "Normalizing hosts").

use std::fmt;
use std::sync::Arc;

/// The port when an address names none.
pub const DEFAULT_PORT: u16 = 27017;

/// The address of one upstream node. Cloning it copies a pointer.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeAddress {
    host: Arc<str>,
    /// 0 for a unix socket, whose path is in `host`.
    port: u16,
}

impl NodeAddress {
    /// A TCP address. The host may be a name, an IPv4 or an IPv6 literal, the
    /// latter with or without brackets.
    #[must_use]
    pub fn tcp(host: &str, port: Option<u16>) -> Self {
        let bare = host
            .strip_prefix('[')
            .and_then(|rest| rest.strip_suffix(']'))
            .unwrap_or(host);
        Self {
            host: bare.to_lowercase().into(),
            port: port.unwrap_or(DEFAULT_PORT),
        }
    }

    /// The path of a unix domain socket, whose case is kept.
    #[must_use]
    pub fn unix(path: &str) -> Self {
        Self {
            host: path.into(),
            port: 0,
        }
    }

    /// Parses `host`, `host:port`, `[v6]`, `[v6]:port`, a bare IPv6 literal or a `/path/to.sock`;
    /// `None`: the text is none of these.
    #[must_use]
    pub fn parse(text: &str) -> Option<Self> {
        if text.starts_with('/') || text.ends_with(".sock") {
            return Some(Self::unix(text));
        }
        if let Some(rest) = text.strip_prefix('[') {
            let (host, tail) = rest.split_once(']')?;
            let port = match tail.strip_prefix(':') {
                Some(port) => Some(parse_port(port)?),
                None if tail.is_empty() => None,
                None => return None,
            };
            return (!host.is_empty()).then(|| Self::tcp(host, port));
        }
        match text.rsplit_once(':') {
            // More than one colon and no brackets: a bare IPv6 literal.
            Some((host, _)) if host.contains(':') => Some(Self::tcp(text, None)),
            Some((host, port)) if !host.is_empty() => {
                Some(Self::tcp(host, Some(parse_port(port)?)))
            }
            Some(_) => None,
            None => (!text.is_empty()).then(|| Self::tcp(text, None)),
        }
    }

    /// The host without brackets, or the path of a unix socket.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The TCP port, or `None` for a unix socket.
    #[must_use]
    pub fn port(&self) -> Option<u16> {
        (!self.is_unix()).then_some(self.port)
    }

    /// Whether this is a unix domain socket.
    #[must_use]
    pub fn is_unix(&self) -> bool {
        self.port == 0
    }
}

fn parse_port(text: &str) -> Option<u16> {
    text.parse().ok().filter(|port| *port != 0)
}

impl fmt::Display for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.is_unix() {
            f.write_str(&self.host)
        } else if self.host.contains(':') {
            write!(f, "[{}]:{}", self.host, self.port)
        } else {
            write!(f, "{}:{}", self.host, self.port)
        }
    }
}

impl fmt::Debug for NodeAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_node_has_one_spelling() {
        for (text, normal) in [
            ("DB1.Example.COM", "db1.example.com:27017"),
            ("db1:27018", "db1:27018"),
            ("127.0.0.1", "127.0.0.1:27017"),
            ("::1", "[::1]:27017"),
            ("[::1]", "[::1]:27017"),
            ("[FE80::1]:27019", "[fe80::1]:27019"),
            ("/tmp/Mongodb-27017.sock", "/tmp/Mongodb-27017.sock"),
        ] {
            let address = NodeAddress::parse(text).unwrap();
            assert_eq!(address.to_string(), normal, "{text}");
            assert_eq!(
                NodeAddress::parse(&address.to_string()).unwrap(),
                address,
                "{text}"
            );
        }
    }

    #[test]
    fn what_is_no_address_is_refused() {
        for text in [
            "",
            ":27017",
            "db1:",
            "db1:0",
            "db1:70000",
            "db1:x",
            "[::1",
            "[::1]x",
            "[]",
        ] {
            assert_eq!(NodeAddress::parse(text), None, "{text}");
        }
    }

    #[test]
    fn a_unix_socket_has_no_port() {
        let address = NodeAddress::parse("/tmp/x.sock").unwrap();
        assert!(address.is_unix());
        assert_eq!((address.host(), address.port()), ("/tmp/x.sock", None));
    }
}
