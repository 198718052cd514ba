//! Clients that speak TLS to Weir.

use std::sync::Arc;

use anyhow::{Result, ensure};
use bson::{Document, doc};
use mongodb::Client;
use weir_kit::process::Scratch;
use weir_tests::certificates::Certificates;
use weir_tests::cluster::{shared, unique};
use weir_tests::paths::paths;
use weir_tests::python::{Generation, Python};
use weir_tests::raw::Raw;
use weir_tests::weir::{Builder, WeirProcess};

use crate::support::FACES;

struct Stage {
    _scratch: Arc<Scratch>,
    certificates: Certificates,
}

impl Stage {
    fn set() -> Result<Self> {
        let scratch = Scratch::new(&paths().temporary, "weir-secure")?;
        let certificates = Certificates::make(scratch.path())?;
        Ok(Self {
            _scratch: scratch,
            certificates,
        })
    }

    /// A Weir that shows the server's certificate.
    async fn weir(&self) -> Result<Builder> {
        let builder = WeirProcess::builder().upstream(shared::single().await?.uri());
        Ok(builder
            .arg("--tls-certificate")
            .arg(self.certificates.server.display()))
    }

    /// Options of a client that trusts the authority.
    fn options(&self, more: &str) -> String {
        let authority = self.certificates.authority.display();
        format!("tls=true&tlsCAFile={authority}&serverSelectionTimeoutMS=3000{more}")
    }
}

/// Two drivers, both faces, a reply that passes in pieces.
#[tokio::test]
async fn clients_may_speak_tls() -> Result<()> {
    let stage = Stage::set()?;
    let weir = stage.weir().await?.start().await?;
    for face in FACES {
        let face = if face.is_empty() {
            String::new()
        } else {
            format!("&{face}")
        };
        let uri = weir.uri(&stage.options(&face));
        let client = Client::with_uri_str(&uri).await?;
        let things = client
            .database("secure")
            .collection::<Document>(&unique("things"));
        let large = "x".repeat(3_000_000);
        things
            .insert_one(doc! { "_id": 1, "large": &large })
            .await?;
        let found = things.find_one(doc! { "_id": 1 }).await?;
        ensure!(
            found.is_some_and(|found| found.get_str("large").ok() == Some(large.as_str())),
            "{face}: not what was written"
        );
        client.shutdown().await;
        if let Some(python) = Python::of(Generation::Newest).await {
            python.run("crud.py", &[&uri]).await?;
        }
    }
    Ok(())
}

/// Who shows no certificate that they signed is nobody; who does is served.
#[tokio::test]
async fn certificates_of_clients_may_be_demanded() -> Result<()> {
    let stage = Stage::set()?;
    let weir = stage
        .weir()
        .await?
        .arg("--tls-client-ca")
        .arg(stage.certificates.authority.display())
        .start()
        .await?;
    let asked = async |more: &str| {
        let client = Client::with_uri_str(weir.uri(&stage.options(more))).await?;
        let pong = client
            .database("admin")
            .run_command(doc! { "ping": 1 })
            .await;
        client.shutdown().await;
        anyhow::Ok(pong)
    };
    ensure!(asked("").await?.is_err());
    let shown = stage.certificates.client.display();
    asked(&format!("&tlsCertificateKeyFile={shown}")).await??;
    Ok(())
}

/// Its first bytes are no handshake: it is closed, and the log says so.
#[tokio::test]
async fn a_client_that_speaks_no_tls_is_told_of_in_the_log() -> Result<()> {
    let stage = Stage::set()?;
    let weir = stage.weir().await?.start().await?;
    let mut plain = Raw::connect(weir.address()).await?;
    ensure!(plain.command("admin", doc! { "hello": 1 }).await.is_err());
    weir.wait_for_log("a client's TLS handshake failed").await?;
    Ok(())
}
