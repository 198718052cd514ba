//! Clients that log in, and those that cannot.

use anyhow::{Result, ensure};
use weir_tests::cluster::{PASSWORD_IN_URI, USER, shared};
use weir_tests::python::{Generation, Python};
use weir_tests::weir::WeirProcess;

#[tokio::test]
async fn both_mechanisms_log_in_with_the_upstream_credentials() -> Result<()> {
    for cluster in [shared::login().await?, shared::tls().await?] {
        let weir = WeirProcess::builder()
            .upstream(cluster.uri())
            .start()
            .await?;
        let address = weir.address();
        for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
            for generation in Generation::ALL {
                let Some(python) = Python::of(generation).await else {
                    continue;
                };
                let uri = format!(
                    "mongodb://{USER}:{PASSWORD_IN_URI}@{address}/?authMechanism={mechanism}"
                );
                python.run("transactions.py", &[&uri]).await?;
            }
        }
    }
    Ok(())
}

#[tokio::test]
async fn a_wrong_password_is_an_authentication_error() -> Result<()> {
    let cluster = shared::login().await?;
    let weir = WeirProcess::builder()
        .upstream(cluster.uri())
        .start()
        .await?;
    let uri = format!("mongodb://{USER}:wrong@{}/", weir.address());
    let client = mongodb::Client::with_uri_str(uri).await?;
    let refused = client.list_database_names().await.unwrap_err();
    ensure!(
        matches!(
            *refused.kind,
            mongodb::error::ErrorKind::Authentication { .. }
        ),
        "{refused}"
    );
    Ok(())
}
