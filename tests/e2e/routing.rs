//! Which member serves a read.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weir_tests::cluster::shared;

use crate::support::{before, scripts};

#[tokio::test]
async fn read_preferences_choose_members() -> Result<()> {
    let cluster = shared::three().await?;
    let weir = before(cluster).await?;
    let port = |index: usize| cluster.member(index).map(|member| member.address().port());
    let cases: [(&[&str], Value); 4] = [
        (&["primary"], json!([port(0)?])),
        (&["secondary", "use:reports"], json!([port(1)?])),
        (&["nearest", "use:nothing", "use:backup"], json!([port(2)?])),
        (&["primaryPreferred"], json!([port(0)?])),
    ];
    for (arguments, ports) in cases {
        scripts(&weir, "read_preference.py", arguments, |face, said| {
            ensure!(
                said["ports"] == ports,
                "{face} {arguments:?}: {said}, not {ports}"
            );
            Ok(())
        })
        .await?;
    }
    Ok(())
}
