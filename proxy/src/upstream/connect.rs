//! Makes a connection: name resolution, TCP, TLS, hello and login within one time limit.

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
            role::{AwsCredentials, CredentialsUnavailable},
        },
        let_go,
    },
    wire::{WireError, compressed::Compressor},
};

/// TCP settings for connections to servers: a server that has vanished is noticed within a minute.
const KEEPALIVE: Keepalive = Keepalive {
    idle: Duration::from_secs(30),
    interval: Duration::from_secs(10),
    probes: 3,
    user_timeout: Some(Duration::from_secs(30)),
};

/// Makes connections to the nodes of one upstream.
pub struct Connector {
    /// TLS settings; `None`: connections are not encrypted.
    pub tls: Option<Arc<rustls::ClientConfig>>,
    /// The user that Weir logs in as; `None`: it does not log in.
    pub principal: Option<Arc<Principal>>,
    /// `appName` for the server's logs.
    pub app_name: Option<String>,
    /// Codecs to offer, in order of preference.
    pub compressors: Vec<Compressor>,
    /// The time limit from name resolution to the end of the login.
    pub time_limit: Duration,
    /// The upstream is load-balanced: hello must say so, and the reply must agree.
    pub load_balanced: bool,
    /// Identifies this process, so that Weir notices when its upstream is itself.
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
    /// The credential source did not return AWS credentials.
    #[error(transparent)]
    Credentials(#[from] CredentialsUnavailable),
    /// The server refused the AWS credentials, and Weir has fetched others.
    #[error("the server refused the AWS credentials; new ones have been fetched")]
    CredentialsRenewed,
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

/// What to change, for TLS errors that a setting can fix; otherwise empty. The text may also come
/// from the monitoring driver.
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

/// A connection could not be made.
#[derive(Debug, thiserror::Error)]
#[error("{error}")]
pub struct Failure {
    /// Why it could not be made.
    #[source]
    pub error: ConnectError,
    /// The socket, which the server may still count as a connection; `None`: there is none.
    pub remains: Option<Remains>,
}

/// The open socket of a handshake that failed.
#[derive(Debug)]
pub struct Remains(socket2::Socket);

impl Remains {
    /// Does what [`Connection::destroy`] does.
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
    /// Whether the server answered and refused Weir's login.
    #[must_use]
    pub const fn is_login_refused(&self) -> bool {
        matches!(self, Self::Login(_))
    }

    /// Whether the failure is one of the network or the node, not of Weir's settings.
    #[must_use]
    pub const fn is_network(&self) -> bool {
        matches!(
            self,
            Self::Network(_) | Self::Handshake(_) | Self::LoginInterrupted(_) | Self::TimedOut(_)
        )
    }

    /// Whether the circuit breaker counts it: it is a failure of the node or of the network.
    #[must_use]
    pub const fn is_of_node(&self) -> bool {
        !self.is_login_refused() && !self.is_of_credentials()
    }

    /// Whether AWS credentials are missing, or have been renewed after a refusal.
    #[must_use]
    pub const fn is_of_credentials(&self) -> bool {
        matches!(self, Self::Credentials(_) | Self::CredentialsRenewed)
    }

    /// Whether it happened before hello was answered. By the client-backpressure specification
    /// such an error means overload and clears no pool.
    #[must_use]
    pub const fn is_before_hello(&self) -> bool {
        !matches!(
            self,
            Self::Login(_) | Self::CredentialsRenewed | Self::LoginInterrupted(_)
        )
    }

    pub(super) fn in_handshake(error: impl Into<AskError>) -> Self {
        Self::Handshake(error.into().0)
    }

    pub(super) fn in_login(error: impl Into<AskError>) -> Self {
        Self::LoginInterrupted(error.into().0)
    }
}

/// The text of an error in one exchange.
pub(crate) struct AskError(String);

impl From<SendError> for AskError {
    fn from(error: SendError) -> Self {
        Self(error.to_string())
    }
}

impl From<ReceiveError> for AskError {
    fn from(error: ReceiveError) -> Self {
        Self(error.to_string())
    }
}

impl From<WireError> for AskError {
    fn from(error: WireError) -> Self {
        Self(error.to_string())
    }
}

impl Connector {
    /// Connects to `node` and logs in. AWS credentials are fetched before the socket is opened.
    ///
    /// # Errors
    /// [`Failure`].
    pub async fn connect(&self, node: &NodeAddress) -> Result<Connection, Failure> {
        let Some(principal) = &self.principal else {
            return self.connect_with(node, None).await;
        };
        let credentials = principal.credentials().await.map_err(|error| Failure {
            error: error.into(),
            remains: None,
        })?;
        let connected = self.connect_with(node, credentials.clone()).await;
        let failure = match (connected, credentials) {
            (Err(failure), Some(refused)) if failure.error.is_login_refused() => {
                let error = match principal.renew(&refused).await {
                    Ok(true) => ConnectError::CredentialsRenewed,
                    Ok(false) => failure.error,
                    Err(unavailable) => unavailable.into(),
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
        credentials: Option<AwsCredentials>,
    ) -> Result<Connection, Failure> {
        let mut second_handle = None;
        let whole = async {
            let socket = self.dial(node, &mut second_handle).await?;
            let mut connection = Connection::new(socket);
            self.shake_hands(&mut connection, credentials).await?;
            Ok(connection)
        };
        let outcome = match timeout(self.time_limit, whole).await {
            Ok(outcome) => outcome,
            Err(_) => Err(ConnectError::TimedOut(self.time_limit)),
        };
        outcome.map_err(|error| Failure {
            error,
            remains: second_handle.map(Remains),
        })
    }

    /// Opens the socket. Leaves a second handle on it in `second_handle`, which survives when
    /// this future is dropped.
    async fn dial(
        &self,
        node: &NodeAddress,
        second_handle: &mut Option<socket2::Socket>,
    ) -> Result<Socket, ConnectError> {
        if node.is_unix() {
            let stream = UnixStream::connect(node.host())
                .await
                .map_err(ConnectError::Network)?;
            let socket = Socket::Unix(stream);
            *second_handle = socket.handle().ok();
            return Ok(socket);
        }
        let port = node.port().unwrap_or(27017);
        let stream = TcpStream::connect((node.host(), port))
            .await
            .map_err(ConnectError::Network)?;
        let socket = Socket::Tcp(stream);
        *second_handle = socket.handle().ok();
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
