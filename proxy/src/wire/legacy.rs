//! OP_QUERY and OP_REPLY, which are still used in handshakes.
//!
//! Drivers from before 2026 open a connection with an OP_QUERY to `admin.$cmd`, so both sides must
//! support it.

use std::ops::Range;

use super::WireError;
use super::header::{HEADER_LEN, Header, opcode};
use super::le;
use super::raw;

/// OP_QUERY flag bit 2: a secondary may answer.
#[cfg(any(test, feature = "internals"))]
const SECONDARY_OK: i32 = 4;
/// OP_REPLY flag bit 3, which servers have set on every reply since 1.6.
const AWAIT_CAPABLE: i32 = 8;
/// The offset of the documents in an OP_REPLY.
const REPLY_DOCUMENTS_AT: usize = HEADER_LEN + 20;

/// The parts of an OP_QUERY, as offsets into the whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Query {
    /// The flag bits as they came.
    pub flags: u32,
    /// `database.collection`, without its NUL. Commands go to `database.$cmd`.
    pub namespace: Range<usize>,
    /// The command document. If it was in a `$query` wrapper, only the inner document.
    pub body: Range<usize>,
}

impl Query {
    /// Parses a whole message, including its header.
    ///
    /// # Errors
    /// The message is no OP_QUERY, or its parts do not fill it exactly.
    pub fn parse(message: &[u8]) -> Result<Query, WireError> {
        const NAMESPACE_AT: usize = HEADER_LEN + 4;
        const SKIP_AND_LIMIT_LEN: usize = 8;

        Header::of_message(message, opcode::QUERY)?;
        let truncated = WireError::Truncated { len: message.len() };
        let flags = le::u32_at(message, HEADER_LEN).ok_or(truncated)?;
        let namespace_len = message
            .get(NAMESPACE_AT..)
            .and_then(|rest| rest.iter().position(|&byte| byte == 0))
            .ok_or(WireError::Namespace)?;
        let namespace = NAMESPACE_AT..NAMESPACE_AT + namespace_len;
        let body = document_at(message, namespace.end + 1 + SKIP_AND_LIMIT_LEN)?;
        if body.end < message.len() {
            let selector = document_at(message, body.end)?;
            if selector.end != message.len() {
                return Err(WireError::LengthMismatch {
                    declared: message.len(),
                    actual: selector.end,
                });
            }
        }
        let body = unwrap_query(message, body);
        Ok(Query {
            flags,
            namespace,
            body,
        })
    }
}

/// The range of the document that starts at `at`.
fn document_at(message: &[u8], at: usize) -> Result<Range<usize>, WireError> {
    let truncated = WireError::Truncated { len: message.len() };
    let rest = message.get(at..).ok_or(truncated)?;
    let len = raw::document_len(rest)?.ok_or(truncated)?;
    let available = rest.len();
    let document = rest.get(..len).ok_or(WireError::DocumentLength {
        length: le::length(len),
        available,
    })?;
    raw::check_frame(document)?;
    Ok(at..at + len)
}

/// The inner document of `{$query: {…}}` (or the older `query`), if that is the first field, as on
/// servers. The other fields of the wrapper are for queries, not for commands.
fn unwrap_query(message: &[u8], body: Range<usize>) -> Range<usize> {
    let first = message
        .get(body.clone())
        .and_then(|body| raw::elements(body).next()?.ok());
    match first {
        Some(wrapped)
            if wrapped.kind == raw::kind::DOCUMENT
                && matches!(wrapped.key, b"$query" | b"query") =>
        {
            body.start + wrapped.value_at..body.start + wrapped.end()
        }
        _ => body,
    }
}

/// An OP_REPLY that carries one document.
pub fn op_reply(request_id: i32, response_to: i32, document: &[u8]) -> Vec<u8> {
    let length = REPLY_DOCUMENTS_AT + document.len();
    let header = Header {
        length,
        request_id,
        response_to,
        op_code: opcode::REPLY,
    };
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&header.encode());
    message.extend_from_slice(&AWAIT_CAPABLE.to_le_bytes());
    message.extend_from_slice(&0_i64.to_le_bytes()); // no cursor
    message.extend_from_slice(&0_i32.to_le_bytes()); // starting from 0
    message.extend_from_slice(&1_i32.to_le_bytes()); // one document
    message.extend_from_slice(document);
    message
}

/// The first document of an OP_REPLY, as offsets into the whole message.
///
/// # Errors
/// The message is no OP_REPLY or has no document.
#[cfg(any(test, feature = "internals"))]
pub fn parse_op_reply(message: &[u8]) -> Result<Range<usize>, WireError> {
    const COUNT_AT: usize = REPLY_DOCUMENTS_AT - 4;

    Header::of_message(message, opcode::REPLY)?;
    match le::i32_at(message, COUNT_AT) {
        Some(1..) => document_at(message, REPLY_DOCUMENTS_AT),
        Some(_) => Err(WireError::EmptyReply),
        None => Err(WireError::Truncated { len: message.len() }),
    }
}

/// An OP_QUERY that runs one command, also on a secondary. `namespace` is `database.$cmd` and must
/// not contain NUL.
#[cfg(any(test, feature = "internals"))]
pub fn op_query(request_id: i32, namespace: &str, document: &[u8]) -> Vec<u8> {
    let length = HEADER_LEN + 4 + namespace.len() + 1 + 8 + document.len();
    let header = Header {
        length,
        request_id,
        response_to: 0,
        op_code: opcode::QUERY,
    };
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&header.encode());
    message.extend_from_slice(&SECONDARY_OK.to_le_bytes());
    message.extend_from_slice(namespace.as_bytes());
    message.push(0);
    message.extend_from_slice(&0_i32.to_le_bytes()); // skip
    message.extend_from_slice(&(-1_i32).to_le_bytes()); // one document, no cursor
    message.extend_from_slice(document);
    message
}

#[cfg(test)]
mod tests;
