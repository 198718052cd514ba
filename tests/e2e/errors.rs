//! What clients are told when the upstream misbehaves in ways that a real server cannot be
//! made to: each reaction is the one that makes a driver retry what is safe, and nothing else.

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use weir_tests::message::{kind_0, kind_1, op_msg, op_msg_sections};
use weir_tests::raw::Raw;
use weir_tests::scripted::{Act, Face, Scripted};
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

use crate::support::{OVERLOAD, labels, retryable_insert};

struct Stage {
    server: Scripted,
    weir: WeirProcess,
}

impl Stage {
    async fn set() -> Result<Self> {
        Self::with(&[]).await
    }

    async fn with(arguments: &[&str]) -> Result<Self> {
        let server = Scripted::start(Face::Primary)?;
        let upstream = format!("mongodb://{}/?replicaSet=rs0", server.address());
        let weir = WeirProcess::builder().upstream(upstream).args(arguments);
        let weir = weir.start().await?;
        Ok(Self { server, weir })
    }

    /// A client; a new one announces `backpressure`.
    async fn client(&self, backpressure: bool) -> Result<Raw> {
        let mut raw = Raw::connect(self.weir.address()).await?;
        let hello = if backpressure {
            doc! { "hello": 1, "backpressure": "2" }
        } else {
            doc! { "hello": 1 }
        };
        raw.command("admin", hello).await?;
        Ok(raw)
    }
}

fn in_transaction(mut command: Document) -> Document {
    let insert = retryable_insert();
    for key in ["lsid", "txnNumber"] {
        command.insert(key, insert.get(key).cloned());
    }
    command.insert("autocommit", false);
    command
}

/// A reply to somebody else's request, and an answer nobody asked for, reach nobody.
#[tokio::test]
async fn a_reply_that_is_not_ours_destroys_its_connection() -> Result<()> {
    let stage = Stage::set().await?;
    let ok = || doc! { "ok": 1, "secret": true };
    let odd = [
        Act::Odd {
            flags: 0,
            response_to: Some(4_711),
            body: ok(),
        },
        Act::Chain(vec![ok(), ok()]),
        Act::Bytes(b"this is no message at all, but long enough for a header".to_vec()),
        Act::Cut(20, ok()),
    ];
    let mut raw = stage.client(false).await?;
    for act in odd {
        let what = format!("{act:?}");
        stage.server.script("count", [act]);
        let reply = raw.command("d", doc! { "count": "c" }).await?;
        ensure!(reply.get_i32("code").ok() == Some(6), "{what}: {reply}");
        ensure!(
            !reply.contains_key("secret") && labels(&reply).is_empty(),
            "{what}: {reply}"
        );
        let used = stage.server.received_of("count");
        let burnt = used.last().context("nothing received")?.connection;
        stage
            .server
            .script("distinct", [Act::Reply(doc! { "ok": 1, "values": [] })]);
        let reply = raw
            .command("d", doc! { "distinct": "c", "key": "k" })
            .await?;
        ensure!(reply.get_i32("ok").ok() == Some(1), "after {what}: {reply}");
        let next = stage.server.received_of("distinct");
        let next = next.last().context("nothing received")?.connection;
        ensure!(next != burnt, "{what}: the connection was used again");
    }
    Ok(())
}

/// Once a byte is out, nothing is sent again: the server sees each operation once.
#[tokio::test]
async fn a_broken_connection_is_told_with_the_label_of_its_class() -> Result<()> {
    let stage = Stage::set().await?;
    let cases = [
        (doc! { "count": "c" }, vec![]),
        (retryable_insert(), vec!["RetryableWriteError"]),
        (doc! { "update": "c", "updates": [] }, vec![]),
        (
            in_transaction(doc! { "delete": "c", "deletes": [] }),
            vec!["TransientTransactionError"],
        ),
        (
            in_transaction(doc! { "commitTransaction": 1 }),
            vec!["RetryableWriteError", "UnknownTransactionCommitResult"],
        ),
        (
            in_transaction(doc! { "abortTransaction": 1 }),
            vec!["RetryableWriteError"],
        ),
    ];
    let mut raw = stage.client(true).await?;
    for (command, expected) in cases {
        let name = command.keys().next().context("no name")?.clone();
        let database = if name.ends_with("Transaction") {
            "admin"
        } else {
            "d"
        };
        stage.server.script(&name, [Act::Close]);
        let reply = raw.command(database, command).await?;
        ensure!(reply.get_i32("code").ok() == Some(6), "{name}: {reply}");
        ensure!(labels(&reply) == expected, "{name}: {reply}");
        ensure!(
            stage.server.received_of(&name).len() == 1,
            "{name} was sent again"
        );
    }
    Ok(())
}

