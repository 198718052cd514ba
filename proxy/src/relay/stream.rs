//! Large replies. Weir passes them on in chunks, and a slow client does not hold a connection
//! of the pool.
//!
//! A client is slow when it takes no byte for two seconds, or for 20 ms while other operations
//! wait for a connection. Then Weir reads the rest of the reply into memory, within the budget,
//! and gives the connection back.
//!
//! Without room in the budget the client has two seconds, or one while others wait. After that
//! its socket is closed, because it holds half a reply and no error can be sent on it. The
//! connection is destroyed. Only in the load-balanced face is it read to its end, because the
//! reply may open a cursor that must end with the client.

use std::time::Duration;

use tokio::time::{Instant, timeout};

use crate::{
    buffer,
    command::outcome::stream::StreamScan,
    pool::Lease,
    relay::{
        ClientSide,
        budget::Reserved,
        operation::Operation,
        outcome::{Answer, Attempt, Stop},
    },
    upstream::ReceiveError,
    wire::{
        Header,
        header::{opcode, set_response_to},
        op_msg,
        reply::BODY_AT,
    },
};

/// Bytes that are passed on at a time.
pub(super) const CHUNK: usize = 128 * 1024;

/// A peer that takes or gives no byte for this time holds no connection any longer.
pub(super) const STALL: Duration = Duration::from_secs(2);

/// The same while other operations wait and the budget has room for the rest of the reply.
const STALL_WITH_ROOM: Duration = Duration::from_millis(20);

/// The same while other operations wait and the budget has no room. The client then loses its
/// socket.
const STALL_WITHOUT_ROOM: Duration = Duration::from_secs(1);

/// A reply that is passed on.
struct Passage<'o, 'a, C> {
    operation: &'o mut Operation<'a, C>,
    lease: Lease,
    scan: StreamScan,
    /// Bytes of the reply that the server has not sent yet.
    missing: usize,
}

/// Passes a large reply on. `reply` holds its first bytes.
pub(super) async fn pass_on<C: ClientSide>(
    operation: &mut Operation<'_, C>,
    lease: Lease,
    mut reply: Vec<u8>,
    header: Header,
) -> Result<Attempt, Stop> {
    if operation.request.facts.is_unacknowledged() {
        // The client wants no reply. A new connection costs less than reading this one.
        return Ok(Attempt::Done(Answer::Streamed));
    }
    if !is_plain(&reply, &header) {
        return Err(operation.broken(&lease, &ReceiveError::Unrequested));
    }
    // This share is reserved even if the budget is used up. There is one chunk for each
    // connection at most, and a client that reads is never stopped.
    let _bytes = operation.relay.budget.reserve(CHUNK);
    set_response_to(&mut reply, operation.request.id);
    let mut scan = StreamScan::default();
    scan.feed(reply.get(BODY_AT..).unwrap_or_default());
    let missing = header.length.saturating_sub(reply.len());
    let mut passage = Passage {
        operation,
        lease,
        scan,
        missing,
    };
    let mut chunk = Vec::with_capacity(CHUNK);
    chunk.append(&mut reply);
    buffer::give(reply);
    loop {
        if passage.missing == 0 {
            return passage.last_chunk(&chunk).await;
        }
        match passage.push(&mut chunk).await {
            Pushed::All => {}
            Pushed::Spool(room) => return passage.spool(chunk, room).await,
            Pushed::Lost => return Err(passage.lose_client().await),
        }
        chunk.clear();
        passage.next_chunk(&mut chunk).await?;
    }
}

/// Whether a reply has one section, no flags and no compression, so that its body begins where
/// the scan expects it.
fn is_plain(reply: &[u8], header: &Header) -> bool {
    header.op_code == opcode::MSG
        && op_msg::flags(reply) == Some(0)
        && reply.get(BODY_AT - 1) == Some(&0)
}

