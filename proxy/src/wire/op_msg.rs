//! OP_MSG: flags, sections in any order, and an optional checksum.
//!
//! Follows `message/OP_MSG.md` of the driver specifications. A whole message is scanned once and
//! nothing is copied. Documents in a sequence are skipped by their lengths.

use std::ops::Range;

use super::WireError;
use super::header::{self, HEADER_LEN, Header, MAX_MESSAGE_LEN, opcode};
use super::le;
use super::raw;

mod section;

#[cfg(any(test, feature = "internals"))]
pub use section::Sequences;
use section::{Identifiers, Section};

/// Flag bit 0: the message ends in a CRC-32C of everything before it.
pub const CHECKSUM_PRESENT: u32 = 1;
/// Flag bit 1 of a reply: another reply follows without a request. Flag bit 1 of a request: no reply
/// is wanted.
pub const MORE_TO_COME: u32 = 2;
/// Flag bit 16: the client accepts a stream of replies to this request.
pub const EXHAUST_ALLOWED: u32 = 1 << 16;

/// The most document sequences in one message. No command has more than two. The limit keeps the
/// search for repeated identifiers short.
pub const MAX_SEQUENCES: usize = 16;

/// The flag bits that a receiver must refuse if it does not know them.
const REQUIRED_BITS: u32 = 0xFFFF;
const FLAGS_AT: usize = HEADER_LEN;
const SECTIONS_AT: usize = HEADER_LEN + 4;
const CHECKSUM_LEN: usize = 4;

/// The parts of an OP_MSG, as offsets into the whole message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpMsg {
    /// The flag bits as they came, including unknown optional ones.
    pub flags: u32,
    /// The body document.
    pub body: Range<usize>,
    /// Whether the body is the first section.
    pub body_first: bool,
    /// The end of the sections, where a checksum may follow.
    pub sections_end: usize,
}

impl OpMsg {
    /// Parses a whole message, including its header.
    ///
    /// A parsed message has exactly one body and no repeated sequence identifier. Its sequences
    /// consist of whole documents, and its checksum, if present, is right. The contents of the
    /// documents are not checked.
    ///
    /// # Errors
    /// Any [`WireError`] about headers, flags, sections and checksums. The connection's framing
    /// cannot be trusted after one of these.
    pub fn parse(message: &[u8]) -> Result<OpMsg, WireError> {
        Header::of_message(message, opcode::MSG)?;
        let flags = known_flags(message)?;
        let sections = if flags & CHECKSUM_PRESENT == 0 {
            message
        } else {
            verify_checksum(message)?
        };
        let mut identifiers = Identifiers::default();
        let mut body = None;
        let mut at = SECTIONS_AT;
        while at < sections.len() {
            let (section, end) = Section::read(sections, at)?;
            match section {
                Section::Body if body.is_some() => return Err(WireError::SecondBody { at }),
                Section::Body => body = Some(at + 1..end),
                Section::Sequence {
                    identifier,
                    documents,
                } => {
                    section::check_documents(documents, at)?;
                    identifiers.insert(identifier, at)?;
                }
            }
            at = end;
        }
        let body = body.ok_or(WireError::MissingBody)?;
        let body_first = body.start == SECTIONS_AT + 1;
        Ok(OpMsg {
            flags,
            body,
            body_first,
            sections_end: sections.len(),
        })
    }

    /// Parses the start of a message of `total_len` bytes that is still arriving.
    ///
    /// `Some`: the body is the first section and wholly in `prefix`, so the message can be routed
    /// before it has arrived whole. `None`: more of the message must be read, or all of it if
    /// another section comes first or there is a checksum. The sections after the body are **not**
    /// checked. The server that receives them does that.
    ///
    /// # Errors
    /// As [`OpMsg::parse`], as far as the prefix shows it.
    pub fn parse_prefix(prefix: &[u8], total_len: usize) -> Result<Option<OpMsg>, WireError> {
        let prefix = prefix.get(..total_len).unwrap_or(prefix);
        let Some(header) = Header::decode(prefix, MAX_MESSAGE_LEN)? else {
            return Ok(None);
        };
        if header.op_code != opcode::MSG {
            return Err(WireError::Opcode {
                found: header.op_code,
                expected: opcode::MSG,
            });
        }
        if header.length != total_len {
            return Err(WireError::LengthMismatch {
                declared: header.length,
                actual: total_len,
            });
        }
        if total_len > prefix.len() && prefix.len() <= SECTIONS_AT {
            return Ok(None);
        }
        let flags = known_flags(prefix)?;
        if flags & CHECKSUM_PRESENT != 0 {
            return Ok(None);
        }
        let body = section::leading_body(prefix, SECTIONS_AT, total_len)?;
        Ok(body.map(|body| OpMsg {
            flags,
            body,
            body_first: true,
            sections_end: total_len,
        }))
    }

