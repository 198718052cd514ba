use bson::Document;
use proptest::prelude::*;

use super::*;
use crate::wire::fixtures::{A1, any_document, body, framed, op_msg, sequence};

fn sequences_of(message: &[u8]) -> Vec<(&[u8], &[u8])> {
    OpMsg::parse(message).unwrap().sequences(message).collect()
}

#[test]
fn a_body_alone() {
    let message = op_msg(MORE_TO_COME, &[body(&A1)]);
    let parsed = OpMsg::parse(&message).unwrap();
    assert_eq!(
        parsed,
        OpMsg {
            flags: 2,
            body: 21..33,
            body_first: true,
            sections_end: 33
        }
    );
    assert_eq!(parsed.sequences(&message).count(), 0);
}

#[test]
fn a_body_after_and_between_sequences() {
    let ops = sequence(b"ops", &[A1, A1].concat());
    let ns = sequence(b"nsInfo", &A1);
    for sections in [
        [ops.clone(), body(&A1), ns.clone()],
        [ops.clone(), ns.clone(), body(&A1)],
        [body(&A1), ops.clone(), ns.clone()],
    ] {
        let message = op_msg(0, &sections);
        let parsed = OpMsg::parse(&message).unwrap();
        assert_eq!(message[parsed.body.clone()], A1);
        assert_eq!(parsed.body_first, sections[0] == body(&A1));
        let found = sequences_of(&message);
        assert_eq!(
            found,
            [(&b"ops"[..], &[A1, A1].concat()[..]), (b"nsInfo", &A1)]
        );
    }
}

#[test]
fn an_empty_sequence_and_an_empty_identifier_are_legal() {
    let message = op_msg(0, &[body(&A1), sequence(b"", b""), sequence(b"x", b"")]);
    assert_eq!(sequences_of(&message), [(&b""[..], &b""[..]), (b"x", b"")]);
}

#[test]
fn exactly_one_body() {
    let none = op_msg(0, &[sequence(b"documents", &A1)]);
    assert_eq!(OpMsg::parse(&none), Err(WireError::MissingBody));
    assert_eq!(OpMsg::parse(&op_msg(0, &[])), Err(WireError::MissingBody));

    let two = op_msg(0, &[body(&A1), sequence(b"documents", &A1), body(&A1)]);
    let at = two.len() - 13;
    assert_eq!(OpMsg::parse(&two), Err(WireError::SecondBody { at }));
}

#[test]
fn identifiers_do_not_repeat_and_are_few() {
    let message = op_msg(0, &[sequence(b"a", &A1), body(&A1), sequence(b"a", b"")]);
    let at = message.len() - 7;
    assert_eq!(
        OpMsg::parse(&message),
        Err(WireError::RepeatedSequence { at })
    );

    let many = |count: u8| {
        let sequences = (0..count).map(|index| sequence(&[b'a' + index], b""));
        op_msg(0, &sequences.chain([body(&A1)]).collect::<Vec<_>>())
    };
    assert!(OpMsg::parse(&many(16)).is_ok());
    assert_eq!(
        OpMsg::parse(&many(17)),
        Err(WireError::TooManySequences { max: 16 })
    );
}

#[test]
fn flag_bits() {
    for bit in 2..16 {
        let message = op_msg(1 << bit, &[body(&A1)]);
        let error = WireError::UnknownFlags { bits: 1 << bit };
        assert_eq!(OpMsg::parse(&message), Err(error));
        assert_eq!(OpMsg::parse_prefix(&message, message.len()), Err(error));
    }
    for bit in (16..32).chain([1]) {
        let message = op_msg(1 << bit, &[body(&A1)]);
        assert_eq!(OpMsg::parse(&message).unwrap().flags, 1 << bit);
    }
}

#[test]
fn other_section_kinds_are_refused() {
    let token = op_msg(0, &[body(&A1), [&[2], &A1[..]].concat()]);
    assert_eq!(
        OpMsg::parse(&token),
        Err(WireError::SecurityToken { at: 33 })
    );
    for kind in 3..=255 {
        let message = op_msg(0, &[vec![kind], body(&A1)]);
        let error = WireError::SectionKind { kind, at: 20 };
        assert_eq!(OpMsg::parse(&message), Err(error));
        assert_eq!(OpMsg::parse_prefix(&message, message.len()), Err(error));
    }
}

#[test]
fn a_checksum_is_verified() {
    // The polynomial is the right one: RFC 3720, B.4, 32 bytes of zeros.
    assert_eq!(crc32c::crc32c(&[0; 32]), 0x8A91_36AA);

    let plain = op_msg(0, &[body(&A1), sequence(b"a", &A1)]);
    let mut message = plain.clone();
    append_checksum(&mut message);
    assert_eq!(message.len(), plain.len() + 4);
    let parsed = OpMsg::parse(&message).unwrap();
    assert_eq!(
        (parsed.flags, parsed.sections_end),
        (CHECKSUM_PRESENT, plain.len())
    );
    assert_eq!(sequences_of(&message).len(), 1);

    let mut twice = message.clone();
    append_checksum(&mut twice);
    assert_eq!(twice, message);

    for at in (4..12).chain(16..message.len()) {
        let mut damaged = message.clone();
        damaged[at] ^= 0x80;
        assert!(
            matches!(
                OpMsg::parse(&damaged),
                Err(WireError::Checksum { .. } | WireError::UnknownFlags { .. })
            ),
            "byte {at}"
        );
    }

    strip_checksum(&mut message);
    assert_eq!(message, plain);
    strip_checksum(&mut message);
    assert_eq!(message, plain);
}

