//! Reads one message from a client, in any of the forms that clients use.

use std::{io, sync::Arc, task::Poll, time::Duration};

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

/// A request longer than this is passed on before it has arrived whole, bytes.
pub const STREAMED_FROM: usize = 1024 * 1024;

/// Longest message of a client that has not logged in, bytes.
const LONGEST_BEFORE_LOGIN: usize = 64 * 1024;

/// The first bytes of a TLS record that carries a handshake, in every version (RFC 8446, 5.1).
const TLS_HANDSHAKE: [u8; 2] = [22, 3];

/// A client that sends nothing for this time in the middle of a message is closed, because memory
/// is reserved for the rest of the message. Between messages a client may be silent for ever.
const STALL: Duration = Duration::from_secs(30);

/// The form in which a request came, so that its reply gets the same form.
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
    /// The client wants no reply, not even an error.
    pub(crate) silent: bool,
    /// When the message had arrived, or the part of a large one that Weir waits for.
    pub(crate) started: Instant,
    /// The message's share of the budget.
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
    /// A message for which the budget has no room: its class, as far as its beginning shows, and
    /// how many bytes are to come.
    TooMuch(Envelope, Class, usize),
}

/// Why no message can be read from a client.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ReadError {
    /// The bytes are no message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// An opcode that no current driver sends.
    #[error("opcode {0} is not supported; current drivers use OP_MSG")]
    Opcode(i32),
    /// The beginning of a TLS handshake, whose bytes can be read as a header.
    #[error(
        "the client speaks TLS to a plain port: remove TLS from its settings, or switch it on \
         for this listener"
    )]
    Tls,
    /// Too long for a client that has not logged in.
    #[error("a message of {0} bytes before login; 65,536 are allowed")]
    TooLongBeforeLogin(usize),
    /// The client left in the middle of a message.
    #[error("the client closed the connection in the middle of a message")]
    Torn,
    /// The client sent nothing in the middle of a message.
    #[error("the client sent nothing for 30 s in the middle of a message")]
    Stalled,
    /// The socket broke.
    #[error("the client's connection broke: {0}")]
    Io(#[from] io::Error),
}

impl Envelope {
    /// The envelope of a message with this header that has arrived now.
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
    /// Whether the client only left, which is not worth a log line.
    pub(crate) const fn is_departure(&self) -> bool {
        matches!(self, Self::Io(_) | Self::Torn)
    }
}

impl Client {
    /// The next message. `None`: the client has left between two messages.
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
        check_opcode(&buf, &header)?;
        // Most messages have arrived whole with nothing behind them. Others are read on the heap,
        // so that an idle client's task has no room for that.
        let whole = buf.len() == header.length && header.length <= buffer::SIZE;
        if whole && header.op_code == opcode::MSG {
            return classify(Envelope::of(&header), buf, header.op_code).map(Some);
        }
        Box::pin(self.read_rest(buf, header)).await.map(Some)
    }

    /// Waits, without a buffer, for the first bytes of a message. `None`: the client left.
    async fn first_bytes(&mut self) -> Option<Vec<u8>> {
        // Bytes that TLS has decrypted already do not make the socket readable: read first.
        let mut read_first = self.socket.is_tls();
        loop {
            if !read_first {
                self.socket.readable().await.ok()?;
            }
            read_first = false;
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
            let budget = Arc::clone(self.frontend.own_relay().budget());
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
        // A server's clock for maxTimeMS starts at this point, too.
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
        classify(envelope, buf, header.op_code)
    }

    /// Decompresses a message, if the budget has room for its plain form.
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
        classify(envelope, message, op_code)
    }

    /// The budget has no room for this message. Reads its beginning, which shows whether it wants a
    /// reply.
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
                let read = timeout(STALL, rest.read_buf(buf)).await;
                read.map_err(|_| ReadError::Stalled)??
            } else {
                self.socket.read_buf(buf).await?
            };
            if read == 0 {
                return Err(ReadError::Torn);
            }
        }
        Ok(())
    }

    /// Reads the first part of a large message. `Some(n)`: all facts are there, and n bytes are to
    /// come. `None`: the message must be read whole.
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

/// Refuses bytes that are no message of this protocol before memory is reserved for the rest: the
/// first bytes of a TLS handshake look like a length of up to 33 MB.
fn check_opcode(bytes: &[u8], header: &Header) -> Result<(), ReadError> {
    match header.op_code {
        opcode::MSG | opcode::QUERY | opcode::COMPRESSED => Ok(()),
        _ if bytes.starts_with(&TLS_HANDSHAKE) => Err(ReadError::Tls),
        other => Err(ReadError::Opcode(other)),
    }
}

/// Classifies a whole plain message, and takes its checksum off.
fn classify(
    mut envelope: Envelope,
    mut message: Vec<u8>,
    op_code: i32,
) -> Result<Incoming, ReadError> {
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

/// The class of a message by its beginning. A message whose class does not show counts as a write,
/// because no error may invite a client to repeat a write.
fn class_of(prefix: &[u8], length: usize) -> Class {
    let msg = OpMsg::parse_prefix(prefix, length).ok().flatten();
    let facts = msg.and_then(|msg| Facts::read(prefix, &msg).ok());
    facts.map_or(Class::Write, |facts| facts.class)
}

/// Whether the message says that it wants no reply.
fn is_silent(message: &[u8]) -> bool {
    op_msg::flags(message).is_some_and(|flags| flags & MORE_TO_COME != 0)
}

/// Polls a future once. `None`: it is not ready.
async fn poll_once<F: Future>(future: F) -> Option<F::Output> {
    let mut future = std::pin::pin!(future);
    std::future::poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending => Poll::Ready(None),
    })
    .await
}
