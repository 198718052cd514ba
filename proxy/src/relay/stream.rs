//! Replies too large to be held: passed on in pieces, without letting a slow client hold
//! a connection of the pool.
//!
//! A reply flows to its client in chunks. When the client takes no byte for two seconds,
//! or for a moment while others wait for a connection, the rest is read into memory within
//! the budget, the connection goes back, and the client may take its time. Without room in
//! the budget it has two seconds, and one while others wait; then the client's socket is
//! closed: it holds half a reply, and nothing true can be told on it any more. The
//! connection is destroyed, or read to the end where the reply may open a cursor that ends
//! with the client.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::{
    buffer,
    command::outcome::stream::StreamScan,
    pool::{Lease, NodePool},
    relay::{
        ClientSide, Relay, Request, Stop,
        attempt::{Answer, Attempt},
        budget::Reserved,
    },
    route::pins::Position,
    upstream::ReceiveError,
    wire::{
        Header,
        header::{HEADER_LEN, opcode, set_response_to},
        op_msg,
    },
};

/// Bytes passed on at a time.
pub(super) const CHUNK: usize = 128 * 1024;

/// A peer that takes or gives no byte for so long holds nothing any more.
pub const STALL: Duration = Duration::from_secs(2);

/// A client that takes no byte for so long holds no connection that others wait for, if
/// there is room for the rest of its reply.
const MOMENT: Duration = Duration::from_millis(20);

/// The same where there is no room, and it will lose its connection.
const STALL_IN_A_QUEUE: Duration = Duration::from_secs(1);

/// Where the body document begins in a reply of one kind-0 section.
const BODY: usize = HEADER_LEN + 5;

/// A reply on its way through.
struct Passage {
    lease: Lease,
    scan: StreamScan,
    /// Bytes of the reply that are still to be read from the server.
    missing: usize,
}

