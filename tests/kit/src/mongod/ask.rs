//! One question at a time over one blocking socket.
//!
//! Just enough of the protocol to initiate a set, create the first user and
//! read a hello: OP_MSG with one section of kind 0, no compression, no login.
//! The monitoring driver is not for this: it would hold sockets of its own.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use bson::{Bson, Document};
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection, StreamOwned};
use thiserror::Error;

const OP_MSG: i32 = 2013;
/// Header, flags and the section's kind.
const PREAMBLE: usize = 16 + 4 + 1;
const LONGEST: usize = 48_000_000;

/// Why a question has no good answer.
#[derive(Debug, Error)]
pub enum AskError {
    /// The server answered with an error.
    #[error("{command}: {message} (code {code})")]
    Refused {
        /// The command's name.
        command: String,
        /// The server's code, 0 if it sent none.
        code: i32,
        /// The server's text.
        message: String,
    },
    /// The answer is not a message this helper understands.
    #[error("not an answer this helper understands ({length} bytes, opcode {op_code})")]
    Malformed {
        /// The length its header names.
        length: usize,
        /// The opcode its header names.
        op_code: i32,
    },
    /// BSON that cannot be read or written.
    #[error(transparent)]
    Bson(#[from] bson::error::Error),
    /// TLS that cannot be set up.
    #[error(transparent)]
    Tls(#[from] rustls::Error),
    /// The socket failed.
    #[error(transparent)]
    Io(#[from] io::Error),
}

impl AskError {
    /// The server's code, when the server answered at all.
    pub fn code(&self) -> Option<i32> {
        match self {
            Self::Refused { code, .. } => Some(*code),
            _ => None,
        }
    }
}

trait Stream: Read + Write + Send {}
impl<T: Read + Write + Send> Stream for T {}

/// One connection.
pub struct Ask {
    stream: Box<dyn Stream>,
    request_id: i32,
}

impl Ask {
    /// Connects; every later read and write has the same `limit`.
    ///
    /// # Errors
    /// When the socket or the TLS set-up fails. The TLS handshake itself runs
    /// with the first question.
    pub fn connect(
        address: SocketAddr,
        tls: Option<&Arc<ClientConfig>>,
        limit: Duration,
    ) -> Result<Self, AskError> {
        let socket = TcpStream::connect_timeout(&address, limit)?;
        socket.set_nodelay(true)?;
        socket.set_read_timeout(Some(limit))?;
        socket.set_write_timeout(Some(limit))?;
        let stream: Box<dyn Stream> = match tls {
            None => Box::new(socket),
            Some(config) => {
                let name = ServerName::IpAddress(address.ip().into());
                let session = ClientConnection::new(Arc::clone(config), name)?;
                Box::new(StreamOwned::new(session, socket))
            }
        };
        Ok(Self {
            stream,
            request_id: 0,
        })
    }

    /// Runs one command and returns the reply if it carries `ok: 1`.
    ///
    /// # Errors
    /// [`AskError::Refused`] for any other reply.
    pub fn command(&mut self, database: &str, mut command: Document) -> Result<Document, AskError> {
        let name = command.keys().next().cloned().unwrap_or_default();
        command.insert("$db", database);
        self.send(&command.to_vec()?)?;
        let reply = Document::from_reader(self.receive()?.as_slice())?;
        if number(reply.get("ok")) == Some(1) {
            return Ok(reply);
        }
        Err(AskError::Refused {
            command: name,
            code: number(reply.get("code")).unwrap_or(0),
            message: reply.get_str("errmsg").unwrap_or("no errmsg").to_owned(),
        })
    }

    fn send(&mut self, body: &[u8]) -> Result<(), AskError> {
        self.request_id = self.request_id.wrapping_add(1);
        let length = i32::try_from(PREAMBLE + body.len()).map_err(io::Error::other)?;
        let mut message = Vec::with_capacity(PREAMBLE + body.len());
        for word in [length, self.request_id, 0, OP_MSG, 0] {
            message.extend_from_slice(&word.to_le_bytes());
        }
        message.push(0);
        message.extend_from_slice(body);
        self.stream.write_all(&message)?;
        Ok(self.stream.flush()?)
    }

    /// The body of the next message.
    fn receive(&mut self) -> Result<Vec<u8>, AskError> {
        let mut words = [[0; 4]; 4];
        for word in &mut words {
            self.stream.read_exact(word)?;
        }
        let [length, _, _, op_code] = words.map(i32::from_le_bytes);
        let length = usize::try_from(length).unwrap_or(0);
        if op_code != OP_MSG || !(PREAMBLE..=LONGEST).contains(&length) {
            return Err(AskError::Malformed { length, op_code });
        }
        let mut rest = vec![0; length - 16];
        self.stream.read_exact(&mut rest)?;
        Ok(rest.split_off(PREAMBLE - 16))
    }
}

fn number(value: Option<&Bson>) -> Option<i32> {
    match value? {
        Bson::Int32(n) => Some(*n),
        Bson::Int64(n) => i32::try_from(*n).ok(),
        #[expect(clippy::cast_possible_truncation, reason = "ok and codes are small")]
        Bson::Double(n) => Some(*n as i32),
        _ => None,
    }
}
