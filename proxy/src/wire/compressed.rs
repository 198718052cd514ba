//! OP_COMPRESSED: the bytes of another message without its header, compressed.
//!
//! Follows `compression/OP_COMPRESSED.md` of the driver specifications. The sender announces the
//! plain size. It is checked against a limit before memory is allocated. Exactly that size is
//! allocated, and data that gives more or less is refused. Therefore a small message cannot become
//! a large one without an announcement.

use std::io::Write;

use flate2::write::ZlibEncoder;
use flate2::{Compression, Decompress, FlushDecompress, Status};

use super::WireError;
use super::header::{HEADER_LEN, Header, MAX_MESSAGE_LEN, opcode};
use super::le;

const NOOP_ID: u8 = 0;
const SNAPPY_ID: u8 = 1;
const ZLIB_ID: u8 = 2;
const ZSTD_ID: u8 = 3;

const ORIGINAL_OPCODE_AT: usize = HEADER_LEN;
const PLAIN_SIZE_AT: usize = HEADER_LEN + 4;
const COMPRESSOR_AT: usize = HEADER_LEN + 8;
const DATA_AT: usize = HEADER_LEN + 9;

/// The zstd level that servers and drivers use.
const ZSTD_LEVEL: i32 = 3;

/// A message shorter than this, in bytes, is not worth compressing.
pub const WORTH_COMPRESSING: usize = 1024;

/// A compressor that both sides may agree on in the handshake.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compressor {
    /// Snappy's block format.
    Snappy,
    /// Zlib (RFC 1950) at a level of 0 to 9. Any other number means the library's default. Only
    /// the sender uses the level.
    Zlib(i32),
    /// Zstandard (RFC 8878).
    Zstd,
}

impl Compressor {
    /// The compressor with this name in a handshake. Zlib gets its default level.
    pub fn from_name(name: &str) -> Option<Compressor> {
        match name {
            "snappy" => Some(Compressor::Snappy),
            "zlib" => Some(Compressor::Zlib(-1)),
            "zstd" => Some(Compressor::Zstd),
            _ => None,
        }
    }

    /// The compressor with this id in a message. Zlib gets its default level.
    pub fn from_id(id: u8) -> Option<Compressor> {
        match id {
            SNAPPY_ID => Some(Compressor::Snappy),
            ZLIB_ID => Some(Compressor::Zlib(-1)),
            ZSTD_ID => Some(Compressor::Zstd),
            _ => None,
        }
    }

    /// The name in a handshake.
    pub fn name(self) -> &'static str {
        match self {
            Compressor::Snappy => "snappy",
            Compressor::Zlib(_) => "zlib",
            Compressor::Zstd => "zstd",
        }
    }

    /// The id in messages.
    pub fn id(self) -> u8 {
        match self {
            Compressor::Snappy => SNAPPY_ID,
            Compressor::Zlib(_) => ZLIB_ID,
            Compressor::Zstd => ZSTD_ID,
        }
    }
}

/// Whether a message with this command may be compressed. A handshake may not, because no
/// compressor is agreed on yet. A command with credentials may not, because its compressed size
/// would reveal something about them. Names are compared exactly, as on servers.
pub fn is_compressible(command: &[u8]) -> bool {
    !matches!(
        command,
        b"hello"
            | b"isMaster"
            | b"ismaster"
            | b"saslStart"
            | b"saslContinue"
            | b"getnonce"
            | b"authenticate"
            | b"createUser"
            | b"updateUser"
    ) && !command.starts_with(b"copydb")
}

/// The plain message in an OP_COMPRESSED. It has the same ids, the original opcode, and at most
/// `max_len` bytes including its header. Every compressor is accepted, even if it was not agreed
/// on, and so is the id 0 for data that is not compressed.
///
/// # Errors
/// The message is no OP_COMPRESSED, announces too much, contains another OP_COMPRESSED, names an
/// unknown compressor, or does not decompress to exactly the announced size.
pub fn decompress(message: &[u8], max_len: usize) -> Result<Vec<u8>, WireError> {
    let header = Header::of_message(message, opcode::COMPRESSED)?;
    let truncated = WireError::Truncated { len: message.len() };
    let op_code = le::i32_at(message, ORIGINAL_OPCODE_AT).ok_or(truncated)?;
    let announced = le::i32_at(message, PLAIN_SIZE_AT).ok_or(truncated)?;
    let &id = message.get(COMPRESSOR_AT).ok_or(truncated)?;
    let data = message.get(DATA_AT..).ok_or(truncated)?;
    if op_code == opcode::COMPRESSED {
        return Err(WireError::NestedCompression);
    }
    let max = max_len.min(MAX_MESSAGE_LEN).saturating_sub(HEADER_LEN);
    let size = usize::try_from(announced)
        .ok()
        .filter(|&size| size <= max)
        .ok_or(WireError::PlainSize {
            size: announced,
            max,
        })?;
    if id > ZSTD_ID {
        return Err(WireError::UnknownCompressor { id });
    }
    let failed = WireError::Decompress { id, size };
    if !is_plausible(id, data, size) {
        return Err(failed);
    }

    let length = HEADER_LEN + size;
    let mut plain = vec![0; length];
    let (head, body) = plain.split_at_mut_checked(HEADER_LEN).ok_or(failed)?;
    head.copy_from_slice(
        &Header {
            length,
            op_code,
            ..header
        }
        .encode(),
    );
    inflate(id, data, body).ok_or(failed)?;
    Ok(plain)
}

