//! One connection to a server: connect, log in, exchange one request, let go.
//!
//! A [`Connection`] is only ever used by one task at a time and carries one request
//! at a time. Whoever cannot prove that its byte stream is clean must destroy it
//! with [`Connection::destroy`].

pub mod auth;

pub mod connect;

pub mod cutter;

pub mod exchange;

pub mod handshake;

pub mod orphans;

pub mod setup;

use std::time::Duration;

use tokio::time::{Instant, timeout};

pub use connect::{ConnectError, Connector, Failure};
pub use cutter::Cutter;
pub use exchange::{ReceiveError, Received, SendError};
pub use handshake::ServerHello;
pub use setup::SetupError;

use crate::{socket::Socket, wire::compressed::Compressor};

/// A logged-in connection to one server.
#[derive(Debug)]
pub struct Connection {
    socket: Socket,
    hello: ServerHello,
    compressor: Option<Compressor>,
    next_request: i32,
    cutter: Cutter,
}

impl Connection {
    pub(crate) fn new(socket: Socket) -> Self {
        let hello = ServerHello::default();
        let cutter = Cutter::default();
        Self {
            socket,
            hello,
            compressor: None,
            next_request: 1,
            cutter,
        }
    }

    /// What the server said of itself when the connection was made.
    #[must_use]
    pub const fn hello(&self) -> &ServerHello {
        &self.hello
    }

    /// The stream below.
    #[must_use]
    pub const fn socket(&self) -> &Socket {
        &self.socket
    }

    /// By which others can end an exchange on it.
    #[must_use]
    pub fn cutter(&self) -> Cutter {
        self.cutter.clone()
    }

    /// A fresh request id, unique on this connection until it wraps.
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

    /// Lets the server know that nothing more will come and waits until it has let go
    /// too: a destroyed connection stays a connection of the server until its command
    /// ends, so its slot may not be used before.
    ///
    /// `node_is_dead` is asked every 10 s; a dead server never answers, and nothing is
    /// gained by waiting for it.
    pub async fn destroy(self, node_is_dead: impl Fn() -> bool + Send) {
        let_go(&self.socket, node_is_dead).await;
    }

    /// Lets go at once, with a reset: for a connection on which nothing runs and whose peer
    /// gives no sign of life.
    pub fn abandon(self) {
        self.socket.reset_on_close();
    }
}

/// What [`Connection::destroy`] does, for a socket that is no connection yet.
pub(crate) async fn let_go(socket: &Socket, node_is_dead: impl Fn() -> bool + Send) {
    const PATIENCE: Duration = Duration::from_secs(10);
    socket.shutdown_write();
    let since = Instant::now();
    while timeout(PATIENCE, socket.discard()).await.is_err() {
        if node_is_dead() {
            tracing::debug!(waited = ?since.elapsed(), "gave up a connection to a dead node");
            return;
        }
    }
}
