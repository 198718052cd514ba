//! What the relay must know of a client, and what it does with one.

use std::{
    future::{Future, pending},
    io,
};

use crate::relay::{budget::Reserved, client_pins::ClientPins};

/// The client of an operation.
pub trait ClientSide: Send {
    /// What the client said in its handshake.
    fn traits(&self) -> ClientTraits;

    /// The cursors and the transaction that end with this client's connection. `None`: nothing
    /// ends with it.
    fn pins(&mut self) -> Option<&mut ClientPins> {
        None
    }

    /// Ends when the client has left. Must not consume bytes.
    fn departed(&self) -> impl Future<Output = ()> + Send;

    /// Writes as much as the client takes now and returns how much that was. When the future is
    /// dropped, the client has taken nothing. The end of the bytes may wait for a flush by the
    /// client's own task.
    ///
    /// # Errors
    /// The client has left.
    fn write_some(&mut self, bytes: &[u8]) -> impl Future<Output = io::Result<usize>> + Send;

    /// Keeps this share of the budget until the reply to the current request is written.
    fn keep(&mut self, bytes: Reserved) {
        drop(bytes);
    }

    /// Reads more of a request that has not arrived whole: at most `capacity` bytes.
    ///
    /// # Errors
    /// The client has left.
    fn read_some(
        &mut self,
        buf: &mut Vec<u8>,
        capacity: usize,
    ) -> impl Future<Output = io::Result<usize>> + Send;
}

/// Facts of a client's handshake that change how Weir serves it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ClientTraits {
    /// It announced `backpressure`: Weir may tell it of overload with code 462.
    pub backpressure: bool,
    /// It connected with `loadBalanced=true`: cursors and transactions end with its socket.
    pub load_balanced: bool,
}

/// The client of Weir's own commands. It never leaves and takes every reply.
#[derive(Debug, Default)]
pub struct NoClient;

impl ClientSide for NoClient {
    fn traits(&self) -> ClientTraits {
        ClientTraits::default()
    }

    fn departed(&self) -> impl Future<Output = ()> + Send {
        pending()
    }

    async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    async fn read_some(&mut self, _buf: &mut Vec<u8>, _capacity: usize) -> io::Result<usize> {
        Ok(0)
    }
}
