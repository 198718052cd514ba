//! Making a connection: name, TCP, TLS, hello, login, all inside one time limit.

use std::{io, sync::Arc, time::Duration};

use rustls_pki_types::ServerName;
use tokio::{
    net::{TcpStream, UnixStream},
    time::timeout,
};
use tokio_rustls::TlsConnector;

use crate::{
    socket::{Keepalive, Socket},
    topology::NodeAddress,
    upstream::{
        Connection, ReceiveError, SendError,
        auth::{
            LoginError, Principal,
            role::{Keys, KeysUnsaid},
        },
        let_go,
    },
    wire::{WireError, compressed::Compressor},
};

/// TCP settings towards servers: a vanished one is noticed within a minute.
const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    probes: 3,
    user_timeout: Some(Duration::from_secs(30)),
};

/// How connections to the nodes of one upstream are made.
pub struct Connector {
    /// TLS towards the nodes; `None`: plain.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// Who Weir logs in as; `None`: nobody.
    pub principal: Option<Arc<Principal>>,
    /// `appName` for the server's logs.
    pub app_name: Option<String>,
    /// Codecs to offer, in order of preference.
    pub compressors: Vec<Compressor>,
    /// Limit of the whole procedure.
    pub time_limit: Duration,
    /// The upstream is load-balanced: hello must say so, and the reply must agree.
    pub load_balanced: bool,
    /// This process, to recognise itself.
    pub process_id: [u8; 12],
}

/// Why no connection was made.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Name resolution or TCP failed.
    #[error("cannot reach it: {0}")]
    Network(io::Error),
    /// TLS failed.
    #[error("TLS failed: {error}{}", tls_hint(error))]
    Tls {
        /// What went wrong.
        error: io::Error,
    },
    /// The name is no valid TLS server name.
    #[error("'{0}' is not a name that a certificate can carry")]
    ServerName(String),
    /// The handshake was interrupted.
    #[error("the connection broke during the handshake: {0}")]
    Handshake(String),
    /// The server answered hello with an error.
    #[error("the server refused the handshake: {0}")]
    Refused(String),
    /// The login was refused, or could not be carried out.
    #[error("login failed: {0}")]
    Login(#[from] LoginError),
    /// There is nothing to sign the login with now.
    #[error(transparent)]
    Keys(#[from] KeysUnsaid),
    /// A role's keys were refused; others are there by now.
    #[error("the server refused the keys of the role; new ones have been fetched")]
    KeysRenewed,
    /// The connection broke during the login.
    #[error("the connection broke during the login: {0}")]
    LoginInterrupted(String),
    /// `loadBalanced=true`, but the reply carries no `serviceId`.
    #[error(
        "the server is not behind a load balancer (its hello carries no serviceId); \
             remove loadBalanced=true from the upstream's connection string"
    )]
    NotLoadBalanced,
    /// The upstream is this process.
    #[error(
        "the upstream is this Weir itself; --upstream must name the database, \
             not an address that Weir listens on"
    )]
    Itself,
    /// It took too long.
    #[error("no answer within {0:?} (connectTimeoutMS)")]
    TimedOut(Duration),
}

fn tls_hint(error: &io::Error) -> &'static str {
    hint(&error.to_string())
}

/// What to change, for the TLS errors that a setting can mend; the text may be the
/// monitoring driver's.
#[must_use]
pub fn hint(error: &str) -> &'static str {
    if error.contains("UnknownIssuer") {
        " (name the authority's certificate with tlsCAFile in the upstream's connection string)"
    } else if error.contains("NotValidForName") {
        " (the certificate is for another host name than the connection string's)"
    } else if error.contains("InvalidContentType") || error.contains("corrupt message") {
        " (the server does not speak TLS: remove tls=true from the upstream's connection string)"
    } else {
        ""
    }
}

/// No connection was made.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// Why.
    #[source]
    pub error: ConnectError,
    /// What the server may still count as a connection.
    pub remains: Option<Remains>,
}

/// The open socket of a handshake that failed.
#[derive(Debug)]
pub struct Remains(socket2::Socket);

impl Remains {
    /// As [`Connection::destroy`].
    pub async fn destroy(self, node_is_dead: impl Fn() -> bool + Send) {
        let local = self.0.local_addr().is_ok_and(|address| address.is_unix());
        let socket = if local {
            UnixStream::from_std(self.0.into()).map(Socket::Unix)
        } else {
            TcpStream::from_std(self.0.into()).map(Socket::Tcp)
        };
        if let Ok(socket) = socket {
            let_go(&socket, node_is_dead).await;
        }
    }
}

impl ConnectError {
    /// The server answered, and its answer was that it does not let Weir in.
    #[must_use]
    pub const fn is_login_refused(&self) -> bool {
        matches!(self, Self::Login(_))
    }

