//! What each fuzz target does with its input, as plain functions.
//!
//! A target panics when the wire code breaks a promise. The code must not panic itself. It must
//! also agree with itself and with the bson crate about what it read.

#![forbid(unsafe_code)]

use bson::RawDocument;
use weir::command::outcome::stream::StreamScan;
use weir::command::{Facts, Outcome};
use weir::route::read_preference::ReadPreference;
use weir::topology::Hello;
use weir::wire::compressed::{compress, decompress};
use weir::wire::header::{HEADER_LEN, Header, MAX_MESSAGE_LEN, opcode};
use weir::wire::legacy::{Query, op_query, op_reply, parse_op_reply};
use weir::wire::op_msg::{self, CHECKSUM_PRESENT, MAX_SEQUENCES, OpMsg};
use weir::wire::{Compressor, edit, raw, reply};

pub mod anonymous;
pub mod login;

/// A target's name and body.
pub type Target = (&'static str, fn(&[u8]));

/// Every target, for runs without libFuzzer. The one that needs no login comes first.
pub const TARGETS: [Target; 15] = [
    ("anonymous", anonymous::anonymous),
    ("header", header),
    ("op_msg", op_msg),
    ("raw", raw),
    ("legacy", legacy),
    ("compressed", compressed),
    ("edit", edit),
    ("facts", facts),
    ("outcome", outcome),
    ("read_preference", read_preference),
    ("hello", hello),
    ("scram", login::scram),
    ("login", login::login),
    ("own_login", login::own_login),
    ("pem", login::pem),
];

/// A message with a valid header and the input as its content, so that the fuzzer need not find
/// valid lengths.
fn framed(op_code: i32, content: &[u8]) -> Vec<u8> {
    let header = Header {
        length: HEADER_LEN + content.len(),
        request_id: 1,
        response_to: 2,
        op_code,
    };
    [&header.encode(), content].concat()
}

/// A decoded header encodes to the same bytes, and its length is within the limit.
pub fn header(data: &[u8]) {
    for max in [0, 16, 4096, MAX_MESSAGE_LEN] {
        match Header::decode(data, max) {
            Ok(Some(header)) => {
                assert!((HEADER_LEN..=max).contains(&header.length));
                assert!(data.starts_with(&header.encode()));
            }
            Ok(None) => assert!(data.len() < HEADER_LEN),
            Err(_) => assert!(data.len() >= HEADER_LEN),
        }
    }
}

/// Sections stay inside the message. A prefix is parsed like the whole message. Removing a checksum
/// restores the message.
pub fn op_msg(data: &[u8]) {
    let _ = OpMsg::parse(data);
    let _ = OpMsg::parse_prefix(data, data.len() + 1);

    let mut message = framed(opcode::MSG, data);
    let whole = OpMsg::parse(&message);
    for cut in [message.len() / 2, message.len()] {
        let Ok(Some(early)) = OpMsg::parse_prefix(&message[..cut], message.len()) else {
            continue;
        };
        assert!(early.body.end <= cut);
        if let Ok(whole) = &whole {
            assert_eq!(&early, whole);
        }
    }
    let Ok(whole) = whole else {
        return;
    };
    assert_eq!(
        raw::document_len(&message[whole.body.clone()]),
        Ok(Some(whole.body.len()))
    );
    let mut sequences = 0;
    for (_, documents) in whole.sequences(&message) {
        let cut = raw::documents(documents).map(<[u8]>::len).sum::<usize>();
        assert_eq!(cut, documents.len());
        sequences += 1;
    }
    assert!(sequences <= MAX_SEQUENCES);

    op_msg::strip_checksum(&mut message);
    let stripped = message.clone();
    let expected = OpMsg {
        flags: whole.flags & !CHECKSUM_PRESENT,
        ..whole
    };
    assert_eq!(OpMsg::parse(&message), Ok(expected));
    op_msg::append_checksum(&mut message);
    assert!(OpMsg::parse(&message).is_ok());
    op_msg::strip_checksum(&mut message);
    assert_eq!(message, stripped);
}

/// Elements follow each other without a gap. What the bson crate accepts is read in the same way.
pub fn raw(data: &[u8]) {
    let _ = raw::document_len(data);
    let mut document = data.to_vec();
    scan(&document);
    if let (Ok(length), true) = (i32::try_from(document.len()), document.len() >= 5) {
        document[..4].copy_from_slice(&length.to_le_bytes());
        if let Some(last) = document.last_mut() {
            *last = 0;
        }
        scan(&document);
    }
}

fn scan(document: &[u8]) {
    let mut at = 4;
    let mut ours = Vec::new();
    let mut whole = true;
    for element in raw::elements(document) {
        let Ok(element) = element else {
            whole = false;
            break;
        };
        assert_eq!(element.start(), at);
        at = element.end();
        assert_eq!(document[element.value_at..at], *element.value);
        read_value(&element);
        ours.push((element.kind, element.key, element.value.len()));
    }
    if whole {
        assert_eq!(at + 1, document.len());
    }
    let theirs = RawDocument::from_bytes(document).ok().and_then(|document| {
        document
            .iter_elements()
            .map(|element| {
                let element = element.ok()?;
                element.value().ok()?;
                let key = element.key().as_str().as_bytes();
                Some((element.element_type() as u8, key, element.size()))
            })
            .collect::<Option<Vec<_>>>()
    });
    if let Some(theirs) = theirs {
        assert!(whole, "the bson crate accepts this");
        assert_eq!(ours, theirs);
    }
}

fn read_value(element: &raw::Element<'_>) {
    let _ = element.as_truthy();
    let _ = element.as_number_i64();
    let read = [
        element.as_i32().is_some(),
        element.as_i64().is_some(),
        element.as_f64().is_some(),
        element.as_bool().is_some(),
        element.as_str().is_some(),
        element.as_document().is_some(),
        element.as_array().is_some(),
        element.as_object_id().is_some(),
    ];
    assert!(read.iter().filter(|&&read| read).count() <= 1);
}

/// Ranges stay inside the message. A message that was built is read back.
pub fn legacy(data: &[u8]) {
    let _ = Query::parse(data);
    let _ = parse_op_reply(data);
    let message = framed(opcode::QUERY, data);
    if let Ok(query) = Query::parse(&message) {
        assert!(!message[query.namespace].contains(&0));
        assert_eq!(raw::check_frame(&message[query.body]), Ok(()));
    }
    let message = framed(opcode::REPLY, data);
    if let Ok(document) = parse_op_reply(&message) {
        assert_eq!(raw::check_frame(&message[document]), Ok(()));
    }
    if raw::check_frame(data).is_ok() {
        let reply = op_reply(1, 2, data);
        assert_eq!(parse_op_reply(&reply).map(|range| &reply[range]), Ok(data));
        let query = op_query(1, "admin.$cmd", data);
        assert!(Query::parse(&query).is_ok());
    }
}

/// Decompression gives exactly the announced size and undoes compression.
pub fn compressed(data: &[u8]) {
    const MAX_PLAIN: usize = 1 << 20;

    let _ = decompress(data, MAX_PLAIN);
    let message = framed(opcode::COMPRESSED, data);
    if let Ok(plain) = decompress(&message, MAX_PLAIN) {
        assert!(plain.len() <= MAX_PLAIN);
        let header = Header::decode(&plain, MAX_PLAIN).ok().flatten();
        assert_eq!(header.map(|header| header.length), Some(plain.len()));
    }
    let plain = framed(opcode::MSG, data);
    for with in [Compressor::Snappy, Compressor::Zlib(1), Compressor::Zstd] {
        let packed = compress(&plain, with);
        let back = packed.and_then(|packed| decompress(&packed, plain.len()));
        assert_eq!(back.as_ref(), Ok(&plain));
    }
}

/// An edit changes the body and the lengths, and nothing else.
pub fn edit(data: &[u8]) {
    let (key, value) = ("weir", 7_i32.to_le_bytes());
    let mut original = framed(opcode::MSG, data);
    op_msg::strip_checksum(&mut original);
    let Ok(parsed) = OpMsg::parse(&original) else {
        return;
    };
    let mut edited = original.clone();
    if edit::append_to_body(&mut edited, &parsed, raw::kind::INT32, key, &value).is_err() {
        return;
    }
    let Ok(after) = OpMsg::parse(&edited) else {
        panic!("an edited message does not parse");
    };
    assert_eq!(after.body.len(), parsed.body.len() + 10);
    assert!(parsed.sequences(&original).eq(after.sequences(&edited)));
    // Only the body and the length of the message, in its first four bytes, are different.
    let restored = [
        &original[..4],
        &edited[4..after.body.start],
        &original[parsed.body.clone()],
        &edited[after.body.end..],
    ];
    assert_eq!(restored.concat(), original);

    let again = reply::op_msg(1, 2, parsed.flags, &original[parsed.body]);
    assert!(OpMsg::parse(&again).is_ok());
}

/// The facts of a request lie inside its message. Positions that will be overwritten hold the
/// values of the facts.
pub fn facts(data: &[u8]) {
    let message = reply::op_msg(1, 0, 0, data);
    let Ok(msg) = OpMsg::parse(&message) else {
        return;
    };
    let Ok(facts) = Facts::read(&message, &msg) else {
        return;
    };
    assert_eq!(facts.body.of(&message), &message[msg.body.clone()]);
    if !facts.name.of(&message).is_empty() {
        assert_eq!(
            raw::elements(data).next().map(|first| first.unwrap().key),
            Some(facts.name.of(&message))
        );
    }
    if let Some(max) = facts.max_time {
        let mut edited = message.clone();
        assert!(edit::overwrite_number(
            &mut edited,
            max.at,
            max.kind,
            max.ms
        ));
        assert_eq!(
            Facts::read(&edited, &msg).unwrap().max_time.map(|m| m.ms),
            Some(max.ms)
        );
    }
}

/// A cursor that is found in a reply read in pieces is also found in the whole reply.
pub fn outcome(data: &[u8]) {
    let whole = Outcome::read(data);
    let mut scan = StreamScan::default();
    for piece in data.chunks(7) {
        scan.feed(piece);
    }
    if let (Ok(whole), Some(streamed)) = (whole, scan.outcome().cursor) {
        assert!(
            whole.cursor.is_some(),
            "a cursor {streamed:?} out of nothing"
        );
    }
}

/// Any bytes are parsed as a read preference or refused.
pub fn read_preference(data: &[u8]) {
    if let Ok(preference) = ReadPreference::parse(data) {
        assert!(preference.tag_sets.len() <= data.len());
    }
}

/// Any bytes are parsed as a hello reply or refused.
pub fn hello(data: &[u8]) {
    let _ = Hello::parse(data);
}

#[cfg(test)]
mod tests;
