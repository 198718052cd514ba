//! The end of an attempt: what follows from a whole reply, and what the client gets.

use std::time::Duration;

use crate::{
    buffer,
    command::Outcome,
    error::Failure,
    pool::Lease,
    random,
    relay::{
        ClientSide,
        attempt::WHOLE_REPLY,
        budget::{Budget, Reserved},
        decide::{ReplyDecision, Retry, decide},
        fresh_id,
        operation::Operation,
        outcome::{Answer, Attempt, Stop},
        scrub::without_state_change,
        stream,
    },
    upstream::ReceiveError,
    wire::{
        Header,
        compressed::{decompress, plain_len},
        header::{MAX_MESSAGE_LEN, opcode, set_response_to},
        op_msg::{self, OpMsg},
        reply as wire_reply,
    },
};

/// Memory for a reply.
#[derive(Debug)]
enum Room {
    /// The reply fits a buffer that a connection may always have.
    NotNeeded,
    /// The budget has room for the reply.
    Reserved(Reserved),
    /// The budget has no room for the reply.
    Refused,
}

impl Room {
    fn reserve(budget: &std::sync::Arc<Budget>, size: usize) -> Self {
        if size <= buffer::SIZE {
            return Self::NotNeeded;
        }
        budget
            .try_reserve(size)
            .map_or(Self::Refused, Self::Reserved)
    }
}

impl<C: ClientSide> Operation<'_, C> {
    /// The reply has arrived but Weir may not keep it: the budget is used up.
    pub(super) fn overloaded_after_sending(&self) -> Stop {
        tracing::warn!("a reply was dropped: the budget for bytes in flight is used up");
        self.refuse(Failure::Interrupted)
    }

    /// Reads a whole reply, notes what it changes, gives the connection back and words the
    /// answer.
    pub(super) async fn finish(&mut self, lease: Lease, reply: Vec<u8>) -> Result<Attempt, Stop> {
        let class = self.class();
        let size = plain_len(&reply).unwrap_or(reply.len());
        let room = Room::reserve(&self.relay.budget, size);
        if size > WHOLE_REPLY && matches!(room, Room::Refused) {
            return Err(self.overloaded_after_sending());
        }
        let read = unpack(reply).and_then(|plain| Ok((parse(&plain)?, plain)));
        let ((msg, outcome), reply) = match read {
            Ok(read) => read,
            Err(error) => return Err(self.broken(&lease, &error)),
        };
        let body = reply.get(msg.body).unwrap_or_default();
        let backpressure = self.client.traits().backpressure;
        let decision = decide(class, backpressure, &outcome, body, self.retries.counts);
        self.relay
            .record(self.request, &lease, body, &outcome, decision);
        match decision {
            ReplyDecision::Pass => {
                if let Some(pins) = self.client.pins() {
                    pins.after(self.request, body, &outcome);
                }
                lease.give_back();
                self.relay.metrics.answered(class, outcome.ok);
                self.pass(reply, room).await
            }
            ReplyDecision::Rewrite => {
                lease.give_back();
                self.relay.metrics.state_change();
                let body = without_state_change(body, class);
                let rewritten = wire_reply::op_msg(fresh_id(), self.request.id, 0, &body);
                buffer::give(reply);
                Ok(Attempt::Done(Answer::Message(rewritten)))
            }
            ReplyDecision::Retry(retry) => {
                buffer::give(reply);
                match retry {
                    Retry::LogInAgain => lease.destroy(),
                    Retry::Reroute | Retry::AfterPause(_) => lease.give_back(),
                }
                self.try_again(retry).await
            }
            ReplyDecision::Refuse(failure) => {
                lease.give_back();
                Err(self.refuse(failure))
            }
        }
    }

    /// The client gets the reply as it came, with the client's own request id.
    async fn pass(&mut self, mut reply: Vec<u8>, room: Room) -> Result<Attempt, Stop> {
        set_response_to(&mut reply, self.request.id);
        match room {
            Room::NotNeeded => {}
            Room::Reserved(bytes) => self.client.keep(bytes),
            Room::Refused => return Box::pin(stream::write_without_room(self, &reply)).await,
        }
        Ok(Attempt::Done(Answer::Message(reply)))
    }

    /// The upstream executed nothing: counts the retry and waits as long as it asks for.
    async fn try_again(&mut self, retry: Retry) -> Result<Attempt, Stop> {
        self.retries.counts.count(retry);
        let pause = match retry {
            Retry::AfterPause(longest) => longest.mul_f64(random::fraction()),
            Retry::Reroute | Retry::LogInAgain => Duration::ZERO,
        };
        // A large request was not kept, and a pause beyond the deadline is of no use.
        if self.request.is_spent() || !self.deadline.allows(pause) {
            return Err(self.overloaded());
        }
        if !pause.is_zero() {
            Box::pin(self.pause(pause)).await?;
        }
        Ok(Attempt::Again)
    }

    async fn pause(&self, pause: Duration) -> Result<(), Stop> {
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(()),
            () = self.client.departed() => Err(Stop::Abandoned),
        }
    }
}

