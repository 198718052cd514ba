//! Weirs in front of the shared clusters, and scripts run through them.

use anyhow::Result;
use bson::{Document, doc};
use serde_json::Value;
use weir_tests::cluster::{Cluster, shared};
use weir_tests::python::{Generation, Python};
use weir_tests::weir::WeirProcess;

/// The two ways in which a client's string may speak to Weir.
pub(crate) const FACES: [&str; 2] = ["", "loadBalanced=true"];

/// A Weir in front of a cluster.
pub(crate) async fn before(cluster: &Cluster) -> Result<WeirProcess> {
    WeirProcess::builder()
        .upstream(cluster.uri())
        .arg("--enable-test-commands")
        .start()
        .await
}

/// A Weir of one's own in front of the shared single member.
pub(crate) async fn single() -> Result<WeirProcess> {
    before(shared::single().await?).await
}

/// The labels by which a newer driver knows that it may try again.
pub(crate) const OVERLOAD: [&str; 2] = ["SystemOverloadedError", "RetryableError"];

/// The labels of a reply.
pub(crate) fn labels(reply: &Document) -> Vec<&str> {
    let labels = reply.get_array("errorLabels").map(Vec::as_slice);
    let labels = labels.unwrap_or_default().iter();
    labels.filter_map(|label| label.as_str()).collect()
}

/// An insert as a driver sends it: it may be retried.
pub(crate) fn retryable_insert() -> Document {
    let session = bson::Binary {
        subtype: bson::spec::BinarySubtype::Uuid,
        bytes: vec![7; 16],
    };
    doc! { "insert": "c", "documents": [{}], "lsid": { "id": session }, "txnNumber": 1_i64 }
}

/// Runs a script through `weir` in both faces and both generations of the
/// driver; hands each result to `judge`.
pub(crate) async fn scripts(
    weir: &WeirProcess,
    script: &str,
    arguments: &[&str],
    judge: impl Fn(&str, &Value) -> Result<()>,
) -> Result<()> {
    for face in FACES {
        for generation in Generation::ALL {
            if let Some(python) = Python::of(generation).await {
                let uri = weir.uri(face);
                let said = python
                    .run(script, &[&[uri.as_str()], arguments].concat())
                    .await?;
                judge(face, &said)?;
            }
        }
    }
    Ok(())
}

/// As [`scripts`], for a script that judges everything itself.
pub(crate) async fn passes(weir: &WeirProcess, script: &str) -> Result<()> {
    scripts(weir, script, &[], |_, _| Ok(())).await
}