#[tokio::test]
async fn a_change_of_role_never_reaches_a_client() -> Result<()> {
    let stage = Stage::set().await?;
    let mut raw = stage.client(true).await?;
    for code in [10107, 13435, 11602, 189, 91] {
        let error = Act::Reply(doc! {
            "ok": 0, "errmsg": "not master any more", "code": code, "codeName": "Old",
        });
        stage.server.script("insert", [error]);
        let reply = raw.command("d", retryable_insert()).await?;
        ensure!(reply.get_i32("code").ok() == Some(6), "{code}: {reply}");
        ensure!(
            reply.get_str("codeName").ok() == Some("HostUnreachable"),
            "{code}: {reply}"
        );
        ensure!(labels(&reply) == ["RetryableWriteError"], "{code}: {reply}");
        ensure!(
            !reply.get_str("errmsg")?.contains("not master"),
            "{code}: {reply}"
        );
    }
    Ok(())
}

/// Java's driver does not repeat a write with 6 in its `writeConcernError`, and none repeats
/// one with a code in its `writeErrors`: in a reply that says `ok`, the application would see
/// an error of retryable work.
#[tokio::test]
async fn a_change_of_role_inside_a_reply_fails_a_retryable_write_as_a_whole() -> Result<()> {
    let stage = Stage::set().await?;
    let mut raw = stage.client(true).await?;
    let stopped = || doc! { "index": 0, "code": 10107, "errmsg": "Not primary while writing" };
    let unsure = || doc! { "code": 11602, "errmsg": "operation was interrupted" };
    for reply in [
        doc! { "n": 0, "writeErrors": [stopped()], "ok": 1 },
        doc! { "n": 1, "writeConcernError": unsure(), "ok": 1 },
    ] {
        stage.server.script("insert", [Act::Reply(reply)]);
        let reply = raw.command("d", retryable_insert()).await?;
        ensure!(reply.get_f64("ok").ok() == Some(0.0), "{reply}");
        ensure!(reply.get_i32("code").ok() == Some(6), "{reply}");
        ensure!(labels(&reply) == ["RetryableWriteError"], "{reply}");
    }
    // Nobody repeats this one: what was done is told as it was.
    let reply = doc! { "n": 1, "writeConcernError": unsure(), "ok": 1 };
    stage.server.script("update", [Act::Reply(reply)]);
    let update = doc! { "update": "c", "updates": [{ "q": {}, "u": { "$inc": { "n": 1 } }, "multi": true }] };
    let reply = raw.command("d", update).await?;
    ensure!(reply.get_i32("n").ok() == Some(1), "{reply}");
    let concern = reply.get_document("writeConcernError")?;
    ensure!(concern.get_i32("code").ok() == Some(6), "{reply}");
    Ok(())
}

/// A load that is repeated, unordered: one error for each document, and among them the word of
/// a change of role, in a reply too large to be looked at in passing.
#[tokio::test]
async fn a_change_of_role_behind_a_thousand_other_errors_is_kept_from_the_client() -> Result<()> {
    let stage = Stage::set().await?;
    let mut raw = stage.client(true).await?;
    let twice = |n: i32| doc! { "index": n, "code": 11000, "errmsg": "E".repeat(200) };
    let errors: Vec<Document> = (0..1_500).map(twice).collect();
    let unsure = doc! { "code": 11602, "errmsg": "operation was interrupted" };
    let reply = doc! { "n": 0, "writeErrors": errors, "writeConcernError": unsure, "ok": 1 };
    let insert = doc! { "insert": "c", "documents": [{}], "ordered": false };
    stage.server.script("insert", [Act::Reply(reply.clone())]);
    let told = raw.command("d", insert).await?;
    let concern = told.get_document("writeConcernError")?;
    ensure!(concern.get_i32("code").ok() == Some(6), "{concern}");
    ensure!(told.get_array("writeErrors")?.len() == 1_500);
    stage.server.script("insert", [Act::Reply(reply)]);
    let told = raw.command("d", retryable_insert()).await?;
    ensure!(told.get_i32("code").ok() == Some(6), "{told}");
    ensure!(labels(&told) == ["RetryableWriteError"], "{told}");
    Ok(())
}

/// The server answered that it executed nothing, so the read may go out once more, and the
/// driver's own retry stays unspent.
#[tokio::test]
async fn a_read_refused_by_a_former_primary_is_routed_again_once() -> Result<()> {
    let stage = Stage::set().await?;
    let mut raw = stage.client(false).await?;
    let fine = || Act::Reply(doc! { "ok": 1, "n": 3 });
    stage.server.script(
        "count",
        [Act::error(10107, "NotWritablePrimary", &[]), fine()],
    );
    let reply = raw.command("d", doc! { "count": "c" }).await?;
    ensure!(reply.get_i32("n").ok() == Some(3), "{reply}");
    ensure!(stage.server.received_of("count").len() == 2);
    let twice = || Act::error(10107, "NotWritablePrimary", &[]);
    stage.server.script("distinct", [twice(), twice(), fine()]);
    let reply = raw
        .command("d", doc! { "distinct": "c", "key": "k" })
        .await?;
    ensure!(reply.get_i32("code").ok() == Some(6), "{reply}");
    ensure!(
        stage.server.received_of("distinct").len() == 2,
        "routed again more than once"
    );
    Ok(())
}

