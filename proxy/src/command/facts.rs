//! The facts of one request, from a single pass over the top level of its body.
//!
//! Only what routing needs is decoded, and nothing is copied. A fact is a number, a flag or a
//! [`Span`] of the message.

use crate::{
    command::kind::{Treatment, treatment},
    error::Class,
    wire::{
        WireError,
        op_msg::{EXHAUST_ALLOWED, MORE_TO_COME, OpMsg},
        raw::{Element, elements, find},
    },
};

#[cfg(test)]
mod tests;

/// A part of the message, by its position.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub struct Span {
    at: u32,
    len: u32,
}

impl Span {
    fn new(at: usize, len: usize) -> Self {
        // A message has at most 48,000,000 bytes, which fits into u32.
        let number = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
        Self {
            at: number(at),
            len: number(len),
        }
    }

    /// The bytes of the span in `message`; empty if it is not wholly inside.
    #[must_use]
    pub fn of(self, message: &[u8]) -> &[u8] {
        let at = self.at as usize;
        message
            .get(at..at.saturating_add(self.len as usize))
            .unwrap_or_default()
    }

    /// The offset of the span's first byte.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub const fn start(self) -> usize {
        self.at as usize
    }
}

/// `maxTimeMS` of a request, with its position so that it can be overwritten.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MaxTime {
    /// Milliseconds, as the client sent them; 0: no limit.
    pub ms: i64,
    /// Offset of the value in the message.
    pub at: usize,
    /// Its BSON type.
    pub kind: u8,
}

/// Why a request is refused before it is routed.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
pub enum FactsError {
    /// The bytes are no valid message.
    #[error(transparent)]
    Wire(#[from] WireError),
    /// The body is an empty document.
    #[error("the message's body is empty; a command's name must come first")]
    NoCommand,
    /// `$db` is missing, which the OP_MSG specification requires.
    #[error("OP_MSG requests require a $db argument")]
    NoDatabase,
    /// `lsid` has fields that only servers may set.
    #[error("lsid may not carry uid, txnUUID or txnNumber")]
    InternalSession,
}

/// What routing, queueing and error labels need to know about one request.
#[derive(Clone, Debug)]
pub struct Facts {
    /// How Weir treats the command.
    pub treatment: Treatment,
    /// The retry class, which selects error labels.
    pub class: Class,
    /// The command's name.
    pub name: Span,
    /// `$db`.
    pub db: Span,
    /// The body document.
    pub body: Span,
    /// The OP_MSG flag bits.
    pub flags: u32,
    /// The hash of `lsid.id`. Equal ids have the same hash in every Weir.
    pub session: Option<u64>,
    /// `txnNumber`.
    pub txn_number: Option<i64>,
    /// `startTransaction: true`.
    pub starts_transaction: bool,
    /// `autocommit: false`: part of a transaction.
    pub in_transaction: bool,
    /// `$readPreference`.
    pub read_preference: Option<Span>,
    /// `maxTimeMS`.
    pub max_time: Option<MaxTime>,
    /// The cursor of a getMore; 0 for other commands.
    pub cursor_id: i64,
    /// The command opens a cursor whose getMores wait for data.
    pub awaits_data: bool,
}

impl Facts {
    /// Reads the facts of a whole OP_MSG.
    ///
    /// # Errors
    /// The sections are malformed, or [`Facts::read`] refuses the body.
    pub fn of(message: &[u8]) -> Result<Self, FactsError> {
        Self::read(message, &OpMsg::parse(message)?)
    }

    /// Reads the facts of an OP_MSG whose sections were checked by [`OpMsg::parse`].
    ///
    /// # Errors
    /// The body is malformed, the command or `$db` is missing, or only servers may send the `lsid`.
    pub fn read(message: &[u8], msg: &OpMsg) -> Result<Self, FactsError> {
        let body = message.get(msg.body.clone()).unwrap_or_default();
        let mut fields = elements(body);
        let first = fields.next().ok_or(FactsError::NoCommand)??;
        let base = msg.body.start;
        let mut facts = Self::named(first.key, base, &first, msg);
        let mut has_db = false;
        for field in fields {
            let field = field?;
            has_db |= field.key == b"$db";
            facts.read_field(&field, base)?;
        }
        if !has_db {
            return Err(FactsError::NoDatabase);
        }
        facts.conclude(message, body, &first);
        Ok(facts)
    }

    fn named(name: &[u8], base: usize, first: &Element<'_>, msg: &OpMsg) -> Self {
        Self {
            treatment: treatment(name),
            class: Class::Write,
            // The name precedes its value, with one NUL between them.
            name: Span::new(
                (base + first.value_at).saturating_sub(name.len() + 1),
                name.len(),
            ),
            db: Span::default(),
            body: Span::new(base, msg.body.len()),
            flags: msg.flags,
            session: None,
            txn_number: None,
            starts_transaction: false,
            in_transaction: false,
            read_preference: None,
            max_time: None,
            cursor_id: 0,
            awaits_data: false,
        }
    }