/// The announced length of the plain message in an OP_COMPRESSED, including its header, so that
/// memory can be reserved before [`decompress`]. `None`: `message` is no OP_COMPRESSED, or
/// announces an impossible length.
pub fn plain_len(message: &[u8]) -> Option<usize> {
    let header = Header::decode(message, MAX_MESSAGE_LEN).ok().flatten()?;
    let announced = usize::try_from(le::i32_at(message, PLAIN_SIZE_AT)?).ok()?;
    (header.op_code == opcode::COMPRESSED)
        .then(|| announced.checked_add(HEADER_LEN))
        .flatten()
}

/// Whether `data` can decompress to `size` bytes, as far as the format shows without
/// decompression. Most false announcements cost no allocation therefore.
fn is_plausible(id: u8, data: &[u8], size: usize) -> bool {
    /// Deflate needs at least one bit for 129 bytes.
    const DEFLATE_MAX_RATIO: usize = 1032;

    match id {
        NOOP_ID => data.len() == size,
        SNAPPY_ID => snap::raw::decompress_len(data) == Ok(size),
        ZLIB_ID => size / DEFLATE_MAX_RATIO <= data.len(),
        _ => true,
    }
}

/// Fills `plain` from `data`; `None`: not all of both was used.
fn inflate(id: u8, data: &[u8], plain: &mut [u8]) -> Option<()> {
    let filled = match id {
        NOOP_ID => {
            plain.copy_from_slice(data.get(..plain.len())?);
            data.len()
        }
        SNAPPY_ID => snap::raw::Decoder::new().decompress(data, plain).ok()?,
        ZLIB_ID => {
            let mut stream = Decompress::new(true);
            let status = stream
                .decompress(data, plain, FlushDecompress::Finish)
                .ok()?;
            let data_used = usize::try_from(stream.total_in()).ok()? == data.len();
            if status != Status::StreamEnd || !data_used {
                return None;
            }
            usize::try_from(stream.total_out()).ok()?
        }
        ZSTD_ID => zstd::bulk::decompress_to_buffer(data, plain).ok()?,
        _ => return None,
    };
    (filled == plain.len()).then_some(())
}

/// A whole message as an OP_COMPRESSED with the same ids. The result may be larger than the
/// message, which is legal to send.
///
/// # Errors
/// `message` has no valid header or is an OP_COMPRESSED already, or the compressor fails.
pub fn compress(message: &[u8], with: Compressor) -> Result<Vec<u8>, WireError> {
    let failed = WireError::Compress {
        id: with.id(),
        len: message.len(),
    };
    let header = Header::decode(message, MAX_MESSAGE_LEN)?
        .ok_or(WireError::Truncated { len: message.len() })?;
    if header.op_code == opcode::COMPRESSED {
        return Err(WireError::NestedCompression);
    }
    let plain = Header::of_message(message, header.op_code)
        .map(|_| message.get(HEADER_LEN..).unwrap_or_default())?;

    let mut compressed = Vec::with_capacity(DATA_AT + plain.len() / 2);
    compressed.extend_from_slice(&[0; HEADER_LEN]);
    compressed.extend_from_slice(&header.op_code.to_le_bytes());
    compressed.extend_from_slice(&le::length(plain.len()).to_le_bytes());
    compressed.push(with.id());
    let mut compressed = deflate(with, plain, compressed).ok_or(failed)?;
    let outer = Header {
        length: compressed.len(),
        op_code: opcode::COMPRESSED,
        ..header
    };
    le::put(&mut compressed, 0, &outer.encode());
    Ok(compressed)
}

/// Compresses `plain` and appends the result to `out`.
fn deflate(with: Compressor, plain: &[u8], mut out: Vec<u8>) -> Option<Vec<u8>> {
    match with {
        Compressor::Snappy => {
            out.resize(DATA_AT + snap::raw::max_compress_len(plain.len()), 0);
            let len = snap::raw::Encoder::new()
                .compress(plain, out.get_mut(DATA_AT..)?)
                .ok()?;
            out.truncate(DATA_AT + len);
            Some(out)
        }
        Compressor::Zlib(level) => {
            let level = match u32::try_from(level) {
                Ok(level @ 0..=9) => Compression::new(level),
                _ => Compression::default(),
            };
            let mut stream = ZlibEncoder::new(out, level);
            stream.write_all(plain).ok()?;
            stream.finish().ok()
        }
        Compressor::Zstd => {
            out.extend_from_slice(&zstd::bulk::compress(plain, ZSTD_LEVEL).ok()?);
            Some(out)
        }
    }
}

#[cfg(test)]
mod tests;
