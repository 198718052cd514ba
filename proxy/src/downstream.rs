//! One client: handshake, login, read a message, relay it, write the reply.
//!
//! A client's task lives as long as its socket. While the client is idle the task
//! owns no buffer. Requests of one client are served one after the other, in order,
//! as a server does.

pub mod answer;

pub mod auth;

pub mod failpoint;

pub mod frontend;

pub mod hello;

pub mod read;

mod drain;

pub mod local;

pub mod hello_only;

pub mod encode;

mod test_commands;

use std::{
    io,
    net::IpAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use tokio::io::{AsyncReadExt, AsyncWriteExt};

pub use frontend::Frontend;

use crate::{
    downstream::{
        auth::Login,
        hello_only::HelloOnly,
        read::{Envelope, Incoming},
    },
    relay::{ClientSide, ClientTraits, budget::Reserved, client_pins::ClientPins},
    socket::Socket,
};

/// Where a client comes from, for logs and `whatsmyuri`.
#[derive(Clone, Debug)]
pub struct Peer {
    /// `address:port`, or `unix`.
    pub name: String,
    /// The address, for TCP.
    pub ip: Option<IpAddr>,
    /// It must log in before anything but the handshake.
    pub must_log_in: bool,
    /// Weir had as many clients as it may: while it still has, handshakes are answered and
    /// work is not.
    pub over_limit: Option<ClientLimit>,
}

/// Where files are what narrows the client_limit, so many more are accepted to be told.
const TOLD: usize = 32;

/// All clients, and how many there may be.
#[derive(Clone, Debug)]
pub struct ClientLimit {
    /// Clients now, over all listeners.
    pub now: Arc<AtomicUsize>,
    /// Most clients that are served.
    pub most: usize,
    /// Most clients that are accepted, and told if there are too many: there are no files for
    /// more.
    pub files: usize,
}

impl ClientLimit {
    /// Whether no more are to be accepted now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// How many more may be accepted now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.files.saturating_sub(self.now.load(Ordering::Relaxed))
    }

    /// A client_limit of at most so many, which `files` may narrow.
    #[must_use]
    pub fn new(now: &Arc<AtomicUsize>, most: usize, files: usize) -> Self {
        Self {
            now: Arc::clone(now),
            most: most.min(files.saturating_sub(TOLD).max(1)),
            files,
        }
    }

    /// Whether there are more than there may be.
    #[must_use]
    pub fn is_too_many(&self) -> bool {
        self.now.load(Ordering::Relaxed) > self.most
    }
}

/// One client's connection and what is known of it.
pub struct Client {
    pub(crate) frontend: Arc<Frontend>,
    pub(crate) socket: Socket,
    /// Bytes that arrived behind the message being served.
    pub(crate) unread: Vec<u8>,
    pub(crate) peer: Peer,
    pub(crate) connection_id: i32,
    pub(crate) traits: ClientTraits,
    pub(crate) login: Login,
    /// How often it has greeted, as far as that matters.
    pub(crate) hellos: u8,
    /// It has sent something else than a greeting.
    pub(crate) worked: bool,
    /// It is a Weir itself.
    pub(crate) is_weir: bool,
    pub(crate) app_name: Option<Box<str>>,
    pub(crate) hello_only: Option<HelloOnly>,
    /// Only in the load-balanced face.
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
            // On the heap, as the answers below: it holds a whole operation.
            Box::pin(pins.close_all(Arc::clone(frontend.own_relay()))).await;
        }
    }

    /// One message: read it, answer it.
    async fn turn(&mut self) -> Next {
        // On the heap: a monitor waits for one thing more than others.
        let next = if self.is_monitor() {
            Box::pin(self.next_of_monitor()).await
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
        // On the heap for as long as it takes: an idle client's task shall not have room for
        // an operation in it.
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

    /// Reads and forgets bytes of a request that will not be served.
    pub(crate) async fn skip(&mut self, mut missing: usize) -> io::Result<()> {
        if missing == 0 {
            return Ok(());
        }
        let mut scratch = vec![0; 64 * 1024];
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

    /// It has greeted before.
    pub(crate) const fn has_greeted(&self) -> bool {
        self.hellos > 0
    }

    /// It has not logged in.
    pub(crate) const fn is_anonymous(&self) -> bool {
        !matches!(self.login, Login::Done(_))
    }

    /// What a reply to `envelope` needs.
    pub(crate) async fn send(&mut self, envelope: &Envelope, message: Vec<u8>) -> Next {
        match encode::encode(envelope, message) {
            Some(message) => {
                let next = self.write(&message).await;
                crate::buffer::give(message);
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
        // The relay may give up waiting: what was taken must have been reported by then, so
        // the rest of an earlier piece is flushed before this one is taken, not after.
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
