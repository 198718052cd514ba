use bson::rawdoc;

use super::{stream::StreamScan, *};

fn read(document: &bson::RawDocumentBuf) -> Outcome {
    Outcome::read(document.as_bytes()).unwrap()
}

#[test]
fn a_cursor_is_found_behind_its_batch() {
    let reply =
        rawdoc! { "cursor": { "firstBatch": [{ "a": 1 }], "id": 7_i64, "ns": "d.c" }, "ok": 1.0 };
    let outcome = read(&reply);
    assert!(outcome.ok);
    assert_eq!(
        outcome.cursor,
        Some(CursorFacts {
            id: 7,
            namespace: stable_hash(b"d.c")
        })
    );
}

#[test]
fn a_state_change_is_seen_wherever_it_hides() {
    let top = rawdoc! { "ok": 0.0, "errmsg": "x", "code": 10107 };
    let concern = rawdoc! { "ok": 1.0, "writeConcernError": { "code": 91, "errmsg": "x" } };
    let item = rawdoc! { "ok": 1.0, "writeErrors": [{ "index": 0, "code": 11602 }] };
    let text = rawdoc! { "ok": 0.0, "errmsg": "not master and slaveOk=false" };
    assert_eq!(read(&top).state_change, Some(10107));
    assert_eq!(read(&concern).state_change, Some(91));
    assert_eq!(read(&item).state_change, Some(11602));
    assert_eq!(read(&text).state_change, Some(10107));
    let other = rawdoc! { "ok": 0.0, "errmsg": "not master", "code": 11000 };
    assert_eq!(
        read(&other).state_change,
        None,
        "a code decides before any text"
    );
}

#[test]
fn labels_and_overload_are_read() {
    let reply = rawdoc! {
        "ok": 0.0, "code": 462,
        "errorLabels": ["SystemOverloadedError", "RetryableError", "SomethingNew"],
    };
    let outcome = read(&reply);
    assert!(outcome.is_overload());
    assert_eq!(outcome.labels, Labels::OVERLOAD);
}

/// The push parser learns the same as the whole-document reader, however the bytes are cut.
#[test]
fn the_stream_agrees_with_the_whole_for_every_cut() {
    let big = "x".repeat(5000);
    let reply = rawdoc! {
        "cursor": { "firstBatch": [{ "a": big.as_str() }, { "b": 1 }],
            "postBatchResumeToken": { "_data": "8263" }, "id": 77_i64, "ns": "d.c" },
        "ok": 1.0, "$clusterTime": { "t": 1 },
    };
    let whole = read(&reply);
    for step in [1, 2, 3, 7, 64, 1000, 4096, 100_000] {
        let mut scan = StreamScan::default();
        reply
            .as_bytes()
            .chunks(step)
            .for_each(|chunk| scan.feed(chunk));
        assert_eq!(scan.outcome().cursor, whole.cursor, "step {step}");
        assert_eq!(scan.outcome().ok, whole.ok, "step {step}");
    }
}

#[test]
fn the_stream_gives_up_quietly_on_nonsense() {
    let mut scan = StreamScan::default();
    for byte in 0..=255u8 {
        scan.feed(&[byte; 37]);
    }
    assert_eq!(scan.outcome().cursor, None);
}
