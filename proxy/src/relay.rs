//! The relay: what happens to one operation.
//!
//! ```text
//! facts ─► select a node ─► check out ─► edit ─► send ─► receive ─► decide ─► check in ─► reply
//!               │               │                  │         │         │
//!              hold           queue              row A     row B,C   row D, L
//! ```
//!
//! [`Relay::run`] makes an `Operation` of a request, which carries the client, the deadline
//! and the retries through all steps. The rows are those of the error table in
//! [`crate::error::reply`]: a step that fails ends with an error document, and the client's
//! socket stays open.
//!
//! | module | its part |
//! |---|---|
//! | `request`, `client` | the request and its reply, and what a client can do meanwhile |
//! | `operation` | the operation and its loop: select a node, check out, attempt |
//! | `deadline`, `host_deadline` | how long it may wait, and for what |
//! | `pick` | from a route to a node's pool |
//! | `attempt`, `liveness`, `send` | one attempt on one connection |
//! | `finish`, `decide`, `record`, `scrub` | what a whole reply means and changes |
//! | `stream` | a reply that is too large to be kept |
//! | `outcome`, `cancel` | how an attempt ends, also when the client has left |
//! | `cursors`, `cursor_node`, `awaiting` | getMore |
//! | `kill_cursors`, `broadcast` | commands for several nodes |
//! | `sessions`, `client_pins` | what ends with a client, and what does not |
//! | `budget` | the limit on the bytes of messages in memory |
//! | `host` | upkeep, and what a host has the relay do |

pub mod attempt;

mod awaiting;

mod broadcast;

pub mod budget;

mod cancel;

pub mod client;

pub mod client_pins;

mod cursor_node;

mod cursors;

pub mod deadline;

mod decide;

mod finish;

mod host;

pub(crate) mod host_deadline;

mod kill_cursors;

mod liveness;

mod operation;

mod outcome;

mod pick;

mod record;

pub mod request;

mod scrub;

pub(crate) mod send;

pub mod sessions;

mod stream;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

pub use client::{ClientSide, ClientTraits};
pub use host_deadline::HostDeadline;
pub use request::{Reply, Request};

use crate::{
    cluster::Cluster,
    command::{Facts, Treatment},
    error::{Class, ErrorReply, Failure, reply},
    metrics::Metrics,
    random,
    relay::{
        budget::Budget,
        client::NoClient,
        operation::{AnyNode, Operation},
        outcome::{Answer, Stop},
        sessions::SeenSessions,
    },
    route::{self, pins::Pins},
    wire::reply as wire_reply,
};

/// Settings of one relay.
#[derive(Clone, Copy, Debug)]
pub struct RelaySettings {
    /// Longest wait for a connection when the client gave no nearer deadline.
    pub queue_timeout: Duration,
    /// Longest time that an operation is held because no node suits it.
    pub hold_timeout: Duration,
    /// Whether to ask the nodes in turn about cursors that another Weir opened.
    pub probe_cursors: bool,
    /// Width of the latency window and time between heartbeats.
    pub rules: route::Rules,
    /// The end of a Lambda invocation, where the host tells it. It lives as long as the process,
    /// because settings are copied.
    pub host_deadline: Option<&'static HostDeadline>,
}

/// Relays the operations of all clients of one listener to one cluster.
#[derive(Debug)]
pub struct Relay {
    settings: RelaySettings,
    cluster: Arc<Cluster>,
    pins: Pins,
    budget: Arc<Budget>,
    metrics: Arc<Metrics>,
    /// The zero of the times in pins.
    epoch: Instant,
    /// Kept only where the clients end with this process.
    seen_sessions: Option<SeenSessions>,
}

impl Relay {
    /// A relay to `cluster` whose messages count against `budget`.
    #[must_use]
    pub fn new(
        settings: RelaySettings,
        cluster: Arc<Cluster>,
        budget: Arc<Budget>,
        metrics: Arc<Metrics>,
    ) -> Self {
        let (pins, epoch) = (Pins::default(), Instant::now());
        Self {
            settings,
            cluster,
            pins,
            budget,
            metrics,
            epoch,
            seen_sessions: settings.host_deadline.map(|_| SeenSessions::default()),
        }
    }

    /// The cluster that the operations go to.
    #[must_use]
    pub const fn cluster(&self) -> &Arc<Cluster> {
        &self.cluster
    }

    /// The limit on the bytes of messages in memory.
    #[must_use]
    pub const fn budget(&self) -> &Arc<Budget> {
        &self.budget
    }

