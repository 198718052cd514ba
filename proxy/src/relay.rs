//! The story of one operation.
//!
//! ```text
//! facts ─► route ─► lease ─► edit ─► send ─► receive ─► learn ─► give back ─► reply
//!            │        │                │         │         │
//!            hold     queue            row A     row B,C   row D, L
//! ```
//!
//! [`Relay::run`] reads as that list. Each step's failure is an error document whose
//! labels come from [`crate::error::reply`]; the client's socket stays open.

pub mod abandon;

pub mod attempt;

mod awaiting;

pub mod budget;

pub mod client;

pub(crate) mod host_deadline;

pub mod cursors;

pub mod deadline;

pub mod broadcast;

mod finish;

pub mod kill_cursors;

pub mod learn;

pub mod client_pins;

pub mod pick;

pub(crate) mod liveness;

pub(crate) mod retries;

pub(crate) mod scrub;

pub(crate) mod seen;

pub mod send;

pub mod sessions;

mod stop;

pub mod stream;

mod thaw;

mod upkeep;

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

pub use client::{ClientSide, ClientTraits, Reply, Request};
pub use host_deadline::HostDeadline;
pub(crate) use stop::Stop;

use crate::{
    cluster::{Cluster, Table},
    command::Treatment,
    error::{Class, ErrorReply, Failure, reply},
    metrics::Metrics,
    pool::{Lease, LeaseError, NodePool, Want},
    random,
    relay::{
        attempt::{Answer, Attempt},
        budget::Budget,
        deadline::Deadline,
        retries::Retries,
        seen::SeenSessions,
    },
    route::{self, pins::Pins},
    topology::Snapshot,
    wire::reply as wire_reply,
};

/// Settings of one relay.
#[derive(Clone, Copy, Debug)]
pub struct RelaySettings {
    /// Longest wait for a connection when the client gave no nearer deadline.
    pub queue_timeout: Duration,
    /// Longest an operation is held while no node suits it.
    pub hold_timeout: Duration,
    /// Ask the nodes in turn about unknown cursors.
    pub probe_cursors: bool,
    /// Width of the latency window and time between heartbeats.
    pub rules: route::Rules,
    /// The end of the work that operations are part of, where somebody knows it. It lives as
    /// long as the process, because settings are copied.
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
    epoch: Instant,
    /// Kept only where the process ends with its clients.
    seen_sessions: Option<SeenSessions>,
}

