//! A connection string becomes an [`Upstream`]: what Weir's own connections need, and a seed for
//! the driver that watches the deployment.
//!
//! The driver's parser refuses options that other drivers accept, and stops at the first mistake.
//! So the text is read here first, all mistakes are collected, and the driver only gets the few
//! options that matter to monitoring.

use std::fmt;
use std::time::Duration;

use mongodb::options::{
    ClientOptions, DriverInfo, ServerAddress, ServerMonitoringMode, Tls, TlsOptions,
};

use crate::config::uri::draft::Draft;
use crate::config::{Problem, Secret, TlsPolicy};

pub(crate) mod draft;
pub(crate) mod options;
mod role;
mod rules;
pub(crate) mod table;
pub(crate) mod text;

#[cfg(test)]
mod tests;

/// How often the monitors look unless the string asks for more.
const HEARTBEAT: Duration = Duration::from_secs(1);
/// Longest a monitor waits for a TCP connection.
const MONITOR_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// The name the monitors give themselves.
const MONITOR_APP_NAME: &str = "weir";

/// What the string does not say, but its meaning depends on.
#[derive(Clone, Copy, Debug)]
pub struct Platform {
    /// Monitoring polls instead of streaming unless the string decides.
    pub function_environment: bool,
    /// Longest time for the DNS look-ups of a `mongodb+srv://` string.
    pub srv_timeout: Duration,
}

impl Default for Platform {
    fn default() -> Self {
        Self {
            function_environment: false,
            srv_timeout: crate::config::defaults::SRV_TIMEOUT,
        }
    }
}

/// One upstream cluster, as its connection string describes it.
#[derive(Clone, Debug)]
pub struct Upstream {
    /// For the client that watches the deployment.
    pub seed: DriverSeed,
    /// The seed list; for SRV, what DNS answered.
    pub hosts: Vec<Host>,
    /// Whether the string was `mongodb+srv://`.
    pub srv: bool,
    /// `loadBalanced=true`: one address, no monitoring.
    pub load_balanced: bool,
    /// `directConnection=true`: this one node, whatever it is.
    pub direct_connection: bool,
    /// `replicaSet`.
    pub set_name: Option<String>,
    /// Who Weir logs in as; clients log in with the same.
    pub credential: Option<Credential>,
    /// TLS towards the nodes; `None` means plain TCP.
    pub tls: Option<TlsPolicy>,
    /// `compressors`, in order of preference, known names only.
    pub compressors: Vec<String>,
    /// `zlibCompressionLevel`, −1 (zlib's own default) to 9.
    pub zlib_level: i32,
    /// `maxPoolSize`; 0 (no limit) is left out.
    pub max_pool_size: Option<usize>,
    /// `minPoolSize`.
    pub min_pool_size: Option<usize>,
    /// `maxIdleTimeMS`; 0 (no limit) is left out.
    pub max_idle_time: Option<Duration>,
    /// `maxConnecting`.
    pub max_connecting: Option<usize>,
    /// `waitQueueTimeoutMS`; 0 (no limit) is left out.
    pub wait_queue_timeout: Option<Duration>,
    /// `connectTimeoutMS`, 10 s by default, for Weir's own connections.
    pub connect_timeout: Duration,
    /// `serverSelectionTimeoutMS`; 0 is left out.
    pub server_selection_timeout: Option<Duration>,
    /// `localThresholdMS`: width of the latency window, 15 ms by default.
    pub local_threshold: Duration,
    /// How often the monitors look: 1 s, or what the string asks for if that is less.
    pub heartbeat: Duration,
    /// `appName`, for Weir's own connections.
    pub app_name: Option<String>,
    /// How the driver watches the nodes; decides how many sockets that costs.
    pub monitoring: Monitoring,
    /// The database in the path.
    pub database: Option<String>,
    /// Options that belong in the clients' own strings, as written: name and decoded value.
    pub client_options: Vec<(String, String)>,
    /// Sentences about options that were changed, ignored or not known.
    pub warnings: Vec<String>,
    text: Secret,
    redacted: String,
}

impl Upstream {
    /// Reads a connection string; for `mongodb+srv://` asks DNS for the hosts.
    ///
    /// # Errors
    /// Everything that is wrong with it. No sentence holds the password.
    pub async fn parse(text: &str, platform: Platform) -> Result<Self, Vec<Problem>> {
        Draft::read(text)?.resolve(platform).await
    }

    /// The connection string as it was given, password included.
    pub(crate) fn text(&self) -> &Secret {
        &self.text
    }

    /// The connection string without its password.
    pub fn redacted(&self) -> &str {
        &self.redacted
    }

    /// Sockets per node that the monitoring driver holds: 2 streaming, 1 polling, 0 load-balanced.
    pub fn monitor_sockets(&self) -> usize {
        self.monitoring.sockets(self.load_balanced)
    }
}

/// How nodes are watched.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Monitoring {
    /// The node streams its state; a second socket measures round trips.
    Stream,
    /// The node is asked at each heartbeat.
    Poll,
}

impl Monitoring {
    /// Sockets per node: none where nothing is watched, because a balancer stands before it.
    const fn sockets(self, load_balanced: bool) -> usize {
        match self {
            _ if load_balanced => 0,
            Self::Stream => 2,
            Self::Poll => 1,
        }
    }
}

/// A host and port of the seed list.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Host {
    /// Name in lower case, or IP address without brackets.
    pub host: String,
    /// The port.
    pub port: u16,
}

