//! The life of an environment, as Lambda's API tells it.

use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use bson::{Bson, Document, Uuid, doc};
use serde_json::{Value, json};
use weir_kit::process::Signal;
use weir_tests::cluster::shared;
use weir_tests::lambda::{Answer, Extension, ScriptedApi};
use weir_tests::message::op_msg;
use weir_tests::raw::Raw;
use weir_tests::relay::Relay;
use weir_tests::scripted::{Act, Face, Scripted};
use weir_tests::wait::{LIMIT, until_true};

use crate::support::{AT_ONCE, LONG, ends_well, extension, insert, works};

/// The runtime starts when every extension has registered, and module-level code connects at
/// once: a listener that is bound later is bound too late.
#[tokio::test]
async fn it_listens_before_it_registers() -> Result<()> {
    let cluster = shared::single().await?;
    let api = ScriptedApi::start(&[Answer::Hold])?;
    let extension = Extension::start(&api, &[("DB", &cluster.uri())]).await?;
    api.called("register", 1).await?;
    ensure!(api.calls("next").is_empty(), "it is not registered yet");
    let mut function = Raw::connect(extension.address()).await?;
    works(&mut function, doc! { "ping": 1 }).await?;
    api.let_go();
    api.is_asked().await?;
    let call = api.calls("register").remove(0);
    let name = call.headers.get("lambda-extension-name");
    ensure!(
        name.map(String::as_str) == Some("weir-extension"),
        "{call:?}"
    );
    let asked: Value = serde_json::from_str(&call.body)?;
    ensure!(
        asked == json!({ "events": ["INVOKE", "SHUTDOWN"] }),
        "{asked}"
    );
    Ok(())
}

#[tokio::test]
async fn it_registers_however_often_that_takes() -> Result<()> {
    let cluster = shared::single().await?;
    let api = ScriptedApi::start(&[
        Answer::Refuse(500, "Extension.Busy"),
        Answer::Close,
        Answer::Refuse(403, "Extension.AlreadyRegistered"),
        Answer::Accept,
    ])?;
    let extension = Extension::start(&api, &[("DB", &cluster.uri())]).await?;
    api.is_asked().await?;
    ensure!(api.calls("register").len() == 4);
    extension.says("could not register").await?;
    ends_well(&api, &extension).await?;
    Ok(())
}