impl Relay {
    /// A relay to `cluster`.
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
        let deadline = Deadline::of(request, &self.settings);
        if let Some(seen) = &self.seen_sessions {
            seen.note(request);
        }
        let outcome = match request.facts.treatment {
            // On the heap: they are large, and every operation would be as large as they.
            Treatment::KillCursors => Box::pin(self.kill_cursors(client, request, deadline)).await,
            Treatment::GetMore => Box::pin(self.get_more(client, request, deadline)).await,
            _ => self.operate(client, request, deadline).await,
        };
        self.conclude(request, outcome)
    }

    /// An operation that any suitable node may serve.
    async fn operate<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        deadline: Deadline,
    ) -> Result<Answer, Stop> {
        let mut retries = Retries::default();
        loop {
            let found = self.find_node(client, request, deadline, &mut retries);
            let (pool, want) = found.await?;
            let leased = self.lease(client, request, &pool, want, deadline, &mut retries);
            let Some(lease) = leased.await? else {
                continue;
            };
            let tried = self.attempt(client, request, lease, deadline, &mut retries);
            if let Attempt::Done(answer) = tried.await? {
                return Ok(answer);
            }
        }
    }

    /// Chooses a node, holding the operation while there is none.
    async fn find_node<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        deadline: Deadline,
        retries: &mut Retries,
    ) -> Result<(Arc<NodePool>, Want), Stop> {
        let facts = &request.facts;
        loop {
            let table = arc_swap::Guard::into_inner(self.cluster.table());
            let route = pick::route(request, &table, &self.pins, self.settings.rules)?;
            if let Some(found) = pick::pick(facts, route, &table) {
                found.0.chosen();
                return Ok(found);
            }
            retries
                .held
                .get_or_insert_with(|| self.cluster.place_among_held());
            Box::pin(self.hold(client, request, &table, deadline)).await?;
        }
    }

    /// Waits for the topology to change: no node suits the operation now.
    async fn hold<C: ClientSide>(
        &self,
        client: &C,
        request: &Request,
        seen: &Table,
        deadline: Deadline,
    ) -> Result<(), Stop> {
        let class = request.facts.class;
        let Some(_bytes) = self.budget.try_reserve(request.message.len()) else {
            return Err(self.overloaded(client.traits(), class).into());
        };
        let _held = self.metrics.hold();
        let until = deadline.hold_until();
        tokio::select! {
            biased;
            () = self.cluster.changed_since(seen) => Ok(()),
            () = client.departed(), if request.is_dropped_on_departure() => Err(Stop::Abandoned),
            () = deadline.changed() => Ok(()),
            () = tokio::time::sleep_until(until) => {
                let failure = deadline.failure(until, Failure::NoNode);
                Err(self.refuse(failure, class).into())
            }
        }
    }

    /// Leases a connection; `None`: choose a node again.
    pub(crate) async fn lease<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        pool: &Arc<NodePool>,
        want: Want,
        deadline: Deadline,
        retries: &mut Retries,
    ) -> Result<Option<Lease>, Stop> {
        let class = request.facts.class;
        let want = retries.with_place(pool, want);
        let is_free = want.only.is_none() && class != Class::GetMore;
        let before = self.cluster.snapshot();
        let waiting_since = Instant::now();
        let (until, leased) = loop {
            let until = deadline.queue_until(waiting_since);
            tokio::select! {
                biased;
                leased = pool.lease(want, until) => break (until, leased),
                () = client.departed(), if request.is_dropped_on_departure() => {
                    return Err(Stop::Abandoned);
                }
                () = deadline.changed() => {}
            }
        };
        self.metrics.waited(want.lane, waiting_since);
        match leased {
            // While it waited, the node may have taken on another role. Most news are none of
            // a role: who went back to the end of the queue for each would wait for ever.
            Ok(lease) if is_free && self.changed_role(pool, &before) => {
                drop(lease);
                self.again(class, deadline).map(|_| None)
            }
            Ok(lease) => Ok(Some(lease)),
            Err(LeaseError::Cleared(place)) => {
                retries.kept = Some((Arc::clone(pool), place));
                self.again(class, deadline).map(|_| None)
            }
            Err(LeaseError::Retired) => self.again(class, deadline).map(|_| None),
            Err(LeaseError::TimedOut) => {
                let failure = deadline.failure(until, self.overload(client.traits()));
                Err(self.refuse(failure, class).into())
            }
            Err(LeaseError::Shed) => Err(self.overloaded(client.traits(), class).into()),
            Err(LeaseError::LoginRefused) => Err(self.refuse(Failure::LoginRefused, class).into()),
            Err(LeaseError::Gone) => {
                // A commit asked for again finds another way to its outcome, at once: its
                // driver asks again only once.
                self.forget_transaction(&request.facts);
                if matches!(class, Class::Commit | Class::Abort) {
                    return self.again(class, deadline).map(|_| None);
                }
                Err(self.gone(class).into())
            }
        }
    }

    /// Whether the pool's node has another role than in the snapshot `before`.
    fn changed_role(&self, pool: &NodePool, before: &Snapshot) -> bool {
        let now = &self.cluster.table().snapshot;
        let role = |of: &Snapshot| of.node(pool.node()).map(|node| node.kind);
        now.revision != before.revision && role(now) != role(before)
    }

    /// The connection that held a cursor or transaction is gone, and they with it.
    fn gone(&self, class: Class) -> ErrorReply {
        let failure = match class {
            Class::GetMore => Failure::CursorNotFound,
            _ => Failure::Interrupted,
        };
        self.refuse(failure, class)
    }

    /// The error for a full queue, in the form this client understands.
    pub(crate) fn overloaded(&self, client: ClientTraits, class: Class) -> ErrorReply {
        self.refuse(self.overload(client), class)
    }

    fn overload(&self, client: ClientTraits) -> Failure {
        Failure::Overloaded {
            backpressure: client.backpressure,
            base_backoff_ms: self.cluster.suggested_backoff_ms(),
        }
    }

    /// Counts a failure and words it.
    pub(crate) fn refuse(&self, failure: Failure, class: Class) -> ErrorReply {
        self.metrics.failed(failure, class);
        reply(failure, class)
    }

    fn conclude(&self, request: &Request, outcome: Result<Answer, Stop>) -> Reply {
        let silent = request.facts.is_unacknowledged();
        match outcome {
            Ok(Answer::Streamed) => Reply::Sent,
            Err(Stop::Hangup | Stop::Abandoned) => Reply::Hangup,
            Ok(Answer::Message(_)) | Err(Stop::Error(_)) if silent => Reply::Nothing,
            Ok(Answer::Message(message)) => Reply::Message(message),
            Err(Stop::Error(error)) => Reply::Message(error_message(request.id, &error)),
        }
    }

    pub(crate) fn now(&self) -> Duration {
        self.epoch.elapsed()
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
    use crate::{
        command::Facts,
        wire::{OpMsg, op_msg},
    };

    fn request(flags: u32) -> Request {
        let body = rawdoc! { "insert": "c", "$db": "d", "x": "0123456789" };
        let mut message = wire_reply::op_msg(1, 0, 0, body.as_bytes());
        op_msg::set_flags(&mut message, flags);
        let facts = Facts::read(&message, &OpMsg::parse(&message).unwrap()).unwrap();
        Request {
            facts,
            message,
            missing: 0,
            id: 1,
            started: Instant::now(),
        }
    }

    #[test]
    fn a_request_that_was_streamed_cannot_be_sent_again() {
        let mut request = request(0);
        assert!(!request.is_spent());
        request.message.truncate(40);
        request.missing = 10;
        assert!(!request.is_spent(), "its rest is still to come");
        request.missing = 0;
        assert!(request.is_spent());
    }

    #[test]
    fn what_wants_no_reply_outlives_its_client_even_after_its_flag_was_cleared() {
        let mut request = request(op_msg::MORE_TO_COME);
        op_msg::set_flags(&mut request.message, 0);
        assert!(!request.is_dropped_on_departure());
        assert!(self::request(0).is_dropped_on_departure());
    }
}
