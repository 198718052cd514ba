//! The lengths of BSON values, and readers of the simple ones.

use super::Element;
use super::MIN_DOCUMENT_LEN;
use super::kind;
use crate::wire::le;

/// The length in bytes of the value of type `kind` at the start of `rest`; `None`: it does not fit
/// there, contradicts itself, or the type does not exist.
#[inline]
pub(in crate::wire) fn len(kind: u8, rest: &[u8]) -> Option<usize> {
    let len = match kind {
        kind::NULL | kind::UNDEFINED | kind::MIN_KEY | kind::MAX_KEY => 0,
        kind::BOOL => 1,
        kind::INT32 => 4,
        kind::DOUBLE | kind::DATETIME | kind::TIMESTAMP | kind::INT64 => 8,
        kind::OBJECT_ID => 12,
        kind::DECIMAL => 16,
        kind::STRING | kind::CODE | kind::SYMBOL => string_len(rest)?,
        kind::DOCUMENT | kind::ARRAY => nested_len(rest)?,
        kind::BINARY => prefix(rest)? + 5,
        kind::REGEX => {
            let pattern = cstring_len(rest)?;
            pattern + cstring_len(rest.get(pattern..)?)?
        }
        kind::DB_POINTER => string_len(rest)? + 12,
        kind::CODE_WITH_SCOPE => code_with_scope_len(rest)?,
        _ => return None,
    };
    (len <= rest.len()).then_some(len)
}

#[inline]
fn prefix(rest: &[u8]) -> Option<usize> {
    usize::try_from(le::i32_at(rest, 0)?).ok()
}

/// Prefix, text and NUL; the prefix counts the NUL.
#[inline]
fn string_len(rest: &[u8]) -> Option<usize> {
    let len = prefix(rest)?;
    (len >= 1 && *rest.get(len + 3)? == 0).then_some(len + 4)
}

/// A document's prefix counts everything, itself included.
#[inline]
fn nested_len(rest: &[u8]) -> Option<usize> {
    let len = prefix(rest)?;
    (len >= MIN_DOCUMENT_LEN && *rest.get(len - 1)? == 0).then_some(len)
}

fn cstring_len(rest: &[u8]) -> Option<usize> {
    rest.iter().position(|&byte| byte == 0).map(|len| len + 1)
}

/// A prefix that counts everything, a string and a document.
fn code_with_scope_len(rest: &[u8]) -> Option<usize> {
    let code_end = 4 + string_len(rest.get(4..)?)?;
    let end = code_end + nested_len(rest.get(code_end..)?)?;
    (prefix(rest)? == end).then_some(end)
}

/// Readers of values. They return `None` for every other type, and convert only if their name says
/// so.
impl<'a> Element<'a> {
    #[inline]
    fn fixed<const N: usize>(&self, kind: u8) -> Option<[u8; N]> {
        if self.kind != kind {
            return None;
        }
        self.value.first_chunk().copied()
    }

    /// A 32-bit integer.
    #[inline]
    pub fn as_i32(&self) -> Option<i32> {
        self.fixed(kind::INT32).map(i32::from_le_bytes)
    }

    /// A 64-bit integer.
    #[inline]
    pub fn as_i64(&self) -> Option<i64> {
        self.fixed(kind::INT64).map(i64::from_le_bytes)
    }

    /// A double.
    #[inline]
    pub fn as_f64(&self) -> Option<f64> {
        self.fixed(kind::DOUBLE).map(f64::from_le_bytes)
    }

    /// A 32- or 64-bit integer, or a double that is a whole number in the range of `i64`. Drivers
    /// and people send any of the three types for a number. Decimals give `None`.
    #[inline]
    pub fn as_number_i64(&self) -> Option<i64> {
        match self.kind {
            kind::INT32 => self.as_i32().map(i64::from),
            kind::INT64 => self.as_i64(),
            _ => whole(self.as_f64()?),
        }
    }

    /// A boolean; `None` also for a byte other than 0 and 1.
    #[inline]
    pub fn as_bool(&self) -> Option<bool> {
        match self.fixed(kind::BOOL)? {
            [0] => Some(false),
            [1] => Some(true),
            _ => None,
        }
    }

    /// Whether this is `true` or a number other than zero. Servers read fields such as `ok` in
    /// this way. NaN is not zero. Other types are `false`.
    #[inline]
    pub fn as_truthy(&self) -> bool {
        match self.kind {
            kind::BOOL => self.fixed(kind::BOOL) != Some([0]),
            kind::INT32 => self.as_i32() != Some(0),
            kind::INT64 => self.as_i64() != Some(0),
            kind::DOUBLE => self.as_f64() != Some(0.0),
            kind::DECIMAL => !self.fixed(kind::DECIMAL).is_none_or(is_decimal_zero),
            _ => false,
        }
    }

    /// The bytes of a string, without prefix and NUL. They may be invalid UTF-8.
    #[inline]
    pub fn as_str(&self) -> Option<&'a [u8]> {
        if self.kind != kind::STRING {
            return None;
        }
        self.value.get(4..self.value.len().checked_sub(1)?)
    }

    /// An embedded document, in the form that [`super::elements`] takes.
    #[inline]
    pub fn as_document(&self) -> Option<&'a [u8]> {
        (self.kind == kind::DOCUMENT).then_some(self.value)
    }

    /// An array, as the document that stores it.
    #[inline]
    pub fn as_array(&self) -> Option<&'a [u8]> {
        (self.kind == kind::ARRAY).then_some(self.value)
    }

    /// An ObjectId.
    #[inline]
    pub fn as_object_id(&self) -> Option<[u8; 12]> {
        self.fixed(kind::OBJECT_ID)
    }
}

/// The integer that equals a double; `None`: there is none in the range of `i64`.
fn whole(value: f64) -> Option<i64> {
    // 2^63 is the first double above the range; NaN fails both comparisons.
    const LIMIT: f64 = 9_223_372_036_854_775_808.0;
    let in_range = (-LIMIT..LIMIT).contains(&value) && value.fract() == 0.0;
    // Exact: whole and in range.
    in_range.then_some(value as i64)
}

/// Whether a decimal128 (BID encoding) is a zero of any exponent and sign.
fn is_decimal_zero(bytes: [u8; 16]) -> bool {
    let bits = u128::from_le_bytes(bytes);
    let special = (bits >> 125) & 0b11 == 0b11;
    // With the two bits set it is infinity, NaN, or a coefficient that is too large to be
    // canonical. Such a coefficient reads as zero.
    if special {
        (bits >> 123) & 0b1111 != 0b1111
    } else {
        bits & ((1 << 113) - 1) == 0
    }
}
