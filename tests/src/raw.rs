//! A client that sends any bytes.

use std::io;
use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use bson::Document;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

use crate::message::{HEADER, Message, int, op_msg, op_query};
use crate::wait::{LIMIT, within};

trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Unpin> Stream for T {}

/// One connection.
pub struct Raw {
    stream: Box<dyn Stream>,
    next_id: i32,
    /// How long each receive waits; [`LIMIT`] unless changed.
    pub limit: Duration,
}

impl Raw {
    /// Connects over TCP.
    ///
    /// # Errors
    /// When nobody accepts.
    pub async fn connect(address: SocketAddr) -> Result<Self> {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        Ok(Self::over(stream))
    }

    /// Connects to a unix socket.
    ///
    /// # Errors
    /// When nobody accepts.
    pub async fn connect_unix(path: &Path) -> Result<Self> {
        Ok(Self::over(UnixStream::connect(path).await?))
    }

    /// Takes any stream, one with TLS for example.
    pub fn over(stream: impl AsyncRead + AsyncWrite + Send + Unpin + 'static) -> Self {
        Self {
            stream: Box::new(stream),
            next_id: 1,
            limit: LIMIT,
        }
    }

    /// Sends bytes as they are.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn send(&mut self, bytes: &[u8]) -> Result<()> {
        self.stream.write_all(bytes).await?;
        Ok(self.stream.flush().await?)
    }

    /// Sends bytes in pieces, each in a write of its own.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn send_in_pieces(&mut self, bytes: &[u8], piece: usize) -> Result<()> {
        for part in bytes.chunks(piece.max(1)) {
            self.send(part).await?;
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    /// A request id that this connection has not used.
    pub fn fresh_id(&mut self) -> i32 {
        self.next_id += 1;
        self.next_id
    }

    /// Receives one message.
    ///
    /// # Errors
    /// When the peer closes first, or the limit passes.
    pub async fn receive(&mut self) -> Result<Message> {
        let limit = self.limit;
        within("a reply", limit, self.receive_unlimited()).await?
    }

    async fn receive_unlimited(&mut self) -> Result<Message> {
        Message::parse(
            receive(&mut self.stream)
                .await?
                .context("closed instead of a reply")?,
        )
    }

    /// Reads so many bytes of a reply and no more.
    ///
    /// # Errors
    /// When the peer closes first, or the limit passes.
    pub async fn taste(&mut self, bytes: usize) -> Result<()> {
        let mut part = vec![0; bytes];
        let limit = self.limit;
        within(
            "a part of a reply",
            limit,
            self.stream.read_exact(&mut part),
        )
        .await??;
        Ok(())
    }

    /// Runs a command in an OP_MSG and returns whatever the reply says.
    ///
    /// # Errors
    /// When there is no reply, or one to another request.
    pub async fn command(&mut self, database: &str, command: Document) -> Result<Document> {
        let mut command = command;
        command.insert("$db", database);
        let id = self.fresh_id();
        self.send(&op_msg(id, 0, 0, &command)).await?;
        self.reply_to(id).await
    }

    /// Runs a command in an OP_QUERY.
    ///
    /// # Errors
    /// As [`Raw::command`].
    pub async fn query(&mut self, database: &str, command: &Document) -> Result<Document> {
        let id = self.fresh_id();
        self.send(&op_query(id, database, command)).await?;
        self.reply_to(id).await
    }

    async fn reply_to(&mut self, id: i32) -> Result<Document> {
        let reply = self.receive().await?;
        if reply.response_to != id {
            bail!(
                "a reply to {} instead of {id}: {}",
                reply.response_to,
                reply.body
            );
        }
        Ok(reply.body)
    }

    /// Waits for the peer to close; what it sends before that is thrown away.
    ///
    /// # Errors
    /// When it does not close within the limit.
    pub async fn closed(&mut self) -> Result<()> {
        let mut sink = vec![0; 64 * 1024];
        within("the peer's close", self.limit, async {
            while matches!(self.stream.read(&mut sink).await, Ok(1..)) {}
        })
        .await
    }

    /// Ends our writing side.
    ///
    /// # Errors
    /// When the peer is gone.
    pub async fn finish(&mut self) -> Result<()> {
        Ok(self.stream.shutdown().await?)
    }
}

/// One whole message, or `None` when the stream ends between two.
///
/// # Errors
/// When it ends inside one, or a length is impossible.
pub async fn receive(stream: &mut (impl AsyncRead + Unpin)) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = vec![0; HEADER];
    match stream.read_exact(&mut bytes).await {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
        result => result?,
    };
    let length = int(&bytes, 0).unwrap_or(0);
    let content = usize::try_from(length)
        .ok()
        .filter(|length| *length <= 48_000_000)
        .and_then(|length| length.checked_sub(HEADER))
        .ok_or(io::ErrorKind::InvalidData)?;
    let mut rest = vec![0; content];
    stream.read_exact(&mut rest).await?;
    bytes.append(&mut rest);
    Ok(Some(bytes))
}
