//! The same facts from a reply that is too large to be held whole.
//!
//! Bytes are pushed in as they arrive. Other values, above all the batch of documents, are skipped
//! by their length. At most 2 KiB are kept therefore. A server puts the cursor's id after its
//! batch, so the id is known before the reply's last byte is passed on.

use crate::command::{
    facts::stable_hash,
    outcome::{CursorFacts, Outcome},
};

/// The longest value that is read, in bytes. Longer ones are skipped: no fact that Weir needs is
/// longer.
const LONGEST_FACT: usize = 1024;

/// A push parser over the body document of one reply.
#[derive(Debug, Default)]
pub struct StreamScan {
    /// Bytes that have arrived and are not parsed yet.
    pending: Vec<u8>,
    /// Bytes to skip before the next field.
    skip: usize,
    state: ScanState,
    outcome: Outcome,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum ScanState {
    /// Waiting for the body's own length.
    #[default]
    Length,
    /// Between two fields of the body.
    Top,
    /// Between two fields of its `cursor`.
    Cursor,
    /// The body has ended, or could not be understood.
    Done,
}

/// What to do after an attempt to parse the next field.
enum Progress {
    /// `used` bytes are parsed. Skip `skip` more.
    Advance { used: usize, skip: usize },
    /// More bytes are needed.
    Wait,
}

impl StreamScan {
    /// Takes the next bytes of the body document, in order.
    pub fn feed(&mut self, mut bytes: &[u8]) {
        while self.state != ScanState::Done && !bytes.is_empty() {
            if self.skip > 0 {
                let passed = self.skip.min(bytes.len());
                self.skip -= passed;
                bytes = bytes.get(passed..).unwrap_or_default();
                continue;
            }
            // In small pieces: the next value may be a batch of several megabytes.
            let room = (LONGEST_FACT * 2).saturating_sub(self.pending.len());
            let (now, later) = bytes.split_at(room.min(bytes.len()));
            self.pending.extend_from_slice(now);
            bytes = later;
            self.parse_pending();
            if self.pending.len() >= LONGEST_FACT * 2 {
                self.state = ScanState::Done;
            }
        }
    }

    /// The facts so far. They are complete after the whole body was fed.
    #[must_use]
    pub const fn outcome(&self) -> &Outcome {
        &self.outcome
    }

    fn parse_pending(&mut self) {
        let pending = std::mem::take(&mut self.pending);
        let mut rest = pending.as_slice();
        while self.state != ScanState::Done {
            let Progress::Advance { used, skip } = self.step(rest) else {
                break;
            };
            let passed = (used + skip).min(rest.len());
            self.skip = (used + skip) - passed;
            rest = rest.get(passed..).unwrap_or_default();
            if self.skip > 0 {
                break;
            }
        }
        self.pending = rest.to_vec();
    }

    fn step(&mut self, bytes: &[u8]) -> Progress {
        if self.state == ScanState::Length {
            if bytes.len() < 4 {
                return Progress::Wait;
            }
            self.state = ScanState::Top;
            return Progress::Advance { used: 4, skip: 0 };
        }
        let Some((&kind, rest)) = bytes.split_first() else {
            return Progress::Wait;
        };
        if kind == 0 {
            self.state = if self.state == ScanState::Cursor {
                ScanState::Top
            } else {
                ScanState::Done
            };
            return Progress::Advance { used: 1, skip: 0 };
        }
        let Some(end) = rest.iter().position(|b| *b == 0) else {
            return Progress::Wait;
        };
        let (key, value) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..));
        self.field(kind, key, value.unwrap_or_default())
    }

    /// Parses one field, whose value may be incomplete.
    fn field(&mut self, kind: u8, key: &[u8], value: &[u8]) -> Progress {
        let before = key.len() + 2;
        let Some(len) = value_len(kind, value) else {
            return self.incomplete(kind);
        };
        if kind == 3 && key == b"cursor" && self.state == ScanState::Top {
            self.state = ScanState::Cursor;
            return Progress::Advance {
                used: before + 4,
                skip: 0,
            };
        }
        if len > LONGEST_FACT || !self.is_fact(key) {
            return Progress::Advance {
                used: before,
                skip: len,
            };
        }
        let Some(value) = value.get(..len) else {
            return Progress::Wait;
        };
        self.read_fact(kind, key, value);
        Progress::Advance {
            used: before + len,
            skip: 0,
        }
    }

    /// The length of the value is not known yet. With an unknown type it never will be.
    fn incomplete(&mut self, kind: u8) -> Progress {
        if !matches!(kind, 1..=0x13 | 0x7f | 0xff) {
            self.state = ScanState::Done;
        }
        Progress::Wait
    }

    fn is_fact(&self, key: &[u8]) -> bool {
        match self.state {
            ScanState::Cursor => matches!(key, b"id" | b"ns"),
            _ => matches!(key, b"ok"),
        }
    }

    fn read_fact(&mut self, kind: u8, key: &[u8], value: &[u8]) {
        let cursor = CursorFacts {
            id: 0,
            namespace: 0,
        };
        match (key, kind) {
            (b"ok", 1) => self.outcome.ok = value.iter().any(|b| *b != 0),
            (b"id", 0x12) => {
                let id = value.try_into().map_or(0, i64::from_le_bytes);
                self.outcome.cursor.get_or_insert(cursor).id = id;
            }
            (b"ns", 2) => {
                let name = value
                    .get(4..value.len().saturating_sub(1))
                    .unwrap_or_default();
                self.outcome.cursor.get_or_insert(cursor).namespace = stable_hash(name);
            }
            _ => {}
        }
    }
}

/// The length of a value in bytes, from its type and first bytes (BSON 1.1).
fn value_len(kind: u8, value: &[u8]) -> Option<usize> {
    let prefix = || {
        let bytes = value.get(..4)?.try_into().ok()?;
        usize::try_from(i32::from_le_bytes(bytes)).ok()
    };
    match kind {
        0x06 | 0x0a | 0x7f | 0xff => Some(0),
        0x08 => Some(1),
        0x10 => Some(4),
        0x01 | 0x09 | 0x11 | 0x12 => Some(8),
        0x07 => Some(12),
        0x13 => Some(16),
        0x03 | 0x04 | 0x0f => prefix(),
        0x02 | 0x0d | 0x0e => prefix()?.checked_add(4),
        0x05 => prefix()?.checked_add(5),
        0x0c => prefix()?.checked_add(16),
        0x0b => {
            let pattern = value.iter().position(|b| *b == 0)?;
            let options = value.get(pattern + 1..)?.iter().position(|b| *b == 0)?;
            Some(pattern + options + 2)
        }
        _ => None,
    }
}
