use bson::{Bson, RawDocument, doc};
use proptest::prelude::*;

use super::*;
use crate::wire::DocumentBuilder;
use crate::wire::fixtures::{A1, any_document};

fn first(document: &[u8]) -> Result<Element<'_>, WireError> {
    elements(document).next().unwrap()
}

/// `{v: value}` from the raw bytes of a value.
fn with_value(kind: u8, value: &[u8]) -> Vec<u8> {
    DocumentBuilder::new().raw(kind, b"v", value).finish()
}

#[test]
fn one_element_byte_for_byte() {
    let element = first(&A1).unwrap();
    assert_eq!(
        element,
        Element {
            kind: 0x10,
            key: b"a",
            value: &[1, 0, 0, 0],
            value_at: 7
        }
    );
    assert_eq!((element.start(), element.end()), (4, 11));
    assert_eq!(elements(&[5, 0, 0, 0, 0]).next(), None);
}

#[test]
fn the_frame_must_fit() {
    let length = |document: &[u8], length: i32| {
        let error = first(document).unwrap_err();
        assert_eq!(
            error,
            WireError::DocumentLength {
                length,
                available: document.len()
            }
        );
    };
    length(&[], 0);
    length(&[5, 0, 0], 0);
    length(&[4, 0, 0, 0], 4);
    length(&[6, 0, 0, 0, 0], 6);
    length(&[5, 0, 0, 0, 0, 0], 5);
    length(&[0xFF, 0xFF, 0xFF, 0xFF, 0], -1);
    assert_eq!(
        first(&[5, 0, 0, 0, 1]),
        Err(WireError::Terminator { len: 5 })
    );
}

#[test]
fn an_error_is_told_once_and_ends_the_iteration() {
    let mut scan = elements(&[5, 0, 0, 0, 1]);
    assert!(scan.next().unwrap().is_err());
    assert_eq!(scan.next(), None);

    let document = DocumentBuilder::new()
        .i32("a", 1)
        .raw(0x14, b"b", &[])
        .i32("c", 1)
        .finish();
    let mut scan = elements(&document);
    assert!(scan.next().unwrap().is_ok());
    assert_eq!(
        scan.next(),
        Some(Err(WireError::ElementType { kind: 0x14, at: 11 }))
    );
    assert_eq!(scan.next(), None);
}

#[test]
fn a_terminator_in_the_middle_is_refused() {
    let document = [6, 0, 0, 0, 0, 0];
    assert_eq!(first(&document), Err(WireError::Terminator { len: 6 }));
}

#[test]
fn values_that_leave_the_document_are_refused() {
    #[rustfmt::skip]
    let cut: [(u8, &[u8]); 20] = [
        (kind::DOUBLE, &[0; 7]),
        (kind::INT32, &[0; 3]),
        (kind::INT64, &[0; 7]),
        (kind::BOOL, &[]),
        (kind::OBJECT_ID, &[0; 11]),
        (kind::DECIMAL, &[0; 15]),
        (kind::STRING, &[0, 0, 0, 0]), // not even a NUL
        (kind::STRING, &[2, 0, 0, 0, b'x', b'y']), // its last byte is not NUL
        (kind::STRING, &[0xFF, 0xFF, 0xFF, 0xFF, 0]),
        (kind::STRING, &[0xFF, 0xFF, 0xFF, 0x7F, 0]),
        (kind::DOCUMENT, &[4, 0, 0, 0]),
        (kind::DOCUMENT, &[5, 0, 0, 0, 1]),
        (kind::ARRAY, &[100, 0, 0, 0, 0]),
        (kind::BINARY, &[0xFF, 0xFF, 0xFF, 0xFF, 0]),
        (kind::BINARY, &[2, 0, 0, 0, 0, 1]),
        (kind::REGEX, &[b'x', 0, b'i']),
        (kind::DB_POINTER, &[1, 0, 0, 0, 0, 1, 2, 3]),
        (kind::CODE_WITH_SCOPE, &[15, 0, 0, 0, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0]), // prefix 14
        (kind::CODE_WITH_SCOPE, &[14, 0, 0, 0, 2, 0, 0, 0, 0, 5, 0, 0, 0, 0]),
        (kind::CODE_WITH_SCOPE, &[14, 0, 0, 0, 1, 0, 0, 0, 0, 6, 0, 0, 0, 0]),
    ];
    for (kind, value) in cut {
        // At the end of the document's elements, so that only its NUL follows.
        let error = first(&with_value(kind, value)).unwrap_err();
        assert_eq!(error, WireError::ElementBounds { kind, at: 4 }, "{value:?}");
    }
    let no_key_end = [8, 0, 0, 0, kind::NULL, b'a', b'b', 0];
    assert_eq!(
        first(&no_key_end),
        Err(WireError::ElementBounds {
            kind: kind::NULL,
            at: 4
        })
    );
}