impl Relay {
    /// Passes a large reply on. `reply` holds its first bytes.
    pub(crate) async fn stream_reply<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        lease: Lease,
        mut reply: Vec<u8>,
        header: Header,
    ) -> Result<Attempt, Stop> {
        let class = request.facts.class;
        if request.facts.is_unacknowledged() {
            // Nobody wants it: cheaper to make a connection than to read it.
            return Ok(Attempt::Done(Answer::Streamed));
        }
        let plain = header.op_code == opcode::MSG
            && op_msg::flags(&reply) == Some(0)
            && reply.get(BODY - 1) == Some(&0);
        if !plain {
            let strange = ReceiveError::Unasked;
            return Err(self.broken(&lease, class, &strange));
        }
        // A full budget stops nobody who reads: there is a piece for each connection at most.
        let _bytes = self.budget.reserve(CHUNK);
        set_response_to(&mut reply, request.id);
        let mut scan = StreamScan::default();
        scan.feed(reply.get(BODY..).unwrap_or_default());
        let missing = header.length.saturating_sub(reply.len());
        let mut passage = Passage {
            lease,
            scan,
            missing,
        };
        let mut chunk = Vec::with_capacity(CHUNK);
        chunk.append(&mut reply);
        buffer::give(reply);
        loop {
            if passage.missing == 0 {
                return self.last_chunk(client, request, passage, &chunk).await;
            }
            match self.push(client, &passage, &mut chunk).await {
                Pushed::All => {}
                Pushed::Spool(room) => {
                    return self.spool(client, request, passage, chunk, room).await;
                }
                Pushed::Lost => return Err(self.forsake(client, request, passage).await),
            }
            chunk.clear();
            self.next_chunk(request, &mut passage, &mut chunk).await?;
        }
    }

    /// Writes what has come to the client, for as long as it may hold the connection.
    async fn push<C: ClientSide>(
        &self,
        client: &mut C,
        passage: &Passage,
        chunk: &mut Vec<u8>,
    ) -> Pushed {
        let missing = passage.missing;
        let holds_up = |stalled| self.holds_up(passage.lease.pool(), missing, stalled);
        let stalled = match pass(client, chunk, holds_up).await {
            Ok(None) => return Pushed::All,
            Ok(Some(stalled)) => stalled,
            Err(_) => return Pushed::Lost,
        };
        chunk.drain(..chunk.len() - stalled.unsent);
        if let Some(room) = self.budget.try_reserve(stalled.unsent + missing) {
            return Pushed::Spool(room);
        }
        // Somebody else was quicker to take the room.
        let too_long = |more| stalled.time + more >= STALL_IN_A_QUEUE;
        if !too_long(Duration::ZERO) {
            match pass(client, chunk, too_long).await {
                Ok(None) => return Pushed::All,
                Ok(Some(_)) => {}
                Err(_) => return Pushed::Lost,
            }
        }
        self.metrics.stalled_client();
        Pushed::Lost
    }

    /// The client gets no more of this reply. In the load-balanced face the cursor that it
    /// opens ends with the client, so the rest is read to learn which; elsewhere the
    /// connection is cheaper to replace.
    async fn forsake<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        mut passage: Passage,
    ) -> Stop {
        if client.pins().is_none() {
            return Stop::Hangup;
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        while passage.missing > 0 {
            chunk.clear();
            let next = self.next_chunk(request, &mut passage, &mut chunk);
            if !matches!(timeout(STALL, next).await, Ok(Ok(()))) {
                return Stop::Hangup;
            }
        }
        self.settle(client, request, passage);
        Stop::Hangup
    }

    /// Whether a client that has taken no byte for so long is to hold a connection of this
    /// pool no longer.
    fn holds_up(&self, pool: &NodePool, missing: usize, stalled: Duration) -> bool {
        if stalled >= STALL {
            return true;
        }
        let is_enough = if self.budget.has_room(missing + CHUNK) {
            stalled >= MOMENT
        } else {
            stalled >= STALL_IN_A_QUEUE
        };
        is_enough && pool.has_queue()
    }

    async fn next_chunk(
        &self,
        request: &Request,
        passage: &mut Passage,
        chunk: &mut Vec<u8>,
    ) -> Result<(), Stop> {
        let before = chunk.len();
        let conn = passage.lease.connection().ok_or(Stop::Hangup)?;
        let capacity = chunk.capacity().max(before + 1);
        if let Err(error) = conn.read_some(chunk, capacity).await {
            // Half a reply is with the client already.
            drop(self.broken(&passage.lease, request.facts.class, &error));
            return Err(Stop::Hangup);
        }
        let fresh = chunk.get(before..).unwrap_or_default();
        passage.scan.feed(fresh);
        match passage.missing.checked_sub(fresh.len()) {
            Some(missing) => passage.missing = missing,
            None => return Err(Stop::Hangup),
        }
        Ok(())
    }

    /// Nothing is left to read: the connection goes back before the rest is written.
    async fn last_chunk<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        passage: Passage,
        chunk: &[u8],
    ) -> Result<Attempt, Stop> {
        self.settle(client, request, passage);
        self.metrics.answered(request.facts.class, true);
        let mut rest = chunk;
        while !rest.is_empty() {
            let n = client.write_some(rest).await.map_err(|_| Stop::Hangup)?;
            rest = rest.get(n..).unwrap_or_default();
        }
        Ok(Attempt::Done(Answer::Streamed))
    }

    /// Everything has been read: notes what it teaches and gives the connection back.
    fn settle<C: ClientSide>(&self, client: &mut C, request: &Request, passage: Passage) {
        self.note_streamed(request, &passage);
        if let Some(pins) = client.pins() {
            pins.after(request, &[], passage.scan.outcome());
        }
        passage.lease.give_back();
    }

    /// Writes a reply for which there is no room to wait: a client that does not take it
    /// loses its connection.
    pub(crate) async fn write_at_once<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        reply: &[u8],
    ) -> Result<Attempt, Stop> {
        let is_stall = |stalled| stalled >= STALL;
        let wanted = !request.facts.is_unacknowledged();
        if wanted && pass(client, reply, is_stall).await?.is_some() {
            self.metrics.stalled_client();
            return Err(Stop::Hangup);
        }
        Ok(Attempt::Done(Answer::Streamed))
    }

    fn note_streamed(&self, request: &Request, passage: &Passage) {
        let outcome = passage.scan.outcome();
        let facts = &request.facts;
        match outcome.cursor.map(|cursor| cursor.id) {
            Some(0) => self.unpin_cursor(facts.cursor_id),
            // The resume token went by unread, and the last one known is now too old.
            Some(id) if self.pins.cursor(id).is_some() => {
                self.pins
                    .touch_cursor(id, self.now(), Some(Position::default()));
            }
            Some(id) => self.pin_cursor(id, facts, &request.message, &passage.lease, &[]),
            None => {}
        }
        self.note_transaction(facts, &passage.lease, outcome);
    }

    /// The client has stalled: take the rest into memory and free the connection.
    async fn spool<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        mut passage: Passage,
        mut held: Vec<u8>,
        _room: Reserved,
    ) -> Result<Attempt, Stop> {
        held.reserve_exact(passage.missing);
        while passage.missing > 0 {
            self.next_chunk(request, &mut passage, &mut held).await?;
        }
        self.last_chunk(client, request, passage, &held).await
    }
}

/// What became of a piece of a reply.
enum Pushed {
    /// The client has taken it.
    All,
    /// The client is slow, and there is room for the rest of the reply.
    Spool(Reserved),
    /// The client has left, or is slow without there being room: it gets no more.
    Lost,
}

/// A client that takes nothing.
struct Stalled {
    /// Bytes of the chunk that it has not taken.
    unsent: usize,
    /// Since when.
    time: Duration,
}

/// Writes a chunk to the client until it has taken no byte for too long.
async fn pass<C: ClientSide>(
    client: &mut C,
    chunk: &[u8],
    is_too_long: impl Fn(Duration) -> bool,
) -> Result<Option<Stalled>, Stop> {
    let mut rest = chunk;
    let mut taken = Instant::now();
    while !rest.is_empty() {
        match timeout(MOMENT, client.write_some(rest)).await {
            Ok(Ok(n)) => {
                rest = rest.get(n..).unwrap_or_default();
                taken = Instant::now();
            }
            Ok(Err(_)) => return Err(Stop::Hangup),
            Err(_) if is_too_long(taken.elapsed()) => {
                return Ok(Some(Stalled {
                    unsent: rest.len(),
                    time: taken.elapsed(),
                }));
            }
            Err(_) => {}
        }
    }
    Ok(None)
}
