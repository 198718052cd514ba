use bson::{RawDocumentBuf, rawdoc};

use super::*;
use crate::wire::reply;

fn facts(document: &RawDocumentBuf) -> Result<Facts, FactsError> {
    let message = reply::op_msg(1, 0, 0, document.as_bytes());
    let msg = OpMsg::parse(&message).unwrap();
    Facts::read(&message, &msg)
}

#[test]
fn classes_follow_the_transaction_fields() {
    let class = |d: RawDocumentBuf| facts(&d).unwrap().class;
    assert_eq!(class(rawdoc! { "find": "c", "$db": "d" }), Class::Read);
    assert_eq!(class(rawdoc! { "insert": "c", "$db": "d" }), Class::Write);
    assert_eq!(
        class(rawdoc! { "insert": "c", "txnNumber": 1_i64, "$db": "d" }),
        Class::RetryableWrite
    );
    let in_txn = rawdoc! { "find": "c", "txnNumber": 1_i64, "autocommit": false, "$db": "d" };
    assert_eq!(class(in_txn), Class::InTransaction);
    let commit =
        rawdoc! { "commitTransaction": 1, "txnNumber": 1_i64, "autocommit": false, "$db": "admin" };
    assert_eq!(class(commit), Class::Commit);
    let more = rawdoc! { "getMore": 5_i64, "collection": "c", "$db": "d" };
    let more = facts(&more).unwrap();
    assert_eq!((more.class, more.cursor_id), (Class::GetMore, 5));
}

#[test]
fn an_aggregate_that_writes_is_a_write() {
    let treatment = |d: RawDocumentBuf| facts(&d).unwrap().treatment;
    let read = rawdoc! { "aggregate": "c", "pipeline": [{ "$match": {} }], "$db": "d" };
    let out =
        rawdoc! { "aggregate": "c", "pipeline": [{ "$match": {} }, { "$out": "x" }], "$db": "d" };
    assert_eq!(treatment(read), Treatment::Read);
    assert_eq!(treatment(out.clone()), Treatment::Write);
    let explained =
        rawdoc! { "explain": { "aggregate": "c", "pipeline": [{ "$merge": "x" }] }, "$db": "d" };
    assert_eq!(treatment(explained), Treatment::Write);
    let stream = rawdoc! { "aggregate": "c", "pipeline": [{ "$changeStream": {} }], "$db": "d" };
    assert!(facts(&stream).unwrap().awaits_data);
}

#[test]
fn positions_name_the_right_bytes() {
    let document = rawdoc! { "find": "things", "maxTimeMS": 250, "$db": "shop" };
    let message = reply::op_msg(1, 0, 0, document.as_bytes());
    let facts = Facts::read(&message, &OpMsg::parse(&message).unwrap()).unwrap();
    assert_eq!(facts.name.of(&message), b"find");
    assert_eq!(facts.db.of(&message), b"shop");
    let max = facts.max_time.unwrap();
    assert_eq!((max.ms, max.kind), (250, 0x10));
    assert_eq!(
        message.get(max.at..max.at + 4),
        Some(250_i32.to_le_bytes().as_slice())
    );
}

#[test]
fn what_only_servers_may_say_is_refused() {
    let forged = rawdoc! { "find": "c", "lsid": { "id": 1, "uid": 2 }, "$db": "d" };
    assert_eq!(facts(&forged).unwrap_err(), FactsError::InternalSession);
    assert_eq!(
        facts(&rawdoc! { "ping": 1 }).unwrap_err(),
        FactsError::NoDatabase
    );
    assert_eq!(facts(&rawdoc! {}).unwrap_err(), FactsError::NoCommand);
}

#[test]
fn reading_the_profile_level_is_allowed_and_setting_it_is_not() {
    let treatment = |level: i32| {
        facts(&rawdoc! { "profile": level, "$db": "d" })
            .unwrap()
            .treatment
    };
    assert_eq!(treatment(-1), Treatment::Read);
    assert_eq!(treatment(2), Treatment::Denied);
}
