//! One client: handshake, login, read a message, relay it, write the reply.
//!
//! A client's task lives as long as its socket. While the client is idle, the task owns no
//! buffer. Weir serves the requests of one client one after the other, in order, as a server
//! does.
//!
//! | module | its part |
//! |---|---|
//! | `frontend` | what all clients of one listener share |
//! | `client_limit` | how many clients there may be |
//! | `read`, `encode` | a message as it comes, and a reply in the form its request had |
//! | `answer` | what happens to a request: answered here, refused, or relayed |
//! | `hello`, `auth` | the handshake and the login |
//! | `local` | commands that Weir answers itself |
//! | `hello_only` | finds clients that never send a command |
//! | `drain` | what a client notices of a Weir that drains |
//! | `failpoint`, `test_commands` | what `--enable-test-commands` adds |

pub mod answer;

pub mod auth;

pub mod client_limit;

mod drain;

pub mod encode;

pub mod failpoint;

pub mod frontend;

pub mod hello;

pub mod hello_only;

pub mod local;

pub mod read;

mod test_commands;

use std::{io, net::IpAddr, sync::Arc};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub use client_limit::ClientLimit;
pub use frontend::Frontend;

use crate::{
    buffer,
    downstream::{
        auth::Login,
        hello_only::HelloOnly,
        read::{Envelope, Incoming},
    },
    relay::{ClientSide, ClientTraits, budget::Reserved, client_pins::ClientPins},
    socket::Socket,
};

/// Bytes that are read at a time when a request is skipped.
const SKIPPED_AT_ONCE: usize = 64 * 1024;

/// Where a client comes from, and what holds for it from the start.
#[derive(Clone, Debug)]
pub struct Peer {
    /// `address:port`, or `unix`. For logs and `whatsmyuri`.
    pub name: String,
    /// The address, for TCP.
    pub ip: Option<IpAddr>,
    /// The client must log in before it may send other commands.
    pub must_log_in: bool,
    /// The limit that was exceeded when the client came. While it is, Weir answers handshakes and
    /// refuses operations.
    pub over_limit: Option<ClientLimit>,
}

/// One client's connection and what Weir knows of the client.
pub struct Client {
    pub(crate) frontend: Arc<Frontend>,
    pub(crate) socket: Socket,
    /// Bytes that arrived behind the message being served.
    pub(crate) unread: Vec<u8>,
    pub(crate) peer: Peer,
    pub(crate) connection_id: i32,
    pub(crate) traits: ClientTraits,
    pub(crate) login: Login,
    /// How often the client has sent hello, up to 255.
    pub(crate) hellos: u8,
    /// The client has sent another command than hello.
    pub(crate) worked: bool,
    /// The client is a Weir.
    pub(crate) is_weir: bool,
    pub(crate) app_name: Option<Box<str>>,
    /// Set while no client of the same source has sent another command than hello.
    pub(crate) hello_only: Option<HelloOnly>,
    /// Used in the load-balanced face only.
    pub(crate) pins: ClientPins,
    /// The share of the budget that the current reply takes.
    pub(crate) reply_bytes: Option<Reserved>,
}

/// Whether the conversation goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Read the next message.
    Continue,
    /// Close the socket.
    Close,
}

impl Client {
    /// Serves the client until it leaves.
    pub async fn serve(frontend: Arc<Frontend>, socket: Socket, peer: Peer) {
        let connection_id = frontend.next_connection_id();
        let mut client = Self {
            frontend,
            socket,
            unread: Vec::new(),
            peer,
            connection_id,
            traits: ClientTraits::default(),
            login: Login::default(),
            hellos: 0,
            worked: false,
            is_weir: false,
            app_name: None,
            hello_only: None,
            pins: ClientPins::default(),
            reply_bytes: None,
        };
        client.frontend.metrics.client_came();
        while client.turn().await == Next::Continue {}
        client.frontend.metrics.client_left();
        let Self {
            frontend,
            pins,
            socket,
            ..
        } = client;
        drop(socket);
        if !pins.is_empty() {
            // On the heap, as the answers below, because it holds a whole operation.
            Box::pin(pins.close_all(Arc::clone(frontend.own_relay()))).await;
        }
    }

