//! Sends one request and receives its reply. The errors say exactly what is known about the
//! request after a failure.

use std::{
    future::{Future, poll_fn},
    io,
    pin::{Pin, pin},
    task::Poll,
};

use tokio::io::{AsyncReadExt, AsyncWrite};

use crate::{
    buffer,
    upstream::Connection,
    wire::{
        Header, WireError,
        header::{HEADER_LEN, MAX_MESSAGE_LEN, opcode},
        op_msg,
    },
};

/// A request could not be sent whole.
#[derive(Debug, thiserror::Error)]
#[error("sending failed after {sent} bytes: {source}")]
pub struct SendError {
    /// Bytes that may have reached the server. 0 proves that the server executed nothing.
    pub sent: usize,
    /// What the operating system said.
    #[source]
    pub source: io::Error,
}

/// A reply could not be received. The connection must be destroyed.
#[derive(Debug, thiserror::Error)]
pub enum ReceiveError {
    /// The stream broke.
    #[error("the connection to the database broke: {0}")]
    Io(#[from] io::Error),
    /// The server closed the connection.
    #[error("the database closed the connection")]
    Closed,
    /// The bytes are no valid message.
    #[error("the database sent a malformed message: {0}")]
    Wire(#[from] WireError),
    /// The reply answers another request.
    #[error("the database answered request {found}, not {expected}")]
    WrongReply {
        /// The request that was sent.
        expected: i32,
        /// `responseTo` of the reply.
        found: i32,
    },
    /// More bytes followed the reply, or the reply announced more (`moreToCome`).
    #[error("the database sent more than one reply")]
    Unrequested,
}

/// What [`Connection::receive`] has read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Received {
    /// The buffer holds one whole reply and nothing else.
    Whole(Header),
    /// The buffer holds the beginning of a reply larger than the limit. Read the rest with
    /// [`Connection::read_some`] or [`Connection::receive_rest`].
    Head(Header),
}

impl Connection {
    /// Writes the whole `message`.
    ///
    /// # Errors
    /// The stream broke. [`SendError::sent`] says how many bytes had been handed over.
    pub async fn send(&mut self, message: &[u8]) -> Result<(), SendError> {
        let mut rest = message;
        while !rest.is_empty() {
            let write = poll_fn(|cx| match Pin::new(&mut self.socket).poll_write(cx, rest) {
                Poll::Pending if self.abort_handle.is_aborted(cx) => Poll::Ready(Err(aborted())),
                polled => polled,
            });
            let write = write.await;
            let sent = message.len() - rest.len();
            match write {
                Ok(0) => {
                    return Err(SendError {
                        sent,
                        source: io::ErrorKind::WriteZero.into(),
                    });
                }
                Ok(n) => rest = rest.get(n..).unwrap_or_default(),
                Err(source) => return Err(SendError { sent, source }),
            }
        }
        if self.socket.is_tls() {
            let flush = poll_fn(|cx| match Pin::new(&mut self.socket).poll_flush(cx) {
                Poll::Pending if self.abort_handle.is_aborted(cx) => Poll::Ready(Err(aborted())),
                polled => polled,
            });
            flush.await.map_err(|source| SendError {
                sent: message.len(),
                source,
            })?;
        }
        Ok(())
    }

    /// Receives the reply to `request` into `buf`, which is cleared first. Of a reply longer than
    /// `whole_up_to` bytes only the first part is read, so that the rest can be streamed.
    ///
    /// # Errors
    /// What arrived is not exactly one valid reply.
    pub async fn receive(
        &mut self,
        buf: &mut Vec<u8>,
        request: i32,
        whole_up_to: usize,
    ) -> Result<Received, ReceiveError> {
        buf.clear();
        let header = loop {
            if let Some(header) = Header::decode(buf, MAX_MESSAGE_LEN)? {
                break header;
            }
            self.read_some(buf, buffer::SIZE).await?;
        };
        if header.response_to != request {
            let found = header.response_to;
            return Err(ReceiveError::WrongReply {
                expected: request,
                found,
            });
        }
        let whole = header.length <= whole_up_to;
        let target = if whole {
            header.length
        } else {
            HEADER_LEN + 4 + 1 + 4
        };
        while buf.len() < target {
            self.read_some(buf, header.length.min(whole_up_to.max(buffer::SIZE)))
                .await?;
        }
        if buf.len() > header.length {
            return Err(ReceiveError::Unrequested);
        }
        if header.op_code == opcode::MSG
            && op_msg::flags(buf).is_some_and(|flags| flags & op_msg::MORE_TO_COME != 0)
        {
            return Err(ReceiveError::Unrequested);
        }
        Ok(if whole {
            Received::Whole(header)
        } else {
            Received::Head(header)
        })
    }

    /// Receives the rest of a reply that began with [`Received::Head`]. The caller has reserved
    /// memory for `header.length` bytes.
    ///
    /// # Errors
    /// The stream broke, or more than this reply arrived.
    pub async fn receive_rest(
        &mut self,
        buf: &mut Vec<u8>,
        header: &Header,
    ) -> Result<(), ReceiveError> {
        while buf.len() < header.length {
            self.read_some(buf, header.length).await?;
        }
        if buf.len() > header.length {
            Err(ReceiveError::Unrequested)
        } else {
            Ok(())
        }
    }

    /// Appends the bytes that have arrived to `buf`, whose capacity is first raised to `capacity`.
    /// Returns how many were read.
    ///
    /// # Errors
    /// The stream broke or ended.
    pub async fn read_some(
        &mut self,
        buf: &mut Vec<u8>,
        capacity: usize,
    ) -> Result<usize, ReceiveError> {
        if buf.capacity() < capacity {
            buf.reserve_exact(capacity - buf.len());
        } else if buf.len() == buf.capacity() {
            buf.reserve(buffer::SIZE);
        }
        let mut read = pin!(self.socket.read_buf(buf));
        let read = poll_fn(|cx| match read.as_mut().poll(cx) {
            Poll::Pending if self.abort_handle.is_aborted(cx) => Poll::Ready(Err(aborted())),
            polled => polled,
        });
        match read.await? {
            0 => Err(ReceiveError::Closed),
            n => Ok(n),
        }
    }
}

/// The error of an exchange that [`AbortHandle::abort`](super::AbortHandle::abort) ended.
fn aborted() -> io::Error {
    io::Error::new(io::ErrorKind::ConnectionAborted, "its node is dead")
}
