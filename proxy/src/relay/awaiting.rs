//! GetMores that wait for data: change streams and tailable cursors.
//!
//! They share a few slots of their node (K of them). Each is asked about in short waits,
//! in turn: a cursor whose client's wait ends before its turn comes keeps its place, so
//! that however many there are, none is passed over. With n of them a wait takes K/n of
//! a second, so that each is asked about once a second. From a hundred for each slot on,
//! where asking costs more than it brings, a round takes up to two seconds; where the
//! work itself takes so long that a round is late, waits shrink to nothing until it is not.
//! An event that all wait for passes quicker: nobody who has it waits.

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
    error::{Class, Failure},
    pool::{Lane, Lease, LeaseError, NodePool, Place, Want},
    relay::{
        ClientSide, Relay, Request, Stop,
        attempt::{Answer, Attempt},
        cursors::{AWAY, wanted},
        deadline::Deadline,
        fresh_id,
        retries::Retries,
    },
    route::pins::{CursorPin, Turn},
    wire::{
        build::DocumentBuilder,
        edit,
        op_msg::{self, OpMsg},
        raw::find,
        reply,
    },
};

/// In this time every cursor is asked about once, if they are not too many.
const ROUND: Duration = Duration::from_secs(1);

/// In this time every cursor is asked about once, if the server can keep up.
const LONGEST_ROUND: Duration = Duration::from_secs(2);

/// Waits become shorter than this only to end a round in time: each question costs the
/// server about a tenth of it.
const WORTH_ASKING: Duration = Duration::from_millis(10);

/// In the smallest pools the only slot for normal work is the streams' too: nobody shall wait
/// longer for it than this.
const WITHOUT_SLOT: Duration = Duration::from_millis(20);

/// The shortest wait there is.
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

