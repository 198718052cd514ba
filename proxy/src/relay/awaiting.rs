//! GetMores that wait for data: change streams and tailable cursors.
//!
//! They share a few slots of their node, K of them. Weir asks the node about each cursor in
//! short waits, in turn. A cursor whose client's wait ends before its turn comes keeps its place,
//! so that each gets its turn however many there are.
//!
//! With n cursors a wait takes K/n of a second, so the node is asked about each once a second.
//! From a hundred cursors for each slot on, asking costs more than it brings. A round then takes
//! up to two seconds. A round that takes longer than that makes the waits as short as possible
//! until it is in time again. An event that all cursors wait for passes quicker, because a cursor
//! that has data does not wait.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::{Instant, sleep_until};

use crate::{
    command::Facts,
    error::Failure,
    pool::{Lane, Lease, LeaseError, NodePool, Place, Want},
    relay::{
        ClientSide, Relay, Request, cursor_node,
        deadline::CURSOR_NODE_AWAY,
        fresh_id,
        operation::{CheckOut, Operation, Target},
        outcome::{Answer, Stop},
    },
    route::pins::{CursorPin, Position, Turn},
    wire::{
        build::DocumentBuilder,
        edit,
        op_msg::OpMsg,
        raw::{find, kind},
        reply,
    },
};

/// The node is asked about every cursor once in this time, if there are not too many.
const ROUND: Duration = Duration::from_secs(1);

/// The node is asked about every cursor once in this time, if the server can keep up.
const LONGEST_ROUND: Duration = Duration::from_secs(2);

/// Waits become shorter than this only to end a round in time. Each question costs the server
/// about a tenth of it.
const WORTH_ASKING: Duration = Duration::from_millis(10);

/// Longest wait in a pool so small that its only slot for normal work is the streams' too.
const WITHOUT_SLOT: Duration = Duration::from_millis(20);

/// The shortest wait.
const NO_WAIT: Duration = Duration::from_millis(1);

/// How long a server waits for data when a getMore does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// Counts one more while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

/// Asks the node again and again, in turn with other cursors, until there is data or the
/// client's own wait is over.
pub(super) async fn await_data<C: ClientSide>(
    operation: &mut Operation<'_, C>,
    pool: &Arc<NodePool>,
    pin: &CursorPin,
) -> Result<Answer, Stop> {
    let relay = operation.relay;
    let _counted = Counted::new(&relay.cluster.awaiting);
    let turns = Turns {
        pin,
        pool,
        until: operation.request.started + wait_asked(operation.request),
        turn: pin.turn.unwrap_or_else(|| next_turn(relay, pool)),
        last: None,
    };
    operation.complete(turns).await
}

/// The turns of one getMore that waits for data: its target.
struct Turns<'a> {
    pin: &'a CursorPin,
    pool: &'a Arc<NodePool>,
    /// The end of the client's own wait.
    until: Instant,
    turn: Turn,
    /// The answer of the last turn, an empty batch.
    last: Option<Answer>,
}

impl Target for Turns<'_> {
    async fn select<C: ClientSide>(
        &mut self,
        _operation: &mut Operation<'_, C>,
    ) -> Result<(Arc<NodePool>, Want), Stop> {
        let want = Want {
            place: Some(Place(self.turn.place)),
            ..cursor_node::want(self.pin, Lane::Awaiting)
        };
        Ok((Arc::clone(self.pool), want))
    }

    /// Waits for the cursor's turn.
    async fn check_out<C: ClientSide>(
        &mut self,
        operation: &mut Operation<'_, C>,
        pool: &Arc<NodePool>,
        want: Want,
    ) -> Result<CheckOut, Stop> {
        if Instant::now() >= self.until
            && let Some(last) = self.last.take()
        {
            return Ok(CheckOut::Done(last));
        }
        if has_left(operation.client).await {
            return Err(Stop::Abandoned);
        }
        match await_turn(operation, pool, want, self.until).await? {
            Waited::Leased(lease) => {
                let wait = share(operation.relay, pool, self.turn, self.until);
                set_wait(operation.request, wait);
                Ok(CheckOut::Lease(lease))
            }
            Waited::TimedOut => {
                let id = operation.request.facts.cursor_id;
                operation.relay.pins.keep_turn(id, self.turn);
                let last = self.last.take();
                Ok(CheckOut::Done(
                    last.unwrap_or_else(|| own_empty_batch(operation)),
                ))
            }
            Waited::Cleared => {
                let patience = operation.deadline.hold_from_now(CURSOR_NODE_AWAY);
                cursor_node::find(operation, self.pin, patience).await?;
                Ok(CheckOut::Again)
            }
        }
    }

    fn accept<C: ClientSide>(
        &mut self,
        operation: &Operation<'_, C>,
        answer: Answer,
    ) -> Option<Answer> {
        // A request that was streamed cannot be sent again.
        if operation.request.is_spent() || !answer.is_empty_batch() {
            return Some(answer);
        }
        self.last = Some(answer);
        self.turn = next_turn(operation.relay, self.pool);
        None
    }
}

