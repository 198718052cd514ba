//! A request that is ready to be relayed, and what its client gets for it.

use tokio::time::Instant;

use crate::{
    command::{Facts, FactsError},
    wire::{Header, header::MAX_MESSAGE_LEN, reply},
};

/// One request, ready to be relayed.
#[derive(Debug)]
pub struct Request {
    /// What the command asks for.
    pub facts: Facts,
    /// The message: plain OP_MSG without checksum. A large message may be here in part only.
    pub message: Vec<u8>,
    /// Bytes of a large message that have not arrived yet.
    pub missing: usize,
    /// The client's own id of the request.
    pub id: i32,
    /// When the message had arrived, or the part of a large one that Weir waits for.
    pub started: Instant,
}

impl Request {
    /// A request whose message has arrived whole.
    #[must_use]
    pub const fn new(facts: Facts, message: Vec<u8>, id: i32, started: Instant) -> Self {
        Self {
            facts,
            message,
            missing: 0,
            id,
            started,
        }
    }

    /// The same, with `missing` bytes of the message still to arrive.
    #[must_use]
    pub fn with_missing(self, missing: usize) -> Self {
        Self { missing, ..self }
    }

    /// A command of Weir's own that starts now.
    ///
    /// # Errors
    /// `body` is no command.
    pub fn own(body: &[u8]) -> Result<Self, FactsError> {
        let message = reply::op_msg(0, 0, 0, body);
        Ok(Self::new(Facts::of(&message)?, message, 0, Instant::now()))
    }

    /// Whether part of the message was passed on without being kept. Such a request cannot be
    /// sent again.
    #[must_use]
    pub fn is_spent(&self) -> bool {
        let header = Header::decode(&self.message, MAX_MESSAGE_LEN);
        let announced = header.ok().flatten();
        self.missing == 0 && announced.is_some_and(|header| header.length > self.message.len())
    }

    /// Takes the message out, for a request that is served later.
    #[must_use]
    pub fn take(&mut self) -> Self {
        let message = std::mem::take(&mut self.message);
        Self::new(self.facts.clone(), message, self.id, self.started)
    }

    /// Whether an unsent request is dropped when its client leaves.
    ///
    /// The application may have tried it again elsewhere. A client that wants no reply leaves
    /// directly after sending and does not try again.
    pub(super) const fn is_dropped_on_departure(&self) -> bool {
        !self.facts.is_unacknowledged()
    }
}

/// What the client gets.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// This plain OP_MSG message. Its ids are set.
    Message(Vec<u8>),
    /// Nothing: the request asked for no reply.
    Nothing,
    /// The reply has been written already.
    Sent,
    /// Close the client's socket. The client has left, or holds half a reply.
    Hangup,
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;
    use crate::wire::op_msg;

    fn request(flags: u32) -> Request {
        let body = rawdoc! { "insert": "c", "$db": "d", "x": "0123456789" };
        let mut message = reply::op_msg(1, 0, 0, body.as_bytes());
        op_msg::set_flags(&mut message, flags);
        let facts = Facts::of(&message).unwrap();
        Request::new(facts, message, 1, Instant::now())
    }

    #[test]
    fn a_request_that_was_streamed_cannot_be_sent_again() {
        let mut request = request(0);
        assert!(!request.is_spent());
        request.message.truncate(40);
        let mut request = request.with_missing(10);
        assert!(!request.is_spent(), "its rest is still to come");
        request.missing = 0;
        assert!(request.is_spent());
    }

    #[test]
    fn a_request_that_wants_no_reply_outlives_its_client_even_after_its_flag_was_cleared() {
        let mut request = request(op_msg::MORE_TO_COME);
        op_msg::set_flags(&mut request.message, 0);
        assert!(!request.is_dropped_on_departure());
        assert!(self::request(0).is_dropped_on_departure());
    }
}