impl Relay {
    /// Asks again and again, in turn with others, until there is data or the client's own
    /// wait is over.
    pub(super) async fn await_data<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        pool: &Arc<NodePool>,
        pin: &CursorPin,
    ) -> Result<Answer, Stop> {
        let _counted = Counted::new(&self.cluster.awaiting);
        let until = request.started + wait_asked(request);
        let mut turn = pin.turn.unwrap_or_else(|| self.next_turn(pool));
        let mut retries = Retries::default();
        let mut last = None;
        while last.is_none() || Instant::now() < until {
            if has_left(client).await {
                return Err(Stop::Abandoned);
            }
            let want = Want {
                place: Some(Place(turn.place)),
                ..wanted(pin, Lane::Awaiting)
            };
            let lease = match self.await_turn(client, request, pool, want, until).await? {
                Waited::Leased(lease) => lease,
                Waited::InVain => {
                    self.pins.keep_turn(request.facts.cursor_id, turn);
                    break;
                }
                Waited::Again => {
                    let patience = Deadline::of(request, &self.settings).hold_from_now(AWAY);
                    self.home(client, request, pin, patience).await?;
                    tokio::task::yield_now().await;
                    continue;
                }
            };
            self.set_wait(request, self.share(pool, turn, until));
            let deadline = Deadline::of(request, &self.settings);
            let tried = self.attempt(client, request, lease, deadline, &mut retries);
            match tried.await? {
                // What went through in pieces cannot be asked again.
                Attempt::Done(answer) if request.is_spent() => return Ok(answer),
                Attempt::Done(answer) if is_empty_batch(&answer) => {
                    last = Some(answer);
                    turn = self.next_turn(pool);
                }
                Attempt::Done(answer) => return Ok(answer),
                Attempt::Again => tokio::task::yield_now().await,
            }
        }
        Ok(last.unwrap_or_else(|| Answer::Message(self.empty_batch(request))))
    }

    /// How long the next question may wait at the server.
    fn share(&self, pool: &NodePool, turn: Turn, until: Instant) -> Duration {
        let streams = self.cluster.awaiting.load(Ordering::Relaxed);
        let late = self.now().saturating_sub(turn.since) > LONGEST_ROUND;
        let mut wait = share_of_round(streams, pool.awaiting_share(), late);
        if pool.awaiting_takes_all() {
            wait = wait.min(WITHOUT_SLOT);
        }
        wait.min(until.saturating_duration_since(Instant::now()))
    }

    fn next_turn(&self, pool: &NodePool) -> Turn {
        Turn {
            place: pool.next_place().0,
            since: self.now(),
        }
    }

    /// Writes the wait of one poll into the request, adding the field when it is missing.
    pub(super) fn set_wait(&self, request: &mut Request, wait: Duration) {
        let ms = i64::try_from(wait.as_millis()).unwrap_or(1000).max(1);
        if let Some(max) = request.facts.max_time {
            edit::overwrite_number(&mut request.message, max.at, max.kind, ms);
            return;
        }
        let value = i32::try_from(ms).unwrap_or(1000).to_le_bytes();
        let Ok(msg) = OpMsg::parse(&request.message) else {
            return;
        };
        if edit::append_to_body(&mut request.message, &msg, 0x10, "maxTimeMS", &value).is_err() {
            return;
        }
        // Positions have moved: read them again.
        if let Ok(facts) = Facts::of(&request.message) {
            request.facts = facts;
        }
    }

    /// Waits for a slot until the client's wait is over.
    async fn await_turn<C: ClientSide>(
        &self,
        client: &C,
        request: &Request,
        pool: &Arc<NodePool>,
        want: Want,
        until: Instant,
    ) -> Result<Waited, Stop> {
        let leased = tokio::select! {
            biased;
            leased = pool.lease(want, until) => leased,
            () = client.departed() => return Err(Stop::Abandoned),
        };
        match leased {
            Ok(lease) => Ok(Waited::Leased(lease)),
            Err(LeaseError::TimedOut) => Ok(Waited::InVain),
            // An answer at once would only be followed by the next question.
            Err(LeaseError::Shed) => tokio::select! {
                () = sleep_until(until) => Ok(Waited::InVain),
                () = client.departed() => Err(Stop::Abandoned),
            },
            Err(LeaseError::Cleared(_)) if Instant::now() < until => Ok(Waited::Again),
            Err(LeaseError::Cleared(_)) => Ok(Waited::InVain),
            Err(LeaseError::LoginRefused) => {
                Err(self.refuse(Failure::LoginRefused, Class::GetMore).into())
            }
            Err(LeaseError::Gone | LeaseError::Retired) => {
                self.unpin_cursor(request.facts.cursor_id);
                Err(self.refuse(Failure::CursorNotFound, Class::GetMore).into())
            }
        }
    }

    /// What a server would have said had nothing happened: the wait ended in our queue.
    fn empty_batch(&self, request: &Request) -> Vec<u8> {
        let id = request.facts.cursor_id;
        let position = self
            .pins
            .cursor(id)
            .and_then(|pin| pin.position)
            .unwrap_or_default();
        let mut cursor = DocumentBuilder::new();
        cursor.array("nextBatch", &DocumentBuilder::new().finish());
        if !position.resume_token.is_empty() {
            cursor.document("postBatchResumeToken", &position.resume_token);
        }
        cursor.i64("id", id);
        let namespace = match position.namespace.as_slice() {
            [] => namespace_asked(request),
            known => String::from_utf8_lossy(known).into_owned(),
        };
        cursor.str("ns", &namespace);
        let mut body = DocumentBuilder::new();
        body.document("cursor", &cursor.finish()).f64("ok", 1.0);
        reply::op_msg(fresh_id(), request.id, 0, &body.finish())
    }
}

enum Waited {
    Leased(Lease),
    InVain,
    Again,
}

/// How long the client waits for data.
fn wait_asked(request: &Request) -> Duration {
    let asked = request
        .facts
        .max_time
        .and_then(|max| u64::try_from(max.ms).ok());
    asked.map_or(DEFAULT_WAIT, Duration::from_millis)
}

/// How long one of so many streams may wait for data at the server, on so many slots.
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

/// Whether the client has left by now. A free connection is taken without looking, so a
/// loop of short waits has to ask.
async fn has_left<C: ClientSide>(client: &C) -> bool {
    tokio::select! {
        biased;
        () = client.departed() => true,
        () = std::future::ready(()) => false,
    }
}

/// What a getMore reads from, as its reply names it.
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

/// An empty batch of a cursor that is still open.
pub(super) fn is_empty_batch(answer: &Answer) -> bool {
    let Answer::Message(message) = answer else {
        return false;
    };
    let batch = || {
        let cursor = find(op_msg::body(message)?, b"cursor")?;
        let cursor = cursor.as_document()?;
        let open = find(cursor, b"id")?.as_i64()? != 0;
        Some(open && find(cursor, b"nextBatch")?.as_array()?.len() <= 5)
    };
    batch() == Some(true)
}

#[cfg(test)]
mod tests {
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
}