impl fmt::Display for Host {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.host.contains(':') {
            true => write!(f, "[{}]:{}", self.host, self.port),
            false => write!(f, "{}:{}", self.host, self.port),
        }
    }
}

/// Who Weir logs in as.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Credential {
    /// Decoded user name, or the id of a role's key; empty only for X.509, whose certificate
    /// names the user, and for a role whose keys are to be found elsewhere.
    pub username: String,
    /// Decoded password, or a role's secret key; empty only where the user name may be.
    pub password: Secret,
    /// `AWS_SESSION_TOKEN` of `authMechanismProperties`: goes with a role's keys of some hours.
    pub session_token: Option<Secret>,
    /// The database the user is defined in.
    pub source: String,
    /// `authMechanism`; `None` lets the server's own list decide.
    pub mechanism: Option<Mechanism>,
}

/// Login mechanisms Weir speaks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// SCRAM-SHA-1.
    ScramSha1,
    /// SCRAM-SHA-256.
    ScramSha256,
    /// MONGODB-X509.
    X509,
    /// MONGODB-AWS.
    Aws,
}

impl Mechanism {
    /// The user is known outside of the database, as an identity of `$external`; there is no
    /// password that clients could show too.
    pub const fn is_external(self) -> bool {
        matches!(self, Self::X509 | Self::Aws)
    }

    /// The name on the wire and in `authMechanism`.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
            Self::X509 => "MONGODB-X509",
            Self::Aws => "MONGODB-AWS",
        }
    }
}

/// The driver's own options, prepared for monitoring and for nothing else: no credentials, no
/// pool of its own, a heartbeat of one second.
#[derive(Clone)]
pub struct DriverSeed(ClientOptions);

impl DriverSeed {
    /// For the one place that builds a driver client.
    pub(crate) fn client_options(&self) -> ClientOptions {
        self.0.clone()
    }

    /// Prepares what the driver's parser made of the hosts and the options that describe the
    /// deployment.
    fn prepare(mut parsed: ClientOptions, settings: &SeedSettings<'_>) -> Self {
        let (name, version) = ("weir".to_owned(), env!("CARGO_PKG_VERSION").to_owned());
        parsed.credential = None;
        parsed.default_database = None;
        parsed.min_pool_size = Some(0);
        parsed.heartbeat_freq = Some(settings.heartbeat);
        parsed.connect_timeout = Some(settings.connect_timeout.min(MONITOR_CONNECT_TIMEOUT));
        parsed.app_name = Some(MONITOR_APP_NAME.to_owned());
        parsed.driver_info = Some(DriverInfo::builder().name(name).version(version).build());
        parsed.server_monitoring_mode = Some(match settings.monitoring {
            Monitoring::Stream => ServerMonitoringMode::Stream,
            Monitoring::Poll => ServerMonitoringMode::Poll,
        });
        parsed.tls = Some(settings.tls.map_or(Tls::Disabled, |policy| {
            let mut tls = TlsOptions::default();
            // The driver's rustls cannot waive the name alone. Monitors carry no credentials,
            // and data connections still check the chain.
            tls.allow_invalid_certificates =
                Some(policy.allow_invalid_certificates || policy.allow_invalid_hostnames);
            tls.ca_file_path.clone_from(&policy.ca_file);
            if policy.certificate_key_password.is_none() {
                tls.cert_key_file_path
                    .clone_from(&policy.certificate_key_file);
            }
            Tls::Enabled(tls)
        }));
        Self(parsed)
    }
}

impl fmt::Debug for DriverSeed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("DriverSeed").finish_non_exhaustive()
    }
}

/// What of a string goes into its [`DriverSeed`] beside the hosts.
struct SeedSettings<'a> {
    heartbeat: Duration,
    connect_timeout: Duration,
    monitoring: Monitoring,
    tls: Option<&'a TlsPolicy>,
}

/// What the driver's parser and DNS add to the text.
struct Looked {
    options: ClientOptions,
    hosts: Vec<Host>,
    /// Where users of the string are defined unless `authSource` says: TXT record, path, `admin`.
    auth_source: String,
}

/// Hands a string with hosts and deployment options, but without the login, to the driver.
///
/// Asks DNS for `mongodb+srv://`, and for nothing else.
async fn look_up(text: &str, limit: Duration) -> Result<Looked, LookUpError> {
    let mut options = tokio::time::timeout(limit, ClientOptions::parse(text))
        .await
        .map_err(|_| LookUpError::Timeout(limit))?
        .map_err(|error| LookUpError::Driver(error.kind.to_string()))?;
    let credential = options.credential.take();
    let hosts = options.hosts.iter().filter_map(|address| match address {
        ServerAddress::Tcp { host, port } => Some(Host {
            host: host.clone(),
            port: port.unwrap_or(text::DEFAULT_PORT),
        }),
        _ => None,
    });
    Ok(Looked {
        hosts: hosts.collect(),
        auth_source: credential
            .and_then(|credential| credential.source)
            .unwrap_or_else(|| "admin".to_owned()),
        options,
    })
}

/// Why the hosts of a string could not be had.
#[derive(Debug, thiserror::Error)]
enum LookUpError {
    #[error("DNS gave no answer within {}", crate::config::units::show_duration(*.0))]
    Timeout(Duration),
    #[error("{0}")]
    Driver(String),
}
