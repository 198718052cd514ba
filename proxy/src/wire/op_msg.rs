//! OP_MSG: flags, sections in any order, and an optional checksum.
//!
//! Follows `message/OP_MSG.md` of the driver specifications. A whole message is
//! scanned once and nothing is copied. Documents inside a sequence are stepped
//! over by their lengths.

use std::ops::Range;

use super::WireError;
use super::header::{self, HEADER_LEN, Header, MAX_MESSAGE_LEN, opcode};
use super::le;
use super::raw;

mod section;

pub use section::Sequences;
use section::{Identifiers, Section};

/// Flag bit 0: the message ends in a CRC-32C of everything before it.
pub const CHECKSUM_PRESENT: u32 = 1;
/// Flag bit 1: another message follows without the receiver being asked; on a
/// request, that no reply is wanted.
pub const MORE_TO_COME: u32 = 2;
/// Flag bit 16: the client accepts a stream of replies to this request.
pub const EXHAUST_ALLOWED: u32 = 1 << 16;

/// The most document sequences in one message. No command has more than two;
/// a bound keeps the search for repeated identifiers linear.
pub const MAX_SEQUENCES: usize = 16;

/// Bits a receiver must refuse when it does not know them.
const REQUIRED_BITS: u32 = 0xFFFF;
const FLAGS_AT: usize = HEADER_LEN;
const SECTIONS_AT: usize = HEADER_LEN + 4;
const CHECKSUM_LEN: usize = 4;

/// Where the parts of an OP_MSG are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpMsg {
    /// The flag bits as they came; unknown optional ones included.
    pub flags: u32,
    /// The body document, as offsets into the whole message.
    pub body: Range<usize>,
    /// Whether the body is the first section.
    pub body_first: bool,
    /// Offset of the first byte after the sections, where a checksum may stand.
    pub sections_end: usize,
}

impl OpMsg {
    /// Reads a whole message, header included.
    ///
    /// Afterwards it is certain that there is exactly one body, that no sequence
    /// identifier repeats, that sequences consist of whole documents, and that a
    /// checksum, if there is one, is right. The insides of documents were not
    /// looked at.
    ///
    /// # Errors
    /// Any [`WireError`] about headers, flags, sections and checksums. After one
    /// of these the connection's framing cannot be trusted further.
    pub fn parse(message: &[u8]) -> Result<OpMsg, WireError> {
        Header::of_message(message, opcode::MSG)?;
        let flags = known_flags(message)?;
        let sections = match flags & CHECKSUM_PRESENT {
            0 => message,
            _ => verify_checksum(message)?,
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

    /// Reads the start of a message of `total_len` bytes that is still arriving.
    ///
    /// `Some` when the body is the first section and wholly inside `prefix`, so
    /// that the message can be routed before its end is there. `None` when it
    /// has to be read further, or whole: another section first, or a checksum.
    /// The sections after the body are **not** checked; the server that gets
    /// them does that.
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

    /// The document sequences of the message this was parsed from, in order.
    /// Over any other bytes the iteration may end early.
    #[inline]
    pub fn sequences<'a>(&self, message: &'a [u8]) -> Sequences<'a> {
        Sequences::new(
            message.get(..self.sections_end).unwrap_or(message),
            SECTIONS_AT,
        )
    }
}

/// The flag bits; `None` when `message` is no OP_MSG or too short to have any.
#[inline]
pub fn flags(message: &[u8]) -> Option<u32> {
    let header = Header::decode(message, usize::MAX).ok()??;
    if header.op_code != opcode::MSG {
        return None;
    }
    le::u32_at(message, FLAGS_AT)
}

/// The body document of a whole OP_MSG; `None` when it is malformed.
#[must_use]
pub fn body(message: &[u8]) -> Option<&[u8]> {
    message.get(OpMsg::parse(message).ok()?.body)
}

/// Overwrites the flag bits; does nothing where [`flags`] is `None`. A checksum
/// is not adapted: see [`strip_checksum`].
#[inline]
pub fn set_flags(message: &mut [u8], flags: u32) {
    if self::flags(message).is_some() {
        le::put(message, FLAGS_AT, &flags.to_le_bytes());
    }
}

/// Removes the checksum with its flag and corrects the length. Does nothing to
/// a message without one.
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

/// Adds a checksum with its flag and corrects the length. One that is already
/// there is computed anew. Does nothing to what is no OP_MSG.
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

/// The message without its checksum, which must be right.
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
