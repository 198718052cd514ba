use bson::doc;
use proptest::prelude::*;

use super::*;
use crate::wire::fixtures::{A1, framed};

#[rustfmt::skip]
fn query_bytes(documents: &[u8]) -> Vec<u8> {
    framed(opcode::QUERY, &[
        &[4, 0, 0, 0],
        &b"admin.$cmd\0"[..],
        &[0, 0, 0, 0,  0xFF, 0xFF, 0xFF, 0xFF],
        documents,
    ].concat())
}

#[test]
fn a_query_byte_for_byte() {
    let mut expected = query_bytes(&A1);
    crate::wire::set_request_id(&mut expected, 5);
    let message = op_query(5, "admin.$cmd", &A1);
    assert_eq!(message, expected);

    let query = Query::parse(&message).unwrap();
    assert_eq!(query.flags, 4);
    assert_eq!(&message[query.namespace], b"admin.$cmd");
    assert_eq!(&message[query.body], A1);
}

#[test]
fn a_wrapped_query_is_unwrapped() {
    for wrapper in ["$query", "query"] {
        let wrapped = doc! { wrapper: { "a": 1 }, "$readPreference": { "mode": "nearest" } }
            .to_vec()
            .unwrap();
        let message = query_bytes(&wrapped);
        let query = Query::parse(&message).unwrap();
        assert_eq!(&message[query.body], A1);
    }
    for plain in [
        doc! { "query": 1 },
        doc! { "a": 1, "$query": { "b": 2 } },
        doc! {},
    ] {
        let plain = plain.to_vec().unwrap();
        let message = query_bytes(&plain);
        let query = Query::parse(&message).unwrap();
        assert_eq!(message[query.body], plain);
    }
}

#[test]
fn a_field_selector_is_stepped_over() {
    let message = query_bytes(&[A1, A1].concat());
    let query = Query::parse(&message).unwrap();
    assert_eq!(query.body.end, message.len() - A1.len());
    let third = query_bytes(&[A1, A1, A1].concat());
    assert!(matches!(
        Query::parse(&third),
        Err(WireError::LengthMismatch { .. })
    ));
}

#[test]
fn a_cut_query_is_refused() {
    let whole = query_bytes(&A1);
    for len in 16..whole.len() {
        assert!(
            Query::parse(&framed(opcode::QUERY, &whole[16..len])).is_err(),
            "{len} bytes"
        );
        assert!(Query::parse(&whole[..len]).is_err());
    }
    let no_namespace = framed(opcode::QUERY, &[0, 0, 0, 0, b'a', b'b']);
    assert_eq!(Query::parse(&no_namespace), Err(WireError::Namespace));
    let mut not_closed = whole;
    *not_closed.last_mut().unwrap() = 1;
    assert_eq!(
        Query::parse(&not_closed),
        Err(WireError::Terminator { len: 12 })
    );
}

#[test]
fn a_reply_byte_for_byte() {
    let message = op_reply(3, 5, &A1);
    #[rustfmt::skip]
    let expected = [
        &[48, 0, 0, 0,  3, 0, 0, 0,  5, 0, 0, 0,  1, 0, 0, 0][..],
        &[8, 0, 0, 0,  0, 0, 0, 0, 0, 0, 0, 0,  0, 0, 0, 0,  1, 0, 0, 0],
        &A1,
    ].concat();
    assert_eq!(message, expected);
    assert_eq!(parse_op_reply(&message), Ok(36..48));
}

#[test]
fn a_reply_needs_its_document() {
    let mut none = op_reply(1, 1, &[]);
    assert!(matches!(
        parse_op_reply(&none),
        Err(WireError::Truncated { .. })
    ));
    none[32] = 0;
    assert_eq!(parse_op_reply(&none), Err(WireError::EmptyReply));
    let whole = op_reply(1, 1, &A1);
    for len in 16..whole.len() {
        assert!(parse_op_reply(&framed(opcode::REPLY, &whole[16..len])).is_err());
    }
    assert_eq!(
        parse_op_reply(&query_bytes(&A1)),
        Err(WireError::Opcode {
            found: opcode::QUERY,
            expected: opcode::REPLY
        })
    );
}

proptest! {
    #[test]
    fn any_bytes_end_without_panic(rest in prop::collection::vec(any::<u8>(), 0..80)) {
        let _ = Query::parse(&rest);
        let _ = Query::parse(&framed(opcode::QUERY, &rest));
        let _ = parse_op_reply(&rest);
        let _ = parse_op_reply(&framed(opcode::REPLY, &rest));
        if let Ok(query) = Query::parse(&query_bytes(&rest)) {
            prop_assert!(query.body.end <= 39 + rest.len());
        }
    }
}
