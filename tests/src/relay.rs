//! A TCP relay that hurts what passes through it.
//!
//! Each direction of each connection has one [`Fault`] at a time, which can be
//! changed while bytes flow. A [`Trigger`] sets one for the connection on which
//! a certain request passes: "reset when an insert comes by". The relay knows
//! no protocol, so TLS passes too (only triggers then see noise).
//!
//! It runs on a thread of its own and may be shared by tests.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use tokio::net::TcpStream;
use tokio::sync::watch;

use crate::background::Background;
use crate::random::Random;

mod pump;

/// The seed of all jitter.
const JITTER: u64 = 0x6a69_7474_6572;

/// What happens to the bytes of one direction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Fault {
    /// Nothing: they are passed on.
    #[default]
    None,
    /// Each piece waits `by`, and up to `jitter` more.
    Delay {
        /// The least wait.
        by: Duration,
        /// The most that is added to it, at random; the same numbers for the relay's same
        /// connection in every run.
        jitter: Duration,
    },
    /// At most so many bytes a second.
    Slow(u64),
    /// They are read no more: the sender's window fills up.
    Stall,
    /// They are read and thrown away; the other side hears nothing.
    Discard,
    /// Both sides get a reset at once.
    ResetNow,
    /// Of the bytes that come next so many pass, then both sides get a reset.
    Reset(usize),
    /// Of the bytes that come next so many pass, then both sides get an end of
    /// stream.
    Truncate(usize),
    /// The first four bytes of the next piece become this number, once. With
    /// requests one at a time that is the next message's length.
    Length(i32),
}

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client to the server.
    Requests,
    /// From the server to the client.
    Replies,
}

/// What happens to a new connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Accept {
    /// It is connected to the server.
    #[default]
    Forward,
    /// It is reset at once.
    Reset,
    /// It is accepted and then hears nothing.
    Hang,
}

/// Whether a piece of request bytes is the one that is waited for.
pub type Matches = Box<dyn Fn(&[u8]) -> bool + Send + Sync>;

/// A fault for the connections on which a matching request passes.
pub struct Trigger {
    /// Sees each piece of request bytes before it is passed on.
    pub matches: Matches,
    /// Which direction is hurt. On [`Side::Requests`] the matching piece itself
    /// is; on [`Side::Replies`] it is delivered first.
    pub side: Side,
    /// How.
    pub fault: Fault,
    /// How many matches are left; at 0 it does nothing more.
    pub times: usize,
}

impl Trigger {
    /// Once, on the next request that contains `needle`.
    pub fn once(needle: &str, side: Side, fault: Fault) -> Self {
        let needle = needle.as_bytes().to_vec();
        Self {
            matches: Box::new(move |bytes| {
                bytes.windows(needle.len()).any(|window| window == needle)
            }),
            side,
            fault,
            times: 1,
        }
    }
}

/// Counts of connections and bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted since the start.
    pub accepted: usize,
    /// Connections open now.
    pub open: usize,
    /// The most that were open at once.
    pub most_open: usize,
    /// How often a trigger has matched.
    pub triggered: usize,
}

/// A running relay; dropping it closes every connection.
pub struct Relay {
    address: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    next_id: AtomicUsize,
}

#[derive(Default)]
struct State {
    accept: Accept,
    requests: Fault,
    replies: Fault,
    triggers: Vec<Trigger>,
    counts: Counts,
    connections: BTreeMap<usize, Arc<Connection>>,
}

/// The controls of one connection.
struct Connection {
    id: usize,
    requests: watch::Sender<Fault>,
    replies: watch::Sender<Fault>,
}

impl Connection {
    fn side(&self, side: Side) -> &watch::Sender<Fault> {
        match side {
            Side::Requests => &self.requests,
            Side::Replies => &self.replies,
        }
    }

    fn random(&self, side: Side) -> Random {
        let stream = u64::try_from(self.id).unwrap_or(0) * 2 + u64::from(side == Side::Replies);
        Random::new(JITTER, stream)
    }
}

