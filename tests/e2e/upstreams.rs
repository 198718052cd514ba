//! The kinds of upstream, and the ways to log in to one.

use anyhow::{Context, Result, ensure};
use bson::doc;
use weir_kit::mongod::free_port;
use weir_tests::cluster::{PASSWORD_IN_URI, USER, shared};
use weir_tests::raw::Raw;
use weir_tests::weir::WeirProcess;

use crate::support::passes;

/// No mongos could be had: two Weirs before one set stand for a cluster of two routers,
/// each of which knows only the cursors it opened itself.
#[tokio::test]
async fn a_list_of_routers() -> Result<()> {
    let set = shared::single().await?.uri();
    let router = async || {
        WeirProcess::builder()
            .upstream(&set)
            .arg("--no-probe")
            .start()
            .await
    };
    let (one, two) = (router().await?, router().await?);
    let upstream = format!("mongodb://{},{}/", one.address(), two.address());
    let weir = WeirProcess::builder().upstream(upstream).start().await?;
    let status = weir.status().await?;
    ensure!(status["listeners"][0]["topology"] == "Sharded", "{status}");
    passes(&weir, "transactions.py").await?;
    passes(&weir, "cursors.py").await?;
    passes(&weir, "kill_cursors.py").await
}

#[tokio::test]
async fn a_load_balanced_service() -> Result<()> {
    let set = shared::single().await?.uri();
    let service = WeirProcess::builder()
        .upstream(&set)
        .arg("--no-probe")
        .start()
        .await?;
    let weir = WeirProcess::builder()
        .upstream(service.uri("loadBalanced=true"))
        .args(&["--max-connections", "4"])
        .start()
        .await?;
    passes(&weir, "transactions.py").await?;
    passes(&weir, "cursors.py").await?;
    passes(&weir, "crud.py").await
}

#[tokio::test]
async fn compression_towards_the_server() -> Result<()> {
    let cluster = shared::single().await?;
    for codec in ["snappy", "zlib", "zstd"] {
        let upstream = cluster.uri_with(&format!("&compressors={codec}"));
        let weir = WeirProcess::builder().upstream(upstream).start().await?;
        passes(&weir, "crud.py").await?;
        let status = cluster.admin(0, doc! { "serverStatus": 1 }).await?;
        let packed = status
            .get_document("network")?
            .get_document("compression")?;
        let bytes = packed
            .get_document(codec)?
            .get_document("decompressor")?
            .get("bytesIn");
        let bytes = bytes.and_then(|n| n.as_i64().or(n.as_i32().map(i64::from)));
        ensure!(bytes.context("no count")? > 0, "{codec}: {packed}");
    }
    Ok(())
}

#[tokio::test]
async fn a_certificate_logs_weir_in() -> Result<()> {
    let cluster = shared::tls().await?;
    let certificates = cluster.certificates()?;
    let user = doc! {
        "createUser": &certificates.client_subject,
        "roles": [{ "role": "root", "db": "admin" }],
    };
    let external = cluster.client().await?.database("$external");
    // Another run against the same server may have made it.
    drop(external.run_command(user).await);
    let escaped = |path: &std::path::Path| path.to_string_lossy().replace('/', "%2F");
    let upstream = format!(
        "mongodb://{}/?replicaSet=rs0&authMechanism=MONGODB-X509&tls=true&tlsCAFile={}\
         &tlsCertificateKeyFile={}",
        cluster.member(0)?.address(),
        escaped(&certificates.authority),
        escaped(&certificates.client),
    );
    let weir = WeirProcess::builder().upstream(upstream).start().await?;
    let mut raw = Raw::connect(weir.address()).await?;
    let command = doc! { "insert": "x509", "documents": [{ "by": "certificate" }] };
    let reply = raw.command("upstreams", command).await?;
    ensure!(reply.get_i32("n").ok() == Some(1), "{reply}");
    Ok(())
}

/// Beyond loopback nobody is served without a login, and the handshake works for all.
#[tokio::test]
async fn beyond_loopback_clients_must_log_in() -> Result<()> {
    let cluster = shared::login().await?;
    let port = free_port()?;
    let listen = format!("0.0.0.0:{port}");
    let upstream = cluster.uri();
    let weir = WeirProcess::builder()
        .upstream(upstream)
        .args(&["--listen", &listen])
        .start()
        .await?;
    let mut raw = Raw::connect(([127, 0, 0, 1], port).into()).await?;
    let hello = raw.command("admin", doc! { "hello": 1 }).await?;
    ensure!(hello.get_bool("isWritablePrimary")?, "{hello}");
    let reply = raw.command("shop", doc! { "find": "things" }).await?;
    ensure!(reply.get_i32("code")? == 13, "{reply}");
    ensure!(
        reply.get_str("errmsg")?.contains("requires authentication"),
        "{reply}"
    );
    let uri = format!("mongodb://{USER}:{PASSWORD_IN_URI}@127.0.0.1:{port}/");
    let client = mongodb::Client::with_uri_str(uri).await?;
    client
        .database("shop")
        .run_command(doc! { "ping": 1 })
        .await?;
    drop(weir);
    Ok(())
}
