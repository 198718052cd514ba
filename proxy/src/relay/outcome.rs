//! How an operation ends, and how one attempt of it ends.

use crate::{
    error::ErrorReply,
    wire::{op_msg, raw::find},
};

/// The length of an empty BSON array, bytes.
const EMPTY_ARRAY: usize = 5;

/// Why an operation ends without an answer of the upstream.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client gets this error.
    Error(ErrorReply),
    /// The client has left. Nobody reads a reply.
    Abandoned,
    /// The client's socket must be closed, because the client holds half a reply.
    Hangup,
}

impl From<ErrorReply> for Stop {
    fn from(error: ErrorReply) -> Self {
        Self::Error(error)
    }
}

/// The end of one attempt.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// The upstream answered.
    Done(Answer),
    /// The upstream executed nothing. Select a server again.
    Again,
}

/// An answer of the upstream.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The reply, ready for the client.
    Message(Vec<u8>),
    /// The reply was large. The client has it already.
    Streamed,
}

impl Answer {
    /// The body document. `None`: the reply has gone to the client already, or is malformed.
    fn body(&self) -> Option<&[u8]> {
        match self {
            Self::Message(message) => op_msg::body(message),
            Self::Streamed => None,
        }
    }

    /// Whether the upstream refused the command. A reply that was streamed counts as accepted.
    pub(super) fn is_refusal(&self) -> bool {
        let says_ok = |body| find(body, b"ok").is_some_and(|ok| ok.as_truthy());
        matches!(self, Self::Message(_)) && !self.body().is_some_and(says_ok)
    }

    /// Whether it is the error 43 CursorNotFound.
    pub(super) fn says_not_found(&self) -> bool {
        let code = self.body().and_then(|body| find(body, b"code"));
        code.and_then(|code| code.as_number_i64()) == Some(43)
    }

    /// Whether it is an empty batch of a cursor that is still open.
    pub(super) fn is_empty_batch(&self) -> bool {
        let is_empty = || {
            let cursor = find(self.body()?, b"cursor")?;
            let cursor = cursor.as_document()?;
            let is_open = find(cursor, b"id")?.as_i64()? != 0;
            Some(is_open && find(cursor, b"nextBatch")?.as_array()?.len() <= EMPTY_ARRAY)
        };
        is_empty() == Some(true)
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::*;
    use crate::wire::reply;

    fn answer(body: &RawDocumentBuf) -> Answer {
        Answer::Message(reply::op_msg(1, 2, 0, body.as_bytes()))
    }

    #[test]
    fn a_refusal_is_a_reply_without_ok() {
        assert!(answer(&rawdoc! { "ok": 0.0, "code": 9 }).is_refusal());
        assert!(answer(&rawdoc! { "n": 1 }).is_refusal());
        assert!(!answer(&rawdoc! { "ok": 1.0 }).is_refusal());
        assert!(!answer(&rawdoc! { "ok": 1 }).is_refusal());
        assert!(!Answer::Streamed.is_refusal());
    }

    #[test]
    fn only_code_43_says_that_a_cursor_is_not_there() {
        assert!(answer(&rawdoc! { "ok": 0.0, "code": 43 }).says_not_found());
        assert!(!answer(&rawdoc! { "ok": 0.0, "code": 237 }).says_not_found());
        assert!(!answer(&rawdoc! { "ok": 1.0 }).says_not_found());
        assert!(!Answer::Streamed.says_not_found());
    }

    #[test]
    fn an_empty_batch_belongs_to_an_open_cursor() {
        let batch = |id: i64, batch: bson::RawArrayBuf| {
            answer(&rawdoc! { "cursor": { "id": id, "ns": "d.c", "nextBatch": batch }, "ok": 1.0 })
        };
        let some = bson::RawArrayBuf::from_iter([1]);
        assert!(batch(7, bson::RawArrayBuf::new()).is_empty_batch());
        assert!(!batch(7, some).is_empty_batch(), "it holds data");
        assert!(
            !batch(0, bson::RawArrayBuf::new()).is_empty_batch(),
            "it is closed"
        );
        assert!(!answer(&rawdoc! { "ok": 0.0, "code": 43 }).is_empty_batch());
        assert!(!Answer::Streamed.is_empty_batch());
    }
}