    /// The document sequences of the parsed message, in order. With any other bytes the iteration
    /// may end early.
    #[cfg(any(test, feature = "internals"))]
    #[inline]
    pub fn sequences<'a>(&self, message: &'a [u8]) -> Sequences<'a> {
        Sequences::new(
            message.get(..self.sections_end).unwrap_or(message),
            SECTIONS_AT,
        )
    }
}

/// The flag bits; `None`: `message` is no OP_MSG or too short to have any.
#[inline]
pub fn flags(message: &[u8]) -> Option<u32> {
    let header = Header::decode(message, usize::MAX).ok()??;
    if header.op_code != opcode::MSG {
        return None;
    }
    le::u32_at(message, FLAGS_AT)
}

/// The body document of a whole OP_MSG; `None`: the message is malformed.
#[must_use]
pub fn body(message: &[u8]) -> Option<&[u8]> {
    message.get(OpMsg::parse(message).ok()?.body)
}

/// Overwrites the flag bits. Does nothing if [`flags`] is `None`. A checksum is not updated: see
/// [`strip_checksum`].
#[inline]
pub fn set_flags(message: &mut [u8], flags: u32) {
    if self::flags(message).is_some() {
        le::put(message, FLAGS_AT, &flags.to_le_bytes());
    }
}

/// Removes the checksum and its flag and corrects the length. Does nothing if there is none.
pub fn strip_checksum(message: &mut Vec<u8>) {
    let Some(flags) = flags(message).filter(|flags| flags & CHECKSUM_PRESENT != 0) else {
        return;
    };
    let Some(len) = message
        .len()
        .checked_sub(CHECKSUM_LEN)
        .filter(|&len| len >= SECTIONS_AT)
    else {
        return;
    };
    message.truncate(len);
    header::set_length(message, len);
    set_flags(message, flags & !CHECKSUM_PRESENT);
}

/// Adds a checksum and its flag and corrects the length. An existing checksum is replaced. Does
/// nothing if `message` is no OP_MSG.
pub fn append_checksum(message: &mut Vec<u8>) {
    strip_checksum(message);
    let Some(flags) = flags(message) else {
        return;
    };
    set_flags(message, flags | CHECKSUM_PRESENT);
    let length = message.len() + CHECKSUM_LEN;
    header::set_length(message, length);
    let checksum = crc32c::crc32c(message);
    message.extend_from_slice(&checksum.to_le_bytes());
}

#[inline]
fn known_flags(message: &[u8]) -> Result<u32, WireError> {
    let flags = le::u32_at(message, FLAGS_AT).ok_or(WireError::Truncated { len: message.len() })?;
    match flags & REQUIRED_BITS & !(CHECKSUM_PRESENT | MORE_TO_COME) {
        0 => Ok(flags),
        bits => Err(WireError::UnknownFlags { bits }),
    }
}

/// The message without its checksum, after the checksum was verified.
fn verify_checksum(message: &[u8]) -> Result<&[u8], WireError> {
    let truncated = WireError::Truncated { len: message.len() };
    let (sections, checksum) = message
        .split_last_chunk::<CHECKSUM_LEN>()
        .ok_or(truncated)?;
    if sections.len() < SECTIONS_AT {
        return Err(truncated);
    }
    let found = u32::from_le_bytes(*checksum);
    let computed = crc32c::crc32c(sections);
    if found != computed {
        return Err(WireError::Checksum { found, computed });
    }
    Ok(sections)
}

#[cfg(test)]
mod tests;
