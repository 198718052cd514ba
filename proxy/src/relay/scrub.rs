//! Taking a change of role out of an error reply. Pure.
//!
//! A driver that sees one of the codes, or one of the phrases by which old servers said
//! the same, gives up the whole address. Values that are not concerned are copied byte
//! for byte.

use crate::{
    error::{Class, Labels, executed_perhaps, is_state_change},
    wire::{
        build::DocumentBuilder,
        raw::{Element, elements, find},
    },
};

/// Rewrites one level of an error reply; `labels` are added at the top level only.
pub(super) fn scrub(document: &[u8], labels: Option<Labels>, class: Class) -> Vec<u8> {
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
                // A retryable write that was not replicated is retried by its label.
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

/// Old drivers recognise a state change by these phrases, whatever the code says.
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
