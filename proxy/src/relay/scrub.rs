//! Takes a change of role out of an error reply. Pure.
//!
//! A driver that sees one of the state-change codes gives up the whole address. So does a driver
//! that sees one of the phrases by which old servers said the same. All other values are copied
//! byte for byte.

use crate::{
    error::{Class, Labels, executed_perhaps, is_state_change},
    wire::{
        build::DocumentBuilder,
        raw::{Element, elements, find},
    },
};

/// A reply with a change of role, as the client may see it.
///
/// Every state-change code becomes 6 HostUnreachable. The phrases by which drivers recognise a
/// change of role leave the texts. `topologyVersion` goes. The labels that let the driver retry
/// are added. Everything else stays byte for byte. The reply to a retryable write becomes a
/// failed command (see [`as_failed`]).
pub(super) fn without_state_change(body: &[u8], class: Class) -> Vec<u8> {
    let has_failed = !find(body, b"ok").is_some_and(|ok| ok.as_truthy());
    let rewritten = if class == Class::RetryableWrite && !has_failed {
        as_failed(body)
    } else {
        None
    };
    rewritten.unwrap_or_else(|| {
        let labels = has_failed.then(|| executed_perhaps(class));
        scrub(body, labels, class)
    })
}

/// Turns a retryable write's reply into a failed command, if it says `ok` although a change of role
/// stopped the write or its replication. `None`: the reply has no such code.
///
/// The driver then repeats the write, and the server does what is left of it. Few drivers repeat
/// a write whose reply says `ok`: none for a code in `writeErrors`, and Java's driver not for 6
/// in `writeConcernError`.
fn as_failed(reply: &[u8]) -> Option<Vec<u8>> {
    let change = hidden_change(reply)?;
    let mut out = DocumentBuilder::with_capacity(reply.len() + 64);
    out.f64("ok", 0.0);
    for field in ["code", "errmsg"] {
        if let Some(field) = find(change, field.as_bytes()) {
            out.element(&field);
        }
    }
    out.str("codeName", "");
    for field in elements(reply).map_while(Result::ok) {
        if matches!(
            field.key,
            b"errorLabels" | b"operationTime" | b"$clusterTime"
        ) {
            out.element(&field);
        }
    }
    let class = Class::RetryableWrite;
    Some(scrub(&out.finish(), Some(executed_perhaps(class)), class))
}

/// The first entry of `writeErrors`, or the `writeConcernError`, with a state-change code.
fn hidden_change(reply: &[u8]) -> Option<&[u8]> {
    let errors = find(reply, b"writeErrors").and_then(|errors| errors.as_array());
    let errors = elements(errors.unwrap_or_default()).map_while(Result::ok);
    let mut errors = errors.filter_map(|entry| entry.as_document());
    errors.find(|entry| changes_state(entry)).or_else(|| {
        let concern = find(reply, b"writeConcernError")?.as_document();
        concern.filter(|concern| changes_state(concern))
    })
}

/// Rewrites one level of an error reply. `labels` are added at the top level only.
fn scrub(document: &[u8], labels: Option<Labels>, class: Class) -> Vec<u8> {
    let mut out = DocumentBuilder::with_capacity(document.len() + 64);
    let mut present = Labels::NONE;
    let mut unknown: Vec<&[u8]> = Vec::new();
    let change = find(document, b"code").and_then(|c| c.as_number_i64());
    let change = change
        .and_then(|c| i32::try_from(c).ok())
        .is_none_or(is_state_change);
    for field in elements(document).map_while(Result::ok) {
        match field.key {
            b"code" if change => drop(out.i32("code", 6)),
            b"codeName" if change => drop(out.str("codeName", "HostUnreachable")),
            b"errmsg" => scrub_text(&mut out, &field),
            b"topologyVersion" => {}
            b"errorLabels" => collect_labels(&field, &mut present, &mut unknown),
            b"writeConcernError" => {
                let inner = field.as_document().unwrap_or_default();
                // The driver retries a commit that was not replicated because of this label.
                out.document("writeConcernError", &scrub(inner, None, class));
                if changes_state(inner) && executed_perhaps(class).contains(Labels::RETRYABLE_WRITE)
                {
                    present = present.and(Labels::RETRYABLE_WRITE);
                }
            }
            b"writeErrors" => {
                let list = field.as_array().unwrap_or_default();
                let mut items = DocumentBuilder::with_capacity(list.len() + 64);
                for item in elements(list).map_while(Result::ok) {
                    let inner = scrub(item.as_document().unwrap_or_default(), None, class);
                    items.raw(3, item.key, &inner);
                }
                out.array("writeErrors", &items.finish());
            }
            _ => drop(out.element(&field)),
        }
    }
    let all = present.and(labels.unwrap_or_default());
    if !all.is_empty() || !unknown.is_empty() {
        let others = unknown
            .into_iter()
            .filter_map(|name| std::str::from_utf8(name).ok());
        let mut names: Vec<&str> = others.collect();
        all.names().for_each(|name| names.push(name));
        out.strings("errorLabels", names);
    }
    out.finish()
}