    /// The end of a Lambda invocation, where the host tells it.
    #[must_use]
    pub const fn host_deadline(&self) -> Option<&'static HostDeadline> {
        self.settings.host_deadline
    }

    /// Open cursors whose node Weir remembers.
    #[must_use]
    pub fn open_cursors(&self) -> usize {
        self.pins.cursors()
    }

    /// Open transactions whose node Weir remembers.
    #[must_use]
    pub fn open_transactions(&self) -> usize {
        self.pins.transactions()
    }

    /// Serves one request to its end.
    pub async fn run<C: ClientSide>(&self, client: &mut C, request: &mut Request) -> Reply {
        if let Some(seen) = &self.seen_sessions {
            seen.note(request);
        }
        let mut operation = Operation::new(self, client, request);
        let outcome = match operation.request.facts.treatment {
            // On the heap, because every operation's future would be as large as these.
            Treatment::KillCursors => Box::pin(kill_cursors::kill_cursors(&mut operation)).await,
            Treatment::GetMore => Box::pin(cursors::get_more(&mut operation)).await,
            _ => operation.complete(AnyNode).await,
        };
        conclude(request, outcome)
    }

    /// Sends the request to every node that holds data. The first refusal is the reply, or else
    /// the last node's reply.
    pub async fn broadcast<C: ClientSide>(&self, client: &mut C, request: &mut Request) -> Reply {
        let mut operation = Operation::new(self, client, request);
        let outcome = broadcast::broadcast(&mut operation).await;
        conclude(request, outcome)
    }

    /// Runs a command of Weir's own. Its reply is dropped.
    async fn run_own(&self, body: &[u8]) {
        if let Ok(mut request) = Request::own(body) {
            let _ = self.run(&mut NoClient, &mut request).await;
        }
    }

    /// Whether this getMore is for a change stream that was open at `moment`.
    pub(crate) fn is_stream_opened_before(&self, facts: &Facts, moment: Instant) -> bool {
        cursors::is_stream_opened_before(self, facts, moment)
    }

    /// The error for a full queue, in the form that this client understands.
    pub(crate) fn overloaded(&self, client: ClientTraits, class: Class) -> ErrorReply {
        self.refuse(self.overload(client), class)
    }

    fn overload(&self, client: ClientTraits) -> Failure {
        Failure::Overloaded {
            backpressure: client.backpressure,
            base_backoff_ms: self.cluster.suggested_backoff_ms(),
        }
    }

    /// Counts a failure and words it for the client.
    pub(crate) fn refuse(&self, failure: Failure, class: Class) -> ErrorReply {
        self.metrics.failed(failure);
        reply(failure, class)
    }

    /// Time since the relay was made.
    fn now(&self) -> Duration {
        self.epoch.elapsed()
    }
}

/// The reply to a request whose operation came to `outcome`.
fn conclude(request: &Request, outcome: Result<Answer, Stop>) -> Reply {
    let is_silent = request.facts.is_unacknowledged();
    match outcome {
        Ok(Answer::Streamed) => Reply::Sent,
        Err(Stop::Hangup | Stop::Abandoned) => Reply::Hangup,
        Ok(Answer::Message(_)) | Err(Stop::Error(_)) if is_silent => Reply::Nothing,
        Ok(Answer::Message(message)) => Reply::Message(message),
        Err(Stop::Error(error)) => Reply::Message(error_message(request.id, &error)),
    }
}

/// An error document as an OP_MSG reply to `request_id`.
#[must_use]
pub fn error_message(request_id: i32, error: &ErrorReply) -> Vec<u8> {
    wire_reply::op_msg(fresh_id(), request_id, 0, error.document().as_bytes())
}

/// An id for a message of Weir's own.
#[must_use]
pub fn fresh_id() -> i32 {
    i32::try_from(random::number() >> 33).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;
    use crate::wire::op_msg::MORE_TO_COME;

    fn request(flags: u32) -> Request {
        let body = rawdoc! { "insert": "c", "$db": "d" };
        let message = wire_reply::op_msg(1, 0, flags, body.as_bytes());
        let facts = Facts::of(&message).unwrap();
        Request::new(facts, message, 1, Instant::now())
    }

    fn error() -> Stop {
        reply(Failure::NoNode, Class::Write).into()
    }

    #[test]
    fn the_reply_is_the_answer_or_the_error() {
        let asked = request(0);
        let answer = || Ok(Answer::Message(vec![1, 2]));
        assert_eq!(conclude(&asked, answer()), Reply::Message(vec![1, 2]));
        assert_eq!(conclude(&asked, Ok(Answer::Streamed)), Reply::Sent);
        assert!(matches!(conclude(&asked, Err(error())), Reply::Message(_)));
        assert_eq!(conclude(&asked, Err(Stop::Hangup)), Reply::Hangup);
        assert_eq!(conclude(&asked, Err(Stop::Abandoned)), Reply::Hangup);
    }

    #[test]
    fn an_unacknowledged_write_gets_no_reply_and_no_error() {
        let silent = request(MORE_TO_COME);
        let answer = Ok(Answer::Message(vec![1, 2]));
        assert_eq!(conclude(&silent, answer), Reply::Nothing);
        assert_eq!(conclude(&silent, Err(error())), Reply::Nothing);
        assert_eq!(conclude(&silent, Ok(Answer::Streamed)), Reply::Sent);
        assert_eq!(conclude(&silent, Err(Stop::Hangup)), Reply::Hangup);
    }
}