impl<'o, 'a, C: ClientSide> Passage<'o, 'a, C> {
    /// Writes what has arrived to the client, for as long as it may hold the connection.
    async fn push(&mut self, chunk: &mut Vec<u8>) -> Pushed {
        let (relay, missing, pool) = (self.operation.relay, self.missing, self.lease.pool());
        let is_too_long = |stalled| {
            let has_room = || relay.budget.has_room(missing + CHUNK);
            must_release(stalled, has_room, || pool.has_queue())
        };
        let stalled = match write(self.operation.client, chunk, is_too_long).await {
            Ok(None) => return Pushed::All,
            Ok(Some(stalled)) => stalled,
            Err(_) => return Pushed::Lost,
        };
        chunk.drain(..chunk.len() - stalled.unsent);
        if let Some(room) = relay.budget.try_reserve(stalled.unsent + missing) {
            return Pushed::Spool(room);
        }
        // Another operation has taken the room.
        let is_too_long = |more| stalled.time + more >= STALL_WITHOUT_ROOM;
        if !is_too_long(Duration::ZERO) {
            match write(self.operation.client, chunk, is_too_long).await {
                Ok(None) => return Pushed::All,
                Ok(Some(_)) => {}
                Err(_) => return Pushed::Lost,
            }
        }
        relay.metrics.stalled_client();
        Pushed::Lost
    }

    /// The client gets no more of this reply.
    ///
    /// In the load-balanced face the cursor that the reply opens ends with the client. So the
    /// rest is read, to learn which cursor it is. In the mongos face the connection is destroyed,
    /// because a new one costs less.
    async fn lose_client(mut self) -> Stop {
        if self.operation.client.pins().is_none() {
            return Stop::Hangup;
        }
        let mut chunk = Vec::with_capacity(CHUNK);
        while self.missing > 0 {
            chunk.clear();
            let next = self.next_chunk(&mut chunk);
            if !matches!(timeout(STALL, next).await, Ok(Ok(()))) {
                return Stop::Hangup;
            }
        }
        self.check_in();
        Stop::Hangup
    }

    async fn next_chunk(&mut self, chunk: &mut Vec<u8>) -> Result<(), Stop> {
        let before = chunk.len();
        let conn = self.lease.connection().ok_or(Stop::Hangup)?;
        let capacity = chunk.capacity().max(before + 1);
        if let Err(error) = conn.read_some(chunk, capacity).await {
            // The client holds half a reply, so it cannot get the error.
            let _refused = self.operation.broken(&self.lease, &error);
            return Err(Stop::Hangup);
        }
        let fresh = chunk.get(before..).unwrap_or_default();
        self.scan.feed(fresh);
        match self.missing.checked_sub(fresh.len()) {
            Some(missing) => self.missing = missing,
            None => return Err(Stop::Hangup),
        }
        Ok(())
    }

    /// The server has sent everything: the connection goes back before the rest is written.
    async fn last_chunk(self, chunk: &[u8]) -> Result<Attempt, Stop> {
        let operation = self.check_in();
        operation.relay.metrics.answered(operation.class(), true);
        let mut rest = chunk;
        while !rest.is_empty() {
            let written = operation.client.write_some(rest).await;
            let n = written.map_err(|_| Stop::Hangup)?;
            rest = rest.get(n..).unwrap_or_default();
        }
        Ok(Attempt::Done(Answer::Streamed))
    }

    /// The client has stalled: reads the rest into memory and frees the connection.
    async fn spool(mut self, mut held: Vec<u8>, _room: Reserved) -> Result<Attempt, Stop> {
        held.reserve_exact(self.missing);
        while self.missing > 0 {
            self.next_chunk(&mut held).await?;
        }
        self.last_chunk(&held).await
    }

    /// Notes what the reply changes and gives the connection back.
    fn check_in(self) -> &'o mut Operation<'a, C> {
        let Self {
            operation,
            lease,
            scan,
            ..
        } = self;
        let outcome = scan.outcome();
        operation
            .relay
            .record_streamed(operation.request, &lease, outcome);
        if let Some(pins) = operation.client.pins() {
            pins.after(operation.request, &[], outcome);
        }
        lease.give_back();
        operation
    }
}

/// Writes a reply for which the budget has no room. A client that does not take it loses its
/// socket.
pub(super) async fn write_without_room<C: ClientSide>(
    operation: &mut Operation<'_, C>,
    reply: &[u8],
) -> Result<Attempt, Stop> {
    let is_too_long = |stalled| stalled >= STALL;
    let is_wanted = !operation.request.facts.is_unacknowledged();
    if is_wanted && write(operation.client, reply, is_too_long).await?.is_some() {
        operation.relay.metrics.stalled_client();
        return Err(Stop::Hangup);
    }
    Ok(Attempt::Done(Answer::Streamed))
}

