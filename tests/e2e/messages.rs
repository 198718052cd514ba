//! What a person is told when something is set up wrongly: which, and what to change.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::doc;
use weir_kit::mongod::free_port;
use weir_tests::cluster::{Cluster, PASSWORD_IN_URI, shared};
use weir_tests::raw::Raw;
use weir_tests::scripted::{Face, Scripted};
use weir_tests::wait::until;
use weir_tests::weir::WeirProcess;

/// A Weir that is not going to be ready, and what its log must say.
async fn told(upstream: &str, arguments: &[&str], says: &[&str]) -> Result<WeirProcess> {
    let weir = WeirProcess::builder()
        .upstream(upstream)
        .args(arguments)
        .launch()
        .await?;
    for text in says {
        let said = weir.wait_for_log(text).await;
        said.map_err(|error| error.context(format!("it does not say {text:?}")))?;
    }
    Ok(weir)
}

#[tokio::test]
async fn an_unreachable_upstream_is_named_and_waited_for() -> Result<()> {
    let nobody = format!("127.0.0.1:{}", free_port()?);
    let upstream = format!("mongodb://{nobody}/?replicaSet=rs0");
    let weir = told(&upstream, &["--hold-timeout", "500ms"], &["serving"]).await?;
    until(
        "not ready, with the reason",
        Duration::from_secs(10),
        || async {
            let (code, text) = weir.get_any("/ready").await.ok()?;
            (code == 503 && text.contains("no database node can serve")).then_some(())
        },
    )
    .await?;
    // The process lives, clients are greeted, and an operation gets an honest error.
    ensure!(weir.get("/live").await?.contains("live"));
    let mut raw = Raw::connect(weir.address()).await?;
    let reply = raw.command("shop", doc! { "find": "things" }).await?;
    ensure!(reply.get_i32("code")? == 133, "{reply}");
    let status = weir.status().await?;
    let error = &status["listeners"][0]["nodes"][0]["error"];
    ensure!(
        error.as_str().is_some_and(|e| e.contains("refused")),
        "{status}"
    );
    Ok(())
}

#[tokio::test]
async fn a_standalone_is_refused_with_the_way_out() -> Result<()> {
    let alone = doc! {
        "ismaster": true, "isWritablePrimary": true, "minWireVersion": 0, "maxWireVersion": 17,
        "maxBsonObjectSize": 16 << 20, "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000, "readOnly": false, "localTime": bson::DateTime::now(),
    };
    let server = Scripted::start(Face::Custom(alone))?;
    let upstream = format!("mongodb://{}/", server.address());
    let weir = told(
        &upstream,
        &[],
        &["standalone", "--replSet", "rs.initiate()"],
    )
    .await?;
    ensure!(!weir.wait(Duration::from_secs(10)).await?.success());
    Ok(())
}

#[tokio::test]
async fn an_upstream_that_is_this_weir_is_refused() -> Result<()> {
    let port = free_port()?;
    let listen = format!("127.0.0.1:{port}");
    let upstream = format!("mongodb://{listen}/");
    let weir = told(&upstream, &["--listen", &listen], &["this Weir itself"]).await?;
    ensure!(!weir.wait(Duration::from_secs(10)).await?.success());
    Ok(())
}

#[tokio::test]
async fn a_wrong_upstream_password_is_told_to_everybody() -> Result<()> {
    let cluster = shared::login().await?;
    let upstream = cluster
        .uri()
        .replace(&format!(":{PASSWORD_IN_URI}@"), ":wrong@");
    let weir = told(
        &upstream,
        &[],
        &["could not open a connection", "refused the login"],
    )
    .await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let reply = raw.command("shop", doc! { "find": "things" }).await?;
    ensure!(reply.get_i32("code")? == 18, "{reply}");
    ensure!(
        reply
            .get_str("errmsg")?
            .contains("correct user and password"),
        "{reply}"
    );
    let status = weir.status().await?;
    ensure!(
        status["listeners"][0]["nodes"][0]["login_refused"] == true,
        "{status}"
    );
    Ok(())
}

#[tokio::test]
async fn an_unknown_authority_is_told_with_the_option_that_names_it() -> Result<()> {
    let cluster = shared::tls().await?;
    let uri = cluster.uri();
    let kept = |part: &&str| !part.starts_with("tlsCAFile");
    let (hosts, options) = uri.split_once('?').unwrap_or((&uri, ""));
    let options: Vec<_> = options.split('&').filter(kept).collect();
    let upstream = format!("{hosts}?{}", options.join("&"));
    let weir = WeirProcess::builder().upstream(upstream).launch().await?;
    until("the reason on /status", Duration::from_secs(15), || async {
        let status = weir.status().await.ok()?;
        let error = status["listeners"][0]["nodes"][0]["error"].as_str()?;
        error.contains("tlsCAFile").then_some(())
    })
    .await
}

#[tokio::test]
async fn a_client_that_only_greets_is_logged_with_the_likeliest_cause() -> Result<()> {
    let weir = crate::support::single().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let client = doc! {
        "application": { "name": "old-string" },
        "driver": { "name": "SomeDriver", "version": "1" },
        "os": { "type": "Linux" },
    };
    raw.command("admin", doc! { "hello": 1, "client": client })
        .await?;
    let line = weir.wait_for_log("nothing but hello").await?;
    for named in ["old-string", "SomeDriver", "replicaSet="] {
        ensure!(line.contains(named), "{named} is not in: {line}");
    }
    Ok(())
}

#[tokio::test]
async fn a_taken_port_is_told_with_what_may_hold_it() -> Result<()> {
    let cluster: &Cluster = shared::single().await?;
    let taken = cluster.member(0)?.address().to_string();
    let weir = told(
        &cluster.uri(),
        &["--listen", &taken],
        &["cannot listen on", "another process"],
    )
    .await?;
    ensure!(!weir.wait(Duration::from_secs(10)).await?.success());
    Ok(())
}
