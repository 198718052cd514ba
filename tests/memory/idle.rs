//! What a client costs that only waits: its socket, its task, and with TLS two cipher states.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bson::doc;
use rustls_pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use weir_kit::process::Scratch;
use weir_tests::certificates::Certificates;
use weir_tests::cluster::shared;
use weir_tests::memory::{can_ask, resident_kib};
use weir_tests::paths::paths;
use weir_tests::raw::Raw;
use weir_tests::skip::skip;
use weir_tests::weir::WeirProcess;

const CLIENTS: u64 = 400;
/// Promised for an idle client with TLS and without, in KiB.
const WITH_TLS: u64 = 20;
const PLAIN: u64 = 4;

/// One that has greeted and has asked for something.
async fn client(weir: &WeirProcess, tls: Option<&TlsConnector>) -> Result<Raw> {
    let stream = TcpStream::connect(weir.address()).await?;
    let mut raw = match tls {
        Some(tls) => Raw::over(
            tls.connect(ServerName::try_from("localhost")?, stream)
                .await?,
        ),
        None => Raw::over(stream),
    };
    raw.command("admin", doc! { "hello": 1 }).await?;
    raw.command("admin", doc! { "ping": 1 }).await?;
    Ok(raw)
}

/// KiB for each of many, beyond what the first ones cost.
async fn each(weir: &WeirProcess, tls: Option<&TlsConnector>) -> Result<u64> {
    let mut idle = Vec::new();
    // What is allocated once is nobody's.
    for _ in 0..CLIENTS / 4 {
        idle.push(client(weir, tls).await?);
    }
    let before = resident_kib(weir.pid())?;
    for _ in 0..CLIENTS {
        idle.push(client(weir, tls).await?);
    }
    Ok(resident_kib(weir.pid())?
        .saturating_sub(before)
        .div_ceil(CLIENTS))
}

#[tokio::test]
async fn an_idle_client_costs_little_with_tls_too() -> Result<()> {
    let _alone = super::ALONE.lock().await;
    if !can_ask() {
        skip("memory of idle clients", "there is no /proc here");
        return Ok(());
    }
    let scratch = Scratch::new(&paths().temporary, "weir-idle")?;
    let certificates = Certificates::make(scratch.path())?;
    let upstream = shared::single().await?.uri();
    let builder = || WeirProcess::builder().upstream(&upstream);
    let plain = each(&builder().start().await?, None).await?;
    let weir = builder()
        .arg("--tls-certificate")
        .arg(certificates.server.display())
        .start()
        .await?;
    let connector = TlsConnector::from(Arc::clone(&certificates.trusting()?));
    let with_tls = each(&weir, Some(&connector)).await?;
    println!("KiB for each idle client: {plain} plain, {with_tls} with TLS");
    ensure!(plain <= PLAIN, "{plain} KiB for each");
    ensure!(with_tls <= WITH_TLS, "{with_tls} KiB for each with TLS");
    Ok(())
}
