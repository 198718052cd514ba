//! Reading one message from a client, in any of the forms clients use.

use std::{io, task::Poll, time::Duration};

use tokio::{
    io::AsyncReadExt,
    time::{Instant, timeout},
};

use crate::{
    buffer,
    command::Facts,
    downstream::Client,
    error::Class,
    relay::budget::Reserved,
    wire::{
        Header, WireError,
        compressed::{Compressor, decompress, plain_len},
        header::{HEADER_LEN, MAX_MESSAGE_LEN, opcode},
        op_msg::{self, CHECKSUM_PRESENT, MORE_TO_COME, OpMsg},
    },
};

/// A request longer than this is passed on before it has arrived whole.
pub const STREAMED_FROM: usize = 1024 * 1024;

/// Nothing a client says before it has logged in is longer.
const LONGEST_BEFORE_LOGIN: usize = 64 * 1024;

/// The first bytes of a TLS record that carries a handshake, in every version (RFC 8446, 5.1).
const TLS_HANDSHAKE: [u8; 2] = [22, 3];

/// A client that sends nothing for so long in the middle of a message holds memory that was
/// kept for its rest no longer. (Between messages a client may be silent for ever.)
const STALL: Duration = Duration::from_secs(30);

/// How a request came, so that its reply can go the same way.
#[derive(Debug)]
pub(crate) struct Envelope {
    /// The client's id of the request.
    pub(crate) id: i32,
    /// It came as OP_QUERY: the reply is OP_REPLY.
    pub(crate) legacy: bool,
    /// It was compressed with this.
    pub(crate) codec: Option<Compressor>,
    /// It carried a checksum.
    pub(crate) checksum: bool,
    /// It wants no reply, not even an error.
    pub(crate) silent: bool,
    /// Its first byte was seen then.
    pub(crate) started: Instant,
    /// Its share of the memory for messages in flight.
    pub(crate) _bytes: Option<Reserved>,
}

/// A message, or the beginning of a large one.
#[derive(Debug)]
pub(crate) enum Incoming {
    /// A whole OP_MSG, plain, without checksum.
    Message(Envelope, Vec<u8>),
    /// A whole OP_QUERY.
    Query(Envelope, Vec<u8>),
    /// The first part of a large OP_MSG, and how many bytes are to come.
    Large(Envelope, Vec<u8>, usize),
    /// A message for which there is no memory, of this class as far as its beginning tells;
    /// so many bytes of it are to come.
    TooMuch(Envelope, Class, usize),
}

/// Why a client's bytes cannot be understood.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// They are no message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An opcode that no current driver sends.
    #[error("opcode {0} is not spoken here; current drivers use OP_MSG")]
    Opcode(i32),
    /// The beginning of a TLS handshake, whose bytes can be read as a header.
    #[error(
        "the client speaks TLS to a plain port: leave TLS out of its settings, or switch it on \
         for this listener"
    )]
    Tls,
    /// Too long for somebody who has not logged in.
    #[error("a message of {0} bytes before login; 65,536 are allowed")]
    TooLongBeforeLogin(usize),
    /// The client left in the middle of a message.
    #[error("the client closed the connection in the middle of a message")]
    Torn,
    /// It went silent in the middle of one.
    #[error("the client sent nothing for 30 s in the middle of a message")]
    Stalled,
    /// The socket broke.
    #[error("the client's connection broke: {0}")]
    Io(#[from] io::Error),
}

impl Envelope {
    /// What the header tells; the request has arrived now.
    fn of(header: &Header) -> Self {
        Self {
            id: header.request_id,
            legacy: header.op_code == opcode::QUERY,
            codec: None,
            checksum: false,
            silent: false,
            started: Instant::now(),
            _bytes: None,
        }
    }
}

impl ReadError {
    /// The client simply went away; not worth a line.
    pub(crate) const fn is_departure(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Torn)
    }
}

