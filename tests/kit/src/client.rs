//! One socket of a simulated client: connect, send, receive.
//!
//! Kept small because there are thousands: a socket that waits holds no buffer.

use std::io;
use std::net::SocketAddr;
use std::ops::Range;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::messages::Messages;
use weir::wire::header::{self, HEADER_LEN, Header, MAX_MESSAGE_LEN, opcode};
use weir::wire::op_msg::{self, OpMsg};
use weir::wire::{WireError, legacy, raw};

/// What can go wrong on a socket or in an answer.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// The server closed the socket before it answered the handshake, or would
    /// not take it at all: what a full server does.
    #[error("the server refused the connection")]
    Refused(#[source] io::Error),
    /// The socket broke later.
    #[error("the connection was lost")]
    Lost(#[source] io::Error),
    /// The answer was not understood.
    #[error("the answer is malformed")]
    Malformed(#[from] WireError),
    /// The server answered with an error.
    #[error("the server answered with error {code}: {message}")]
    Command {
        /// The server's error code; 0 when it gave none.
        code: i64,
        /// Its text.
        message: String,
        /// Whether a driver would try the operation once more.
        retryable: bool,
    },
}

impl ClientError {
    /// Whether a driver tries a retryable read or write once more.
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Refused(_) | Self::Lost(_) => true,
            Self::Malformed(_) => false,
            Self::Command { retryable, .. } => *retryable,
        }
    }

    /// Whether the socket is of no further use.
    pub fn is_network(&self) -> bool {
        !matches!(self, Self::Command { .. })
    }
}

/// A whole answer; its body has been found.
#[derive(Debug)]
pub struct Reply {
    message: Vec<u8>,
    body: Range<usize>,
}

impl Reply {
    /// Finds the body of a whole message.
    ///
    /// # Errors
    /// When it is no answer.
    pub fn parse(message: Vec<u8>) -> Result<Self, WireError> {
        let header = Header::decode(&message, MAX_MESSAGE_LEN)?;
        let body = match header {
            Some(header) if header.op_code == opcode::REPLY => legacy::parse_op_reply(&message)?,
            _ => OpMsg::parse(&message)?.body,
        };
        Ok(Self { message, body })
    }

    /// The answer document.
    pub fn body(&self) -> &[u8] {
        self.message.get(self.body.clone()).unwrap_or_default()
    }

    /// Whether the server will send another answer unasked.
    pub fn more_to_come(&self) -> bool {
        op_msg::flags(&self.message).is_some_and(|flags| flags & op_msg::MORE_TO_COME != 0)
    }

    /// The answer itself if it is a success, with no write error in it either.
    ///
    /// # Errors
    /// [`ClientError::Command`] with the first error found.
    pub fn into_success(self) -> Result<Self, ClientError> {
        let body = self.body();
        if !raw::find(body, b"ok").is_some_and(|ok| ok.as_truthy()) {
            return Err(command_error(body, body));
        }
        let first = raw::find(body, b"writeErrors").and_then(|errors| {
            raw::elements(errors.as_array()?)
                .next()?
                .ok()?
                .as_document()
        });
        match first {
            Some(error) => Err(command_error(error, body)),
            None => Ok(self),
        }
    }
}

fn command_error(error: &[u8], body: &[u8]) -> ClientError {
    let code = raw::find(error, b"code").and_then(|code| code.as_number_i64());
    let message = raw::find(error, b"errmsg")
        .and_then(|text| text.as_str())
        .map(|text| String::from_utf8_lossy(text).into_owned());
    ClientError::Command {
        code: code.unwrap_or_default(),
        message: message.unwrap_or_default(),
        retryable: has_retry_label(body) || code.is_some_and(is_retryable_code),
    }
}

/// Drivers retry writes by label.
fn has_retry_label(body: &[u8]) -> bool {
    raw::find(body, b"errorLabels")
        .and_then(|labels| labels.as_array())
        .is_some_and(|labels| {
            raw::elements(labels)
                .filter_map(Result::ok)
                .any(|label| label.as_str() == Some(b"RetryableWriteError"))
        })
}

/// Drivers retry reads by code (`retryable-reads.md`). On writes from a server
/// of our age these codes always come with the label, so one list serves both.
fn is_retryable_code(code: i64) -> bool {
    matches!(
        code,
        6 | 7 | 89 | 91 | 134 | 189 | 262 | 9001 | 10058 | 10107 | 11600 | 11602 | 13435 | 13436
    )
}

/// One socket.
#[derive(Debug)]
pub struct Connection {
    stream: TcpStream,
    last_id: i32,
}

impl Connection {
    /// Connects and shakes hands as a driver does; returns the server's hello too.
    ///
    /// # Errors
    /// [`ClientError::Refused`] when the socket does not live long enough for
    /// an answer; a server at its limit accepts and closes.
    pub async fn open(
        address: SocketAddr,
        messages: &Messages,
    ) -> Result<(Self, Reply), ClientError> {
        Self::shake_hands(address, messages.handshake.clone()).await
    }

    /// As [`Self::open`], with the caller's own first message.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub async fn shake_hands(
        address: SocketAddr,
        handshake: Vec<u8>,
    ) -> Result<(Self, Reply), ClientError> {
        let stream = TcpStream::connect(address)
            .await
            .map_err(ClientError::Refused)?;
        stream.set_nodelay(true).map_err(ClientError::Refused)?;
        let mut connection = Self { stream, last_id: 0 };
        let hello = connection
            .exchange(handshake)
            .await
            .map_err(|error| match error {
                ClientError::Lost(cause) => ClientError::Refused(cause),
                other => other,
            })?;
        Ok((connection, hello))
    }

    /// Sends one message and waits for a successful answer to it.
    ///
    /// # Errors
    /// Any [`ClientError`]; after one that [`ClientError::is_network`] the
    /// connection must be dropped.
    pub async fn exchange(&mut self, message: Vec<u8>) -> Result<Reply, ClientError> {
        self.send(message).await?;
        self.receive().await?.into_success()
    }

    /// Sends one message under a fresh request id.
    ///
    /// # Errors
    /// [`ClientError::Lost`].
    pub async fn send(&mut self, mut message: Vec<u8>) -> Result<(), ClientError> {
        self.last_id = self.last_id.wrapping_add(1);
        header::set_request_id(&mut message, self.last_id);
        self.stream
            .write_all(&message)
            .await
            .map_err(ClientError::Lost)
    }

    /// Waits for one whole message.
    ///
    /// # Errors
    /// [`ClientError::Lost`] at the end of the stream or when it breaks,
    /// [`ClientError::Malformed`] when what came is no message.
    pub async fn receive(&mut self) -> Result<Reply, ClientError> {
        let mut head = [0; HEADER_LEN];
        self.read(&mut head).await?;
        // A header's worth of bytes always decodes or is refused.
        let length = Header::decode(&head, MAX_MESSAGE_LEN)?.map_or(HEADER_LEN, |h| h.length);
        // The buffer comes only now: most sockets wait most of the time.
        let mut message = vec![0; length];
        let (start, rest) = message.split_at_mut(HEADER_LEN);
        start.copy_from_slice(&head);
        self.read(rest).await?;
        Ok(Reply::parse(message)?)
    }

    async fn read(&mut self, into: &mut [u8]) -> Result<(), ClientError> {
        let read = self.stream.read_exact(into).await;
        read.map(drop).map_err(ClientError::Lost)
    }
}
