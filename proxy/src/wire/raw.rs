//! A scan over the top level of a BSON document, on its bytes.
//!
//! Weir reads a few fields of each request and forwards the document as it came. Therefore this
//! reader allocates nothing, does not validate UTF-8 and does not descend. It costs one step for
//! each top-level field, independent of the field's size. It checks exactly what it needs to stay
//! inside the document.

use super::WireError;
use super::le;

pub mod kind;

mod value;

pub(super) use value::len as value_len;

/// The length of the empty document in bytes: a length prefix and a terminator.
pub const MIN_DOCUMENT_LEN: usize = 5;

/// The length of the document at the start of `buf`, from its prefix; `None`: there are fewer than
/// four bytes. `buf` may be shorter or longer than the document.
///
/// # Errors
/// [`WireError::DocumentLength`] if the prefix is below 5.
#[inline]
pub fn document_len(buf: &[u8]) -> Result<Option<usize>, WireError> {
    let Some(length) = le::i32_at(buf, 0) else {
        return Ok(None);
    };
    match usize::try_from(length) {
        Ok(len) if len >= MIN_DOCUMENT_LEN => Ok(Some(len)),
        _ => Err(WireError::DocumentLength {
            length,
            available: buf.len(),
        }),
    }
}

/// Checks the frame of `document`: the length prefix is its length, and its last byte is NUL.
///
/// # Errors
/// [`WireError::DocumentLength`] or [`WireError::Terminator`].
#[inline]
pub fn check_frame(document: &[u8]) -> Result<(), WireError> {
    let available = document.len();
    match document_len(document)? {
        Some(len) if len == available => match document.last() {
            Some(0) => Ok(()),
            _ => Err(WireError::Terminator { len }),
        },
        Some(len) => Err(WireError::DocumentLength {
            length: le::length(len),
            available,
        }),
        None => Err(WireError::DocumentLength {
            length: 0,
            available,
        }),
    }
}

/// The top-level elements of `document`, which includes its length prefix and its terminating NUL.
/// The first error ends the iteration.
#[inline]
pub fn elements(document: &[u8]) -> Elements<'_> {
    let fault = check_frame(document).err();
    Elements {
        document,
        at: 4,
        end: document.len().saturating_sub(1),
        fault,
    }
}

/// The first element with this key; `None` also if the document is malformed before it.
#[inline]
pub fn find<'a>(document: &'a [u8], key: &[u8]) -> Option<Element<'a>> {
    elements(document)
        .map_while(Result::ok)
        .find(|element| element.key == key)
}

/// The documents that follow each other in `bytes`, as in a document sequence. They are split by
/// their length prefixes only. The iteration ends at a length that does not fit.
#[cfg(any(test, feature = "internals"))]
#[inline]
pub fn documents(mut bytes: &[u8]) -> impl Iterator<Item = &[u8]> {
    std::iter::from_fn(move || {
        let len = document_len(bytes).ok()??;
        let (document, rest) = bytes.split_at_checked(len)?;
        bytes = rest;
        Some(document)
    })
}

/// One field of a document, borrowed from it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Element<'a> {
    /// The BSON type, one of [`kind`].
    pub kind: u8,
    /// The field name, without its NUL. It may be invalid UTF-8.
    pub key: &'a [u8],
    /// The value's bytes, including its own length prefix and terminator.
    pub value: &'a [u8],
    /// Offset of `value` inside the scanned document.
    pub value_at: usize,
}

impl Element<'_> {
    /// Offset of the element's first byte, its type, inside the document.
    #[cfg(any(test, feature = "internals"))]
    #[inline]
    pub fn start(&self) -> usize {
        self.value_at.saturating_sub(self.key.len() + 2)
    }

    /// Offset of the first byte after the element.
    #[inline]
    pub fn end(&self) -> usize {
        self.value_at + self.value.len()
    }
}

/// Iterator of [`elements`].
#[derive(Clone, Debug)]
pub struct Elements<'a> {
    document: &'a [u8],
    /// Offset of the next element's type byte; at least `end` when done.
    at: usize,
    /// Offset of the document's terminator.
    end: usize,
    /// An error that was found on construction. The first call returns it.
    fault: Option<WireError>,
}

impl<'a> Iterator for Elements<'a> {
    type Item = Result<Element<'a>, WireError>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if let Some(fault) = self.fault.take() {
            self.at = self.end;
            return Some(Err(fault));
        }
        if self.at >= self.end {
            return None;
        }
        match read(self.document, self.at, self.end) {
            Some(element) => {
                self.at = element.end();
                Some(Ok(element))
            }
            None => {
                let fault = diagnose(self.document, self.at);
                self.at = self.end;
                Some(Err(fault))
            }
        }
    }
}

impl std::iter::FusedIterator for Elements<'_> {}

/// The element that starts at `at` and ends at or before `end`.
#[inline]
fn read(document: &[u8], at: usize, end: usize) -> Option<Element<'_>> {
    let (&kind, rest) = document.get(at..end)?.split_first()?;
    let key_len = rest.iter().position(|&byte| byte == 0)?;
    let (key, rest) = rest.split_at_checked(key_len)?;
    let rest = rest.get(1..)?;
    let value = rest.get(..value_len(kind, rest)?)?;
    Some(Element {
        kind,
        key,
        value,
        value_at: at + 2 + key_len,
    })
}

/// Why [`read`] found no element at `at`. A function of its own, to keep the scan small.
#[cold]
fn diagnose(document: &[u8], at: usize) -> WireError {
    let kind = document.get(at).copied().unwrap_or_default();
    match kind {
        0 => WireError::Terminator {
            len: document.len(),
        },
        kind::DOUBLE..=kind::DECIMAL | kind::MAX_KEY | kind::MIN_KEY => {
            WireError::ElementBounds { kind, at }
        }
        _ => WireError::ElementType { kind, at },
    }
}

#[cfg(test)]
mod tests;
