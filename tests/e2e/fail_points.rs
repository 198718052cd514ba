//! Test commands at the client edge, as drivers' own suites use them.

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use weir_tests::message::{EXHAUST_ALLOWED, op_msg};
use weir_tests::raw::Raw;
use weir_tests::weir::WeirProcess;

use crate::support::single;

async fn fail(weir: &WeirProcess, mode: Document, data: Document) -> Result<Document> {
    let mut raw = Raw::connect(weir.address()).await?;
    let command = doc! { "configureFailPoint": "failCommand", "mode": mode, "data": data };
    let reply = raw.command("admin", command).await?;
    ensure!(reply.get_f64("ok")? > 0.0, "{reply}");
    Ok(reply)
}

fn introduction(app: &str) -> Document {
    doc! { "hello": 1, "client": { "application": { "name": app }, "driver": { "name": "t" } } }
}

fn session() -> bson::Binary {
    bson::Binary {
        subtype: bson::spec::BinarySubtype::Uuid,
        bytes: bson::oid::ObjectId::new().bytes().repeat(2).split_off(8),
    }
}

/// The command as a statement of the session's first transaction; a commit starts none.
fn in_transaction(mut command: Document, session: &bson::Binary) -> Document {
    let starts = !command.contains_key("commitTransaction");
    command.insert("lsid", doc! { "id": session.clone() });
    command.insert("txnNumber", 1_i64);
    command.insert("autocommit", false);
    if starts {
        command.insert("startTransaction", true);
    }
    command
}

/// The application that is meant is named in the very hello that is to fail.
#[tokio::test]
async fn the_first_hello_of_an_application_fails() -> Result<()> {
    let weir = single().await?;
    let data = doc! {
        "failCommands": ["hello", "isMaster"], "appName": "meant", "closeConnection": true,
    };
    fail(&weir, doc! { "times": 1 }, data).await?;
    let mut other = Raw::connect(weir.address()).await?;
    other.command("admin", introduction("other")).await?;
    let mut meant = Raw::connect(weir.address()).await?;
    let id = meant.fresh_id();
    let mut hello = introduction("meant");
    hello.insert("$db", "admin");
    meant.send(&op_msg(id, 0, 0, &hello)).await?;
    meant.closed().await?;
    let mut again = Raw::connect(weir.address()).await?;
    again.command("admin", introduction("meant")).await?;
    Ok(())
}

/// A server takes each answer of a streamed hello for a command of its own.
#[tokio::test]
async fn a_streamed_hello_fails_at_its_next_answer() -> Result<()> {
    let weir = single().await?;
    let mut monitor = Raw::connect(weir.address()).await?;
    let hello = monitor.command("admin", introduction("monitor")).await?;
    let version = hello.get_document("topologyVersion")?;
    let waiting = doc! {
        "hello": 1, "topologyVersion": version, "maxAwaitTimeMS": 100, "$db": "admin",
    };
    let id = monitor.fresh_id();
    monitor
        .send(&op_msg(id, 0, EXHAUST_ALLOWED, &waiting))
        .await?;
    ensure!(monitor.receive().await?.more_to_come(), "no stream");
    let data = doc! {
        "failCommands": ["hello"], "appName": "monitor", "errorCode": 91, "errorLabels": ["Mine"],
    };
    fail(&weir, doc! { "times": 1 }, data).await?;
    loop {
        let answer = monitor.receive().await?;
        if answer.more_to_come() {
            continue;
        }
        ensure!(answer.body.get_i32("code")? == 91, "{}", answer.body);
        let labels = answer.body.get_array("errorLabels")?;
        ensure!(labels == &["Mine".into()], "{}", answer.body);
        // The stream is over, the connection is not.
        monitor.command("admin", doc! { "hello": 1 }).await?;
        return Ok(());
    }
}

/// What Weir answers itself it still answers after a pause, and counts hits as a server.
#[tokio::test]
async fn a_paused_command_is_answered_where_it_always_is() -> Result<()> {
    let weir = single().await?;
    let data = doc! {
        "failCommands": ["whatsmyuri"], "blockConnection": true, "blockTimeMS": 1,
        "writeConcernError": { "code": 91 },
    };
    fail(&weir, doc! { "times": 1 }, data).await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let answer = raw.command("admin", doc! { "whatsmyuri": 1 }).await?;
    ensure!(answer.get_str("you")?.starts_with("127.0.0.1:"), "{answer}");
    let off = doc! { "configureFailPoint": "failCommand", "mode": "off" };
    let reply = raw.command("admin", off).await?;
    ensure!(reply.get_i64("count")? == 1, "{reply}");
    Ok(())
}

