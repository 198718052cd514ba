//! The fields of a hello that change its answer.

use std::time::Duration;

use crate::{
    command::Facts,
    error::ErrorReply,
    wire::raw::{Element, find},
};

/// What a hello asks for.
#[derive(Debug, Default)]
pub(super) struct Question {
    /// The client's `topologyVersion`: process id and counter.
    pub(super) known: Option<([u8; 12], i64)>,
    /// `maxAwaitTimeMS`.
    pub(super) wait: Option<Duration>,
    pub(super) hello_ok: bool,
    pub(super) load_balanced: bool,
}

/// The rules of a server for the two fields that make a hello wait.
pub(super) fn check_wait(question: &Question, facts: &Facts) -> Result<(), ErrorReply> {
    let both = question.known.is_some() && question.wait.is_some();
    let neither = question.known.is_none() && question.wait.is_none();
    if !both && !neither {
        let text = "A request with a 'topologyVersion' must include 'maxAwaitTimeMS', and the \
                    other way round";
        return Err(ErrorReply::new(51760, "Location51760", text));
    }
    if facts.allows_exhaust() && neither {
        let text = "An exhaust hello must include 'topologyVersion' and 'maxAwaitTimeMS'";
        return Err(ErrorReply::new(51763, "Location51763", text));
    }
    Ok(())
}

pub(super) fn version_of(field: &Element<'_>) -> Option<([u8; 12], i64)> {
    let document = field.as_document()?;
    let process = find(document, b"processId")?.as_object_id()?;
    Some((process, find(document, b"counter")?.as_number_i64()?))
}
