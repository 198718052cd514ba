//! One connection to a server: connect, log in, exchange requests and replies, close.
//!
//! A [`Connection`] is used by one task at a time and carries one request at a time. A user that
//! cannot prove that its byte stream is clean must destroy it with [`Connection::destroy`].
//!
//! | module | its part |
//! |---|---|
//! | `setup` | makes a [`Connector`] from the settings |
//! | `connect` | name resolution, TCP, TLS, hello and login within one time limit |
//! | `handshake` | hello and the steps of the login |
//! | `auth` | the login itself, without I/O |
//! | `exchange` | one request and its reply |
//! | `abort_handle` | ends an exchange from outside |
//! | `orphans` | counts connections that a killed process left behind |

pub mod abort_handle;
pub mod auth;
pub mod connect;
pub mod exchange;
pub mod handshake;
pub mod orphans;
pub mod setup;

use std::time::Duration;

use tokio::time::{Instant, timeout};

pub use abort_handle::AbortHandle;
pub use connect::{ConnectError, Connector, Failure};
pub use exchange::{ReceiveError, Received, SendError};
pub use handshake::ServerHello;
pub use setup::SetupError;

use crate::{socket::Socket, wire::compressed::Compressor};

/// A logged-in connection to one server.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    hello: ServerHello,
    /// The codec that client and server agreed on; `None`: none.
    compressor: Option<Compressor>,
    next_request: i32,
    abort_handle: AbortHandle,
}

impl Connection {
    pub(crate) fn new(socket: Socket) -> Self {
        Self {
            socket,
            hello: ServerHello::default(),
            compressor: None,
            next_request: 1,
            abort_handle: AbortHandle::default(),
        }
    }

    /// The server's reply to the first hello of this connection.
    #[must_use]
    pub const fn hello(&self) -> &ServerHello {
        &self.hello
    }

    /// The stream below.
    #[must_use]
    pub const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Ends exchanges on this connection from outside.
    #[must_use]
    pub fn abort_handle(&self) -> AbortHandle {
        self.abort_handle.clone()
    }

    /// A fresh request id, unique on this connection until the counter wraps.
    pub const fn request_id(&mut self) -> i32 {
        let id = self.next_request;
        self.next_request = if id == i32::MAX { 1 } else { id + 1 };
        id
    }

    /// The codec that requests on this connection may use.
    #[must_use]
    pub const fn compressor(&self) -> Option<Compressor> {
        self.compressor
    }

    /// Closes the connection for writing and waits until the server has closed it too. The
    /// server counts the connection until the command on it ends, so the slot may not be used
    /// before.
    ///
    /// `node_is_dead` is called every 10 s. `true` ends the wait, because a dead server never
    /// answers.
    pub async fn destroy(self, node_is_dead: impl Fn() -> bool + Send) {
        let_go(&self.socket, node_is_dead).await;
    }

    /// Closes the connection with a reset, without waiting. For a connection on which nothing
    /// runs and whose peer did not answer a liveness check.
    pub fn abandon(self) {
        self.socket.reset_on_close();
    }
}

/// Does what [`Connection::destroy`] does, for a socket whose handshake has not ended.
pub(crate) async fn let_go(socket: &Socket, node_is_dead: impl Fn() -> bool + Send) {
    const ASK_EVERY: Duration = Duration::from_secs(10);
    socket.shutdown_write();
    let since = Instant::now();
    while timeout(ASK_EVERY, socket.discard()).await.is_err() {
        if node_is_dead() {
            tracing::debug!(waited = ?since.elapsed(), "gave up a connection to a dead node");
            return;
        }
    }
}
