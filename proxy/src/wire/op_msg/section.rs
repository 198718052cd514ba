//! The sections of an OP_MSG, one at a time.

use std::ops::Range;

use super::MAX_SEQUENCES;
use super::raw;
use crate::wire::WireError;
use crate::wire::le;

const BODY: u8 = 0;
const SEQUENCE: u8 = 1;
const SECURITY_TOKEN: u8 = 2;

/// One section, borrowed from the message.
pub(super) enum Section<'a> {
    /// Kind 0: the document is everything after the kind byte.
    Body,
    /// Kind 1.
    Sequence {
        identifier: &'a [u8],
        documents: &'a [u8],
    },
}

impl<'a> Section<'a> {
    /// The section whose kind byte is at `at`, and the offset after it.
    /// `sections` is the message up to the end of its sections.
    #[inline]
    pub(super) fn read(sections: &'a [u8], at: usize) -> Result<(Section<'a>, usize), WireError> {
        let truncated = WireError::Truncated {
            len: sections.len(),
        };
        let (&kind, rest) = sections
            .get(at..)
            .and_then(<[u8]>::split_first)
            .ok_or(truncated)?;
        match kind {
            BODY => {
                let len = body_len(rest, rest.len())?.ok_or(truncated)?;
                match rest.get(len - 1) {
                    Some(0) => Ok((Section::Body, at + 1 + len)),
                    _ => Err(WireError::Terminator { len }),
                }
            }
            SEQUENCE => {
                let (identifier, documents, size) =
                    split_sequence(rest).ok_or(WireError::Sequence { at })?;
                Ok((
                    Section::Sequence {
                        identifier,
                        documents,
                    },
                    at + 1 + size,
                ))
            }
            _ => Err(refuse(kind, at)),
        }
    }
}

/// The body, if it is the section at `at` and wholly in `prefix`. The message will have
/// `total_len` bytes.
#[inline]
pub(super) fn leading_body(
    prefix: &[u8],
    at: usize,
    total_len: usize,
) -> Result<Option<Range<usize>>, WireError> {
    match prefix.get(at) {
        Some(&BODY) => {}
        Some(&SEQUENCE) => return Ok(None),
        Some(&kind) => return Err(refuse(kind, at)),
        None => return Err(WireError::MissingBody),
    }
    let start = at + 1;
    let rest = prefix.get(start..).unwrap_or_default();
    let Some(len) = body_len(rest, total_len.saturating_sub(start))? else {
        return if prefix.len() < total_len {
            Ok(None)
        } else {
            Err(WireError::Truncated { len: total_len })
        };
    };
    match rest.get(len - 1) {
        Some(0) => Ok(Some(start..start + len)),
        Some(_) => Err(WireError::Terminator { len }),
        None => Ok(None),
    }
}

/// The length (5 or more) of the document at the start of `rest`, which may have at most
/// `available` bytes; `None`: the length prefix is incomplete.
#[inline]
fn body_len(rest: &[u8], available: usize) -> Result<Option<usize>, WireError> {
    match raw::document_len(rest)? {
        Some(len) if len > available => Err(WireError::DocumentLength {
            length: le::length(len),
            available,
        }),
        len => Ok(len),
    }
}

/// The identifier, the documents and the size of the sequence whose size field is at the start of
/// `rest`. The size includes itself, the identifier and the documents.
#[inline]
fn split_sequence(rest: &[u8]) -> Option<(&[u8], &[u8], usize)> {
    let size = usize::try_from(le::i32_at(rest, 0)?).ok()?;
    let content = rest.get(4..size)?;
    let nul = content.iter().position(|&byte| byte == 0)?;
    Some((content.get(..nul)?, content.get(nul + 1..)?, size))
}

#[cold]
fn refuse(kind: u8, at: usize) -> WireError {
    match kind {
        SECURITY_TOKEN => WireError::SecurityToken { at },
        _ => WireError::SectionKind { kind, at },
    }
}

/// Checks that `documents`, of the sequence at `at`, consists of whole documents.
#[inline]
pub(super) fn check_documents(mut documents: &[u8], at: usize) -> Result<(), WireError> {
    while !documents.is_empty() {
        documents = raw::document_len(documents)
            .ok()
            .flatten()
            .and_then(|len| documents.get(len..))
            .ok_or(WireError::Sequence { at })?;
    }
    Ok(())
}

/// The identifiers seen so far in one message.
#[derive(Default)]
pub(super) struct Identifiers<'a> {
    seen: [Option<&'a [u8]>; MAX_SEQUENCES],
}

impl<'a> Identifiers<'a> {
    /// Records the identifier of the section at `at`.
    #[inline]
    pub(super) fn insert(&mut self, identifier: &'a [u8], at: usize) -> Result<(), WireError> {
        for slot in &mut self.seen {
            match slot {
                Some(seen) if *seen == identifier => {
                    return Err(WireError::RepeatedSequence { at });
                }
                Some(_) => {}
                None => {
                    *slot = Some(identifier);
                    return Ok(());
                }
            }
        }
        Err(WireError::TooManySequences { max: MAX_SEQUENCES })
    }
}

/// Iterator of [`OpMsg::sequences`](super::OpMsg::sequences): the identifier and the documents of
/// each sequence. [`raw::documents`] splits the latter.
#[cfg(any(test, feature = "internals"))]
#[derive(Clone, Debug)]
pub struct Sequences<'a> {
    sections: &'a [u8],
    at: usize,
}

#[cfg(any(test, feature = "internals"))]
impl<'a> Sequences<'a> {
    #[inline]
    pub(super) fn new(sections: &'a [u8], at: usize) -> Self {
        Sequences { sections, at }
    }
}

#[cfg(any(test, feature = "internals"))]
impl<'a> Iterator for Sequences<'a> {
    type Item = (&'a [u8], &'a [u8]);

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let (section, end) = Section::read(self.sections, self.at).ok()?;
            self.at = end;
            if let Section::Sequence {
                identifier,
                documents,
            } = section
            {
                return Some((identifier, documents));
            }
        }
    }
}
