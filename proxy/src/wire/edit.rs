//! Edits a message without encoding it again. Every byte that the edit does not name stays as it
//! came.

use super::WireError;
use super::header::{self, Header, MAX_MESSAGE_LEN};
use super::le;
use super::op_msg::{self, CHECKSUM_PRESENT, OpMsg};
use super::raw::{self, kind};

/// Overwrites the number of BSON type `kind` at offset `at` with `value` and keeps the type. An
/// int32 saturates. A double takes the nearest value. `false`: nothing was written, because the
/// type is no number or the bytes do not exist.
#[inline]
pub fn overwrite_number(message: &mut [u8], at: usize, kind: u8, value: i64) -> bool {
    match kind {
        kind::INT32 => {
            let value = value.clamp(i64::from(i32::MIN), i64::from(i32::MAX)) as i32;
            le::put_i32(message, at, value)
        }
        kind::INT64 => le::put(message, at, &value.to_le_bytes()),
        kind::DOUBLE => le::put(message, at, &(value as f64).to_le_bytes()),
        _ => false,
    }
}

/// Adds a field at the end of the body document, which may be any section, and corrects the
/// lengths of the document and the message.
///
/// `msg` describes the message before the edit. Parse it again after the edit. The message may
/// also be the prefix of one that is still arriving.
///
/// # Errors
/// [`WireError::ChecksumPresent`] if the checksum was not stripped before,
/// [`WireError::StaleEdit`] if `msg` does not describe these bytes, [`WireError::Field`] if the
/// field is not valid BSON, and [`WireError::MessageLength`] if the message would exceed the limit.
/// The message is unchanged then.
pub fn append_to_body(
    message: &mut Vec<u8>,
    msg: &OpMsg,
    kind: u8,
    key: &str,
    value: &[u8],
) -> Result<(), WireError> {
    let (header, body_len) = check_edit(message, msg)?;
    if key.as_bytes().contains(&0) || raw::value_len(kind, value) != Some(value.len()) {
        return Err(WireError::Field { kind });
    }
    let grown = key.len() + value.len() + 2;
    let length = header.length + grown;
    check_length(length)?;

    let mut field = Vec::with_capacity(grown);
    field.push(kind);
    field.extend_from_slice(key.as_bytes());
    field.push(0);
    field.extend_from_slice(value);
    let terminator_at = msg.body.end - 1;
    message.splice(terminator_at..terminator_at, field);
    le::put_i32(message, msg.body.start, le::length(body_len + grown));
    header::set_length(message, length);
    Ok(())
}

/// The header and the length of the body, after checks that `msg` describes `message` and that
/// there is no checksum, which would become wrong.
fn check_edit(message: &[u8], msg: &OpMsg) -> Result<(Header, usize), WireError> {
    let stale = WireError::StaleEdit { at: msg.body.start };
    let flags = op_msg::flags(message).ok_or(stale)?;
    if flags & CHECKSUM_PRESENT != 0 {
        return Err(WireError::ChecksumPresent);
    }
    let header = Header::decode(message, MAX_MESSAGE_LEN)?.ok_or(stale)?;
    let body = message.get(msg.body.clone()).ok_or(stale)?;
    raw::check_frame(body).map_err(|_| stale)?;
    if header.length < msg.body.end {
        return Err(stale);
    }
    Ok((header, body.len()))
}

fn check_length(length: usize) -> Result<(), WireError> {
    if length > MAX_MESSAGE_LEN {
        return Err(WireError::MessageLength {
            length: le::length(length),
            max: MAX_MESSAGE_LEN,
        });
    }
    Ok(())
}

#[cfg(test)]
mod tests;
