//! What the relay and its clients say to each other: the request, the reply, and what a
//! client must be able to do meanwhile.

use std::{future::Future, io};

use tokio::time::Instant;

use crate::{
    command::{Facts, FactsError},
    relay::{budget::Reserved, client_pins::ClientPins},
    wire::{Header, header::MAX_MESSAGE_LEN, reply},
};

/// What the relay must know of the client it serves, and do with it.
pub trait ClientSide: Send {
    /// What its handshake told.
    fn traits(&self) -> ClientTraits;

    /// Where to note what this client's connection leaves open; `None`: nothing ends with it.
    fn pins(&mut self) -> Option<&mut ClientPins> {
        None
    }

    /// Ends when the client has left. Must not consume bytes.
    fn departed(&self) -> impl Future<Output = ()> + Send;

    /// Writes as much as the client takes now. When the future is dropped, nothing was
    /// taken. The end of what was taken may wait for a flush by the client's own task.
    ///
    /// # Errors
    /// The client has left.
    fn write_some(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Keeps this share of the budget until the reply to the current request is written.
    fn keep(&mut self, bytes: Reserved) {
        drop(bytes);
    }

    /// Reads more of a request that has not arrived whole.
    ///
    /// # Errors
    /// The client has left.
    fn read_some(
        &mut self,
        buf: &mut Vec<u8>,
        capacity: usize,
    ) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Facts of a client's handshake that change how it is served.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientTraits {
    /// It announced `backpressure`: overload may be told with 462.
    pub backpressure: bool,
    /// It connected with `loadBalanced=true`: cursors and transactions end with its socket.
    pub load_balanced: bool,
}

/// One request, ready to be relayed.
#[derive(Debug)]
pub struct Request {
    /// What it asks.
    pub facts: Facts,
    /// The message: plain OP_MSG without checksum. Of a large one perhaps only the first
    /// part; then `missing` counts the bytes still to come.
    pub message: Vec<u8>,
    /// Bytes that have not arrived yet.
    pub missing: usize,
    /// The client's own id of the request.
    pub id: i32,
    /// When as much of it had arrived as was waited for.
    pub started: Instant,
}

impl Request {
    /// A command of Weir's own, beginning now.
    ///
    /// # Errors
    /// `body` is no command.
    pub fn own(body: &[u8]) -> Result<Self, FactsError> {
        let message = reply::op_msg(0, 0, 0, body);
        Ok(Self {
            facts: Facts::of(&message)?,
            message,
            missing: 0,
            id: 0,
            started: Instant::now(),
        })
    }

    /// A part of it was passed on without being kept: it cannot be sent once more.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let announced = Header::decode(&self.message, MAX_MESSAGE_LEN)
            .ok()
            .flatten();
        self.missing == 0 && announced.is_some_and(|header| header.length > self.message.len())
    }

    /// The request itself, for whoever serves it later; its place stays behind, empty.
    #[must_use]
    pub fn take(&mut self) -> Self {
        Self {
            facts: self.facts.clone(),
            message: std::mem::take(&mut self.message),
            missing: 0,
            id: self.id,
            started: self.started,
        }
    }

    /// Unsent, it is dropped when its client leaves: the application may have tried again
    /// elsewhere. Who wants no reply leaves right after asking and tries nothing again.
    pub(super) const fn is_dropped_on_departure(&self) -> bool {
        !self.facts.is_unacknowledged()
    }
}

/// What the client is to be told.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// This plain OP_MSG message; its ids are set.
    Message(Vec<u8>),
    /// Nothing: the request asked for no reply.
    Nothing,
    /// It has been written already.
    Sent,
    /// The client has left, or can no longer be told anything true: close its socket.
    Hangup,
}
