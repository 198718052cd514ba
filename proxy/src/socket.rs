//! One byte stream, whatever carries it: TCP or a unix socket, plain or TLS.
//!
//! Both sides of the proxy use it. It also waits for two events without a system call: the peer
//! has left ([`Socket::departed`]), and anything has happened ([`Socket::watch`]).

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

/// The event that shows a peer's departure. `PRIORITY` covers the closing of the reading side
/// and, unlike `READABLE`, not the arrival of bytes.
#[cfg(any(target_os = "linux", target_os = "android"))]
const DEPARTURE: Interest = Interest::PRIORITY;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const DEPARTURE: Interest = Interest::READABLE;

/// Time between two checks where no event shows a departure alone.
const CHECK_DEPARTURE_EVERY: Duration = Duration::from_millis(100);

/// When the operating system gives up a silent peer.
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

    /// Waits until there is something to read or the peer has left. Needs no buffer.
    ///
    /// # Errors
    /// The runtime is shutting down.
    pub async fn readable(&self) -> io::Result<()> {
        match self.transport() {
            Transport::Tcp(stream) => stream.readable().await,
            Transport::Unix(stream) => stream.readable().await,
        }
    }

    /// Wakes the task when bytes arrive or the peer leaves. Ready when that has happened already.
    /// Makes no system call.
    pub fn watch(&self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.transport() {
            Transport::Tcp(stream) => stream.poll_read_ready(cx),
            Transport::Unix(stream) => stream.poll_read_ready(cx),
        }
    }

    /// Waits for the peer's departure (end of stream or reset) without reading. Unread bytes do
    /// not matter, nor do bytes that arrive meanwhile.
    pub async fn departed(&self) {
        loop {
            let ready = match self.transport() {
                Transport::Tcp(stream) => stream.ready(DEPARTURE).await,
                Transport::Unix(stream) => stream.ready(DEPARTURE).await,
            };
            match ready {
                Ok(ready) if ready.is_read_closed() => return,
                // On other systems than Linux unread bytes hide a departure behind them.
                Ok(_) => tokio::time::sleep(CHECK_DEPARTURE_EVERY).await,
                // The runtime is shutting down.
                Err(_) => std::future::pending().await,
            }
        }
    }

    /// Whether a connection that should be silent was closed, was reset, or has bytes that Weir
    /// did not ask for. Makes a system call only when the runtime saw an event. A task that
    /// [watches](Self::watch) the socket goes on watching it.
    #[must_use]
    pub fn is_disturbed(&self) -> bool {
        let mut byte = [0];
        let read = match self.transport() {
            Transport::Tcp(stream) => stream.try_read(&mut byte),
            Transport::Unix(stream) => stream.try_read(&mut byte),
        };
        // Under TLS any byte belongs to a record, such as a ticket or a close. Reading it here
        // breaks the stream, so an idle TLS connection that received bytes is given up.
        !matches!(read, Err(error) if error.kind() == io::ErrorKind::WouldBlock)
    }

    /// A second handle to the same socket, with which another task can shut it down.
    ///
    /// # Errors
    /// No file descriptor is left.
    pub fn handle(&self) -> io::Result<socket2::Socket> {
        match self.transport() {
            Transport::Tcp(stream) => SockRef::from(stream).try_clone(),
            Transport::Unix(stream) => SockRef::from(stream).try_clone(),
        }
    }

    /// Shuts down the sending side of the transport. An error means that it is closed already.
    pub fn shutdown_write(&self) {
        let _ = match self.transport() {
            Transport::Tcp(stream) => SockRef::from(stream).shutdown(std::net::Shutdown::Write),
            Transport::Unix(stream) => SockRef::from(stream).shutdown(std::net::Shutdown::Write),
        };
    }

    /// Makes the transport close with a reset instead of a FIN that no peer may answer.
    pub fn reset_on_close(&self) {
        if let Transport::Tcp(stream) = self.transport() {
            let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
        }
    }

    /// Reads from the transport below TLS and drops the bytes, until the peer has closed or reset
    /// the connection.
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

    /// Switches off Nagle's algorithm and sets keepalive. Unix sockets need neither.
    ///
    /// # Errors
    /// The operating system refuses an option.
    pub fn tune(&self, keepalive: &Keepalive) -> io::Result<()> {
        let Transport::Tcp(stream) = self.transport() else {
            return Ok(());
        };
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio::{
        io::{AsyncReadExt, AsyncWriteExt},
        net::{TcpListener, TcpStream},
        time::timeout,
    };

    use super::*;

    const SOON: Duration = Duration::from_secs(5);

    async fn pair() -> (Socket, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let peer = TcpStream::connect(listener.local_addr().unwrap())
            .await
            .unwrap();
        (Socket::Tcp(listener.accept().await.unwrap().0), peer)
    }

    #[tokio::test]
    async fn a_departure_is_seen_behind_unread_bytes() {
        let (socket, mut peer) = pair().await;
        peer.write_all(b"the next request").await.unwrap();
        socket.readable().await.unwrap();
        assert!(
            timeout(Duration::from_millis(50), socket.departed())
                .await
                .is_err()
        );
        drop(peer);
        timeout(SOON, socket.departed()).await.unwrap();
    }

    /// A read that fills its buffer leaves the runtime's readiness as it was.
    #[tokio::test]
    async fn a_departure_is_seen_after_a_read_that_filled_its_buffer() {
        let (mut socket, mut peer) = pair().await;
        peer.write_all(b"1234").await.unwrap();
        socket.read_exact(&mut [0; 4]).await.unwrap();
        assert!(
            timeout(Duration::from_millis(50), socket.departed())
                .await
                .is_err()
        );
        drop(peer);
        timeout(SOON, socket.departed()).await.unwrap();
    }

    #[tokio::test]
    async fn asking_for_a_disturbance_leaves_the_watcher_in_place() {
        struct Bell(tokio::sync::Notify);
        impl std::task::Wake for Bell {
            fn wake(self: std::sync::Arc<Self>) {
                self.0.notify_one();
            }
        }
        let (socket, peer) = pair().await;
        let bell = std::sync::Arc::new(Bell(tokio::sync::Notify::new()));
        let waker = std::task::Waker::from(std::sync::Arc::clone(&bell));
        // The runtime takes a fresh socket for readable until it has tried.
        assert!(!socket.is_disturbed());
        assert!(socket.watch(&mut Context::from_waker(&waker)).is_pending());
        assert!(!socket.is_disturbed());
        drop(peer);
        timeout(SOON, bell.0.notified()).await.unwrap();
        assert!(socket.is_disturbed());
    }
}
