use bson::{Document, doc};
use proptest::prelude::*;

use super::*;
use crate::wire::build::DocumentBuilder;
use crate::wire::fixtures::{A1, any_document, body, op_msg, sequence};

fn parse(document: &[u8]) -> Document {
    Document::from_reader(document).unwrap()
}

#[test]
fn numbers_keep_their_type() {
    for (kind, value, expected) in [
        (kind::INT32, 7, &[7, 0, 0, 0][..]),
        (kind::INT32, i64::MAX, &[0xFF, 0xFF, 0xFF, 0x7F]),
        (kind::INT32, i64::MIN, &[0, 0, 0, 0x80]),
        (
            kind::INT64,
            -2,
            &[0xFE, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF, 0xFF],
        ),
        (kind::DOUBLE, 1, &[0, 0, 0, 0, 0, 0, 0xF0, 0x3F]),
    ] {
        let mut bytes = [9; 12];
        assert!(overwrite_number(&mut bytes, 2, kind, value));
        let (before, rest) = bytes.split_at(2);
        let (number, after) = rest.split_at(expected.len());
        assert_eq!(number, expected);
        assert!(before.iter().chain(after).all(|&byte| byte == 9));
    }
}

#[test]
fn other_types_and_places_are_left_alone() {
    let mut bytes = [9; 8];
    assert!(!overwrite_number(&mut bytes, 0, kind::STRING, 1));
    assert!(!overwrite_number(&mut bytes, 0, kind::DECIMAL, 1));
    assert!(!overwrite_number(&mut bytes, 5, kind::INT32, 1));
    assert!(!overwrite_number(&mut bytes, 1, kind::INT64, 1));
    assert!(!overwrite_number(&mut bytes, usize::MAX, kind::INT32, 1));
    assert_eq!(bytes, [9; 8]);
}

#[test]
fn a_field_is_appended_byte_for_byte() {
    let mut message = op_msg(0, &[sequence(b"s", &A1), body(&A1)]);
    let parsed = OpMsg::parse(&message).unwrap();
    append_to_body(&mut message, &parsed, kind::BOOL, "ok", &[1]).unwrap();
    let grown = [&[17, 0, 0, 0], &A1[4..11], &[8, b'o', b'k', 0, 1, 0]].concat();
    assert_eq!(message, op_msg(0, &[sequence(b"s", &A1), body(&grown)]));
}

#[test]
fn a_field_is_appended_to_a_prefix() {
    let whole = op_msg(0, &[body(&A1), sequence(b"s", &A1)]);
    let mut prefix = whole[..40].to_vec();
    let parsed = OpMsg::parse_prefix(&prefix, whole.len()).unwrap().unwrap();
    append_to_body(&mut prefix, &parsed, kind::INT32, "t", &[1, 0, 0, 0]).unwrap();
    prefix.extend_from_slice(&whole[40..]);
    let reparsed = OpMsg::parse(&prefix).unwrap();
    assert_eq!(parse(&prefix[reparsed.body]), doc! { "a": 1, "t": 1 });
}

#[test]
fn a_wrong_edit_changes_nothing() {
    let original = op_msg(0, &[body(&A1)]);
    let parsed = OpMsg::parse(&original).unwrap();
    let attempt = |mut message: Vec<u8>, parsed: &OpMsg, kind, key: &str, value: &[u8]| {
        let before = message.clone();
        let error = append_to_body(&mut message, parsed, kind, key, value).unwrap_err();
        assert_eq!(message, before);
        error
    };
    let field = |kind| WireError::Field { kind };
    assert_eq!(
        attempt(original.clone(), &parsed, kind::INT32, "a", &[1]),
        field(kind::INT32)
    );
    assert_eq!(
        attempt(original.clone(), &parsed, kind::NULL, "a", &[1]),
        field(kind::NULL)
    );
    assert_eq!(
        attempt(original.clone(), &parsed, kind::NULL, "a\0b", &[]),
        field(kind::NULL)
    );
    assert_eq!(
        attempt(original.clone(), &parsed, 0x20, "a", &[]),
        field(0x20)
    );

    let mut summed = original.clone();
    op_msg::append_checksum(&mut summed);
    let error = attempt(summed, &parsed, kind::NULL, "a", &[]);
    assert_eq!(error, WireError::ChecksumPresent);

    for (start, end) in [(0, 12), (20, 32), (21, 32), (21, 99), (30, 20)] {
        let stale = OpMsg {
            body: start..end,
            ..parsed.clone()
        };
        let error = attempt(original.clone(), &stale, kind::NULL, "a", &[]);
        assert_eq!(
            error,
            WireError::StaleEdit {
                at: stale.body.start
            }
        );
    }
}