impl Relay {
    /// Listens on a free loopback port and connects each client to `target`.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(target: SocketAddr) -> Result<Self> {
        Self::start_on(SocketAddr::from(([127, 0, 0, 1], 0)), target)
    }

    /// As [`Relay::start`] on a given address.
    ///
    /// # Errors
    /// When the address is taken.
    pub fn start_on(listen: SocketAddr, target: SocketAddr) -> Result<Self> {
        let listener = std::net::TcpListener::bind(listen)?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared::default());
        let of_thread = Arc::clone(&shared);
        let background = Background::serve("relay", listener, move |client| {
            serve(client, target, Arc::clone(&of_thread))
        })?;
        Ok(Self {
            address,
            shared,
            _background: background,
        })
    }

    /// Where clients connect.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Sets the fault of one direction for all connections, open and new.
    pub fn set(&self, side: Side, fault: &Fault) {
        let mut state = self.shared.lock();
        match side {
            Side::Requests => state.requests = fault.clone(),
            Side::Replies => state.replies = fault.clone(),
        }
        for connection in state.connections.values() {
            connection.side(side).send_replace(fault.clone());
        }
    }

    /// A network that is cut: nothing passes any more, nobody is told, and new connections
    /// are as silent as the open ones. [`Relay::heal`] lets what has waited pass, as a
    /// network does that sends again.
    pub fn cut(&self) {
        self.set(Side::Requests, &Fault::Stall);
        self.set(Side::Replies, &Fault::Stall);
    }

    /// Lets everything pass again, and forgets the triggers.
    pub fn heal(&self) {
        self.shared.lock().triggers.clear();
        self.accept(Accept::Forward);
        self.set(Side::Requests, &Fault::None);
        self.set(Side::Replies, &Fault::None);
    }

    /// Resets every open connection; new ones are served.
    pub fn reset_all(&self) {
        for connection in self.shared.lock().connections.values() {
            connection.requests.send_replace(Fault::ResetNow);
        }
    }

    /// Sets the fault of one open connection, counted round and round from the oldest.
    /// Returns whether there is one.
    pub fn hurt(&self, number: usize, side: Side, fault: Fault) -> bool {
        let state = self.shared.lock();
        let at = number.checked_rem(state.connections.len());
        let hurt = at.and_then(|at| state.connections.values().nth(at));
        hurt.is_some_and(|connection| {
            connection.side(side).send_replace(fault);
            true
        })
    }

    /// Says what happens to new connections.
    pub fn accept(&self, accept: Accept) {
        self.shared.lock().accept = accept;
    }

    /// Adds a trigger.
    pub fn add(&self, trigger: Trigger) {
        self.shared.lock().triggers.push(trigger);
    }

    /// What has been counted so far.
    pub fn counts(&self) -> Counts {
        self.shared.lock().counts
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn open(&self) -> (usize, Arc<Connection>) {
        let mut state = self.lock();
        let id = self.next_id.fetch_add(1, Ordering::Relaxed);
        let connection = Arc::new(Connection {
            id,
            requests: watch::Sender::new(state.requests.clone()),
            replies: watch::Sender::new(state.replies.clone()),
        });
        state.connections.insert(id, Arc::clone(&connection));
        let open = state.connections.len();
        state.counts.accepted += 1;
        state.counts.open = open;
        state.counts.most_open = state.counts.most_open.max(open);
        (id, connection)
    }

    fn close(&self, id: usize) {
        let mut state = self.lock();
        state.connections.remove(&id);
        state.counts.open = state.connections.len();
    }

    /// Arms the faults of the triggers that match these request bytes.
    fn pull_triggers(&self, bytes: &[u8], connection: &Connection) {
        let mut state = self.lock();
        let mut pulled = 0;
        for trigger in &mut state.triggers {
            if trigger.times > 0 && (trigger.matches)(bytes) {
                trigger.times -= 1;
                pulled += 1;
                connection
                    .side(trigger.side)
                    .send_replace(trigger.fault.clone());
            }
        }
        state.counts.triggered += pulled;
    }
}

async fn serve(client: TcpStream, target: SocketAddr, shared: Arc<Shared>) {
    let (id, connection) = shared.open();
    let _ = connect(client, target, &shared, &connection).await;
    shared.close(id);
}

async fn connect(
    client: TcpStream,
    target: SocketAddr,
    shared: &Shared,
    connection: &Connection,
) -> Result<()> {
    let accept = shared.lock().accept;
    match accept {
        Accept::Forward => match TcpStream::connect(target).await {
            Ok(server) => pump::relay(client, server, shared, connection).await,
            // As near as a relay comes to a refused connection.
            Err(_) => Ok(client.set_zero_linger()?),
        },
        Accept::Reset => Ok(client.set_zero_linger()?),
        Accept::Hang => pump::swallow(client).await,
    }
}