#[tokio::test]
async fn on_a_managed_instance_it_registers_for_the_end_only() -> Result<()> {
    let cluster = shared::single().await?;
    let uri = cluster.uri();
    let known = [("DB", uri.as_str()), ("AWS_LAMBDA_MAX_CONCURRENCY", "4")];
    let found_out = [("DB", uri.as_str())];
    let refused = [Answer::Refuse(403, "Extension.InvalidEventType")];
    for (variables, registrations) in [(&known[..], &[][..]), (&found_out[..], &refused[..])] {
        let api = ScriptedApi::start(registrations)?;
        let extension = Extension::start(&api, variables).await?;
        api.is_asked().await?;
        let calls = api.calls("register");
        ensure!(calls.len() == registrations.len() + 1, "{calls:?}");
        let last = calls.last().context("no call")?;
        ensure!(last.body == r#"{"events":["SHUTDOWN"]}"#, "{}", last.body);
        let mut function = Raw::connect(extension.address()).await?;
        works(&mut function, insert("managed", "a worker")).await?;
        ends_well(&api, &extension).await?;
    }
    Ok(())
}

#[tokio::test]
async fn what_lambda_says_that_nobody_knows_is_passed_over() -> Result<()> {
    let cluster = shared::single().await?;
    let (api, extension) = extension(&[("DB", &cluster.uri())]).await?;
    api.tell(json!({ "eventType": "THAW" }));
    api.tell(json!(["no event"]));
    api.tell(json!({ "eventType": "INVOKE", "requestId": "r-9" }));
    api.is_asked().await?;
    api.break_nexts(3);
    api.invoke("r-10", LONG);
    api.called("next", 8).await?;
    api.is_asked().await?;
    extension.says("THAW").await?;
    let mut function = Raw::connect(extension.address()).await?;
    works(&mut function, insert("odd", "r-10")).await?;
    let lines = extension.log()?;
    let of_request = lines.iter().filter(|line| line["requestId"] == "r-10");
    ensure!(of_request.count() > 0, "{lines:?}");
    api.shut_down("of the future");
    ensure!(extension.ends(LONG).await?.success());
    Ok(())
}

/// Sessions are ended, connections closed, counters written, and all of it soon.
#[tokio::test]
async fn the_end_is_quick_and_tidy() -> Result<()> {
    let cluster = shared::single().await?;
    let relay = Relay::start(cluster.member(0)?.address())?;
    let upstream = format!("mongodb://{}/?directConnection=true", relay.address());
    let (api, extension) = extension(&[("DB", &upstream)]).await?;
    api.invoke("r-1", LONG);
    api.is_asked().await?;
    for _ in 0..3 {
        let mut function = Raw::connect(extension.address()).await?;
        works(&mut function, insert("tidy", "r-1")).await?;
    }
    let took = ends_well(&api, &extension).await?;
    ensure!(took < AT_ONCE, "it took {took:?}");
    until_true("the connections to be closed", LIMIT, || {
        relay.counts().open == 0
    })
    .await?;
    let out = extension.out();
    let line = out.first().context("no counters")?;
    let counters: Value = serde_json::from_str(line)?;
    ensure!(counters["Operations"].as_u64() >= Some(3), "{counters}");
    ensure!(counters["Invocations"] == 1, "{counters}");
    ensure!(counters["FunctionName"] == "exam", "{counters}");
    Ok(())
}

/// Drivers that are killed with their function end no session themselves.
#[tokio::test]
async fn the_end_of_the_environment_is_that_of_its_sessions() -> Result<()> {
    let server = Scripted::start(Face::LoadBalanced)?;
    let upstream = format!("mongodb://{}/?loadBalanced=true", server.address());
    let (api, extension) = extension(&[("WEIR_UPSTREAM", &upstream)]).await?;
    let mut function = Raw::connect(extension.address()).await?;
    let sessions: Vec<Document> = (0..3).map(|_| doc! { "id": Uuid::new() }).collect();
    for session in sessions.iter().cycle().take(9) {
        let mut command = doc! { "ping": 1 };
        command.insert("lsid", session.clone());
        function.command("lambda", command).await?;
    }
    let took = ends_well(&api, &extension).await?;
    ensure!(took < AT_ONCE, "it took {took:?}");
    let ended = server.received_of("endSessions");
    let [ended] = ended.as_slice() else {
        bail!("{} farewells", ended.len());
    };
    let ended = &ended.message.body;
    let expected: Vec<_> = sessions.into_iter().map(Bson::Document).collect();
    ensure!(ended.get_array("endSessions")? == &expected, "{ended}");
    Ok(())
}

/// A database that says nothing any more keeps nobody.
#[tokio::test]
async fn the_end_does_not_wait_for_a_silent_database() -> Result<()> {
    let server = Scripted::start(Face::LoadBalanced)?;
    server.script("endSessions", [Act::Nothing]);
    server.script("insert", [Act::Nothing]);
    let upstream = format!("mongodb://{}/?loadBalanced=true", server.address());
    let (api, extension) = extension(&[("WEIR_UPSTREAM", &upstream)]).await?;
    let mut function = Raw::connect(extension.address()).await?;
    let mut command = doc! { "ping": 1 };
    command.insert("lsid", doc! { "id": Uuid::new() });
    function.command("lambda", command).await?;
    let mut waiting = insert("silent", "r-1");
    waiting.insert("$db", "lambda");
    let waiting = op_msg(7, 0, 0, &waiting);
    function.send(&waiting).await?;
    server.wait_for("insert", 1).await?;
    let took = ends_well(&api, &extension).await?;
    ensure!(took < AT_ONCE, "it took {took:?}");
    Ok(())
}

#[tokio::test]
async fn a_signal_is_an_end_too() -> Result<()> {
    let cluster = shared::single().await?;
    let (_api, extension) = extension(&[("DB", &cluster.uri())]).await?;
    extension.signal(Signal::Terminate)?;
    ensure!(extension.ends(Duration::from_secs(5)).await?.success());
    Ok(())
}

/// An extension that fails takes the function with it. One that cannot serve says what to do,
/// does not listen, so that the shim leaves everything as it is, and answers Lambda.
#[tokio::test]
async fn what_cannot_work_is_said_and_lambda_is_answered() -> Result<()> {
    let other = std::net::TcpListener::bind("127.0.0.1:0")?;
    let taken = other.local_addr()?.to_string();
    let cases: [(&[(&str, &str)], &str); 5] = [
        (&[], "WEIR_SERVICE"),
        (&[("DB", "mongodb://h/?authMechanism=GSSAPI")], "GSSAPI"),
        (
            &[("A", "mongodb://a/"), ("B", "mongodb://b/")],
            "WEIR_SHIM_VARS",
        ),
        (
            &[("WEIR_SERVICE", "weir:1"), ("WEIR_LISTEN", &taken)],
            "WEIR_SHIM_TARGET",
        ),
        (
            &[("WEIR_SERVICE", "weir:1"), ("WEIR_EXTENSION_OFF", "1")],
            "nobody is served",
        ),
    ];
    for (variables, expected) in cases {
        let (api, extension) = extension(variables).await?;
        extension.says(expected).await?;
        if !variables.iter().any(|(name, _)| *name == "WEIR_LISTEN") {
            ensure!(
                Raw::connect(extension.address()).await.is_err(),
                "{expected}: it must not listen"
            );
        }
        api.invoke("r-1", LONG);
        api.is_asked().await?;
        let took = ends_well(&api, &extension).await?;
        ensure!(took < AT_ONCE, "{expected}: {took:?}");
    }
    Ok(())
}

#[tokio::test]
async fn wrong_settings_are_warnings() -> Result<()> {
    let cluster = shared::single().await?;
    let (api, extension) = extension(&[
        ("DB", &cluster.uri_with("&maxPoolSize=1")),
        ("WEIR_MAX_CONNECTIONS", "many"),
        ("WEIR_DEADLINE_NOTICE", "200"),
        ("WEIR_RELEASE", "sometimes"),
        ("WEIR_LOG_FILTER", "weir=loud"),
        ("WEIR_SERVIZE", "weir:1"),
    ])
    .await?;
    for name in [
        "WEIR_MAX_CONNECTIONS",
        "WEIR_DEADLINE_NOTICE",
        "WEIR_RELEASE",
        "WEIR_LOG_FILTER",
        "WEIR_SERVIZE",
    ] {
        let line = extension.says(name).await?;
        ensure!(line["level"] == "WARN", "{line}");
    }
    let mut function = Raw::connect(extension.address()).await?;
    works(&mut function, insert("wrong", "settings")).await?;
    ends_well(&api, &extension).await?;
    Ok(())
}
