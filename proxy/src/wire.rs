//! The bytes of the MongoDB wire protocol: framing, sections, legacy handshake
//! messages, compression, checksums, edits in place and replies.
//!
//! Everything here is pure (bytes in, bytes or a decision out), so the proxy,
//! the tests and the fuzz targets all run the same functions.
//!
//! Three things are kept apart everywhere: *complete* (`Ok(Some(_))`),
//! *incomplete* (`Ok(None)`, read more) and *malformed* (`Err`). Functions that
//! take a whole message have no second case.
//!
//! All numbers are little-endian. A message starts with 16 bytes of header:
//!
//! ```text
//! 0        4            8             12       16
//! | length | request id | response to | opcode | ...
//!
//! OP_MSG (2013)         | flags: u32 | section* | [crc32c: u32] |
//!   section, kind 0     | 0 | document |                    the body, exactly once
//!   section, kind 1     | 1 | size: i32 | identifier\0 | document* |
//! OP_COMPRESSED (2012)  | original opcode: i32 | plain size: i32 | compressor: u8 | data |
//! OP_QUERY (2004)       | flags: i32 | namespace\0 | skip: i32 | limit: i32 | document |
//! OP_REPLY (1)          | flags: i32 | cursor: i64 | from: i32 | count: i32 | document* |
//! ```
//!
//! Documents pass as bytes: decoding and encoding again would lose duplicate
//! keys and could change numeric types, so nothing here does it.

mod le;

pub mod header;

pub mod raw;

pub mod op_msg;

pub mod legacy;

pub mod compressed;

pub mod build;

pub mod edit;

pub mod reply;

mod error;

#[cfg(test)]
mod fixtures;

pub use build::DocumentBuilder;
pub use compressed::Compressor;
pub use error::WireError;
pub use header::{HEADER_LEN, Header, MAX_MESSAGE_LEN, opcode, set_request_id, set_response_to};
pub use op_msg::OpMsg;
pub use raw::{Element, elements, find};