/// Whether a client that has taken no byte for `stalled` must release its connection.
fn must_release(
    stalled: Duration,
    has_room: impl FnOnce() -> bool,
    others_wait: impl FnOnce() -> bool,
) -> bool {
    if stalled >= STALL {
        return true;
    }
    let limit = if has_room() {
        STALL_WITH_ROOM
    } else {
        STALL_WITHOUT_ROOM
    };
    stalled >= limit && others_wait()
}

/// What happened to a chunk of a reply.
enum Pushed {
    /// The client has taken it.
    All,
    /// The client is slow, and the budget has room for the rest of the reply.
    Spool(Reserved),
    /// The client has left, or is slow and the budget has no room. It gets no more.
    Lost,
}

/// A client that takes nothing.
#[derive(Debug, PartialEq, Eq)]
struct Stalled {
    /// Bytes of the chunk that the client has not taken.
    unsent: usize,
    /// Time since it last took a byte.
    time: Duration,
}

/// Writes a chunk to the client, until the client has taken no byte for too long.
async fn write<C: ClientSide>(
    client: &mut C,
    chunk: &[u8],
    is_too_long: impl Fn(Duration) -> bool,
) -> Result<Option<Stalled>, Stop> {
    let mut rest = chunk;
    let mut taken = Instant::now();
    while !rest.is_empty() {
        match timeout(STALL_WITH_ROOM, client.write_some(rest)).await {
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

#[cfg(test)]
mod tests {
    use std::{
        future::{Future, pending},
        io,
    };

    use bson::rawdoc;

    use super::*;
    use crate::{
        relay::ClientTraits,
        wire::{header::MAX_MESSAGE_LEN, op_msg::MORE_TO_COME, reply},
    };

    fn ms(ms: u64) -> Duration {
        Duration::from_millis(ms)
    }

    #[test]
    fn a_slow_client_releases_its_connection_sooner_while_others_wait() {
        for (stalled, has_room, others_wait, released) in [
            (ms(0), true, true, false),
            (ms(19), true, true, false),
            (ms(20), true, true, true),
            (ms(20), true, false, false),
            (ms(999), false, true, false),
            (ms(1_000), false, true, true),
            (ms(1_999), false, false, false),
            (ms(2_000), false, false, true),
            (ms(2_000), true, false, true),
        ] {
            let decision = must_release(stalled, || has_room, || others_wait);
            assert_eq!(decision, released, "{stalled:?} {has_room} {others_wait}");
        }
    }

    #[test]
    fn only_a_reply_of_one_section_without_flags_is_passed_on() {
        let body = rawdoc! { "ok": 1.0 };
        let plain = reply::op_msg(1, 2, 0, body.as_bytes());
        let header = |bytes: &[u8]| Header::decode(bytes, MAX_MESSAGE_LEN).unwrap().unwrap();
        assert!(is_plain(&plain, &header(&plain)));
        let more = reply::op_msg(1, 2, MORE_TO_COME, body.as_bytes());
        assert!(!is_plain(&more, &header(&more)));
        let mut sequence = plain.clone();
        sequence[BODY_AT - 1] = 1;
        assert!(!is_plain(&sequence, &header(&sequence)));
        let packed = Header {
            op_code: opcode::COMPRESSED,
            ..header(&plain)
        };
        assert!(!is_plain(&plain, &packed));
    }

    /// Takes so many bytes, a few at a time, and then none.
    struct Slow(usize);

    impl ClientSide for Slow {
        fn traits(&self) -> ClientTraits {
            ClientTraits::default()
        }

        fn departed(&self) -> impl Future<Output = ()> + Send {
            pending()
        }

        async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let taken = bytes.len().min(self.0).min(3);
            self.0 -= taken;
            if taken == 0 {
                pending::<()>().await;
            }
            Ok(taken)
        }

        async fn read_some(&mut self, _: &mut Vec<u8>, _: usize) -> io::Result<usize> {
            Ok(0)
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_stalled_client_is_told_by_what_it_has_not_taken() {
        let chunk = [0; 10];
        let end = |stalled| stalled >= STALL;
        assert_eq!(write(&mut Slow(10), &chunk, end).await.unwrap(), None);
        let stalled = write(&mut Slow(7), &chunk, end).await.unwrap().unwrap();
        assert_eq!(stalled.unsent, 3);
        assert!(stalled.time >= STALL && stalled.time < STALL + STALL_WITH_ROOM * 2);
    }
}
