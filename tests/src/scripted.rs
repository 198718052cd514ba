//! A fake server, for what a real one cannot be made to do.
//!
//! It answers hello in the [`Face`] it was given and everything else from a
//! script: one queue of [`Act`]s per command name. With an empty queue it asks
//! its [`Answerer`], if it was given one; without, the answer is `{ok: 1}`.
//! Whatever arrives is recorded.
//!
//! It runs on a thread of its own.

use std::collections::{BTreeMap, VecDeque};
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bson::{Document, doc, oid::ObjectId};
use tokio::sync::watch;

use crate::background::Background;
use crate::message::Message;
use crate::wait;

mod hello;
mod serve;

/// What the server says it is.
#[derive(Clone, Debug)]
pub enum Face {
    /// The writable member of a set that consists of it alone.
    Primary,
    /// A secondary of a set whose other members are unknown.
    Secondary,
    /// A router of a sharded cluster.
    Mongos,
    /// A service behind a load balancer.
    LoadBalanced,
    /// As Weir answers: a mongos that says its `topologyVersion`, a load-balanced
    /// service for a client that asks for one.
    Weir,
    /// Neither: hello is not answered at all.
    Silent,
    /// These fields, in addition to `ok`.
    Custom(Document),
}

/// One scripted answer.
#[derive(Clone, Debug)]
pub enum Act {
    /// An ordinary reply.
    Reply(Document),
    /// An ordinary reply after a while.
    Late(Duration, Document),
    /// A reply with these flags and, if given, this `responseTo`.
    Odd {
        /// Flag bits.
        flags: u32,
        /// Instead of the request's id.
        response_to: Option<i32>,
        /// The body.
        body: Document,
    },
    /// Replies that each announce the next one, all but the last; each answers
    /// the one before it.
    Chain(Vec<Document>),
    /// An ordinary reply written in pieces of so many bytes.
    Pieces(usize, Document),
    /// An ordinary reply of which only so many bytes are sent, then a close.
    Cut(usize, Document),
    /// These bytes, whatever they are.
    Bytes(Vec<u8>),
    /// Nothing; the connection stays open.
    Nothing,
    /// Connections that have carried nothing but hello are closed, then an ordinary
    /// reply: how Weir leaves.
    Leave(Document),
    /// The connection is closed.
    Close,
    /// The connection is reset.
    Reset,
}

impl Act {
    /// A command error.
    pub fn error(code: i32, name: &str, labels: &[&str]) -> Self {
        let mut reply = doc! { "ok": 0, "errmsg": name, "code": code, "codeName": name };
        if !labels.is_empty() {
            reply.insert("errorLabels", labels);
        }
        Self::Reply(reply)
    }
}

/// Answers what no script does; `None` is `{ok: 1}`.
pub type Answerer = Arc<dyn Fn(&Received) -> Option<Act> + Send + Sync>;

/// A message and the connection it came on.
#[derive(Clone, Debug)]
pub struct Received {
    /// Connections are numbered from 0 as they are accepted.
    pub connection: usize,
    /// What came.
    pub message: Message,
}

/// A running server; dropping it closes every connection.
pub struct Scripted {
    address: SocketAddr,
    shared: Arc<Shared>,
    _background: Background,
}

struct Shared {
    address: SocketAddr,
    process_id: ObjectId,
    state: Mutex<State>,
    /// Counts changes of the face; it is `topologyVersion.counter`.
    version: watch::Sender<i64>,
    /// Counts how often monitors were hung up on.
    hang_ups: watch::Sender<u64>,
}

struct State {
    face: Face,
    wire_version: i32,
    answerer: Option<Answerer>,
    scripts: BTreeMap<String, VecDeque<Act>>,
    received: Vec<Received>,
    accepted: usize,
    open: usize,
}

impl Scripted {
    /// Listens on a free loopback port.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start(face: Face) -> Result<Self> {
        let listener = std::net::TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared {
            address,
            process_id: ObjectId::new(),
            state: Mutex::new(State {
                face,
                wire_version: 17,
                answerer: None,
                scripts: BTreeMap::new(),
                received: Vec::new(),
                accepted: 0,
                open: 0,
            }),
            version: watch::Sender::new(0),
            hang_ups: watch::Sender::new(0),
        });
        let of_thread = Arc::clone(&shared);
        let background = Background::serve("scripted", listener, move |stream| {
            serve::serve_counted(stream, Arc::clone(&of_thread))
        })?;
        Ok(Self {
            address,
            shared,
            _background: background,
        })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Answers with `answerer` from now on.
    pub fn answer_with(&self, answerer: Answerer) {
        self.shared.lock().answerer = Some(answerer);
    }

    /// Says this `maxWireVersion` from the next hello on; 17 unless set.
    pub fn set_wire_version(&self, version: i32) {
        self.shared.lock().wire_version = version;
    }

    /// Becomes something else. Hellos that wait for a change are answered.
    pub fn become_face(&self, face: Face) {
        self.shared.lock().face = face;
        self.shared.version.send_modify(|version| *version += 1);
    }

    /// Adds answers for the next commands called `command`. The name `hello`
    /// stands for the legacy one too and goes before the face.
    pub fn script(&self, command: &str, acts: impl IntoIterator<Item = Act>) {
        let mut state = self.shared.lock();
        let queue = state.scripts.entry(command.to_owned()).or_default();
        queue.extend(acts);
    }

    /// Every message so far but hellos.
    pub fn received(&self) -> Vec<Received> {
        let state = self.shared.lock();
        let wanted = |received: &&Received| !hello::is_hello(&received.message);
        state.received.iter().filter(wanted).cloned().collect()
    }

    /// Every message so far called `command`; for `hello` the legacy one too.
    pub fn received_of(&self, command: &str) -> Vec<Received> {
        let state = self.shared.lock();
        let wanted = |received: &&Received| serve::script_name(&received.message) == command;
        state.received.iter().filter(wanted).cloned().collect()
    }

    /// Waits until `count` messages called `command` have come.
    ///
    /// # Errors
    /// When they do not come in time.
    pub async fn wait_for(&self, command: &str, count: usize) -> Result<Vec<Received>> {
        wait::until(
            &format!("{count} times {command}"),
            wait::LIMIT,
            || async move { Some(self.received_of(command)).filter(|found| found.len() >= count) },
        )
        .await
    }

    /// Connections accepted so far, and open now.
    pub fn connections(&self) -> (usize, usize) {
        let state = self.shared.lock();
        (state.accepted, state.open)
    }
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
