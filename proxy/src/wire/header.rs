//! The 16 bytes that every message begins with, and the limit of its length.

use super::WireError;
use super::le;

/// Bytes in a message header.
pub const HEADER_LEN: usize = 16;

/// The largest message, in bytes: `maxMessageSizeBytes` of every server version so far.
pub const MAX_MESSAGE_LEN: usize = 48_000_000;

const REQUEST_ID_AT: usize = 4;
const RESPONSE_TO_AT: usize = 8;
const OP_CODE_AT: usize = 12;

/// The operation codes that Weir handles, from the header's last field.
pub mod opcode {
    /// OP_REPLY, the answer to [`QUERY`].
    pub const REPLY: i32 = 1;
    /// OP_QUERY; since 5.1 for handshakes only.
    pub const QUERY: i32 = 2004;
    /// OP_COMPRESSED, which contains one of the others.
    pub const COMPRESSED: i32 = 2012;
    /// OP_MSG, used for all commands since 3.6.
    pub const MSG: i32 = 2013;
}

/// A decoded message header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Bytes of the whole message, this header included.
    pub length: usize,
    /// The sender's id of this message.
    pub request_id: i32,
    /// The id of the request that this message answers, or 0.
    pub response_to: i32,
    /// One of [`opcode`].
    pub op_code: i32,
}

impl Header {
    /// Decodes the header at the start of `buf`; `None`: there are fewer than 16 bytes.
    ///
    /// # Errors
    /// [`WireError::MessageLength`] if the length is outside `16..=max_len`. A caller may therefore
    /// allocate the announced length.
    #[inline]
    pub fn decode(buf: &[u8], max_len: usize) -> Result<Option<Header>, WireError> {
        let Some(bytes) = buf.first_chunk::<HEADER_LEN>() else {
            return Ok(None);
        };
        let field = |at| le::i32_at(bytes, at).unwrap_or_default();
        let announced = field(0);
        let length = usize::try_from(announced)
            .ok()
            .filter(|length| (HEADER_LEN..=max_len).contains(length))
            .ok_or(WireError::MessageLength {
                length: announced,
                max: max_len,
            })?;
        Ok(Some(Header {
            length,
            request_id: field(REQUEST_ID_AT),
            response_to: field(RESPONSE_TO_AT),
            op_code: field(OP_CODE_AT),
        }))
    }

    /// The bytes of the header on the wire.
    #[inline]
    pub fn encode(&self) -> [u8; HEADER_LEN] {
        let mut bytes = [0; HEADER_LEN];
        le::put_i32(&mut bytes, 0, le::length(self.length));
        le::put_i32(&mut bytes, REQUEST_ID_AT, self.request_id);
        le::put_i32(&mut bytes, RESPONSE_TO_AT, self.response_to);
        le::put_i32(&mut bytes, OP_CODE_AT, self.op_code);
        bytes
    }

    /// The header of a whole message. Opcode and length must be as expected.
    #[inline]
    pub(super) fn of_message(message: &[u8], op_code: i32) -> Result<Header, WireError> {
        let header = Header::decode(message, MAX_MESSAGE_LEN)?
            .ok_or(WireError::Truncated { len: message.len() })?;
        if header.op_code != op_code {
            return Err(WireError::Opcode {
                found: header.op_code,
                expected: op_code,
            });
        }
        if header.length != message.len() {
            return Err(WireError::LengthMismatch {
                declared: header.length,
                actual: message.len(),
            });
        }
        Ok(header)
    }
}

/// Overwrites the request id. Does nothing if `message` is shorter than a header.
#[inline]
pub fn set_request_id(message: &mut [u8], id: i32) {
    if let Some(header) = message.first_chunk_mut::<HEADER_LEN>() {
        le::put_i32(header, REQUEST_ID_AT, id);
    }
}

/// Overwrites `responseTo`. Does nothing if `message` is shorter than a header.
#[inline]
pub fn set_response_to(message: &mut [u8], id: i32) {
    if let Some(header) = message.first_chunk_mut::<HEADER_LEN>() {
        le::put_i32(header, RESPONSE_TO_AT, id);
    }
}

/// Overwrites the length. Does nothing if `message` is shorter than a header.
#[inline]
pub(super) fn set_length(message: &mut [u8], length: usize) {
    if let Some(header) = message.first_chunk_mut::<HEADER_LEN>() {
        le::put_i32(header, 0, le::length(length));
    }
}

#[cfg(test)]
mod tests;
