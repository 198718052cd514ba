//! One client's connection: to the Weir of this process, or straight to a server.

use std::error::Error;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;

use bson::{RawDocumentBuf, rawdoc};
use tokio::sync::Semaphore;

use weir::topology::NodeAddress;
use weir::upstream::{self, Connector, ReceiveError, Received};
use weir::wire::header::{self, MAX_MESSAGE_LEN};
use weir::wire::legacy;
use weir_kit::client::{self, ClientError, Reply};
use weir_kit::messages::message;

/// Where clients connect.
#[derive(Clone)]
pub(super) enum Endpoint {
    /// To a Weir on loopback, which wants no login there.
    Weir(SocketAddr),
    /// To a node, as the connection string says.
    Direct(Arc<Direct>),
}

/// A node and how to log in to it.
pub(super) struct Direct {
    pub(super) connector: Connector,
    pub(super) node: NodeAddress,
    pub(super) logins: Semaphore,
}

/// An open connection.
pub(super) enum Connection {
    Weir(client::Connection),
    Direct(Box<upstream::Connection>),
}

impl Endpoint {
    /// Opens a connection, logged in where that is needed.
    pub(super) async fn open(&self) -> Result<Connection, ClientError> {
        match self {
            Self::Weir(address) => {
                let first = legacy::op_query(0, "admin.$cmd", handshake().as_bytes());
                let opened = client::Connection::shake_hands(*address, first).await?;
                Ok(Connection::Weir(opened.0))
            }
            Self::Direct(direct) => {
                let _turn = direct.logins.acquire().await;
                match direct.connector.connect(&direct.node).await {
                    Ok(connection) => Ok(Connection::Direct(Box::new(connection))),
                    Err(failure) => Err(ClientError::Refused(io::Error::other(failure.error))),
                }
            }
        }
    }
}

impl Connection {
    /// Sends one message and waits for a successful answer to it.
    pub(super) async fn ask(&mut self, message: Vec<u8>) -> Result<Reply, ClientError> {
        match self {
            Self::Weir(connection) => connection.exchange(message).await,
            Self::Direct(connection) => exchange(connection, message).await?.into_success(),
        }
    }

    /// The same for a command that is asked once.
    pub(super) async fn command(&mut self, command: &RawDocumentBuf) -> Result<Reply, ClientError> {
        self.ask(message(command)).await
    }
}

async fn exchange(
    connection: &mut upstream::Connection,
    mut message: Vec<u8>,
) -> Result<Reply, ClientError> {
    let id = connection.request_id();
    header::set_request_id(&mut message, id);
    let sent = connection.send(&message).await;
    sent.map_err(|error| ClientError::Lost(error.source))?;
    // The request goes to the reader; its space is used again for the reply.
    let mut reply = message;
    let received = connection.receive(&mut reply, id, MAX_MESSAGE_LEN).await;
    match received.map_err(lost)? {
        Received::Whole(_) => {}
        Received::Head(header) => {
            let rest = connection.receive_rest(&mut reply, &header).await;
            rest.map_err(lost)?;
        }
    }
    Ok(Reply::parse(reply)?)
}

fn lost(error: ReceiveError) -> ClientError {
    match error {
        ReceiveError::Io(error) => ClientError::Lost(error),
        other => ClientError::Lost(io::Error::other(other)),
    }
}

/// An error with its cause, which says more.
pub(super) fn reason(error: &ClientError) -> String {
    let cause = error.source();
    cause.map_or_else(|| error.to_string(), |cause| format!("{error}: {cause}"))
}

fn handshake() -> RawDocumentBuf {
    rawdoc! {
        "isMaster": 1,
        "helloOk": true,
        "client": {
            "application": { "name": "weir bench pressure" },
            "driver": { "name": "weir-bench", "version": env!("CARGO_PKG_VERSION") },
            "os": { "type": std::env::consts::OS },
        },
        "compression": [],
    }
}
