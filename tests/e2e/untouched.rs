//! What passes through unchanged, byte for byte.

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use weir_tests::message::{kind_0, kind_1, op_msg_sections};
use weir_tests::raw::Raw;
use weir_tests::scripted::{Act, Face, Scripted};
use weir_tests::weir::WeirProcess;

/// Bytes of the header that a proxy must change: the two ids.
const IDS: std::ops::Range<usize> = 4..12;

fn without_ids(bytes: &[u8]) -> Vec<u8> {
    let keep = |(at, byte): (usize, &u8)| (!IDS.contains(&at)).then_some(*byte);
    bytes.iter().enumerate().filter_map(keep).collect()
}

/// Field order, number types, a key twice, fields and commands nobody has heard of.
#[tokio::test]
async fn requests_and_replies_pass_as_they_came() -> Result<()> {
    let server = Scripted::start(Face::Primary)?;
    let upstream = format!("mongodb://{}/?replicaSet=rs0", server.address());
    let weir = WeirProcess::builder().upstream(upstream).start().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    raw.command("admin", doc! { "hello": 1 }).await?;

    let strange = doc! {
        "frobnicate": "c", "z": 1_i64, "a": 1.0, "$weird": { "b": [1, "two", { "c": null }] },
        "lsid": { "id": 5 }, "comment": "not master", "$db": "d",
    };
    let sections = [
        kind_1("things", &[doc! { "x": 1 }, doc! { "x": 2_i64 }]),
        kind_0(&strange),
        kind_1("others", &[doc! {}]),
    ];
    let sent = op_msg_sections(raw.fresh_id(), 0, 0, &sections);
    let answer: Document = doc! {
        "first": 1_i64, "ok": 1, "$clusterTime": { "t": bson::Timestamp { time: 7, increment: 1 } },
        "operationTime": bson::Timestamp { time: 7, increment: 1 }, "unheard": { "of": [1] },
    };
    server.script("frobnicate", [Act::Reply(answer.clone())]);
    raw.send(&sent).await?;
    let reply = raw.receive().await?;
    let received = server.received_of("frobnicate");
    let received = received.first().context("nothing arrived")?;
    ensure!(
        without_ids(&received.message.bytes) == without_ids(&sent),
        "the request was changed"
    );
    let expected = op_msg_sections(0, 0, 0, &[kind_0(&answer)]);
    ensure!(
        without_ids(&reply.bytes) == without_ids(&expected),
        "the reply was changed"
    );
    Ok(())
}

/// `maxTimeMS` is the one value that may change: what is left of it, in its own type.
#[tokio::test]
async fn a_time_limit_is_passed_on_in_its_own_type() -> Result<()> {
    let server = Scripted::start(Face::Primary)?;
    let upstream = format!("mongodb://{}/?replicaSet=rs0", server.address());
    let weir = WeirProcess::builder().upstream(upstream).start().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    for limit in [
        bson::Bson::Int32(5_000),
        bson::Bson::Int64(5_000),
        bson::Bson::Double(5_000.0),
    ] {
        server.script("count", [Act::Reply(doc! { "ok": 1, "n": 0 })]);
        raw.command("d", doc! { "count": "c", "maxTimeMS": limit.clone() })
            .await?;
        let received = server.received_of("count");
        let received = received.last().context("nothing arrived")?;
        let passed = received
            .message
            .body
            .get("maxTimeMS")
            .context("it is gone")?;
        ensure!(passed.element_type() == limit.element_type(), "{passed:?}");
        let ms = passed.as_f64().or(passed.as_i64().map(|n| n as f64));
        let ms = ms.or(passed.as_i32().map(f64::from)).context("no number")?;
        ensure!((4_000.0..=5_000.0).contains(&ms), "{ms}");
    }
    Ok(())
}
