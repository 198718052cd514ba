//! Everything a running Weir is told: flags, environment and file become one
//! complete, typed, immutable [`Config`].
//!
//! The way from text to types is split so that each half can be tested alone:
//!
//! | module | its part |
//! |---|---|
//! | [`settings`] | the table: every flag, its variable, its file key, its default, its help |
//! | [`mod@env`] | the [`Strings`] trait; the only file that reads the environment |
//! | [`mod@file`] | TOML with any number of `[[listener]]`s, as raw strings |
//! | [`raw`] | the layers in their order of precedence: flag, environment, file, default |
//! | [`units`] | durations, sizes and switches as people write them |
//! | [`listen`] | TCP and unix socket addresses to listen on |
//! | [`uri`] | a connection string becomes an [`Upstream`] |
//! | [`tls`] | certificate files become TLS settings, for clients and for the upstream |
//! | [`secret`] | a text that is never printed |
//! | [`problem`] | one mistake, with its place and a hint |
//! | `spelling` | the nearest known name to a mistyped one |
//! | [`effective`] | what every setting ended up as, and why |
//! | `build` | raw strings become a [`Config`], with all mistakes collected |
//! | [`client_string`] | the connection string an application must use for each placement to Weir |
//! | [`mod@reference`] | `docs/configuration.md`, generated from the table |
//!
//! Nothing here opens a socket except the DNS look-ups of a `mongodb+srv://` string.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

pub use self::client_string::{ClientString, Placement, client_strings};
pub use self::effective::Effective;
pub use self::env::Strings;
pub use self::listen::ListenAddr;
pub use self::problem::{Origin, Problem, Problems};
pub use self::raw::Flags;
pub use self::secret::Secret;
pub use self::uri::{Credential, DriverSeed, Host, Mechanism, Monitoring, Upstream};

mod build;
pub mod client_string;
pub mod effective;
pub mod env;
pub mod file;
pub mod listen;
pub mod problem;
pub mod raw;
pub mod reference;
pub mod secret;
pub mod settings;
mod spelling;
pub mod tls;
pub mod units;
pub mod uri;

#[cfg(test)]
mod tests;

/// Every default, in its type. The settings table renders these for `--help` and the reference.
pub mod defaults {
    use std::time::Duration;

    /// Where Weir listens when it is not told: loopback, MongoDB's own port.
    pub const LISTEN: &str = "127.0.0.1:27017";
    /// The same, parsed.
    pub const LISTEN_SOCKET: (std::net::Ipv4Addr, u16) = (std::net::Ipv4Addr::LOCALHOST, 27017);
    /// Where health, status and metrics are served.
    pub const ADMIN: &str = "127.0.0.1:9604";
    /// The same, parsed.
    pub const ADMIN_SOCKET: (std::net::Ipv4Addr, u16) = (std::net::Ipv4Addr::LOCALHOST, 9604);
    /// Ceiling of sockets to one upstream node, monitoring included.
    pub const MAX_CONNECTIONS: usize = 20;
    /// Connections kept warm to a node in use.
    pub const MIN_CONNECTIONS: usize = 2;
    /// Longest wait for a connection when the client gave no nearer deadline.
    pub const QUEUE_TIMEOUT: Duration = Duration::from_secs(4);
    /// Operations that may wait for a connection.
    pub const QUEUE_DEPTH: usize = 10_000;
    /// Longest an operation is held while no suitable node exists.
    pub const HOLD_TIMEOUT: Duration = Duration::from_secs(30);
    /// Client connections at once.
    pub const MAX_CLIENTS: usize = 20_000;
    /// Idle time before the first TCP keepalive probe to a client.
    pub const CLIENT_KEEPALIVE: Duration = Duration::from_secs(60);
    /// A client that answers no probe this long is gone.
    pub const CLIENT_DEAD_AFTER: Duration = Duration::from_secs(600);
    /// Bytes of messages held in memory at once.
    pub const MAX_IN_FLIGHT_BYTES: usize = 256 * 1024 * 1024;
    /// Handshakes in progress to one node at once.
    pub const MAX_CONNECTING: usize = 2;
    /// Age at which an upstream connection is replaced, before jitter.
    pub const CONNECTION_LIFETIME: Duration = Duration::from_secs(30 * 60);
    /// Which log lines are written.
    pub const LOG_FILTER: &str = "info";
    /// `maxWireVersion` told to clients before the upstream was first reached (MongoDB 5.0).
    pub const WIRE_VERSION: i32 = 13;
    /// Drain time with clients that list several Weirs.
    pub const DRAIN_LIST: Duration = Duration::from_secs(25);
    /// Drain time as a sidecar.
    pub const DRAIN_NONE: Duration = Duration::from_secs(55);
    /// Drain time behind a network load balancer.
    pub const DRAIN_BALANCER: Duration = Duration::from_secs(110);
    /// Longest a TCP connection to a node may take, TLS included.
    pub const CONNECT_TIMEOUT: Duration = Duration::from_secs(10);
    /// Width of the latency window for reads that may go to several nodes.
    pub const LOCAL_THRESHOLD: Duration = Duration::from_millis(15);
    /// Time for the DNS look-ups of a `mongodb+srv://` string.
    pub const SRV_TIMEOUT: Duration = Duration::from_secs(10);
}