#[test]
fn a_checksum_without_room_is_refused() {
    for rest in [&[1, 0, 0, 0][..], &[1, 0, 0, 0, 9, 9, 9]] {
        let mut message = framed(opcode::MSG, rest);
        let len = message.len();
        assert_eq!(OpMsg::parse(&message), Err(WireError::Truncated { len }));
        strip_checksum(&mut message);
        assert_eq!(message, framed(opcode::MSG, rest));
    }
}

#[test]
fn lengths_that_do_not_fit_are_refused() {
    let whole = op_msg(0, &[sequence(b"a", &A1), body(&A1)]);
    assert!(OpMsg::parse(&whole).is_ok());
    for (at, wrong) in [
        (21, [0, 0, 0, 0]),    // sequence: size 0
        (21, [4, 0, 0, 0]),    // no room for an identifier
        (21, [0xFF; 4]),       // negative
        (21, [0xFF, 0, 0, 0]), // beyond the message
        (21, [17, 0, 0, 0]),   // cuts its document
        (21, [5, 0, 0, 0]),    // cuts its identifier
        (27, [4, 0, 0, 0]),    // document in it: too short
        (27, [13, 0, 0, 0]),   // beyond the sequence
        (27, [0xFF; 4]),       // negative
    ] {
        let mut message = whole.clone();
        message[at..at + 4].copy_from_slice(&wrong);
        assert_eq!(
            OpMsg::parse(&message),
            Err(WireError::Sequence { at: 20 }),
            "{at} {wrong:?}"
        );
    }
    let body_at = whole.len() - A1.len();
    for length in [4, 0, -1, 13, i32::MAX] {
        let mut message = whole.clone();
        message[body_at..body_at + 4].copy_from_slice(&length.to_le_bytes());
        let error = WireError::DocumentLength {
            length,
            available: 12,
        };
        assert_eq!(OpMsg::parse(&message), Err(error));
    }
    // A body one byte too short: the byte left over is a section of its own.
    let short = op_msg(0, &[body(&[5, 0, 0, 0, 0]), vec![0]]);
    assert_eq!(OpMsg::parse(&short), Err(WireError::Truncated { len: 27 }));
}

#[test]
fn the_body_ends_in_nul() {
    let mut message = op_msg(0, &[body(&A1)]);
    *message.last_mut().unwrap() = 1;
    assert_eq!(
        OpMsg::parse(&message),
        Err(WireError::Terminator { len: 12 })
    );
    assert_eq!(
        OpMsg::parse_prefix(&message, message.len()),
        Err(WireError::Terminator { len: 12 })
    );
}

#[test]
fn header_and_bytes_agree() {
    let message = op_msg(0, &[body(&A1)]);
    let longer = [&message[..], &[0]].concat();
    assert_eq!(
        OpMsg::parse(&longer),
        Err(WireError::LengthMismatch {
            declared: 33,
            actual: 34
        })
    );
    assert_eq!(
        OpMsg::parse(&framed(opcode::QUERY, &message[16..])),
        Err(WireError::Opcode {
            found: opcode::QUERY,
            expected: opcode::MSG
        })
    );
    for len in 0..message.len() {
        assert!(OpMsg::parse(&message[..len]).is_err());
    }
}

#[test]
fn a_prefix_is_enough_once_the_body_is_there() {
    let message = op_msg(
        MORE_TO_COME,
        &[body(&A1), sequence(b"documents", &[A1; 9].concat())],
    );
    let whole = OpMsg::parse(&message).unwrap();
    for len in 0..=message.len() {
        let parsed = OpMsg::parse_prefix(&message[..len], message.len()).unwrap();
        assert_eq!(
            parsed,
            (len >= whole.body.end).then(|| whole.clone()),
            "{len} bytes"
        );
    }
}

#[test]
fn a_prefix_is_not_enough_otherwise() {
    let sequence_first = op_msg(0, &[sequence(b"a", &A1), body(&A1)]);
    let mut with_checksum = op_msg(0, &[body(&A1)]);
    append_checksum(&mut with_checksum);
    for message in [sequence_first, with_checksum] {
        for len in 0..=message.len() {
            assert_eq!(
                OpMsg::parse_prefix(&message[..len], message.len()),
                Ok(None)
            );
        }
    }
}

