//! What a reply says: whether it is an error, which cursor it leaves open, and whether the node's
//! role changed. One pass over the top level, and nothing is copied.

use crate::{
    command::facts::stable_hash,
    error::{Labels, is_state_change},
    wire::{
        WireError,
        raw::{Element, elements},
    },
};

pub mod stream;

#[cfg(test)]
mod tests;

/// A node's own count of its state changes (`topologyVersion`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReportedVersion {
    /// The server process.
    pub process_id: [u8; 12],
    /// Grows with every change.
    pub counter: i64,
}

/// The cursor that a reply describes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CursorFacts {
    /// 0: the server has closed it.
    pub id: i64,
    /// The hash of its namespace.
    pub namespace: u64,
}

/// The facts of one reply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Outcome {
    /// `ok: 1`.
    pub ok: bool,
    /// Top-level `code`; 0: there is none.
    pub code: i32,
    /// `writeConcernError.code`; 0: there is none.
    pub write_concern_code: i32,
    /// The error labels that Weir knows.
    pub labels: Labels,
    /// The first state-change code: at top level, in `writeConcernError` or in `writeErrors`. 10107
    /// also stands for the text of an old server that sends no code.
    pub state_change: Option<i32>,
    /// The cursor in the reply.
    pub cursor: Option<CursorFacts>,
    /// `topologyVersion`, which errors and hello replies have.
    pub topology_version: Option<ReportedVersion>,
}

impl Outcome {
    /// Reads the body document of a reply.
    ///
    /// # Errors
    /// The document is malformed. The connection's byte stream cannot be trusted then.
    pub fn read(body: &[u8]) -> Result<Self, WireError> {
        let mut outcome = Self::default();
        let mut is_named_in_message = false;
        for field in elements(body) {
            let field = field?;
            match field.key {
                b"ok" => outcome.ok = field.as_truthy(),
                b"cursor" => outcome.cursor = cursor_of(&field),
                b"code" => outcome.code = int(&field),
                b"errmsg" => is_named_in_message = field.as_str().is_some_and(names_state_change),
                b"writeConcernError" => outcome.read_write_concern(&field),
                b"writeErrors" => outcome.read_write_errors(&field),
                b"errorLabels" => outcome.labels = labels_of(&field),
                b"topologyVersion" => outcome.topology_version = version_of(&field),
                _ => {}
            }
        }
        if is_state_change(outcome.code) {
            outcome.state_change = Some(outcome.code);
        } else if !outcome.ok && outcome.code == 0 && is_named_in_message {
            outcome.state_change.get_or_insert(10_107);
        }
        Ok(outcome)
    }

    fn read_write_concern(&mut self, field: &Element<'_>) {
        let code = field.as_document().map_or(0, code_in);
        self.write_concern_code = code;
        if is_state_change(code) {
            self.state_change.get_or_insert(code);
        }
    }

    fn read_write_errors(&mut self, field: &Element<'_>) {
        let Some(errors) = field.as_array() else {
            return;
        };
        let codes = elements(errors).map_while(Result::ok);
        let codes = codes.filter_map(|e| e.as_document().map(code_in));
        if let Some(code) = codes.into_iter().find(|code| is_state_change(*code)) {
            self.state_change.get_or_insert(code);
        }
    }

    /// Whether the server was overloaded and says that it executed nothing.
    #[must_use]
    pub const fn is_overload(&self) -> bool {
        !self.ok && self.labels.contains(Labels::OVERLOAD)
    }
}

fn int(field: &Element<'_>) -> i32 {
    field
        .as_number_i64()
        .and_then(|n| i32::try_from(n).ok())
        .unwrap_or_default()
}

fn code_in(document: &[u8]) -> i32 {
    let mut fields = elements(document).map_while(Result::ok);
    fields.find(|f| f.key == b"code").map_or(0, |f| int(&f))
}

fn cursor_of(field: &Element<'_>) -> Option<CursorFacts> {
    let mut facts = CursorFacts {
        id: 0,
        namespace: 0,
    };
    for field in elements(field.as_document()?).map_while(Result::ok) {
        match field.key {
            b"id" => facts.id = field.as_i64().unwrap_or_default(),
            b"ns" => facts.namespace = stable_hash(field.as_str().unwrap_or_default()),
            _ => {}
        }
    }
    Some(facts)
}

fn labels_of(field: &Element<'_>) -> Labels {
    let list = field.as_array().unwrap_or_default();
    let labels = elements(list).map_while(Result::ok);
    labels.fold(Labels::NONE, |all, l| {
        all.and(Labels::named(l.as_str().unwrap_or_default()))
    })
}

fn version_of(field: &Element<'_>) -> Option<ReportedVersion> {
    let mut process = None;
    let mut counter = None;
    for field in elements(field.as_document()?).map_while(Result::ok) {
        match field.key {
            b"processId" => process = field.as_object_id(),
            b"counter" => counter = field.as_i64(),
            _ => {}
        }
    }
    Some(ReportedVersion {
        process_id: process?,
        counter: counter?,
    })
}

/// Whether the message has one of the two phrases by which old servers announced a change of role.
#[must_use]
pub fn names_state_change(message: &[u8]) -> bool {
    ["not master", "node is recovering"].iter().any(|phrase| {
        message
            .windows(phrase.len())
            .any(|w| w.eq_ignore_ascii_case(phrase.as_bytes()))
    })
}