/// The whole configuration of one process. Complete: no field means "ask somebody else".
#[derive(Clone, Debug)]
pub struct Config {
    /// At least one; each is one cluster.
    pub listeners: Vec<ListenerConfig>,
    /// Where `/live`, `/ready`, `/metrics`, `/status` and the page are served.
    pub admin: SocketAddr,
    /// Client connections at once, over all listeners.
    pub max_clients: usize,
    /// Idle time before the first keepalive probe to a client.
    pub client_keepalive: Duration,
    /// A client that answers no probe this long is gone.
    pub client_dead_after: Duration,
    /// What stands between the clients and this process; decides how it drains.
    pub behind: Behind,
    /// Longest time from SIGTERM to exit.
    pub drain_timeout: Duration,
    /// How log lines are written.
    pub log_format: LogFormat,
    /// Which log lines are written, as a `tracing` filter (`info`, `weir::pool=debug`).
    pub log_filter: String,
    /// Bytes of messages held in memory at once, over all listeners.
    pub max_in_flight_bytes: usize,
    /// Runtime worker threads; `None` means one per core, on two cores one.
    pub workers: Option<usize>,
    /// Lets `configureFailPoint` and `killAllSessions` through, like mongod's parameter.
    pub enable_test_commands: bool,
    /// Sentences worth a log line at start; none of them stops Weir.
    pub warnings: Vec<String>,
    /// What every setting ended up as, and where that came from.
    pub effective: Vec<Effective>,
}

impl Config {
    /// Reads all layers and completes them.
    ///
    /// `terminal` tells whether log lines go to a terminal. The configuration file is read, TLS
    /// files are looked at, and DNS is asked for `mongodb+srv://` strings once everything else
    /// has been found right; no other socket is opened.
    ///
    /// # Errors
    /// [`Problems`] with every mistake in every layer.
    pub async fn load(
        flags: &Flags,
        strings: &impl Strings,
        terminal: bool,
    ) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let read = |path: &str| std::fs::read_to_string(path);
        let raw = raw::Raw::gather(flags, strings, read, &mut problems);
        let platform = uri::Platform {
            function_environment: env::is_function_environment(strings),
            ..uri::Platform::default()
        };
        build::build(&raw, terminal, platform, problems).await
    }

    /// Reads only the address of the admin server, for commands that ask a running Weir.
    ///
    /// # Errors
    /// [`Problems`] with the mistakes in that setting and in the file it may come from.
    pub fn load_admin(flags: &Flags, strings: &impl Strings) -> Result<SocketAddr, Problems> {
        let mut problems = Vec::new();
        let read = |path: &str| std::fs::read_to_string(path);
        let raw = raw::Raw::gather(flags, strings, read, &mut problems);
        build::admin(&raw, problems)
    }
}