    /// The failure says something about the node (rather than about Weir's settings).
    #[must_use]
    pub const fn is_network(&self) -> bool {
        matches!(
            self,
            Self::Network(_) | Self::Handshake(_) | Self::LoginInterrupted(_) | Self::TimedOut(_)
        )
    }

    /// It says something about the node or the way to it, so that the circuit breaker counts it.
    #[must_use]
    pub const fn is_of_node(&self) -> bool {
        !self.is_login_refused() && !self.is_of_keys()
    }

    /// A role's keys are missing, or are others than those that were refused.
    #[must_use]
    pub const fn is_of_keys(&self) -> bool {
        matches!(self, Self::Keys(_) | Self::KeysRenewed)
    }

    /// It happened before hello was answered: by the client-backpressure specification
    /// such an error means overload and clears no pool.
    #[must_use]
    pub const fn is_before_hello(&self) -> bool {
        !matches!(
            self,
            Self::Login(_) | Self::KeysRenewed | Self::LoginInterrupted(_)
        )
    }

    pub(super) fn in_handshake(error: impl Into<Exchange>) -> Self {
        Self::Handshake(error.into().0)
    }

    pub(super) fn in_login(error: impl Into<Exchange>) -> Self {
        Self::LoginInterrupted(error.into().0)
    }
}

/// Any error of one exchange, in words.
pub(crate) struct Exchange(String);

impl From<SendError> for Exchange {
    fn from(error: SendError) -> Self {
        Self(error.to_string())
    }
}

impl From<ReceiveError> for Exchange {
    fn from(error: ReceiveError) -> Self {
        Self(error.to_string())
    }
}

impl From<WireError> for Exchange {
    fn from(error: WireError) -> Self {
        Self(error.to_string())
    }
}

impl Connector {
    /// Connects to `node` and logs in. A role's keys are there before any socket is.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn connect(&self, node: &NodeAddress) -> Result<Connection, Failure> {
        let Some(principal) = &self.principal else {
            return self.connect_with(node, None).await;
        };
        let keys = principal.keys().await.map_err(|unsaid| Failure {
            error: unsaid.into(),
            remains: None,
        })?;
        let connected = self.connect_with(node, keys.clone()).await;
        let failure = match (connected, keys) {
            (Err(failure), Some(keys)) if failure.error.is_login_refused() => {
                let error = match principal.renewed(&keys).await {
                    Ok(true) => ConnectError::KeysRenewed,
                    Ok(false) => failure.error,
                    Err(unsaid) => unsaid.into(),
                };
                Failure { error, ..failure }
            }
            (Err(failure), _) => failure,
            (Ok(connection), _) => {
                principal.accepted();
                return Ok(connection);
            }
        };
        Err(failure)
    }

    async fn connect_with(
        &self,
        node: &NodeAddress,
        keys: Option<Keys>,
    ) -> Result<Connection, Failure> {
        let mut spare = None;
        let whole = async {
            let socket = self.dial(node, &mut spare).await?;
            let mut connection = Connection::new(socket);
            self.shake_hands(&mut connection, keys).await?;
            Ok(connection)
        };
        let outcome = match timeout(self.time_limit, whole).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ConnectError::TimedOut(self.time_limit)),
        };
        outcome.map_err(|error| Failure {
            error,
            remains: spare.map(Remains),
        })
    }

    /// Opens the socket; a second handle on it is left in `spare`.
    async fn dial(
        &self,
        node: &NodeAddress,
        spare: &mut Option<socket2::Socket>,
    ) -> Result<Socket, ConnectError> {
        if node.is_unix() {
            let stream = UnixStream::connect(node.host())
                .await
                .map_err(ConnectError::Network)?;
            let socket = Socket::Unix(stream);
            *spare = socket.handle().ok();
            return Ok(socket);
        }
        let port = node.port().unwrap_or(27017);
        let stream = TcpStream::connect((node.host(), port))
            .await
            .map_err(ConnectError::Network)?;
        let socket = Socket::Tcp(stream);
        *spare = socket.handle().ok();
        socket.tune(&KEEPALIVE).map_err(ConnectError::Network)?;
        match (&self.tls, socket) {
            (Some(tls), Socket::Tcp(stream)) => {
                let name = ServerName::try_from(node.host().to_owned())
                    .map_err(|_| ConnectError::ServerName(node.host().to_owned()))?;
                let connector = TlsConnector::from(Arc::clone(tls));
                let stream = connector
                    .connect(name, stream)
                    .await
                    .map_err(|error| ConnectError::Tls { error })?;
                Ok(Socket::TlsClient(Box::new(stream)))
            }
            (_, socket) => Ok(socket),
        }
    }
}

impl std::fmt::Debug for Connector {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connector")
            .field("load_balanced", &self.load_balanced)
            .finish_non_exhaustive()
    }
}