#[test]
fn a_message_does_not_grow_beyond_the_limit() {
    let text = vec![b'x'; MAX_MESSAGE_LEN - 21 - 5 - 3 - 5];
    let filled = DocumentBuilder::new()
        .str("a", std::str::from_utf8(&text).unwrap())
        .finish();
    let mut message = op_msg(0, &[body(&filled)]);
    assert_eq!(message.len(), MAX_MESSAGE_LEN);
    let parsed = OpMsg::parse(&message).unwrap();
    let error = append_to_body(&mut message, &parsed, kind::NULL, "b", &[]).unwrap_err();
    assert_eq!(
        error,
        WireError::MessageLength {
            length: 48_000_003,
            max: MAX_MESSAGE_LEN
        }
    );
    assert_eq!(message.len(), MAX_MESSAGE_LEN);
}

proptest! {
    /// Takes the new field out again and compares every byte.
    #[test]
    fn appending_keeps_every_other_byte(
        document in any_document(),
        before in prop::collection::vec(any_document(), 0..3),
        after in prop::collection::vec(any_document(), 0..3),
        added in any_document(),
        key in "[a-z$]{1,8}",
    ) {
        let join = |documents: &[Document]| {
            documents.iter().flat_map(|document| document.to_vec().unwrap()).collect::<Vec<u8>>()
        };
        let document = document.to_vec().unwrap();
        let sections =
            [sequence(b"before", &join(&before)), body(&document), sequence(b"after", &join(&after))];
        let original = op_msg(0, &sections);
        let parsed = OpMsg::parse(&original).unwrap();
        let value = added.to_vec().unwrap();
        let mut edited = original.clone();
        append_to_body(&mut edited, &parsed, kind::DOCUMENT, &key, &value).unwrap();

        let reparsed = OpMsg::parse(&edited).unwrap();
        let last = raw::elements(&edited[reparsed.body.clone()]).last().unwrap().unwrap();
        prop_assert_eq!((last.key, last.value), (key.as_bytes(), value.as_slice()));

        let (start, end) = (last.start(), last.end());
        edited.drain(reparsed.body.start + start..reparsed.body.start + end);
        le::put_i32(&mut edited, reparsed.body.start, le::length(document.len()));
        header::set_length(&mut edited, original.len());
        prop_assert_eq!(edited, original);
    }

    #[test]
    fn overwriting_changes_the_number_alone(
        document in any_document(),
        old in prop_oneof![
            any::<i32>().prop_map(bson::Bson::Int32),
            any::<i64>().prop_map(bson::Bson::Int64),
            any::<f64>().prop_map(bson::Bson::Double),
        ],
        new in -1_000_000_i64..1_000_000,
    ) {
        let mut document = document;
        document.remove("MAX");
        document.insert("MAX", old);
        let original = op_msg(0, &[body(&document.to_vec().unwrap())]);
        let mut edited = original.clone();
        let found = raw::find(&original[21..], b"MAX").unwrap();
        let at = 21 + found.value_at;
        prop_assert!(overwrite_number(&mut edited, at, found.kind, new));
        prop_assert_eq!(raw::find(&edited[21..], b"MAX").unwrap().as_number_i64(), Some(new));
        prop_assert_eq!(&edited[..at], &original[..at]);
        prop_assert_eq!(&edited[at + found.value.len()..], &original[at + found.value.len()..]);
    }

    #[test]
    fn any_bytes_end_without_panic(
        message in prop::collection::vec(any::<u8>(), 0..60),
        start in 0_usize..70,
        end in 0_usize..70,
        at: usize,
    ) {
        let msg = OpMsg { flags: 0, body: start..end, body_first: true, sections_end: end };
        let mut framed = op_msg(0, std::slice::from_ref(&message));
        overwrite_number(&mut framed, at, kind::INT64, 1);
        overwrite_number(&mut framed, start, kind::INT64, 1);
        let _ = append_to_body(&mut framed, &msg, kind::NULL, "a", &[]);
    }
}
