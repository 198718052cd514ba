//! Messages put together from raw bytes, and random documents, for the tests of
//! this module.

use bson::oid::ObjectId;
use bson::spec::BinarySubtype;
use bson::{Binary, Bson, Document, JavaScriptCodeWithScope, Regex, Timestamp};
use proptest::prelude::*;

use super::{Header, opcode};

/// A message with a right header around `rest`.
pub(super) fn framed(op_code: i32, rest: &[u8]) -> Vec<u8> {
    let header = Header {
        length: 16 + rest.len(),
        request_id: 17,
        response_to: 0,
        op_code,
    };
    [&header.encode(), rest].concat()
}

/// An OP_MSG of these sections, without checksum.
pub(super) fn op_msg(flags: u32, sections: &[Vec<u8>]) -> Vec<u8> {
    framed(
        opcode::MSG,
        &[&flags.to_le_bytes()[..], &sections.concat()].concat(),
    )
}

/// A kind-0 section.
pub(super) fn body(document: &[u8]) -> Vec<u8> {
    [&[0], document].concat()
}

/// A kind-1 section.
pub(super) fn sequence(identifier: &[u8], documents: &[u8]) -> Vec<u8> {
    let size = 4 + identifier.len() + 1 + documents.len();
    [
        &[1],
        &(size as i32).to_le_bytes()[..],
        identifier,
        &[0],
        documents,
    ]
    .concat()
}

/// `{a: 1}`.
pub(super) const A1: [u8; 12] = [12, 0, 0, 0, 0x10, b'a', 0, 1, 0, 0, 0, 0];

/// A document of up to eight fields of every type the bson crate can make, two
/// levels deep.
pub(super) fn any_document() -> impl Strategy<Value = Document> + Clone {
    document_of(any_value().boxed())
}

fn document_of(value: BoxedStrategy<Bson>) -> impl Strategy<Value = Document> + Clone {
    prop::collection::vec(("[a-z$.é]{0,6}", value), 0..8)
        .prop_map(|fields| fields.into_iter().collect())
}

fn any_value() -> impl Strategy<Value = Bson> {
    let leaf = any_leaf().boxed();
    let documents = document_of(leaf.clone());
    prop_oneof![
        6 => leaf.clone(),
        1 => documents.clone().prop_map(Bson::Document),
        1 => prop::collection::vec(leaf, 0..4).prop_map(Bson::Array),
        1 => (".{0,9}", documents).prop_map(|(code, scope)| {
            Bson::JavaScriptCodeWithScope(JavaScriptCodeWithScope { code, scope })
        }),
    ]
}

fn any_leaf() -> impl Strategy<Value = Bson> {
    prop_oneof![
        any::<f64>().prop_map(Bson::Double),
        ".{0,20}".prop_map(Bson::String),
        any::<bool>().prop_map(Bson::Boolean),
        any::<i32>().prop_map(Bson::Int32),
        any::<i64>().prop_map(Bson::Int64),
        any::<i64>().prop_map(|ms| Bson::DateTime(bson::DateTime::from_millis(ms))),
        any::<[u8; 12]>().prop_map(|id| Bson::ObjectId(ObjectId::from_bytes(id))),
        any::<[u8; 16]>().prop_map(|bits| Bson::Decimal128(bson::Decimal128::from_bytes(bits))),
        any::<(u32, u32)>()
            .prop_map(|(time, increment)| { Bson::Timestamp(Timestamp { time, increment }) }),
        (
            prop::sample::select(vec![0, 4, 128]),
            prop::collection::vec(any::<u8>(), 0..20)
        )
            .prop_map(|(subtype, bytes)| {
                Bson::Binary(Binary {
                    subtype: BinarySubtype::from(subtype),
                    bytes,
                })
            }),
        ("[a-z]{0,5}", "[imsx]{0,3}").prop_map(|(pattern, options)| {
            let (pattern, options) = (pattern.try_into().unwrap(), options.try_into().unwrap());
            Bson::RegularExpression(Regex { pattern, options })
        }),
        ".{0,9}".prop_map(Bson::JavaScriptCode),
        ".{0,9}".prop_map(Bson::Symbol),
        Just(Bson::Null),
        Just(Bson::Undefined),
        Just(Bson::MinKey),
        Just(Bson::MaxKey),
    ]
}