#[test]
fn every_type_is_measured() {
    #[rustfmt::skip]
    let whole: [(u8, &[u8]); 21] = [
        (kind::DOUBLE, &[0; 8]),
        (kind::STRING, &[2, 0, 0, 0, b'x', 0]),
        (kind::DOCUMENT, &[5, 0, 0, 0, 0]),
        (kind::ARRAY, &[5, 0, 0, 0, 0]),
        (kind::BINARY, &[1, 0, 0, 0, 2, 9]),
        (kind::UNDEFINED, &[]),
        (kind::OBJECT_ID, &[1; 12]),
        (kind::BOOL, &[1]),
        (kind::DATETIME, &[1; 8]),
        (kind::NULL, &[]),
        (kind::REGEX, &[b'x', 0, b'i', 0]),
        (kind::DB_POINTER, &[1, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12]),
        (kind::CODE, &[1, 0, 0, 0, 0]),
        (kind::SYMBOL, &[1, 0, 0, 0, 0]),
        (kind::CODE_WITH_SCOPE, &[14, 0, 0, 0, 1, 0, 0, 0, 0, 5, 0, 0, 0, 0]),
        (kind::INT32, &[1; 4]),
        (kind::TIMESTAMP, &[1; 8]),
        (kind::INT64, &[1; 8]),
        (kind::DECIMAL, &[1; 16]),
        (kind::MAX_KEY, &[]),
        (kind::MIN_KEY, &[]),
    ];
    for (kind, value) in whole {
        let document = DocumentBuilder::new()
            .raw(kind, b"v", value)
            .i32("after", 1)
            .finish();
        assert_eq!(find(&document, b"v").unwrap().value, value);
        assert_eq!(
            find(&document, b"after").unwrap().as_i32(),
            Some(1),
            "type {kind:#x}"
        );
    }
}

#[test]
fn the_first_of_equal_keys_is_found() {
    let document = DocumentBuilder::new()
        .i32("a", 1)
        .i32("b", 2)
        .i32("a", 3)
        .finish();
    assert_eq!(find(&document, b"a").unwrap().as_i32(), Some(1));
    assert_eq!(find(&document, b"c"), None);
}

#[test]
fn exact_readers_take_their_own_type_only() {
    let document = doc! {
        "i": 1, "l": 2_i64, "d": 3.0, "b": true, "s": "four", "o": { "x": 1 }, "a": [1],
        "t": Bson::Timestamp(bson::Timestamp { time: 7, increment: 8 }),
        "m": bson::DateTime::from_millis(-9), "id": bson::oid::ObjectId::from_bytes([3; 12]),
        "n": Bson::Binary(bson::Binary { subtype: 4.into(), bytes: vec![1, 2] }),
    }
    .to_vec()
    .unwrap();
    let get = |key: &str| find(&document, key.as_bytes()).unwrap();
    assert_eq!(
        (get("i").as_i32(), get("i").as_i64(), get("i").as_f64()),
        (Some(1), None, None)
    );
    assert_eq!((get("l").as_i32(), get("l").as_i64()), (None, Some(2)));
    assert_eq!((get("d").as_f64(), get("d").as_i64()), (Some(3.0), None));
    assert_eq!((get("b").as_bool(), get("i").as_bool()), (Some(true), None));
    assert_eq!(
        (get("s").as_str(), get("i").as_str()),
        (Some(&b"four"[..]), None)
    );
    assert_eq!(
        get("o").as_document(),
        Some(&doc! { "x": 1 }.to_vec().unwrap()[..])
    );
    assert_eq!((get("o").as_array(), get("a").as_document()), (None, None));
    assert_eq!(
        find(get("a").as_array().unwrap(), b"0").unwrap().as_i32(),
        Some(1)
    );
    assert_eq!(
        (get("id").as_object_id(), get("i").as_object_id()),
        (Some([3; 12]), None)
    );
}

#[test]
fn whole_numbers_of_three_types() {
    let number = |value: Bson| {
        let document = doc! { "v": value }.to_vec().unwrap();
        first(&document).unwrap().as_number_i64()
    };
    assert_eq!(number(Bson::Int32(-1)), Some(-1));
    assert_eq!(number(Bson::Int64(i64::MIN)), Some(i64::MIN));
    assert_eq!(number(Bson::Double(-250.0)), Some(-250));
    assert_eq!(number(Bson::Double(i64::MIN as f64)), Some(i64::MIN));
    for refused in [
        0.5,
        9_223_372_036_854_775_808.0,
        -1e19,
        f64::NAN,
        f64::INFINITY,
    ] {
        assert_eq!(number(Bson::Double(refused)), None, "{refused}");
    }
    assert_eq!(number(Bson::Boolean(true)), None);
}

