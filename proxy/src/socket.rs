//! One byte stream, whatever carries it: TCP or a unix socket, plain or TLS.
//!
//! Both sides of the proxy use it. Besides reading and writing it answers two
//! questions without a system call: has the peer left ([`Socket::is_closed`]), and
//! wake me when anything happens ([`Socket::watch`]).

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use socket2::{SockRef, TcpKeepalive};
use tokio::{
    io::{AsyncRead, AsyncWrite, Interest, ReadBuf},
    net::{TcpStream, UnixStream},
};
use tokio_rustls::{client, server};

/// A connected stream.
#[derive(Debug)]
pub enum Socket {
    /// Plain TCP.
    Tcp(TcpStream),
    /// A unix domain socket.
    Unix(UnixStream),
    /// TLS in the role of the client (towards the upstream).
    TlsClient(Box<client::TlsStream<TcpStream>>),
    /// TLS in the role of the server (towards a client).
    TlsServer(Box<server::TlsStream<TcpStream>>),
}

/// The transport below TLS.
enum Transport<'a> {
    Tcp(&'a TcpStream),
    Unix(&'a UnixStream),
}

/// When a silent peer is taken for gone.
#[derive(Clone, Copy, Debug)]
pub struct Keepalive {
    /// Silence before the first probe.
    pub idle: Duration,
    /// Time between probes.
    pub interval: Duration,
    /// Unanswered probes until the connection is reset.
    pub probes: u32,
    /// Longest time that sent bytes may stay unacknowledged (`TCP_USER_TIMEOUT`).
    pub user_timeout: Option<Duration>,
}

impl Socket {
    fn transport(&self) -> Transport<'_> {
        match self {
            Self::Tcp(stream) => Transport::Tcp(stream),
            Self::Unix(stream) => Transport::Unix(stream),
            Self::TlsClient(stream) => Transport::Tcp(stream.get_ref().0),
            Self::TlsServer(stream) => Transport::Tcp(stream.get_ref().0),
        }
    }

    /// Whether bytes pass through TLS.
    #[must_use]
    pub const fn is_tls(&self) -> bool {
        matches!(self, Self::TlsClient(_) | Self::TlsServer(_))
    }

    /// Waits until there is something to read, or the peer has left. Needs no buffer.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        match self.transport() {
            Transport::Tcp(stream) => stream.readable().await,
            Transport::Unix(stream) => stream.readable().await,
        }
    }

    /// Asks to be woken when bytes arrive or the peer leaves; ready when that has
    /// happened already. No system call.
    pub fn watch(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.transport() {
            Transport::Tcp(stream) => stream.poll_read_ready(cx),
            Transport::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Waits for the peer's departure (end of stream or reset), without reading.
    /// Returns `false` when bytes arrived instead.
    pub async fn departed(&self) -> bool {
        let ready = match self.transport() {
            Transport::Tcp(stream) => stream.ready(Interest::READABLE).await,
            Transport::Unix(stream) => stream.ready(Interest::READABLE).await,
        };
        ready.is_ok_and(|ready| ready.is_read_closed())
    }

    /// Whether a connection that should be silent no longer is: closed, reset, or with
    /// bytes nobody asked for. A system call is made only when the runtime saw an event.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        let mut cx = Context::from_waker(std::task::Waker::noop());
        if self.watch(&mut cx).is_pending() {
            return false;
        }
        let mut byte = [0];
        let read = match self.transport() {
            Transport::Tcp(stream) => stream.try_read(&mut byte),
            Transport::Unix(stream) => stream.try_read(&mut byte),
        };
        // Under TLS any byte is a record (a ticket, a close): reading it here would
        // break the stream, so an idle TLS connection that spoke is given up.
        !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// A second handle on the same socket, by which another task can shut it down.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn handle(&self) -> io::Result<socket2::Socket> {
        match self.transport() {
            Transport::Tcp(stream) => SockRef::from(stream).try_clone(),
            Transport::Unix(stream) => SockRef::from(stream).try_clone(),
        }
    }

    /// Shuts down the sending side of the transport; errors mean it is closed already.
    pub fn shutdown_write(&self) {
        let done = match self.transport() {
            Transport::Tcp(stream) => SockRef::from(stream).shutdown(std::net::Shutdown::Write),
            Transport::Unix(stream) => SockRef::from(stream).shutdown(std::net::Shutdown::Write),
        };
        drop(done);
    }

    /// Reads from the transport itself, below TLS, and throws the bytes away, until the
    /// peer has closed or reset the connection.
    pub async fn discard(&self) {
        let mut scratch = [0; 4096];
        loop {
            if self.readable().await.is_err() {
                return;
            }
            let read = match self.transport() {
                Transport::Tcp(stream) => stream.try_read(&mut scratch),
                Transport::Unix(stream) => stream.try_read(&mut scratch),
            };
            match read {
                Ok(0) => return,
                Err(error) if error.kind() != io::ErrorKind::WouldBlock => return,
                _ => {}
            }
        }
    }

    /// Switches off Nagle's algorithm and sets keepalive; unix sockets need neither.
    ///
    /// # Errors
    /// The operating system refuses an option.
    pub fn tune(&self, keepalive: &Keepalive) -> io::Result<()> {
        let Transport::Tcp(stream) = self.transport() else { return Ok(()) };
        stream.set_nodelay(true)?;
        let socket = SockRef::from(stream);
        let probes = TcpKeepalive::new()
            .with_time(keepalive.idle)
            .with_interval(keepalive.interval)
            .with_retries(keepalive.probes);
        socket.set_tcp_keepalive(&probes)?;
        #[cfg(target_os = "linux")]
        socket.set_tcp_user_timeout(keepalive.user_timeout)?;
        Ok(())
    }
}

impl AsyncRead for Socket {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::TlsClient(stream) => Pin::new(stream).poll_read(cx, buf),
            Self::TlsServer(stream) => Pin::new(stream).poll_read(cx, buf),
        }
    }
}

impl AsyncWrite for Socket {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::Unix(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::TlsClient(stream) => Pin::new(stream).poll_write(cx, buf),
            Self::TlsServer(stream) => Pin::new(stream).poll_write(cx, buf),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(cx),
            Self::Unix(stream) => Pin::new(stream).poll_flush(cx),
            Self::TlsClient(stream) => Pin::new(stream).poll_flush(cx),
            Self::TlsServer(stream) => Pin::new(stream).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::TlsClient(stream) => Pin::new(stream).poll_shutdown(cx),
            Self::TlsServer(stream) => Pin::new(stream).poll_shutdown(cx),
        }
    }
}