impl Client {
    /// The next message; `None` when the client has left between two.
    pub(crate) async fn next_message(&mut self) -> Result<Option<Incoming>, ReadError> {
        let mut buf = std::mem::take(&mut self.unread);
        if buf.is_empty() {
            match self.first_bytes().await {
                Some(bytes) => buf = bytes,
                None => return Ok(None),
            }
        }
        let header = loop {
            if let Some(header) = Header::decode(&buf, MAX_MESSAGE_LEN)? {
                break header;
            }
            if self.socket.read_buf(&mut buf).await? == 0 {
                return Err(ReadError::Torn);
            }
        };
        is_spoken(&buf, &header)?;
        // Most messages have arrived whole with nothing behind them; the rest is on the heap,
        // or an idle client's task would have room for it.
        let whole = buf.len() == header.length && header.length <= buffer::SIZE;
        if whole && header.op_code == opcode::MSG {
            return sort(Envelope::of(&header), buf, header.op_code).map(Some);
        }
        Box::pin(self.read_rest(buf, header)).await.map(Some)
    }

    /// Waits, without a buffer, for the first bytes of a message. `None`: the client left.
    async fn first_bytes(&mut self) -> Option<Vec<u8>> {
        // Bytes that TLS has decrypted already would not wake the socket: ask it first.
        let mut ask = self.socket.is_tls();
        loop {
            if !ask {
                self.socket.readable().await.ok()?;
            }
            ask = false;
            let mut buf = buffer::take();
            match poll_once(self.socket.read_buf(&mut buf)).await {
                Some(Ok(n)) if n > 0 => return Some(buf),
                Some(_) => return None,
                None => buffer::give(buf),
            }
        }
    }

    async fn read_rest(&mut self, mut buf: Vec<u8>, header: Header) -> Result<Incoming, ReadError> {
        let anonymous = self.peer.must_log_in && self.is_anonymous();
        if anonymous && header.length > LONGEST_BEFORE_LOGIN {
            return Err(ReadError::TooLongBeforeLogin(header.length));
        }
        let mut envelope = Envelope::of(&header);
        if header.length > buffer::SIZE {
            let budget = std::sync::Arc::clone(self.frontend.own_relay().budget());
            if header.op_code == opcode::MSG && header.length > STREAMED_FROM {
                envelope._bytes = budget.try_reserve(STREAMED_FROM);
                if envelope._bytes.is_none() {
                    return self.too_much(envelope, buf, &header).await;
                }
                if let Some(missing) = self.read_prefix(&mut buf, &header).await? {
                    envelope.started = Instant::now();
                    envelope.silent = is_silent(&buf);
                    return Ok(Incoming::Large(envelope, buf, missing));
                }
            }
            let Some(bytes) = budget.try_reserve(header.length) else {
                return self.too_much(envelope, buf, &header).await;
            };
            envelope._bytes = Some(bytes);
        }
        self.fill(&mut buf, header.length).await?;
        // A server's clock for maxTimeMS starts when it has the message, too.
        envelope.started = Instant::now();
        if buf.len() > header.length {
            let mut rest = buffer::take();
            rest.extend_from_slice(buf.get(header.length..).unwrap_or_default());
            buf.truncate(header.length);
            self.unread = rest;
        }
        if header.op_code == opcode::COMPRESSED {
            return self.unpack(envelope, buf, anonymous);
        }
        sort(envelope, buf, header.op_code)
    }

    /// Takes a message out of its compression, once there is room for what it becomes.
    fn unpack(
        &self,
        mut envelope: Envelope,
        packed: Vec<u8>,
        anonymous: bool,
    ) -> Result<Incoming, ReadError> {
        let announced = plain_len(&packed).unwrap_or_default();
        if anonymous && announced > LONGEST_BEFORE_LOGIN {
            return Err(ReadError::TooLongBeforeLogin(announced));
        }
        let mut room = None;
        if announced > buffer::SIZE {
            room = self.frontend.own_relay().budget().try_reserve(announced);
            if room.is_none() {
                return Ok(Incoming::TooMuch(envelope, Class::Write, 0));
            }
        }
        envelope.codec = packed
            .get(HEADER_LEN + 8)
            .and_then(|id| Compressor::from_id(*id));
        let message = decompress(&packed, MAX_MESSAGE_LEN)?;
        envelope._bytes = room;
        let op_code = Header::decode(&message, MAX_MESSAGE_LEN)?.map_or(0, |inner| inner.op_code);
        sort(envelope, message, op_code)
    }