#[test]
fn truth_as_servers_see_it() {
    let decimal = |text: &str| Bson::Decimal128(text.parse().unwrap());
    for (value, expected) in [
        (Bson::Boolean(true), true),
        (Bson::Boolean(false), false),
        (Bson::Int32(1), true),
        (Bson::Int32(0), false),
        (Bson::Int64(1 << 40), true),
        (Bson::Int64(0), false),
        (Bson::Double(1.0), true),
        (Bson::Double(-0.0), false),
        (Bson::Double(f64::NAN), true),
        (decimal("1"), true),
        (decimal("1E+6000"), true),
        (decimal("0"), false),
        (decimal("-0E+3"), false),
        (decimal("NaN"), true),
        (decimal("-Infinity"), true),
        (Bson::String("true".to_owned()), false),
        (Bson::Null, false),
    ] {
        let document = doc! { "v": value.clone() }.to_vec().unwrap();
        assert_eq!(first(&document).unwrap().as_truthy(), expected, "{value:?}");
    }
    let odd = with_value(kind::BOOL, &[2]);
    assert_eq!(first(&odd).unwrap().as_bool(), None);
}

#[test]
fn documents_are_cut_by_length() {
    let two = [&A1[..], &[5, 0, 0, 0, 0]].concat();
    assert_eq!(
        documents(&two).collect::<Vec<_>>(),
        [&A1[..], &[5, 0, 0, 0, 0]]
    );
    assert_eq!(documents(&two[..14]).count(), 1);
    assert_eq!(documents(&[]).count(), 0);
    assert_eq!(documents(&[0, 0, 0, 0]).count(), 0);
}

/// Type, key and length of each element's value, by the bson crate; `None` if it
/// refuses the document.
fn by_bson(document: &[u8]) -> Option<Vec<(u8, String, usize)>> {
    RawDocument::from_bytes(document)
        .ok()?
        .iter_elements()
        .map(|element| {
            let element = element.ok()?;
            element.value().ok()?;
            let (kind, key) = (
                element.element_type() as u8,
                element.key().as_str().to_owned(),
            );
            Some((kind, key, element.size()))
        })
        .collect()
}

/// The same by this module. Each element starts where the one before it ended.
fn by_us(document: &[u8]) -> Option<Vec<(u8, String, usize)>> {
    let mut at = 4;
    elements(document)
        .map(|element| {
            let element = element.ok()?;
            assert_eq!(element.start(), at);
            assert_eq!(document[element.value_at..element.end()], *element.value);
            at = element.end();
            let key = String::from_utf8(element.key.to_vec()).ok()?;
            Some((element.kind, key, element.value.len()))
        })
        .collect()
}

proptest! {
    #[test]
    fn agrees_with_bson(document in any_document()) {
        let bytes = document.to_vec().unwrap();
        let ours = by_us(&bytes).unwrap();
        prop_assert_eq!(ours.len(), document.len());
        prop_assert_eq!(Some(ours), by_bson(&bytes));
        for (key, value) in &document {
            let found = find(&bytes, key.as_bytes()).unwrap();
            prop_assert_eq!(found.kind, value.element_type() as u8);
        }
    }

    #[test]
    fn agrees_with_bson_where_both_accept_a_damaged_document(
        document in any_document(),
        damage in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let mut bytes = document.to_vec().unwrap();
        for (index, byte) in damage {
            let at = index.index(bytes.len());
            bytes[at] = byte;
        }
        if let (Some(ours), Some(theirs)) = (by_us(&bytes), by_bson(&bytes)) {
            prop_assert_eq!(ours, theirs);
        }
    }

    #[test]
    fn any_bytes_end_without_panic(mut bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        read_everything(&bytes);
        // With a right frame the scan goes further.
        if bytes.len() >= 5 {
            let length = (bytes.len() as i32).to_le_bytes();
            bytes[..4].copy_from_slice(&length);
            *bytes.last_mut().unwrap() = 0;
            read_everything(&bytes);
        }
    }
}

fn read_everything(bytes: &[u8]) {
    let _ = document_len(bytes);
    assert!(documents(bytes).map(<[u8]>::len).sum::<usize>() <= bytes.len());
    let mut expected_start = 4;
    for element in elements(bytes).map_while(Result::ok) {
        assert_eq!(element.start(), expected_start);
        expected_start = element.end();
        assert!(expected_start < bytes.len());
    }
}
