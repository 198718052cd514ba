//! The end of a try: what a whole reply teaches, and what the client gets for it.

use std::time::Duration;

use crate::{
    buffer,
    command::Outcome,
    error::{Class, Failure},
    pool::Lease,
    relay::{
        ClientSide, Relay, Request, Stop,
        attempt::{Answer, Attempt, WHOLE_REPLY},
        budget::Reserved,
        deadline::Deadline,
        learn::Lesson,
        retries::Retries,
    },
    upstream::ReceiveError,
    wire::{
        Header,
        compressed::{decompress, plain_len},
        header::{MAX_MESSAGE_LEN, opcode, set_response_to},
        op_msg::{self, OpMsg},
    },
};

/// Memory for a reply: none is needed, or it was asked for and there may be none.
type Room = Option<Option<Reserved>>;

impl Relay {
    /// The reply has arrived but may not be held: memory for messages in flight is used up.
    pub(crate) fn overloaded_after_sending(&self, class: Class) -> Stop {
        tracing::warn!("a reply was dropped: the budget for bytes in flight is used up");
        self.refuse(Failure::Interrupted, class).into()
    }

    /// Reads what a whole reply teaches, gives the connection back, words the answer.
    pub(super) async fn finish<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        lease: Lease,
        reply: Vec<u8>,
        deadline: Deadline,
        retries: &mut Retries,
    ) -> Result<Attempt, Stop> {
        let class = request.facts.class;
        let size = plain_len(&reply).unwrap_or(reply.len());
        let room = (size > buffer::SIZE).then(|| self.budget.try_reserve(size));
        if size > WHOLE_REPLY && matches!(room, Some(None)) {
            return Err(self.overloaded_after_sending(class));
        }
        let read = unpack(reply).and_then(|plain| Ok((parse(&plain)?, plain)));
        let ((msg, outcome), reply) = match read {
            Ok(read) => read,
            Err(error) => return Err(self.broken(&lease, class, &error)),
        };
        let traits = client.traits();
        match self.learn(traits, request, &lease, &reply, &msg, &outcome, retries) {
            Lesson::Pass => {
                if let Some(pins) = client.pins() {
                    let body = reply.get(msg.body.clone()).unwrap_or_default();
                    pins.after(request, body, &outcome);
                }
                lease.give_back();
                self.metrics.answered(class, outcome.ok);
                self.pass(client, request, reply, room).await
            }
            Lesson::Rewrite => {
                lease.give_back();
                let rewritten = self.without_state_change(request, &reply, &msg, class);
                buffer::give(reply);
                Ok(Attempt::Done(Answer::Message(rewritten)))
            }
            Lesson::Again { pause, discard } => {
                buffer::give(reply);
                if discard {
                    lease.destroy()
                } else {
                    lease.give_back()
                }
                // A large request is not kept, and a pause beyond the deadline helps nobody.
                if request.is_spent() || !deadline.allows(pause) {
                    return Err(self.overloaded(traits, class).into());
                }
                Box::pin(self.pause(client, pause)).await
            }
            Lesson::Refuse(failure) => {
                lease.give_back();
                Err(self.refuse(failure, class).into())
            }
        }
    }

    /// The client gets the reply as it came, under its own number.
    async fn pass<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        mut reply: Vec<u8>,
        room: Room,
    ) -> Result<Attempt, Stop> {
        set_response_to(&mut reply, request.id);
        match room {
            Some(None) => return Box::pin(self.write_at_once(client, request, &reply)).await,
            Some(Some(bytes)) => client.keep(bytes),
            None => {}
        }
        Ok(Attempt::Done(Answer::Message(reply)))
    }

    async fn pause<C: ClientSide>(&self, client: &C, pause: Duration) -> Result<Attempt, Stop> {
        if pause.is_zero() {
            return Ok(Attempt::Again);
        }
        tokio::select! {
            () = tokio::time::sleep(pause) => Ok(Attempt::Again),
            () = client.departed() => Err(Stop::Abandoned),
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
    if msg.flags & op_msg::MORE_TO_COME != 0 {
        return Err(ReceiveError::Unasked);
    }
    Ok((msg, outcome))
}
