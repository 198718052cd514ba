//! A balancer for TCP connections, as a cloud's network load balancer is one: each new
//! connection goes to the next healthy target, open ones stay where they are whatever the
//! target's health, and a target that is taken out gets nobody new.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional};
use tokio::net::TcpStream;
use tokio::time::{sleep, timeout};

use crate::background::Background;

/// Time between two health checks of all targets.
const HEALTH_INTERVAL: Duration = Duration::from_millis(200);
/// A target that does not answer in this time is not healthy.
const HEALTH_TIMEOUT: Duration = Duration::from_secs(2);
/// So many bad answers in a row take a target out.
const UNHEALTHY_AFTER: u32 = 2;

/// Where connections go.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Where it serves.
    pub address: SocketAddr,
    /// Where `/ready` is asked; `None`: it is always healthy.
    pub health: Option<SocketAddr>,
}

impl From<SocketAddr> for Target {
    fn from(address: SocketAddr) -> Self {
        Self {
            address,
            health: None,
        }
    }
}

/// A running balancer; it ends with this value, and its connections with it.
pub struct Balancer {
    address: SocketAddr,
    shared: Arc<Shared>,
    _accepting: Background,
    _checking: Background,
}

#[derive(Default)]
struct Shared(Mutex<State>);

#[derive(Default)]
struct State {
    targets: Vec<Known>,
    next: usize,
}

struct Known {
    target: Target,
    bad: u32,
}

impl Balancer {
    /// Listens on a free port of loopback.
    ///
    /// # Errors
    /// When there is none.
    pub fn start<T: Into<Target>>(targets: impl IntoIterator<Item = T>) -> Result<Self> {
        let listener = std::net::TcpListener::bind(("127.0.0.1", 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        for target in targets {
            shared.add(target.into());
        }
        let of_thread = Arc::clone(&shared);
        let accepting = Background::serve("balancer", listener, move |client| {
            pass(client, of_thread.order())
        })?;
        let of_thread = Arc::clone(&shared);
        let checking = Background::run("health checks", || async move { of_thread.watch().await })?;
        Ok(Self {
            address,
            shared,
            _accepting: accepting,
            _checking: checking,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// One target more.
    pub fn add(&self, target: Target) {
        self.shared.add(target);
    }

    /// This target gets nobody new; who is connected to it stays.
    pub fn remove(&self, address: SocketAddr) {
        let keep = |known: &Known| known.target.address != address;
        self.shared.lock().targets.retain(keep);
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn add(&self, target: Target) {
        self.lock().targets.push(Known { target, bad: 0 });
    }

    /// The targets in the order in which they are to be tried for the next connection:
    /// the healthy ones; all, if none is.
    fn order(&self) -> Vec<SocketAddr> {
        let mut state = self.lock();
        let healthy = |known: &&Known| known.bad < UNHEALTHY_AFTER;
        let address = |known: &Known| known.target.address;
        let mut order: Vec<_> = state.targets.iter().filter(healthy).map(address).collect();
        if order.is_empty() {
            order = state.targets.iter().map(address).collect();
        }
        let turn = state.next.checked_rem(order.len()).unwrap_or_default();
        order.rotate_left(turn);
        state.next += 1;
        order
    }

    async fn watch(&self) {
        loop {
            let asked: Vec<Target> = self.lock().targets.iter().map(|k| k.target).collect();
            for target in asked {
                let Some(health) = target.health else {
                    continue;
                };
                let good = matches!(
                    timeout(HEALTH_TIMEOUT, is_ready(health)).await,
                    Ok(Ok(true))
                );
                let mut state = self.lock();
                let same = |known: &&mut Known| known.target.address == target.address;
                if let Some(known) = state.targets.iter_mut().find(same) {
                    known.bad = if good { 0 } else { known.bad + 1 };
                }
            }
            sleep(HEALTH_INTERVAL).await;
        }
    }
}

async fn is_ready(admin: SocketAddr) -> Result<bool> {
    let mut stream = TcpStream::connect(admin).await?;
    let request = b"GET /ready HTTP/1.1\r\nHost: weir\r\nConnection: close\r\n\r\n";
    stream.write_all(request).await?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).await?;
    Ok(answer.starts_with(b"HTTP/1.1 200"))
}

async fn pass(mut client: TcpStream, order: Vec<SocketAddr>) {
    for target in order {
        if let Ok(mut server) = TcpStream::connect(target).await {
            let _as_the_ends = (client.set_nodelay(true), server.set_nodelay(true));
            // A reset on either side ends both, which is all a balancer tells.
            let _ended = copy_bidirectional(&mut client, &mut server).await;
            return;
        }
    }
}