/// A new driver is told; an old one would surface 462, so Weir retries for it.
#[tokio::test]
async fn the_upstreams_overload_is_told_to_those_who_understand_it() -> Result<()> {
    let stage = Stage::set().await?;
    let overload = || Act::error(462, "IngressRequestRateLimitExceeded", &OVERLOAD);
    stage.server.script("count", [overload()]);
    let mut new = stage.client(true).await?;
    let reply = new.command("d", doc! { "count": "c" }).await?;
    ensure!(
        reply.get_i32("code").ok() == Some(462) && labels(&reply) == OVERLOAD,
        "{reply}"
    );
    let fine = Act::Reply(doc! { "ok": 1, "values": [] });
    stage
        .server
        .script("distinct", [overload(), overload(), fine]);
    let mut old = stage.client(false).await?;
    let reply = old
        .command("d", doc! { "distinct": "c", "key": "k" })
        .await?;
    ensure!(reply.get_i32("ok").ok() == Some(1), "{reply}");
    ensure!(stage.server.received_of("distinct").len() == 3);
    Ok(())
}

/// A Weir that leaves says both: go elsewhere, and nothing was done.
#[tokio::test]
async fn what_a_leaving_weir_has_not_done_is_done_again() -> Result<()> {
    let stage = Stage::set().await?;
    let leaving = Act::error(91, "ShutdownInProgress", &OVERLOAD);
    stage.server.script("update", [leaving]);
    let mut raw = stage.client(false).await?;
    let update = doc! { "q": {}, "u": { "$set": { "a": 1 } } };
    let reply = raw
        .command("d", doc! { "update": "c", "updates": [update] })
        .await?;
    ensure!(reply.get_f64("ok").ok() == Some(1.0), "{reply}");
    ensure!(stage.server.received_of("update").len() == 2, "{reply}");
    Ok(())
}

/// Takes nearly all of 16 MiB: each message takes its room as soon as its length is known.
async fn take_all_room(stage: &Stage) -> Result<Vec<Raw>> {
    let mut begun = Vec::new();
    for n in 0..17 {
        let mut raw = stage.client(false).await?;
        let pad = if n < 16 { 1_000_000 } else { 700_000 };
        let count = doc! { "count": "c", "$db": "d", "pad": "x".repeat(pad) };
        let message = op_msg(1, 0, 0, &count);
        raw.send(message.get(..100).context("too short")?).await?;
        begun.push(raw);
    }
    let taken = || async {
        let status = stage.weir.status().await.ok()?;
        let taken = status.pointer("/listeners/0/bytes_in_flight")?.as_u64()?;
        (taken >= 16_700_000).then_some(())
    };
    until("room to be taken", LIMIT, taken).await?;
    Ok(begun)
}

/// Those who hold memory and do not go on are no matter of those who read what they ask for.
#[tokio::test]
async fn a_large_reply_passes_where_memory_is_used_up() -> Result<()> {
    let stage = Stage::with(&["--max-in-flight", "16MiB"]).await?;
    let _begun = take_all_room(&stage).await?;
    let mut raw = stage.client(false).await?;
    let row = doc! { "pad": "y".repeat(1_000_000) };
    let cursor = doc! { "firstBatch": [row], "id": 0_i64, "ns": "d.c" };
    let large = Act::Reply(doc! { "ok": 1, "cursor": cursor });
    stage.server.script("find", [large]);
    let reply = raw.command("d", doc! { "find": "c" }).await?;
    ensure!(!reply.contains_key("code"), "{reply}");
    Ok(())
}

/// Where there is no memory for a request, its class is still known by its beginning.
#[tokio::test]
async fn a_request_without_room_is_refused_by_its_class() -> Result<()> {
    let stage = Stage::with(&["--max-in-flight", "16MiB"]).await?;
    let _begun = take_all_room(&stage).await?;
    let session = retryable_insert();
    let retryable = doc! {
        "insert": "c", "lsid": session.get_document("lsid")?.clone(), "txnNumber": 1_i64,
    };
    let mut in_transaction = retryable.clone();
    in_transaction.insert("autocommit", false);
    let cases = [
        (retryable, "RetryableWriteError"),
        (in_transaction, "TransientTransactionError"),
    ];
    for (command, wanted) in cases {
        let mut raw = stage.client(false).await?;
        let documents = kind_1("documents", &[doc! { "pad": "y".repeat(900_000) }]);
        let mut command = command;
        command.insert("$db", "d");
        raw.send(&op_msg_sections(1, 0, 0, &[kind_0(&command), documents]))
            .await?;
        let reply = raw.receive().await?.body;
        ensure!(labels(&reply).contains(&wanted), "{reply}");
    }
    Ok(())
}
