//! Accepts clients and gives each a task of its own.

use std::{
    io,
    net::SocketAddr,
    path::{Path, PathBuf},
    pin::pin,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::{
    net::{TcpListener, TcpStream, UnixListener},
    sync::Semaphore,
    time::{sleep, timeout},
};
use tokio_rustls::TlsAcceptor;
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::{
    config::ListenAddr,
    downstream::{Client, ClientLimit, Frontend, Peer},
    socket::{Keepalive, Socket},
};

/// A client that has not finished its TLS handshake in this time is closed.
const TLS_TIME: Duration = Duration::from_secs(10);

/// TLS handshakes that are computed at a time. Each takes about a millisecond. The limit exists so
/// that a connection storm does not delay clients that are already being served.
const TLS_AT_ONCE: usize = 8;

/// A client that does not finish its handshake in this time lets others begin theirs.
const TLS_TURN: Duration = Duration::from_millis(250);

/// Pause after a failed accept, when the process has no file descriptor left.
const EXHAUSTED_PAUSE: Duration = Duration::from_millis(100);

/// Connections that may wait to be accepted. A burst of clients arrives in one instant.
const BACKLOG: u32 = 4096;

/// An open listening socket.
#[derive(Debug)]
pub enum Listener {
    /// TCP.
    Tcp(TcpListener),
    /// Unix, with the path to remove at the end.
    Unix(UnixListener, PathBuf),
}

/// What a listener does with a new socket.
#[derive(Clone)]
pub struct Admission {
    /// What the clients share.
    pub frontend: Arc<Frontend>,
    /// TLS towards clients.
    pub tls: Option<TlsAcceptor>,
    /// Clients of this address must log in.
    pub must_log_in: bool,
    /// Permits for TLS handshakes.
    pub turns: Arc<Semaphore>,
    /// When a silent client is given up.
    pub keepalive: Keepalive,
    /// The number of clients and its limits.
    pub client_limit: ClientLimit,
    /// All client tasks.
    pub tasks: TaskTracker,
}

impl Listener {
    /// Opens the socket.
    ///
    /// # Errors
    /// The address is taken, or not this machine's.
    pub async fn bind(address: &ListenAddr) -> io::Result<Self> {
        match address {
            ListenAddr::Tcp(address) => bind_tcp(*address).map(Self::Tcp),
            ListenAddr::Name { host, port } => {
                let mut found = tokio::net::lookup_host((host.as_str(), *port)).await?;
                let address = found.next().ok_or(io::ErrorKind::AddrNotAvailable)?;
                bind_tcp(address).map(Self::Tcp)
            }
            ListenAddr::Unix(path) => {
                remove_stale(path).await?;
                Ok(Self::Unix(UnixListener::bind(path)?, path.clone()))
            }
        }
    }

    /// The address, as a client writes it.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Tcp(listener) => listener
                .local_addr()
                .map_or_else(|_| String::new(), |a| a.to_string()),
            Self::Unix(_, path) => path.display().to_string(),
        }
    }

    /// The port, for TCP.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub fn local_addr(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(listener) => listener.local_addr().ok(),
            Self::Unix(..) => None,
        }
    }

    /// Accepts clients until `stop`.
    pub async fn run(self, admission: Admission, stop: CancellationToken) {
        loop {
            let accepted = tokio::select! {
                biased;
                () = stop.cancelled() => break,
                accepted = self.accept_within(&admission) => accepted,
            };
            match accepted {
                Ok((socket, address)) => admission.admit(socket, address),
                Err(error) => {
                    admission.frontend.metrics.not_accepted();
                    tracing::warn!(%error, "cannot accept a client; pausing for 100 ms");
                    sleep(EXHAUSTED_PAUSE).await;
                }
            }
        }
        // Clients in the accept backlog already believe they are connected.
        for (socket, address) in self.close(&admission.client_limit) {
            admission.admit(socket, address);
        }
    }

    /// Closes the listening socket. Returns the clients in its backlog, as far as there are files
    /// for them.
    fn close(self, client_limit: &ClientLimit) -> Vec<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let Ok(listener) = listener.into_std() else {
                    return Vec::new();
                };
                let waiting = std::iter::from_fn(|| listener.accept().ok());
                let of_tokio = waiting.filter_map(|(stream, address)| {
                    stream.set_nonblocking(true).ok()?;
                    let stream = TcpStream::from_std(stream).ok()?;
                    Some((Socket::Tcp(stream), Some(address)))
                });
                of_tokio.take(client_limit.room()).collect()
            }
            Self::Unix(listener, path) => {
                drop(listener);
                let _ = std::fs::remove_file(path);
                Vec::new()
            }
        }
    }

    /// Accepts the next client, once there are files for one more.
    async fn accept_within(
        &self,
        admission: &Admission,
    ) -> io::Result<(Socket, Option<SocketAddr>)> {
        let client_limit = &admission.client_limit;
        if client_limit.is_full() {
            admission.frontend.metrics.not_accepted();
            tracing::warn!(
                clients = client_limit.files,
                "no more clients are accepted for now: the remaining files are reserved for the upstream"
            );
            while client_limit.is_full() {
                sleep(EXHAUSTED_PAUSE).await;
            }
        }
        self.accept().await
    }

    async fn accept(&self) -> io::Result<(Socket, Option<SocketAddr>)> {
        match self {
            Self::Tcp(listener) => {
                let (stream, address) = listener.accept().await?;
                Ok((Socket::Tcp(stream), Some(address)))
            }
            Self::Unix(listener, _) => {
                let (stream, _) = listener.accept().await?;
                Ok((Socket::Unix(stream), None))
            }
        }
    }
}

