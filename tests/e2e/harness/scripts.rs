//! The scripted server, seen by a raw client and by the official driver.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::doc;
use weir_tests::message::{EXHAUST_ALLOWED, MORE_TO_COME, kind_0, kind_1, op_msg, op_msg_sections};
use weir_tests::raw::Raw;
use weir_tests::scripted::{Act, Face, Scripted};

#[tokio::test]
async fn the_official_driver_believes_its_faces() -> Result<()> {
    let faces = [
        (Face::Primary, "replicaSet=rs0"),
        (Face::Mongos, ""),
        (Face::LoadBalanced, "loadBalanced=true"),
    ];
    for (face, options) in faces {
        let server = Scripted::start(face.clone())?;
        let uri = format!("mongodb://{}/?{options}", server.address());
        let client = mongodb::Client::with_uri_str(uri).await?;
        server.script("count", [Act::Reply(doc! { "ok": 1, "n": 42 })]);
        let things = client.database("db").collection::<bson::Document>("things");
        ensure!(things.estimated_document_count().await? == 42, "{face:?}");
        ensure!(server.received_of("count").len() == 1);
    }
    Ok(())
}

#[tokio::test]
async fn plays_its_acts_in_order() -> Result<()> {
    let server = Scripted::start(Face::Mongos)?;
    let odd = Act::Odd {
        flags: 0,
        response_to: Some(77),
        body: doc! { "ok": 1 },
    };
    server.script(
        "find",
        [
            Act::Late(Duration::from_millis(50), doc! { "n": 1 }),
            Act::Pieces(3, doc! { "n": 2 }),
            Act::error(91, "ShutdownInProgress", &["RetryableWriteError"]),
            odd,
            Act::Cut(10, doc! { "n": 3 }),
        ],
    );
    let mut raw = Raw::connect(server.address()).await?;
    let find = || doc! { "find": "things" };
    let start = Instant::now();
    ensure!(raw.command("db", find()).await?.get_i32("n")? == 1);
    ensure!(start.elapsed() >= Duration::from_millis(50));
    ensure!(raw.command("db", find()).await?.get_i32("n")? == 2);
    let error = raw.command("db", find()).await?;
    ensure!(error.get_i32("code")? == 91);
    ensure!(error.get_array("errorLabels")?.len() == 1);
    let wrong = raw.command("db", find()).await.unwrap_err().to_string();
    ensure!(wrong.contains("77"), "{wrong}");
    ensure!(raw.command("db", find()).await.is_err());
    raw.closed().await?;

    let mut raw = Raw::connect(server.address()).await?;
    ensure!(
        raw.command("db", find()).await? == doc! { "ok": 1.0 },
        "beyond the script"
    );
    let received = server.received();
    ensure!(received.len() == 6);
    ensure!(received.last().is_some_and(|last| last.connection == 1));
    Ok(())
}

#[tokio::test]
async fn answers_a_chain_one_after_the_other() -> Result<()> {
    let server = Scripted::start(Face::Mongos)?;
    let bodies = [doc! { "n": 1 }, doc! { "n": 2 }, doc! { "n": 3 }];
    server.script("getMore", [Act::Chain(bodies.to_vec())]);
    let mut raw = Raw::connect(server.address()).await?;
    let get_more = doc! { "getMore": 5_i64, "collection": "things", "$db": "db" };
    raw.send(&op_msg(9, 0, EXHAUST_ALLOWED, &get_more)).await?;
    let mut answered = 9;
    for n in 1..=3 {
        let reply = raw.receive().await?;
        ensure!(reply.response_to == answered && reply.body.get_i32("n")? == n);
        ensure!(reply.more_to_come() == (n < 3));
        answered = reply.request_id;
    }
    Ok(())
}