#[test]
fn a_prefix_is_refused_as_soon_as_it_shows_why() {
    let message = op_msg(0, &[body(&A1)]);
    let mut too_long = message.clone();
    too_long[21] = 13;
    assert_eq!(
        OpMsg::parse_prefix(&too_long[..25], 33),
        Err(WireError::DocumentLength {
            length: 13,
            available: 12
        })
    );
    assert_eq!(
        OpMsg::parse_prefix(&message[..20], 34),
        Err(WireError::LengthMismatch {
            declared: 33,
            actual: 34
        })
    );
    let empty = op_msg(0, &[]);
    assert_eq!(
        OpMsg::parse_prefix(&empty, empty.len()),
        Err(WireError::MissingBody)
    );
    let cut = op_msg(0, &[vec![0, 9]]);
    assert_eq!(
        OpMsg::parse_prefix(&cut, cut.len()),
        Err(WireError::Truncated { len: 22 })
    );
}

#[test]
fn flags_are_of_op_msg_only() {
    let mut message = op_msg(MORE_TO_COME, &[body(&A1)]);
    assert_eq!(flags(&message), Some(MORE_TO_COME));
    set_flags(&mut message, EXHAUST_ALLOWED);
    assert_eq!(message, op_msg(EXHAUST_ALLOWED, &[body(&A1)]));
    assert_eq!(flags(&message[..19]), None);

    let mut query = framed(opcode::QUERY, &[1, 0, 0, 0]);
    assert_eq!(flags(&query), None);
    set_flags(&mut query, 0);
    append_checksum(&mut query);
    assert_eq!(query, framed(opcode::QUERY, &[1, 0, 0, 0]));
}

type NamedDocuments = Vec<(String, Vec<u8>)>;

/// Sections in any order: the message, its body and its sequences.
fn any_message() -> impl Strategy<Value = (Vec<u8>, Vec<u8>, NamedDocuments)> {
    let documents = prop::collection::vec(any_document(), 0..4).prop_map(|documents| {
        documents
            .iter()
            .flat_map(|document| document.to_vec().unwrap())
            .collect::<Vec<u8>>()
    });
    let sequences = prop::collection::btree_map("[a-zA-Z]{0,8}", documents, 0..4)
        .prop_map(|map| map.into_iter().collect::<Vec<_>>())
        .prop_shuffle();
    let flags = any::<u16>().prop_map(|optional| u32::from(optional) << 16);
    (
        flags,
        any_document(),
        sequences,
        any::<prop::sample::Index>(),
    )
        .prop_map(
            |(flags, document, sequences, place): (_, Document, NamedDocuments, _)| {
                let document = document.to_vec().unwrap();
                let mut sections: Vec<_> = sequences
                    .iter()
                    .map(|(identifier, documents)| sequence(identifier.as_bytes(), documents))
                    .collect();
                sections.insert(place.index(sections.len() + 1), body(&document));
                (op_msg(flags, &sections), document, sequences)
            },
        )
}

proptest! {
    #[test]
    fn sections_in_any_order((message, document, sequences) in any_message()) {
        let parsed = OpMsg::parse(&message).unwrap();
        prop_assert_eq!(&message[parsed.body.clone()], &document);
        prop_assert_eq!(parsed.body_first, parsed.body.start == 21);
        prop_assert_eq!(parsed.sections_end, message.len());
        let found = parsed.sequences(&message).collect::<Vec<_>>();
        let expected = sequences
            .iter()
            .map(|(identifier, documents)| (identifier.as_bytes(), documents.as_slice()))
            .collect::<Vec<_>>();
        prop_assert_eq!(found, expected);
        let early = OpMsg::parse_prefix(&message, message.len()).unwrap();
        prop_assert_eq!(early, parsed.body_first.then_some(parsed));
    }

    #[test]
    fn a_checksum_comes_and_goes((message, ..) in any_message()) {
        let mut changed = message.clone();
        append_checksum(&mut changed);
        prop_assert!(OpMsg::parse(&changed).is_ok());
        strip_checksum(&mut changed);
        prop_assert_eq!(changed, message);
    }

    #[test]
    fn damage_ends_without_panic(
        (mut message, ..) in any_message(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut: prop::sample::Index,
    ) {
        for (index, byte) in damage {
            let at = 16 + index.index(message.len() - 16);
            message[at] = byte;
        }
        if let Ok(parsed) = OpMsg::parse(&message) {
            prop_assert!(message.get(parsed.body.clone()).is_some());
            prop_assert!(parsed.sequences(&message).count() <= MAX_SEQUENCES);
        }
        let prefix = &message[..cut.index(message.len())];
        if let Ok(Some(parsed)) = OpMsg::parse_prefix(prefix, message.len()) {
            prop_assert!(prefix.get(parsed.body).is_some());
        }
    }

    #[test]
    fn any_bytes_end_without_panic(
        rest in prop::collection::vec(any::<u8>(), 0..100),
        total_len in 0_usize..200,
    ) {
        let _ = OpMsg::parse(&rest);
        let _ = OpMsg::parse_prefix(&rest, total_len);
        let mut message = framed(opcode::MSG, &[&[0; 4], &rest[..]].concat());
        let _ = OpMsg::parse(&message);
        let _ = OpMsg::parse_prefix(&message, message.len());
        append_checksum(&mut message);
        let _ = OpMsg::parse(&message);
    }
}