fn collect_labels<'a>(field: &Element<'a>, known: &mut Labels, unknown: &mut Vec<&'a [u8]>) {
    let list = field.as_array().unwrap_or_default();
    for name in elements(list)
        .map_while(Result::ok)
        .filter_map(|label| label.as_str())
    {
        let label = Labels::named(name);
        if label.is_empty() {
            unknown.push(name)
        } else {
            *known = known.and(label)
        }
    }
}

/// Replaces the phrases by which old drivers recognise a state change, whatever the code says.
fn scrub_text(out: &mut DocumentBuilder, field: &Element<'_>) {
    let text = String::from_utf8_lossy(field.as_str().unwrap_or_default());
    let text =
        ["not master", "node is recovering"]
            .iter()
            .fold(text.into_owned(), |text, phrase| {
                let lower = text.to_ascii_lowercase();
                match lower.find(phrase) {
                    Some(at) => {
                        let (head, tail) = text.split_at(at);
                        let tail = tail.get(phrase.len()..).unwrap_or_default();
                        format!("{head}node changed its role{tail}")
                    }
                    None => text,
                }
            });
    out.str("errmsg", &text);
}

/// Whether this level of a reply carries a state-change code.
fn changes_state(document: &[u8]) -> bool {
    let code = find(document, b"code").and_then(|code| code.as_number_i64());
    code.and_then(|code| i32::try_from(code).ok())
        .is_some_and(is_state_change)
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::*;

    fn failed(reply: &RawDocumentBuf) -> Option<RawDocumentBuf> {
        as_failed(reply.as_bytes()).map(|bytes| RawDocumentBuf::from_bytes(bytes).unwrap())
    }

    #[test]
    fn a_write_that_a_change_of_role_stopped_becomes_a_failed_command() {
        let entry = rawdoc! { "index": 0, "code": 10107, "errmsg": "Not master while writing" };
        let stopped = rawdoc! { "n": 0, "writeErrors": [entry], "ok": 1.0, "operationTime": 7 };
        let expected = rawdoc! {
            "ok": 0.0, "code": 6, "errmsg": "node changed its role while writing",
            "codeName": "HostUnreachable", "operationTime": 7,
            "errorLabels": ["RetryableWriteError"],
        };
        assert_eq!(failed(&stopped), Some(expected));

        let concern = rawdoc! { "code": 11602, "errmsg": "operation was interrupted" };
        let alone = rawdoc! {
            "n": 1, "nModified": 1, "writeConcernError": concern, "errorLabels": ["X"], "ok": 1.0,
        };
        let expected = rawdoc! {
            "ok": 0.0, "code": 6, "errmsg": "operation was interrupted",
            "codeName": "HostUnreachable", "errorLabels": ["X", "RetryableWriteError"],
        };
        assert_eq!(failed(&alone), Some(expected));
    }

    fn rewritten(reply: &RawDocumentBuf, class: Class) -> RawDocumentBuf {
        let bytes = without_state_change(reply.as_bytes(), class);
        RawDocumentBuf::from_bytes(bytes).unwrap()
    }

    #[test]
    fn a_failed_command_gets_the_labels_of_its_class() {
        let version = rawdoc! { "processId": 1, "counter": 2_i64 };
        let failed = rawdoc! {
            "ok": 0.0, "errmsg": "not master", "code": 10107, "codeName": "NotWritablePrimary",
            "topologyVersion": version, "x": 1,
        };
        let plain = rawdoc! {
            "ok": 0.0, "errmsg": "node changed its role", "code": 6, "codeName": "HostUnreachable",
            "x": 1,
        };
        assert_eq!(rewritten(&failed, Class::Write), plain);
        let mut labelled = plain;
        let labels = bson::RawArrayBuf::from_iter(["TransientTransactionError"]);
        labelled.append(bson::raw::cstr!("errorLabels"), labels);
        assert_eq!(rewritten(&failed, Class::InTransaction), labelled);
    }

    #[test]
    fn a_success_becomes_a_failure_for_retryable_writes_only() {
        let concern = rawdoc! { "code": 11602, "errmsg": "interrupted" };
        let reply = rawdoc! { "n": 1, "writeConcernError": concern, "ok": 1.0 };
        let is_ok = |class| rewritten(&reply, class).get_f64("ok").unwrap() > 0.0;
        assert!(!is_ok(Class::RetryableWrite));
        assert!(is_ok(Class::Write) && is_ok(Class::Commit));
    }

    #[test]
    fn other_errors_inside_a_reply_stay_there() {
        let entry = rawdoc! { "index": 0, "code": 11000, "errmsg": "E11000 duplicate key" };
        let concern = rawdoc! { "code": 64, "errmsg": "waiting for replication timed out" };
        let reply = rawdoc! { "ok": 1, "writeErrors": [entry], "writeConcernError": concern };
        assert_eq!(failed(&reply), None);
    }
}