    /// There is no memory for this message; whether it wants a reply is still read.
    async fn too_much(
        &mut self,
        mut envelope: Envelope,
        mut buf: Vec<u8>,
        header: &Header,
    ) -> Result<Incoming, ReadError> {
        self.fill(&mut buf, header.length.min(buffer::SIZE)).await?;
        envelope.silent = is_silent(&buf);
        let missing = header.length.saturating_sub(buf.len());
        let class = class_of(&buf, header.length);
        Ok(Incoming::TooMuch(envelope, class, missing))
    }

    async fn fill(&mut self, buf: &mut Vec<u8>, length: usize) -> Result<(), ReadError> {
        if buf.capacity() < length {
            buf.reserve_exact(length - buf.len());
        }
        while buf.len() < length {
            let missing = u64::try_from(length - buf.len()).unwrap_or(u64::MAX);
            let read = if length > buffer::SIZE {
                let mut rest = (&mut self.socket).take(missing);
                match timeout(STALL, rest.read_buf(buf)).await {
                    Ok(read) => read?,
                    Err(_) => return Err(ReadError::Stalled),
                }
            } else {
                self.socket.read_buf(buf).await?
            };
            if read == 0 {
                return Err(ReadError::Torn);
            }
        }
        Ok(())
    }

    /// Reads the first part of a large message. `Some(n)`: its facts are all there, and n
    /// bytes are to come. `None`: it must be read whole to be understood.
    async fn read_prefix(
        &mut self,
        buf: &mut Vec<u8>,
        header: &Header,
    ) -> Result<Option<usize>, ReadError> {
        self.fill(buf, STREAMED_FROM).await?;
        let summed = op_msg::flags(buf).is_none_or(|flags| flags & CHECKSUM_PRESENT != 0);
        if summed {
            return Ok(None);
        }
        let msg = OpMsg::parse_prefix(buf, header.length)?;
        Ok(msg.map(|_| header.length - buf.len()))
    }
}

/// Nobody waits, with room kept for it, for the rest of what is no message: the first bytes of
/// a TLS handshake announce up to 33 MB.
fn is_spoken(bytes: &[u8], header: &Header) -> Result<(), ReadError> {
    match header.op_code {
        opcode::MSG | opcode::QUERY | opcode::COMPRESSED => Ok(()),
        _ if bytes.starts_with(&TLS_HANDSHAKE) => Err(ReadError::Tls),
        other => Err(ReadError::Opcode(other)),
    }
}

/// Says what a whole plain message is, and takes its checksum off.
fn sort(mut envelope: Envelope, mut message: Vec<u8>, op_code: i32) -> Result<Incoming, ReadError> {
    match op_code {
        opcode::MSG => {
            envelope.silent = is_silent(&message);
            let flags = op_msg::flags(&message).unwrap_or_default();
            if flags & CHECKSUM_PRESENT != 0 {
                OpMsg::parse(&message)?;
                envelope.checksum = true;
                op_msg::strip_checksum(&mut message);
            }
            Ok(Incoming::Message(envelope, message))
        }
        opcode::QUERY => {
            envelope.legacy = true;
            Ok(Incoming::Query(envelope, message))
        }
        other => Err(ReadError::Opcode(other)),
    }
}

/// The class of a message by its beginning; a write whose outcome must not be guessed, unless
/// that tells another.
fn class_of(prefix: &[u8], length: usize) -> Class {
    let msg = OpMsg::parse_prefix(prefix, length).ok().flatten();
    let facts = msg.and_then(|msg| Facts::read(prefix, &msg).ok());
    facts.map_or(Class::Write, |facts| facts.class)
}

/// Whether the message says that it wants no reply.
fn is_silent(message: &[u8]) -> bool {
    op_msg::flags(message).is_some_and(|flags| flags & MORE_TO_COME != 0)
}

/// The outcome of a future that is ready at once.
async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
