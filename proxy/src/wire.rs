//! The bytes of the MongoDB wire protocol: framing, sections, legacy handshake
//! messages, compression, checksums, edits in place and replies.
//!
//! Everything here is pure (bytes in, bytes or a decision out), so the proxy,
//! the tests and the fuzz targets all run the same functions.
//!
//! Every parser distinguishes three results: *complete* (`Ok(Some(_))`), *incomplete* (`Ok(None)`,
//! read more) and *malformed* (`Err`). Functions that take a whole message have no second case.
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
//! Documents pass as bytes. Decoding and encoding them again would lose duplicate keys and could
//! change numeric types, so nothing here does it.
//!
//! | module | its part |
//! |---|---|
//! | `header` | the 16 bytes that every message begins with |
//! | `op_msg` | OP_MSG: flags, sections, checksum |
//! | `legacy` | OP_QUERY and OP_REPLY, for handshakes |
//! | `compressed` | OP_COMPRESSED and the compressors |
//! | `raw` | a scan over the top level of a BSON document |
//! | `build` | builds BSON documents |
//! | `edit` | edits messages in place |
//! | `reply` | builds OP_MSG messages around a body |
//! | `error` | what can be wrong with bytes from a peer |
//! | `le` | little-endian integers |

pub mod build;
pub mod compressed;
pub mod edit;
mod error;
#[cfg(test)]
mod fixtures;
pub mod header;
mod le;
pub mod legacy;
pub mod op_msg;
pub mod raw;
pub mod reply;

#[cfg_attr(not(feature = "internals"), allow(unused_imports))]
pub use build::DocumentBuilder;
#[cfg_attr(not(feature = "internals"), allow(unused_imports))]
pub use compressed::Compressor;
#[cfg_attr(not(feature = "internals"), allow(unused_imports))]
pub use error::WireError;
#[cfg_attr(not(feature = "internals"), allow(unused_imports))]
pub use header::{HEADER_LEN, Header, MAX_MESSAGE_LEN, opcode, set_request_id, set_response_to};
#[cfg_attr(not(feature = "internals"), allow(unused_imports))]
pub use op_msg::OpMsg;
#[cfg_attr(not(feature = "internals"), allow(unused_imports))]
pub use raw::{Element, elements, find};
