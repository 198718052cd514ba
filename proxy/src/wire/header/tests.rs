use proptest::prelude::*;

use super::*;

#[test]
fn fields_stand_where_the_protocol_says() {
    let header = Header {
        length: 0x0102,
        request_id: -2,
        response_to: 3,
        op_code: opcode::MSG,
    };
    #[rustfmt::skip]
    assert_eq!(header.encode(), [
        2, 1, 0, 0,  0xFE, 0xFF, 0xFF, 0xFF,  3, 0, 0, 0,  0xDD, 7, 0, 0,
    ]);
}

#[test]
fn fifteen_bytes_are_no_header_yet() {
    let bytes = Header {
        length: 16,
        request_id: 0,
        response_to: 0,
        op_code: 1,
    }
    .encode();
    for len in 0..16 {
        assert_eq!(Header::decode(&bytes[..len], 100), Ok(None));
    }
    assert!(Header::decode(&bytes, 100).unwrap().is_some());
}

#[test]
fn lengths_outside_the_limits_are_refused() {
    for (length, accepted) in [
        (16, true),
        (100, true),
        (15, false),
        (101, false),
        (0, false),
        (-1, false),
        (i32::MIN, false),
        (i32::MAX, false),
    ] {
        let mut bytes = [0; 16];
        bytes[..4].copy_from_slice(&length.to_le_bytes());
        let decoded = Header::decode(&bytes, 100);
        if accepted {
            assert_eq!(decoded.unwrap().unwrap().length, length as usize);
        } else {
            assert_eq!(decoded, Err(WireError::MessageLength { length, max: 100 }));
        }
    }
}

#[test]
fn ids_are_overwritten_alone() {
    let mut message = [9; 18];
    set_request_id(&mut message, 1);
    set_response_to(&mut message, 2);
    assert_eq!(
        message,
        [9, 9, 9, 9, 1, 0, 0, 0, 2, 0, 0, 0, 9, 9, 9, 9, 9, 9]
    );

    let mut short = [9; 15];
    set_request_id(&mut short, 1);
    set_response_to(&mut short, 2);
    assert_eq!(short, [9; 15]);
}

proptest! {
    #[test]
    fn decodes_what_it_encodes(
        length in 16..=MAX_MESSAGE_LEN,
        request_id: i32,
        response_to: i32,
        op_code: i32,
        more in prop::collection::vec(any::<u8>(), 0..20),
    ) {
        let header = Header { length, request_id, response_to, op_code };
        let bytes = [&header.encode()[..], &more].concat();
        prop_assert_eq!(Header::decode(&bytes, MAX_MESSAGE_LEN), Ok(Some(header)));
    }
}