impl Admission {
    /// Permits for the TLS handshakes of one address.
    #[must_use]
    pub fn turns() -> Arc<Semaphore> {
        Arc::new(Semaphore::new(TLS_AT_ONCE))
    }

    fn admit(&self, socket: Socket, address: Option<SocketAddr>) {
        self.client_limit.now.fetch_add(1, Ordering::Relaxed);
        let over_limit = self.client_limit.is_exceeded();
        let peer = Peer {
            name: address.map_or_else(|| "unix".to_owned(), |a| a.to_string()),
            ip: address.map(|a| a.ip()),
            must_log_in: self.must_log_in,
            over_limit: over_limit.then(|| self.client_limit.clone()),
        };
        self.tasks.spawn(self.clone().welcome(socket, peer));
    }

    /// The whole life of a client's task.
    async fn welcome(self, socket: Socket, peer: Peer) {
        let counted = Counted(Arc::clone(&self.client_limit.now));
        if let Some(socket) = self.prepare(socket, &peer).await {
            // The rest of the admission is not kept while the client lives.
            let frontend = self.frontend;
            Client::serve(frontend, socket, peer).await;
        }
        drop(counted);
    }

    /// Sets TCP options and carries out the TLS handshake.
    async fn prepare(&self, socket: Socket, peer: &Peer) -> Option<Socket> {
        if socket.tune(&self.keepalive).is_err() {
            return None;
        }
        match (&self.tls, socket) {
            // On the heap, so that the task of a plain client has no room for a handshake.
            (Some(tls), Socket::Tcp(stream)) => Box::pin(self.secure(tls, stream, peer)).await,
            (_, socket) => Some(socket),
        }
    }

    async fn secure(&self, tls: &TlsAcceptor, stream: TcpStream, peer: &Peer) -> Option<Socket> {
        let secured = async {
            // A client that has sent nothing yet needs no permit.
            stream.readable().await?;
            let turn = self.turns.acquire().await;
            let mut accepting = pin!(tls.accept(stream));
            if let Ok(accepted) = timeout(TLS_TURN, &mut accepting).await {
                return accepted;
            }
            drop(turn);
            accepting.await
        };
        match timeout(TLS_TIME, secured).await {
            Ok(Ok(stream)) => Some(Socket::TlsServer(Box::new(stream))),
            Ok(Err(error)) => {
                tracing::info!(peer = %peer.name, %error, "a client's TLS handshake failed");
                None
            }
            Err(_) => None,
        }
    }
}

/// Counts a client down when its task ends, however it ends.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

fn bind_tcp(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = socket2::Socket::new(
        socket2::Domain::for_address(address),
        socket2::Type::STREAM,
        Some(socket2::Protocol::TCP),
    )?;
    // A successor may bind while old connections linger. Two listeners may not bind.
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(i32::try_from(BACKLOG).unwrap_or(i32::MAX))?;
    TcpListener::from_std(socket.into())
}

/// Removes the socket file of a process that has ended. A running process keeps its own.
async fn remove_stale(path: &Path) -> io::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    match tokio::net::UnixStream::connect(path).await {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {
            std::fs::remove_file(path)
        }
        // For example, the backlog of a running process may be full.
        _ => Err(io::ErrorKind::AddrInUse.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An operation's future is on the heap while the operation lasts, and moved for each
    /// function that passes it on.
    #[test]
    fn the_future_of_an_operation_is_small() {
        fn future_of<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let relayed = future_of(crate::relay::Relay::run::<Client>);
        let answered = future_of(Client::answer);
        let sizes = format!("{relayed} and {answered} bytes");
        assert!(relayed <= 1_500 && answered <= 1_950, "{sizes}");
    }

    /// The memory of an idle client's task, without the socket's buffers in the kernel.
    #[test]
    fn the_task_of_an_idle_client_is_small() {
        fn future_of<A, B, C, F>(_: impl Fn(A, B, C) -> F) -> usize {
            size_of::<F>()
        }
        let size = future_of(Admission::welcome);
        assert!(size <= 1600, "{size} bytes");
    }
}
