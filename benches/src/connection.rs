//! One client socket, as cheap as can be: what is measured is the contender, not
//! the generator.

use std::net::SocketAddr;

use anyhow::{Context, Result, bail, ensure};
use bson::Document;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use weir::wire::header::{HEADER_LEN, Header, MAX_MESSAGE_LEN, set_request_id};
use weir::wire::op_msg::OpMsg;
use weir::wire::raw;

/// Before a command's document: header, flags, and the kind of the section.
const PREFIX: usize = HEADER_LEN + 4 + 1;
/// OP_MSG.
const OP_MSG: i32 = 2013;
/// Room for an ordinary reply; larger ones make the buffer grow.
const ROOM: usize = 4096;

/// An OP_MSG with one document.
pub(crate) fn message(command: &Document) -> Result<Vec<u8>> {
    let body = command.to_vec()?;
    let length = i32::try_from(PREFIX + body.len())?;
    let mut message = Vec::with_capacity(PREFIX + body.len());
    for number in [length, 0, 0, OP_MSG, 0] {
        message.extend_from_slice(&number.to_le_bytes());
    }
    message.push(0);
    message.extend_from_slice(&body);
    Ok(message)
}

/// A connected socket.
pub(crate) struct Connection {
    stream: TcpStream,
    last_id: i32,
    buffer: Vec<u8>,
}

impl Connection {
    /// Connects; nothing is sent.
    pub(crate) async fn open(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self {
            stream,
            last_id: 0,
            buffer: Vec::new(),
        })
    }

    /// Gives the read buffer back: for sockets that will wait.
    pub(crate) fn rest(&mut self) {
        self.buffer = Vec::new();
    }

    /// Sends `message` under a fresh id and reads the reply to it; returns its
    /// length after a look at its `ok`.
    pub(crate) async fn exchange(&mut self, message: &mut [u8]) -> Result<usize> {
        self.last_id = self.last_id.wrapping_add(1);
        set_request_id(message, self.last_id);
        self.stream.write_all(message).await?;
        let length = self.read_message().await?;
        let reply = self.buffer.get(..length).unwrap_or_default();
        let header = Header::decode(reply, MAX_MESSAGE_LEN)?.context("no header")?;
        ensure!(header.response_to == self.last_id, "a stranger's reply");
        let parsed = OpMsg::parse(reply)?;
        let body = reply.get(parsed.body).unwrap_or_default();
        if raw::find(body, b"ok").is_some_and(|ok| ok.as_truthy()) {
            return Ok(length);
        }
        let text = raw::find(body, b"errmsg").and_then(|text| text.as_str());
        bail!("{}", String::from_utf8_lossy(text.unwrap_or(b"not ok")));
    }

    async fn read_message(&mut self) -> Result<usize> {
        let mut filled = 0;
        let mut length = None;
        loop {
            if self.buffer.len() < length.unwrap_or(ROOM) {
                self.buffer.resize(length.unwrap_or(ROOM), 0);
            }
            let room = self.buffer.get_mut(filled..).unwrap_or_default();
            let read = self.stream.read(room).await?;
            ensure!(read > 0, "the connection was closed");
            filled += read;
            if length.is_none() {
                let head = self.buffer.get(..filled).unwrap_or_default();
                length = Header::decode(head, MAX_MESSAGE_LEN)?.map(|header| header.length);
            }
            match length {
                Some(length) if filled == length => return Ok(length),
                Some(length) => ensure!(filled < length, "more than was asked for"),
                None => {}
            }
        }
    }
}