/// One `[[listener]]`: the addresses it listens on and the one cluster behind them.
#[derive(Clone, Debug)]
pub struct ListenerConfig {
    /// Names the listener in logs, metrics and `/status`; unique.
    pub name: String,
    /// At least one address.
    pub listen: Vec<ListenAddr>,
    /// The cluster.
    pub upstream: Upstream,
    /// Ceiling of sockets to each node, monitoring included, at every instant.
    pub max_connections: usize,
    /// Connections kept warm to each node in use.
    pub min_connections: usize,
    /// Longest wait for a connection when the client gave no nearer deadline.
    pub queue_timeout: Duration,
    /// Operations that may wait for a connection; more are shed at once.
    pub queue_depth: usize,
    /// Longest an operation is held while no suitable node exists.
    pub hold_timeout: Duration,
    /// Handshakes in progress to one node at once.
    pub max_connecting: usize,
    /// New connections per second to one node; `None` means no limit.
    pub connect_rate: Option<f64>,
    /// An upstream connection idle this long is closed; `None` means never for that reason.
    pub max_idle_time: Option<Duration>,
    /// Age at which an upstream connection is replaced, before jitter.
    pub connection_lifetime: Duration,
    /// Serve clients without credentials beyond loopback and unix sockets.
    pub allow_anonymous: bool,
    /// TLS towards clients; `None` means plain TCP.
    pub tls: Option<ListenerTls>,
    /// Ceiling for the `maxWireVersion` told to clients.
    pub max_wire_version: Option<i32>,
    /// The `maxWireVersion` told to clients before the upstream was first reached.
    pub wire_version: i32,
    /// Put `topologyVersion` into hello replies, so that drivers stream their monitoring.
    pub streaming_hello: bool,
    /// Ask the nodes in turn about a cursor this process has not opened.
    pub probe_cursors: bool,
    /// Refuse clients whose hello lacks `loadBalanced: true`.
    pub load_balanced_only: bool,
    /// This process may be frozen at any moment. No setting: the host that has Weir inside of
    /// it knows.
    pub freezing: Option<Freezing>,
    /// Logins that clients may make beside that of the upstream string. What they do is done as
    /// the upstream's user all the same.
    pub further_logins: Vec<Credential>,
    /// Another way to the same cluster, for when this one cannot be gone. Opens nothing before
    /// it is taken; no setting either. Its addresses are not listened on.
    pub spare: Option<Box<ListenerConfig>>,
}

/// What is done differently in a process that may be frozen at any moment, as an environment of
/// AWS Lambda is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Freezing {
    /// A connection that was unused for so long, by the wall clock too, must give a sign of
    /// life before it carries anything.
    pub doubt_after: Duration,
    /// How long that sign of life may take.
    pub check_time: Duration,
    /// Nothing is opened towards the upstream before an operation needs it, or the host says
    /// so: this process may be copied.
    pub asleep: bool,
    /// Longest time that a hello waits for the first contact with the upstream.
    pub hello_wait: Duration,
}

impl ListenerConfig {
    /// Whether a client that came in on `address` must log in.
    ///
    /// Beyond loopback and unix sockets it must, unless `--allow-anonymous` is set.
    pub fn client_auth(&self, address: &ListenAddr) -> ClientAuth {
        if address.is_local() || self.allow_anonymous {
            ClientAuth::Optional
        } else {
            ClientAuth::Required
        }
    }

    /// Sockets to each node left for operations: the cap minus the monitors. At least 2.
    pub fn data_connections(&self) -> usize {
        self.max_connections
            .saturating_sub(self.upstream.monitor_sockets())
    }
}

/// Whether clients of an address must log in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClientAuth {
    /// Commands other than the handshake are refused before a login.
    Required,
    /// A login is checked when it is made, and not asked for.
    Optional,
}

/// What stands between the clients and this process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Behind {
    /// A sidecar: clients of the same task, or nothing at all.
    None,
    /// Clients list several Weirs in their connection string.
    List,
    /// A network load balancer.
    Balancer,
}

impl Behind {
    /// The drain timeout used unless one is set.
    pub const fn drain_timeout(self) -> Duration {
        match self {
            Self::None => defaults::DRAIN_NONE,
            Self::List => defaults::DRAIN_LIST,
            Self::Balancer => defaults::DRAIN_BALANCER,
        }
    }
}

/// How log lines are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogFormat {
    /// One JSON object per line.
    Json,
    /// For people.
    Text,
}

/// TLS of a listener, as file names; `config/tls.rs` turns them into a rustls configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListenerTls {
    /// PEM file with the certificate chain, the leaf first.
    pub certificate_file: PathBuf,
    /// PEM file with the private key; may be the same file.
    pub key_file: PathBuf,
    /// PEM file with the authorities whose client certificates are demanded.
    pub client_ca_file: Option<PathBuf>,
}

/// TLS towards the upstream, as the connection string words it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TlsPolicy {
    /// `tlsCAFile`: authorities to trust instead of the machine's.
    pub ca_file: Option<PathBuf>,
    /// `tlsCertificateKeyFile`: client certificate and key in one PEM file.
    pub certificate_key_file: Option<PathBuf>,
    /// `tlsCertificateKeyFilePassword`: pass phrase of that key.
    pub certificate_key_password: Option<Secret>,
    /// `tlsAllowInvalidCertificates` or `tlsInsecure`: accept any certificate chain.
    pub allow_invalid_certificates: bool,
    /// `tlsAllowInvalidHostnames` or `tlsInsecure`: accept a certificate for another name.
    pub allow_invalid_hostnames: bool,
}