    /// Takes the fact of one top-level field.
    fn read_field(&mut self, field: &Element<'_>, base: usize) -> Result<(), FactsError> {
        let at = base + field.value_at;
        match field.key {
            // A BSON string's length prefix (4) and NUL (1) are not part of the name.
            b"$db" => self.db = Span::new(at + 4, field.as_str().map_or(0, <[u8]>::len)),
            b"lsid" => self.session = session_of(field)?,
            b"txnNumber" => self.txn_number = field.as_number_i64(),
            b"startTransaction" => self.starts_transaction = field.as_bool() == Some(true),
            b"autocommit" => self.in_transaction = field.as_bool() == Some(false),
            b"$readPreference" => {
                self.read_preference = Some(Span::new(at, field.value.len()));
            }
            b"maxTimeMS" => {
                let found = |ms| MaxTime {
                    ms,
                    at,
                    kind: field.kind,
                };
                self.max_time = field.as_number_i64().map(found);
            }
            b"awaitData" => self.awaits_data = field.as_truthy(),
            _ => {}
        }
        Ok(())
    }

    /// Sets the facts that depend on several fields.
    fn conclude(&mut self, message: &[u8], body: &[u8], first: &Element<'_>) {
        match self.treatment {
            Treatment::GetMore => self.cursor_id = first.as_number_i64().unwrap_or_default(),
            Treatment::Aggregate => self.conclude_aggregate(body),
            Treatment::Explain => self.treatment = explained(first),
            Treatment::Write if is_inline_map_reduce(self.name.of(message), body) => {
                self.treatment = Treatment::Read;
            }
            // `profile: -1` only reads the level.
            Treatment::Denied
                if self.name.of(message) == b"profile" && first.as_number_i64() == Some(-1) =>
            {
                self.treatment = Treatment::Read;
            }
            _ => {}
        }
        self.class = self.class_of();
    }

    fn conclude_aggregate(&mut self, body: &[u8]) {
        let shape = find(body, b"pipeline")
            .map(|p| pipeline_shape(&p))
            .unwrap_or_default();
        self.awaits_data = shape.change_stream;
        self.treatment = if shape.writes {
            Treatment::Write
        } else {
            Treatment::Read
        };
    }

    fn class_of(&self) -> Class {
        match self.treatment {
            Treatment::Commit => Class::Commit,
            Treatment::Abort => Class::Abort,
            _ if self.in_transaction => Class::InTransaction,
            Treatment::GetMore => Class::GetMore,
            Treatment::Read => Class::Read,
            _ if self.txn_number.is_some() => Class::RetryableWrite,
            _ => Class::Write,
        }
    }

    /// Whether the client wants no reply (`moreToCome` on a request: an unacknowledged write).
    #[must_use]
    pub const fn is_unacknowledged(&self) -> bool {
        self.flags & MORE_TO_COME != 0
    }

    /// Whether the client accepts a stream of replies.
    #[must_use]
    pub const fn allows_exhaust(&self) -> bool {
        self.flags & EXHAUST_ALLOWED != 0
    }
}

/// The hash of `lsid.id`. It is the same in all processes, because two Weirs must choose the same
/// mongos for one session.
fn session_of(lsid: &Element<'_>) -> Result<Option<u64>, FactsError> {
    let Some(document) = lsid.as_document() else {
        return Ok(None);
    };
    let mut session = None;
    for field in elements(document) {
        let field = field?;
        match field.key {
            b"id" => session = Some(stable_hash(field.value)),
            b"uid" | b"txnUUID" | b"txnNumber" => return Err(FactsError::InternalSession),
            _ => {}
        }
    }
    Ok(session)
}

/// FNV-1a with 64 bits. It has no seed, so all processes compute the same hash.
#[must_use]
pub fn stable_hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

#[derive(Default)]
struct PipelineShape {
    writes: bool,
    change_stream: bool,
}

/// `$changeStream` must be a pipeline's first stage, `$out` and `$merge` its last.
fn pipeline_shape(pipeline: &Element<'_>) -> PipelineShape {
    let mut shape = PipelineShape::default();
    let Some(stages) = pipeline.as_array() else {
        return shape;
    };
    for stage in elements(stages).map_while(Result::ok) {
        let name = stage
            .as_document()
            .and_then(|d| elements(d).next())
            .and_then(Result::ok);
        match name.map(|n| n.key) {
            Some(b"$out" | b"$merge") => shape.writes = true,
            Some(b"$changeStream") => shape.change_stream = true,
            _ => {}
        }
    }
    shape
}

fn explained(first: &Element<'_>) -> Treatment {
    let inner = first.as_document().unwrap_or_default();
    let Some(Ok(command)) = elements(inner).next() else {
        return Treatment::Write;
    };
    match treatment(command.key) {
        Treatment::Aggregate => {
            let shape = find(inner, b"pipeline")
                .map(|p| pipeline_shape(&p))
                .unwrap_or_default();
            if shape.writes {
                Treatment::Write
            } else {
                Treatment::Read
            }
        }
        Treatment::Read => Treatment::Read,
        _ if is_inline_map_reduce(command.key, inner) => Treatment::Read,
        _ => Treatment::Write,
    }
}

fn is_inline_map_reduce(name: &[u8], body: &[u8]) -> bool {
    let inline = || {
        find(body, b"out")?
            .as_document()
            .map(|out| find(out, b"inline").is_some())
    };
    matches!(name, b"mapReduce" | b"mapreduce") && inline() == Some(true)
}