/// How long the next question may wait at the server.
fn share(relay: &Relay, pool: &NodePool, turn: Turn, until: Instant) -> Duration {
    let streams = relay.cluster.awaiting.load(Ordering::Relaxed);
    let is_late = relay.now().saturating_sub(turn.since) > LONGEST_ROUND;
    let mut wait = share_of_round(streams, pool.awaiting_share(), is_late);
    if pool.awaiting_takes_all() {
        wait = wait.min(WITHOUT_SLOT);
    }
    wait.min(until.saturating_duration_since(Instant::now()))
}

fn next_turn(relay: &Relay, pool: &NodePool) -> Turn {
    Turn {
        place: pool.next_place().0,
        since: relay.now(),
    }
}

/// Writes the wait of one question into the request. Adds the field when it is missing.
pub(super) fn set_wait(request: &mut Request, wait: Duration) {
    let ms = i64::try_from(wait.as_millis()).unwrap_or(1000).max(1);
    if let Some(max) = request.facts.max_time {
        edit::overwrite_number(&mut request.message, max.at, max.kind, ms);
        return;
    }
    let value = i32::try_from(ms).unwrap_or(1000).to_le_bytes();
    let Ok(msg) = OpMsg::parse(&request.message) else {
        return;
    };
    let (message, int32) = (&mut request.message, kind::INT32);
    if edit::append_to_body(message, &msg, int32, "maxTimeMS", &value).is_err() {
        return;
    }
    // The positions of fields have changed: read them again.
    if let Ok(facts) = Facts::of(&request.message) {
        request.facts = facts;
    }
}

/// What a wait for a slot came to.
enum Waited {
    /// The cursor's turn has come.
    Leased(Lease),
    /// The client's wait is over.
    TimedOut,
    /// The pool was cleared. Find the cursor's node again.
    Cleared,
}

/// Waits for a slot until the client's wait is over.
async fn await_turn<C: ClientSide>(
    operation: &Operation<'_, C>,
    pool: &Arc<NodePool>,
    want: Want,
    until: Instant,
) -> Result<Waited, Stop> {
    let leased = tokio::select! {
        biased;
        leased = pool.lease(want, until) => leased,
        () = operation.client.departed() => return Err(Stop::Abandoned),
    };
    match leased {
        Ok(lease) => Ok(Waited::Leased(lease)),
        Err(LeaseError::TimedOut) => Ok(Waited::TimedOut),
        // The client would answer an immediate reply with its next question.
        Err(LeaseError::Shed) => tokio::select! {
            () = sleep_until(until) => Ok(Waited::TimedOut),
            () = operation.client.departed() => Err(Stop::Abandoned),
        },
        Err(LeaseError::Cleared(_)) if Instant::now() < until => Ok(Waited::Cleared),
        Err(LeaseError::Cleared(_)) => Ok(Waited::TimedOut),
        Err(LeaseError::LoginRefused) => Err(operation.refuse_get_more(Failure::LoginRefused)),
        Err(LeaseError::Gone | LeaseError::Retired) => {
            let relay = operation.relay;
            relay.unpin_cursor(operation.request.facts.cursor_id);
            Err(operation.refuse_get_more(Failure::CursorNotFound))
        }
    }
}

/// The empty batch that a server would have sent if nothing had happened. The client's wait
/// ended in Weir's queue.
fn own_empty_batch<C>(operation: &Operation<'_, C>) -> Answer {
    let id = operation.request.facts.cursor_id;
    let pin = operation.relay.pins.cursor(id);
    let position = pin.and_then(|pin| pin.position).unwrap_or_default();
    let body = empty_batch(operation.request, &position);
    Answer::Message(reply::op_msg(fresh_id(), operation.request.id, 0, &body))
}

fn empty_batch(request: &Request, position: &Position) -> Vec<u8> {
    let mut cursor = DocumentBuilder::new();
    cursor.array("nextBatch", &DocumentBuilder::new().finish());
    if !position.resume_token.is_empty() {
        cursor.document("postBatchResumeToken", &position.resume_token);
    }
    cursor.i64("id", request.facts.cursor_id);
    let namespace = match position.namespace.as_slice() {
        [] => namespace_asked(request),
        known => String::from_utf8_lossy(known).into_owned(),
    };
    cursor.str("ns", &namespace);
    let mut body = DocumentBuilder::new();
    body.document("cursor", &cursor.finish()).f64("ok", 1.0);
    body.finish()
}