/// As of a router, and only for suites.
#[tokio::test]
async fn transactions_have_a_recovery_token_with_test_commands() -> Result<()> {
    let tested = single().await?;
    let plain = WeirProcess::builder()
        .upstream(weir_tests::cluster::shared::single().await?.uri())
        .start()
        .await?;
    for (weir, expected) in [(&tested, true), (&plain, false)] {
        let mut raw = Raw::connect(weir.address()).await?;
        raw.command("admin", doc! { "hello": 1 }).await?;
        let session = session();
        let command = |body: Document| in_transaction(body, &session);
        let name = weir_tests::cluster::unique("token");
        raw.command(&name, doc! { "create": "c" }).await?;
        let insert = doc! { "insert": "c", "documents": [{ "_id": 1 }] };
        let answer = raw.command(&name, command(insert)).await?;
        ensure!(answer.get_i32("n")? == 1, "{answer}");
        ensure!(answer.contains_key("recoveryToken") == expected, "{answer}");
        let token = answer.get_document("recoveryToken").cloned();
        let mut commit = command(doc! { "commitTransaction": 1 });
        if let Ok(token) = token {
            commit.insert("recoveryToken", token);
        }
        let answer = raw.command("admin", commit).await?;
        ensure!(answer.get_f64("ok")? > 0.0, "{answer}");
        let dropped = raw.command(&name, doc! { "dropDatabase": 1 }).await?;
        dropped.get_f64("ok").context("not dropped")?;
    }
    Ok(())
}

/// In the load-balanced face a client's transaction is aborted when its socket closes, but
/// not when it has sent the commit: its retry comes on another connection. Twenty times,
/// because the abort would race with the retry.
#[tokio::test]
async fn a_failed_commit_is_not_overtaken_by_an_abort() -> Result<()> {
    let weir = single().await?;
    let hello = doc! { "hello": 1, "loadBalanced": true };
    let name = weir_tests::cluster::unique("commit");
    let mut retrying = Raw::connect(weir.address()).await?;
    retrying.command("admin", hello.clone()).await?;
    retrying.command(&name, doc! { "create": "c" }).await?;
    for _ in 0..20 {
        let session = session();
        let mut raw = Raw::connect(weir.address()).await?;
        raw.command("admin", hello.clone()).await?;
        let insert = doc! { "insert": "c", "documents": [{}] };
        let answer = raw.command(&name, in_transaction(insert, &session)).await?;
        ensure!(answer.get_i32("n")? == 1, "{answer}");
        let data = doc! { "failCommands": ["commitTransaction"], "closeConnection": true };
        fail(&weir, doc! { "times": 1 }, data).await?;
        let mut commit = in_transaction(doc! { "commitTransaction": 1 }, &session);
        let id = raw.fresh_id();
        let mut first = commit.clone();
        first.insert("$db", "admin");
        raw.send(&op_msg(id, 0, 0, &first)).await?;
        raw.closed().await?;
        commit.insert("writeConcern", doc! { "w": "majority" });
        let answer = retrying.command("admin", commit).await?;
        ensure!(answer.get_f64("ok")? > 0.0, "{answer}");
    }
    retrying.command(&name, doc! { "dropDatabase": 1 }).await?;
    Ok(())
}

/// Servers have this command up to 6.1; suites send it to see it redacted.
#[tokio::test]
async fn getnonce_is_there_as_long_as_the_servers_have_it() -> Result<()> {
    let weir = single().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let hello = raw.command("admin", doc! { "hello": 1 }).await?;
    let answer = raw.command("admin", doc! { "getnonce": 1 }).await?;
    if hello.get_i32("maxWireVersion")? <= 18 {
        ensure!(answer.get_str("nonce")?.len() == 16, "{answer}");
    } else {
        ensure!(answer.get_i32("code")? == 59, "{answer}");
    }
    Ok(())
}