/// A reply in its plain form.
fn unpack(reply: Vec<u8>) -> Result<Vec<u8>, ReceiveError> {
    let header = Header::decode(&reply, MAX_MESSAGE_LEN).ok().flatten();
    if header.is_some_and(|header| header.op_code == opcode::COMPRESSED) {
        return decompress(&reply, MAX_MESSAGE_LEN).map_err(ReceiveError::Wire);
    }
    Ok(reply)
}

fn parse(reply: &[u8]) -> Result<(OpMsg, Outcome), ReceiveError> {
    let msg = OpMsg::parse(reply)?;
    let outcome = Outcome::read(reply.get(msg.body.clone()).unwrap_or_default())?;
    // Weir asks for one reply, so more of them are not for this client.
    if msg.flags & op_msg::MORE_TO_COME != 0 {
        return Err(ReceiveError::Unrequested);
    }
    Ok((msg, outcome))
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use bson::rawdoc;

    use super::*;
    use crate::wire::compressed::{Compressor, compress};

    fn reply(flags: u32) -> Vec<u8> {
        let body = rawdoc! { "ok": 1.0, "x": "0".repeat(2_000) };
        wire_reply::op_msg(1, 2, flags, body.as_bytes())
    }

    #[test]
    fn only_replies_beyond_a_buffer_need_room() {
        let budget = Arc::new(Budget::new(buffer::SIZE + 10));
        assert!(matches!(
            Room::reserve(&budget, buffer::SIZE),
            Room::NotNeeded
        ));
        assert_eq!(budget.used(), 0);
        let room = Room::reserve(&budget, buffer::SIZE + 1);
        assert!(matches!(room, Room::Reserved(_)));
        assert!(matches!(
            Room::reserve(&budget, buffer::SIZE + 1),
            Room::Refused
        ));
        drop(room);
        assert_eq!(budget.used(), 0);
    }

    #[test]
    fn a_compressed_reply_is_unpacked_and_a_plain_one_left_alone() {
        let plain = reply(0);
        let packed = compress(&plain, Compressor::Zlib(6)).unwrap();
        assert!(packed.len() < plain.len());
        assert_eq!(unpack(packed).unwrap(), plain);
        assert_eq!(unpack(plain.clone()).unwrap(), plain);
    }

    #[test]
    fn a_reply_that_announces_more_is_not_trusted() {
        assert!(parse(&reply(0)).is_ok());
        let more = parse(&reply(op_msg::MORE_TO_COME));
        assert!(matches!(more, Err(ReceiveError::Unrequested)));
        let torn = parse(reply(0).get(..30).unwrap());
        assert!(matches!(torn, Err(ReceiveError::Wire(_))));
    }
}