/// How long the client waits for data.
fn wait_asked(request: &Request) -> Duration {
    let asked = request
        .facts
        .max_time
        .and_then(|max| u64::try_from(max.ms).ok());
    asked.map_or(DEFAULT_WAIT, Duration::from_millis)
}

/// How long one of `streams` cursors may wait for data at the server, on `slots` slots.
fn share_of_round(streams: usize, slots: usize, late: bool) -> Duration {
    if late {
        return NO_WAIT;
    }
    let [streams, slots] = [streams, slots].map(|n| u32::try_from(n).unwrap_or(u32::MAX).max(1));
    let part = |round: Duration| round * slots.min(streams) / streams;
    part(ROUND)
        .max(WORTH_ASKING)
        .min(part(LONGEST_ROUND))
        .max(NO_WAIT)
}

/// Whether the client has left. A check-out that need not wait does not notice it, so a loop of
/// short waits has to ask.
async fn has_left<C: ClientSide>(client: &C) -> bool {
    tokio::select! {
        biased;
        () = client.departed() => true,
        () = std::future::ready(()) => false,
    }
}

/// The namespace of a getMore, as its reply names it.
fn namespace_asked(request: &Request) -> String {
    let facts = &request.facts;
    let collection = find(facts.body.of(&request.message), b"collection");
    let collection = collection
        .as_ref()
        .and_then(|name| name.as_str())
        .unwrap_or_default();
    String::from_utf8_lossy(&[facts.db.of(&request.message), b".", collection].concat())
        .into_owned()
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::*;

    #[test]
    fn a_round_is_shared_by_all_streams() {
        let ms = |n| Duration::from_millis(n);
        assert_eq!(share_of_round(50, 1, false), ms(20));
        assert_eq!(share_of_round(150, 1, false), ms(10));
        assert_eq!(share_of_round(200, 1, false), ms(10));
        assert_eq!(share_of_round(400, 1, false), ms(5));
        assert_eq!(share_of_round(200, 4, false), ms(20));
        assert_eq!(share_of_round(1, 4, false), ROUND);
        assert_eq!(share_of_round(0, 4, false), ROUND);
        assert_eq!(share_of_round(100_000, 1, false), NO_WAIT);
        assert_eq!(share_of_round(3, 1, true), NO_WAIT, "a late round hurries");
    }

    fn get_more(body: &bson::RawDocumentBuf) -> Request {
        let message = reply::op_msg(1, 0, 0, body.as_bytes());
        let facts = Facts::of(&message).unwrap();
        Request::new(facts, message, 1, Instant::now())
    }

    #[test]
    fn the_wait_is_written_over_the_clients_own_or_added() {
        let read = |request: &Request| Facts::of(&request.message).unwrap().max_time.unwrap().ms;
        let mut own = get_more(&rawdoc! { "getMore": 7_i64, "maxTimeMS": 900, "$db": "d" });
        set_wait(&mut own, Duration::from_millis(40));
        assert_eq!(read(&own), 40);
        assert_eq!(
            wait_asked(&own),
            Duration::from_millis(900),
            "the client's wait stays known"
        );
        let mut added = get_more(&rawdoc! { "getMore": 7_i64, "collection": "c", "$db": "d" });
        set_wait(&mut added, Duration::ZERO);
        assert_eq!(read(&added), 1, "0 would mean no limit");
        assert_eq!(added.facts.cursor_id, 7);
        set_wait(&mut added, Duration::from_millis(30));
        assert_eq!(read(&added), 30);
    }

    #[test]
    fn an_empty_batch_carries_the_last_known_position() {
        let request = get_more(&rawdoc! { "getMore": 7_i64, "collection": "c", "$db": "d" });
        let token = rawdoc! { "_data": "82" };
        let known = Position {
            namespace: b"d.other".to_vec(),
            resume_token: token.as_bytes().to_vec(),
        };
        let read = |position| RawDocumentBuf::from_bytes(empty_batch(&request, position)).unwrap();
        let batch = bson::RawArrayBuf::new();
        assert_eq!(
            read(&known),
            rawdoc! {
                "cursor": {
                    "nextBatch": batch.clone(), "postBatchResumeToken": token, "id": 7_i64,
                    "ns": "d.other",
                },
                "ok": 1.0,
            }
        );
        assert_eq!(
            read(&Position::default()),
            rawdoc! { "cursor": { "nextBatch": batch, "id": 7_i64, "ns": "d.c" }, "ok": 1.0 }
        );
    }
}
