//! Weir logs in by a role of AWS. Only Atlas knows the mechanism, so the server here is a fake;
//! what is signed is compared with the Python driver's in `upstream::auth::role`.

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use weir_tests::raw::Raw;
use weir_tests::role::{Given, gives_keys, lets_in, payload};
use weir_tests::scripted::{Face, Scripted};
use weir_tests::weir::{Builder, WeirProcess};

fn upstream(server: &Scripted) -> String {
    format!(
        "mongodb://{}/?replicaSet=rs0&authMechanism=MONGODB-AWS&authSource=%24external",
        server.address()
    )
}

fn weir_of(server: &Scripted) -> Builder {
    WeirProcess::builder()
        .upstream(upstream(server))
        .env("AWS_ACCESS_KEY_ID", "ASIAEXAMPLE")
        .env("AWS_SECRET_ACCESS_KEY", "very-secret")
        .env("AWS_SESSION_TOKEN", "session-token")
}

async fn ping(weir: &WeirProcess) -> Result<Document> {
    let mut raw = Raw::connect(weir.address()).await?;
    raw.command("admin", doc! { "ping": 1 }).await
}

/// As in a Lambda function's environment.
#[tokio::test]
async fn a_role_of_the_environment_logs_weir_in() -> Result<()> {
    let server = Scripted::start(Face::Primary)?;
    server.answer_with(lets_in("ASIAEXAMPLE"));
    let weir = weir_of(&server).start().await?;
    let pong = ping(&weir).await?;
    ensure!(!pong.contains_key("code"), "{pong}");

    let start = server.received_of("saslStart");
    let start = start.first().context("no login")?;
    ensure!(start.message.body.get_str("mechanism")? == "MONGODB-AWS");
    ensure!(start.message.body.get_str("$db")? == "$external");
    let proof = server.received_of("saslContinue");
    let proof = payload(&proof.first().context("no proof")?.message.body).context("no payload")?;
    ensure!(proof.get_str("t")? == "session-token", "{proof}");
    let scope = "/eu-central-1/sts/aws4_request, SignedHeaders=content-length;content-type;host;\
                 x-amz-date;x-amz-security-token;x-mongodb-gs2-cb-flag;x-mongodb-server-nonce, ";
    ensure!(proof.get_str("a")?.contains(scope), "{proof}");
    // In no hello: servers refuse to begin with it.
    let hellos = server.received_of("hello");
    ensure!(
        hellos
            .iter()
            .all(|hello| !hello.message.body.contains_key("speculativeAuthenticate")),
        "{hellos:?}"
    );
    for secret in ["very-secret", "session-token"] {
        ensure!(!weir.log().concat().contains(secret), "a secret in the log");
    }
    Ok(())
}

#[tokio::test]
async fn a_role_that_is_nobody_is_told_so() -> Result<()> {
    let server = Scripted::start(Face::Primary)?;
    server.answer_with(lets_in("ANOTHER"));
    let weir = weir_of(&server).start().await?;
    let refused = ping(&weir).await?;
    ensure!(
        refused.get_str("errmsg")?.contains("or the role"),
        "{refused}"
    );
    weir.wait_for_log("the server refused the login").await?;
    Ok(())
}

/// A Weir that asks a container's endpoint for keys, before a server that knows `NEW`.
async fn weir_with(keys: &'static [Given]) -> Result<(Scripted, WeirProcess)> {
    let server = Scripted::start(Face::Primary)?;
    server.answer_with(lets_in("NEW"));
    let url = format!("http://{}/v2/credentials/a-secret", gives_keys(keys)?);
    let weir = WeirProcess::builder()
        .upstream(format!("{}&maxConnecting=1", upstream(&server)))
        .env("AWS_CONTAINER_CREDENTIALS_FULL_URI", &url)
        .start()
        .await?;
    Ok((server, weir))
}

/// The keys that were known may be old: those of now are asked for, and nobody hears of it.
#[tokio::test]
async fn refused_keys_are_fetched_anew() -> Result<()> {
    let (_server, weir) = weir_with(&[Given::Keys("OLD"), Given::Keys("NEW")]).await?;
    let pong = ping(&weir).await?;
    ensure!(!pong.contains_key("code"), "{pong}");
    weir.wait_for_log("new ones have been fetched").await?;
    ensure!(
        !weir.log().concat().contains("login failed"),
        "{:?}",
        weir.log()
    );
    Ok(())
}

/// Neither is it one when new keys cannot be had at once in the place of refused ones.
#[tokio::test]
async fn refused_keys_are_fetched_anew_in_time() -> Result<()> {
    let keys = &[Given::Keys("OLD"), Given::Status(503), Given::Keys("NEW")];
    let (_server, weir) = weir_with(keys).await?;
    let pong = ping(&weir).await?;
    ensure!(!pong.contains_key("code"), "{pong}");
    Ok(())
}

/// New keys at every question, and all of them refused: that is said.
#[tokio::test]
async fn a_refusal_of_new_keys_is_a_refusal() -> Result<()> {
    let keys = &[
        Given::Keys("OLD"),
        Given::Keys("OTHER"),
        Given::Keys("THIRD"),
    ];
    let (_server, weir) = weir_with(keys).await?;
    let refused = ping(&weir).await?;
    ensure!(refused.get_i32("code")? == 18, "{refused}");
    Ok(())
}

/// Who has the keys may be away for a moment. That is no refusal: work waits.
#[tokio::test]
async fn an_endpoint_that_stumbles_is_asked_again() -> Result<()> {
    let (_server, weir) = weir_with(&[Given::Status(503), Given::Keys("NEW")]).await?;
    let pong = ping(&weir).await?;
    ensure!(!pong.contains_key("code"), "{pong}");
    let said = weir.wait_for_log("answered 503").await?;
    ensure!(!said.contains("a-secret"), "{said}");
    Ok(())
}

/// It is not taken for a database that does not answer.
#[tokio::test]
async fn an_endpoint_that_is_silent_is_named() -> Result<()> {
    let (server, weir) = weir_with(&[Given::Silence]).await?;
    weir.wait_for_log("does not answer within 2s").await?;
    ensure!(server.received_of("saslStart").is_empty());
    Ok(())
}
