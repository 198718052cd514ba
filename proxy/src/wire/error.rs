//! What can be wrong with bytes from a peer.

use thiserror::Error;

/// A malformed message or document. The variants hold offsets and numbers and never content, so
/// all of them are safe to log.
///
/// An offset `at` counts from the start of the message, or from the start of the document for
/// errors of documents.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum WireError {
    /// The header's length is impossible. The rest of the stream cannot be trusted.
    #[error(
        "a message header announces {length} bytes, allowed are 16 to {max}: the peer does not \
         speak the MongoDB protocol here, or speaks TLS to a plain port"
    )]
    MessageLength {
        /// The length in the header.
        length: i32,
        /// The largest message this side accepts, in bytes.
        max: usize,
    },
    /// The header's length is not the number of bytes.
    #[error("the message header announces {declared} bytes, but there are {actual}")]
    LengthMismatch {
        /// The length in the header.
        declared: usize,
        /// The number of bytes.
        actual: usize,
    },
    /// A fixed part of the message is missing.
    #[error("the message ends at byte {len}, in the middle of a field")]
    Truncated {
        /// The number of bytes.
        len: usize,
    },
    /// The message has another opcode than the caller can parse.
    #[error("opcode {found} arrived where opcode {expected} was expected")]
    Opcode {
        /// The opcode that arrived.
        found: i32,
        /// The opcode that was expected.
        expected: i32,
    },
    /// A flag of the bits 0 to 15 that Weir does not know and must refuse.
    #[error("OP_MSG requires the unknown flag bits {bits:#06x}")]
    UnknownFlags {
        /// The unknown bits only.
        bits: u32,
    },
    /// A section kind that the protocol does not have.
    #[error("OP_MSG section at byte {at} has unknown kind {kind}")]
    SectionKind {
        /// The kind byte.
        kind: u8,
        /// Its offset.
        at: usize,
    },
    /// Section kind 2, which only members of one deployment may exchange.
    #[error("OP_MSG section at byte {at} is a security token, which clients may not send")]
    SecurityToken {
        /// The offset of the section.
        at: usize,
    },
    /// No kind-0 section.
    #[error("OP_MSG has no body section")]
    MissingBody,
    /// Two kind-0 sections.
    #[error("OP_MSG has a second body section at byte {at}")]
    SecondBody {
        /// The offset of the second one.
        at: usize,
    },
    /// Two document sequences with one identifier.
    #[error("OP_MSG repeats a document sequence identifier at byte {at}")]
    RepeatedSequence {
        /// The offset of the second section.
        at: usize,
    },
    /// More document sequences than any command has.
    #[error("OP_MSG has more than {max} document sequences")]
    TooManySequences {
        /// The limit.
        max: usize,
    },
    /// A document sequence whose size exceeds the message or splits a document.
    #[error("OP_MSG document sequence at byte {at} has an impossible size or identifier")]
    Sequence {
        /// The offset of the section.
        at: usize,
    },
    /// The CRC-32C at the end of the message is not that of its bytes.
    #[error("OP_MSG checksum is {found:#010x}, its bytes give {computed:#010x}")]
    Checksum {
        /// The checksum in the message.
        found: u32,
        /// The checksum of its bytes.
        computed: u32,
    },
    /// An edit of a message that still has its checksum.
    #[error("a message was to be edited before its checksum was removed")]
    ChecksumPresent,
    /// An edit described by an [`OpMsg`](super::OpMsg) of other bytes.
    #[error("an edit does not fit the message: no document of that length at byte {at}")]
    StaleEdit {
        /// The offset where the body was expected.
        at: usize,
    },
    /// A new field that would not be valid BSON.
    #[error("a field to be added is not valid BSON of type {kind:#04x}")]
    Field {
        /// The BSON type of the field.
        kind: u8,
    },
    /// A document's length prefix is impossible in its place.
    #[error("a document announces {length} bytes where {available} are available")]
    DocumentLength {
        /// The length in the prefix.
        length: i32,
        /// The bytes that are there.
        available: usize,
    },
    /// A document does not end in NUL where its length says.
    #[error("a document of {len} bytes has no terminator at its end, or one before it")]
    Terminator {
        /// The length of the document.
        len: usize,
    },
    /// A byte that is no BSON type.
    #[error("document element at byte {at} has unknown type {kind:#04x}")]
    ElementType {
        /// The type byte.
        kind: u8,
        /// Its offset.
        at: usize,
    },
    /// An element's key or value exceeds the document or contradicts itself.
    #[error("document element at byte {at} of type {kind:#04x} does not fit its document")]
    ElementBounds {
        /// The type byte.
        kind: u8,
        /// Its offset.
        at: usize,
    },
    /// A namespace without its terminator.
    #[error("OP_QUERY has no complete namespace")]
    Namespace,
    /// An OP_REPLY without a document.
    #[cfg(any(test, feature = "internals"))]
    #[error("OP_REPLY carries no document")]
    EmptyReply,
    /// A compressor that Weir does not support.
    #[error("compressor id {id} is not supported")]
    UnknownCompressor {
        /// The id byte.
        id: u8,
    },
    /// OP_COMPRESSED inside OP_COMPRESSED.
    #[error("a compressed message may not contain another")]
    NestedCompression,
    /// The plain size is negative or above the limit.
    #[error("a compressed message announces {size} plain bytes, allowed are 0 to {max}")]
    PlainSize {
        /// The size in the message.
        size: i32,
        /// The largest size allowed, without header.
        max: usize,
    },
    /// The data does not decompress to exactly the announced size.
    #[error("data of compressor {id} does not decompress to the announced {size} bytes")]
    Decompress {
        /// The id byte.
        id: u8,
        /// The announced size.
        size: usize,
    },
    /// The compression library refused plain input.
    #[error("compressor {id} failed on a message of {len} bytes")]
    Compress {
        /// The compressor's id.
        id: u8,
        /// The length of the plain message.
        len: usize,
    },
}