    /// Reads one message and answers it.
    async fn turn(&mut self) -> Next {
        // On the heap, because a monitor waits for one thing more than other clients.
        let next = if self.is_monitor() {
            Box::pin(drain::next_of_monitor(self)).await
        } else {
            self.next_message().await
        };
        let incoming = match next {
            Ok(Some(incoming)) => incoming,
            Ok(None) => return Next::Close,
            Err(error) => {
                self.frontend.log_malformed(&self.peer, &error);
                Box::pin(self.explain(&error)).await;
                return Next::Close;
            }
        };
        // On the heap while it lasts, so that an idle client's task has no room for an operation.
        match incoming {
            Incoming::Message(envelope, message) => Box::pin(self.answer(envelope, message)).await,
            Incoming::Query(envelope, message) => {
                Box::pin(self.answer_query(envelope, message)).await
            }
            Incoming::Large(envelope, prefix, missing) => {
                Box::pin(self.pass_on(envelope, prefix, missing)).await
            }
            Incoming::TooMuch(envelope, class, missing) => {
                Box::pin(self.turn_away(envelope, class, missing)).await
            }
        }
    }

    /// Reads and drops `missing` bytes of a request that will not be served.
    pub(crate) async fn skip(&mut self, mut missing: usize) -> io::Result<()> {
        if missing == 0 {
            return Ok(());
        }
        let mut scratch = vec![0; SKIPPED_AT_ONCE];
        while missing > 0 {
            let want = missing.min(scratch.len());
            let part = scratch.get_mut(..want).unwrap_or_default();
            match self.socket.read(part).await? {
                0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                n => missing -= n,
            }
        }
        Ok(())
    }

    /// Writes `bytes`, whole.
    pub(crate) async fn write(&mut self, bytes: &[u8]) -> Next {
        let written = async {
            self.socket.write_all(bytes).await?;
            if self.socket.is_tls() {
                self.socket.flush().await
            } else {
                Ok(())
            }
        };
        if written.await.is_ok() {
            Next::Continue
        } else {
            Next::Close
        }
    }

    /// Whether the client only sends hello. A driver watches Weir with such a connection, or
    /// measures the round trip.
    ///
    /// A connection for operations sends one hello, so the second one shows a monitor.
    pub(crate) const fn is_monitor(&self) -> bool {
        self.hellos > 1 && !self.worked
    }

    /// Whether the client has sent hello before.
    pub(crate) const fn has_greeted(&self) -> bool {
        self.hellos > 0
    }

    /// Whether the client has not logged in.
    pub(crate) const fn is_anonymous(&self) -> bool {
        !matches!(self.login, Login::Done(_))
    }

    /// Sends a reply in the form that `envelope` demands.
    pub(crate) async fn send(&mut self, envelope: &Envelope, message: Vec<u8>) -> Next {
        match encode::encode(envelope, message) {
            Some(message) => {
                let next = self.write(&message).await;
                buffer::give(message);
                next
            }
            None => Next::Close,
        }
    }
}

impl ClientSide for Client {
    fn traits(&self) -> ClientTraits {
        self.traits
    }

    fn pins(&mut self) -> Option<&mut ClientPins> {
        self.traits.load_balanced.then_some(&mut self.pins)
    }

    async fn departed(&self) {
        self.socket.departed().await;
    }

    async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        // The relay may stop waiting at any await, and must know by then what the socket has
        // taken. So the rest of an earlier piece is flushed before this piece is taken.
        if self.socket.is_tls() {
            self.socket.flush().await?;
        }
        match self.socket.write(bytes).await? {
            0 => Err(io::ErrorKind::WriteZero.into()),
            n => Ok(n),
        }
    }

    fn keep(&mut self, bytes: Reserved) {
        self.reply_bytes = Some(bytes);
    }

    async fn read_some(&mut self, buf: &mut Vec<u8>, want: usize) -> io::Result<usize> {
        let limit = u64::try_from(want).unwrap_or(u64::MAX);
        (&mut self.socket).take(limit).read_buf(buf).await
    }
}