#[tokio::test]
async fn reads_sections_in_any_order_and_answers_no_unacknowledged_write() -> Result<()> {
    let server = Scripted::start(Face::Primary)?;
    let mut raw = Raw::connect(server.address()).await?;
    let documents = [doc! { "_id": 1 }, doc! { "_id": 2 }];
    let sections = [
        kind_1("documents", &documents),
        kind_0(&doc! { "insert": "things", "$db": "db" }),
    ];
    raw.send(&op_msg_sections(1, 0, MORE_TO_COME, &sections))
        .await?;
    ensure!(
        raw.command("admin", doc! { "ping": 1 })
            .await?
            .contains_key("ok")
    );
    let inserts = server.wait_for("insert", 1).await?;
    let message = &inserts.first().unwrap().message;
    ensure!(message.sequences == [("documents".to_owned(), documents.to_vec())]);
    ensure!(message.flags == MORE_TO_COME);
    Ok(())
}

#[tokio::test]
async fn a_waiting_hello_is_answered_when_the_face_changes() -> Result<()> {
    let server = Scripted::start(Face::Primary)?;
    let mut raw = Raw::connect(server.address()).await?;
    let legacy = raw
        .query("admin", &doc! { "isMaster": 1, "helloOk": true })
        .await?;
    ensure!(legacy.get_bool("ismaster")? && legacy.get_bool("helloOk")?);
    let version = legacy.get_document("topologyVersion")?.clone();
    let hello = doc! { "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": 60_000 };
    let (answer, ()) = tokio::join!(raw.command("admin", hello), async {
        // The change comes while the hello waits.
        let _ = server.wait_for("hello", 2).await;
        server.become_face(Face::Secondary);
    });
    ensure!(answer?.get_bool("secondary")?);
    Ok(())
}

/// As Weir's: a router that tells its version again and again, and hangs up on monitors when
/// it leaves, but not on those who work.
#[tokio::test]
async fn plays_weir_and_leaves_as_weir_does() -> Result<()> {
    let server = Scripted::start(Face::Weir)?;
    let mut monitor = Raw::connect(server.address()).await?;
    let hello = monitor.command("admin", doc! { "hello": 1 }).await?;
    ensure!(hello.get_str("msg")? == "isdbgrid", "{hello}");
    let version = hello.get_document("topologyVersion")?.clone();
    let awaiting = doc! {
        "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": 20, "$db": "admin",
    };
    let message = op_msg(41, 0, EXHAUST_ALLOWED, &awaiting);
    monitor.send(&message).await?;
    let mut answered = 41;
    for _ in 0..3 {
        let reply = monitor.receive().await?;
        ensure!(reply.more_to_come() && reply.response_to == answered);
        answered = reply.request_id;
    }
    let mut worker = Raw::connect(server.address()).await?;
    let balanced = worker
        .command("admin", doc! { "hello": 1, "loadBalanced": true })
        .await?;
    ensure!(balanced.contains_key("serviceId"), "{balanced}");
    ensure!(!balanced.contains_key("topologyVersion"), "{balanced}");
    worker.command("admin", doc! { "ping": 1 }).await?;
    let leaving = doc! { "ok": 0, "code": 91, "errmsg": "leaving" };
    server.script("find", [Act::Leave(leaving)]);
    let reply = worker.command("db", doc! { "find": "things" }).await?;
    ensure!(reply.get_i32("code")? == 91, "{reply}");
    while monitor.receive().await.is_ok() {}
    worker.command("admin", doc! { "ping": 1 }).await?;
    Ok(())
}

#[tokio::test]
async fn asks_its_answerer_beyond_the_script() -> Result<()> {
    let server = Scripted::start(Face::Mongos)?;
    server.set_wire_version(25);
    server.answer_with(std::sync::Arc::new(|received| {
        let found = received.message.command() == "count";
        found.then(|| Act::Reply(doc! { "ok": 1, "n": 9 }))
    }));
    let mut raw = Raw::connect(server.address()).await?;
    let hello = raw.command("admin", doc! { "hello": 1 }).await?;
    ensure!(hello.get_i32("maxWireVersion")? == 25, "{hello}");
    server.script("count", [Act::Reply(doc! { "ok": 1, "n": 1 })]);
    for n in [1, 9] {
        let reply = raw.command("db", doc! { "count": "things" }).await?;
        ensure!(reply.get_i32("n")? == n, "{reply}");
    }
    ensure!(raw.command("db", doc! { "ping": 1 }).await? == doc! { "ok": 1.0 });
    Ok(())
}
