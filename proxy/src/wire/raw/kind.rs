//! The type bytes of BSON (<https://bsonspec.org/spec.html>), including the deprecated ones, which
//! old data may contain.

/// IEEE 754 binary64.
pub const DOUBLE: u8 = 0x01;
/// UTF-8 string.
pub const STRING: u8 = 0x02;
/// Embedded document.
pub const DOCUMENT: u8 = 0x03;
/// Array: a document with keys "0", "1", …
pub const ARRAY: u8 = 0x04;
/// Bytes with a subtype.
pub const BINARY: u8 = 0x05;
/// Undefined (deprecated).
pub const UNDEFINED: u8 = 0x06;
/// ObjectId, 12 bytes.
pub const OBJECT_ID: u8 = 0x07;
/// Boolean.
pub const BOOL: u8 = 0x08;
/// Milliseconds since the epoch.
pub const DATETIME: u8 = 0x09;
/// Null.
pub const NULL: u8 = 0x0A;
/// Regular expression: pattern and options.
pub const REGEX: u8 = 0x0B;
/// Namespace and ObjectId (deprecated).
pub const DB_POINTER: u8 = 0x0C;
/// JavaScript.
pub const CODE: u8 = 0x0D;
/// Symbol (deprecated).
pub const SYMBOL: u8 = 0x0E;
/// JavaScript with a scope document (deprecated).
pub const CODE_WITH_SCOPE: u8 = 0x0F;
/// 32-bit integer.
pub const INT32: u8 = 0x10;
/// Seconds and increment, 64 bits.
pub const TIMESTAMP: u8 = 0x11;
/// 64-bit integer.
pub const INT64: u8 = 0x12;
/// IEEE 754-2008 decimal128.
pub const DECIMAL: u8 = 0x13;
/// Sorts above everything.
pub const MAX_KEY: u8 = 0x7F;
/// Sorts below everything.
pub const MIN_KEY: u8 = 0xFF;
