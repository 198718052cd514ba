//! Where Weir listens, as the new strings name it. Pure.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use crate::uri::{PORT, decoded, is_host, split_port};

/// One or several places, in the form of a connection string's hosts.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    hosts: String,
    places: Vec<Place>,
}

/// One host of a connection string.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// An address.
    Tcp(SocketAddr),
    /// A unix socket's path.
    Unix(String),
    /// A name. The shim asks no DNS, so it knows nothing more.
    Name,
}

impl Target {
    /// Reads `host:port`, several of them with commas between, or `unix:/path.sock`.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let hosts = match text.strip_prefix("unix:") {
            Some(path) if path.starts_with('/') => path.replace('%', "%25").replace('/', "%2F"),
            Some(_) => return None,
            None => text.to_owned(),
        };
        let fits = |c: char| !"/@?#&".contains(c) && !c.is_whitespace() && !c.is_control();
        let fits = hosts.chars().all(fits) && hosts.split(',').all(is_host);
        let places = hosts.split(',').map(Place::of).collect();
        fits.then_some(Self { hosts, places })
    }

    /// The first of Weir's own listeners, as `WEIR_LISTEN` names them, that is reached from the
    /// same machine.
    pub fn of_listener(listen: &str) -> Option<Self> {
        listen.split(',').map(str::trim).find_map(Self::of_address)
    }

    fn of_address(text: &str) -> Option<Self> {
        if text.starts_with("unix:") {
            return Self::parse(text);
        }
        let (host, port) = text.rsplit_once(':')?;
        if host.eq_ignore_ascii_case("localhost") {
            let port = port.parse().ok().filter(|port| *port != 0)?;
            // Weir takes the first address that the system has for the name; a driver tries both.
            let both: [IpAddr; 2] = [Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()];
            let both = both.map(|ip| Place::Tcp(SocketAddr::new(ip, port)));
            let hosts = format!("localhost:{port}");
            let places = both.to_vec();
            return Some(Self { hosts, places });
        }
        let mut address: SocketAddr = text.parse().ok()?;
        if address.ip().is_unspecified() {
            address.set_ip(IpAddr::V4(Ipv4Addr::LOCALHOST));
        }
        let is_here = address.port() != 0 && address.ip().is_loopback();
        is_here.then(|| Self::parse(&address.to_string()))?
    }

    /// As a connection string names them.
    pub fn hosts(&self) -> &str {
        &self.hosts
    }

    /// Each of them.
    pub fn places(&self) -> &[Place] {
        &self.places
    }

    /// Whether Weir is on the same machine: only there it serves clients without a login.
    pub fn is_local(&self) -> bool {
        self.places.iter().all(|place| match place {
            Place::Tcp(address) => address.ip().is_loopback(),
            Place::Unix(_) => true,
            Place::Name => false,
        })
    }
}

impl Place {
    fn of(host: &str) -> Self {
        if let Some(path) = host
            .get(..3)
            .filter(|start| start.eq_ignore_ascii_case("%2f"))
        {
            return Self::Unix(decoded(&host.replacen(path, "/", 1)));
        }
        let (name, port) = split_port(host);
        let name = name.trim_start_matches('[').trim_end_matches(']');
        let ip = match name {
            name if name.eq_ignore_ascii_case("localhost") => Some(Ipv4Addr::LOCALHOST.into()),
            name => name.parse::<IpAddr>().ok(),
        };
        let port = port.map_or(Some(PORT), |port| port.parse().ok());
        match ip.zip(port) {
            Some((ip, port)) => Self::Tcp(SocketAddr::new(ip, port)),
            None => Self::Name,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn places(text: &str) -> Option<Vec<Place>> {
        Target::parse(text).map(|target| target.places)
    }

    fn tcp(text: &str) -> Place {
        Place::Tcp(text.parse().unwrap())
    }

    #[test]
    fn targets_are_read() {
        assert_eq!(
            places("127.0.0.1:27017"),
            Some(vec![tcp("127.0.0.1:27017")])
        );
        assert_eq!(places(" 127.0.0.1 "), Some(vec![tcp("127.0.0.1:27017")]));
        assert_eq!(places("Localhost:1"), Some(vec![tcp("127.0.0.1:1")]));
        assert_eq!(places("[::1]:2"), Some(vec![tcp("[::1]:2")]));
        let several = vec![Place::Name, tcp("10.0.0.1:3")];
        assert_eq!(places("weir-1:27017,10.0.0.1:3"), Some(several));
        let socket = Target::parse("unix:/run/we%ir.sock").unwrap();
        assert_eq!(socket.hosts(), "%2Frun%2Fwe%25ir.sock");
        assert_eq!(socket.places(), [Place::Unix("/run/we%ir.sock".to_owned())]);
        assert_eq!(Target::parse(socket.hosts()), Some(socket));
        for wrong in [
            "",
            ",",
            "a,",
            "mongodb://weir",
            "u:p@weir",
            "weir:",
            "weir:port",
            "weir:0",
            "weir:+1",
            "weir:65536",
            "we ir",
            "a?b",
            "::1",
            "[]:1",
            "unix:run.sock",
            "a:1:2",
            "a\n",
        ] {
            let read = Target::parse(wrong);
            // What surrounds it does no harm.
            assert!(read.is_none() || wrong.trim() != wrong, "{wrong:?}");
        }
    }

    #[test]
    fn the_same_machine_is_recognised() {
        for (text, local) in [
            ("127.0.0.1:1", true),
            ("127.0.0.2:1,[::1]:2", true),
            ("localhost", true),
            ("unix:/weir.sock", true),
            ("10.0.0.1:1", false),
            ("weir", false),
            ("127.0.0.1:1,weir", false),
        ] {
            assert_eq!(Target::parse(text).unwrap().is_local(), local, "{text}");
        }
    }

    #[test]
    fn a_listener_on_this_machine_is_a_target() {
        for (listen, hosts) in [
            ("127.0.0.1:27018", Some("127.0.0.1:27018")),
            ("unix:/run/weir.sock,0.0.0.0:4", Some("%2Frun%2Fweir.sock")),
            ("10.0.0.1:7, 0.0.0.0:4 ,[::1]:6", Some("127.0.0.1:4")),
            ("unix:weir.sock,0.0.0.0:4", Some("127.0.0.1:4")),
            ("unix:/weir.sock", Some("%2Fweir.sock")),
            ("localhost:27027", Some("localhost:27027")),
            ("LocalHost:8,127.0.0.1:9", Some("localhost:8")),
            ("localhost:0", None),
            ("localhost", None),
            ("weir.internal:27017", None),
            ("[::]:5", Some("127.0.0.1:5")),
            ("[::1]:6", Some("[::1]:6")),
            ("10.0.0.1:7", None),
            ("127.0.0.1:0", None),
            ("27017", None),
        ] {
            let target = Target::of_listener(listen);
            assert_eq!(target.as_ref().map(Target::hosts), hosts, "{listen}");
            assert!(target.is_none_or(|target| target.is_local()), "{listen}");
        }
        // What the system has for the name, nobody knows.
        let name = Target::of_listener("localhost:8").unwrap();
        assert_eq!(name.places(), [tcp("127.0.0.1:8"), tcp("[::1]:8")]);
    }
}
