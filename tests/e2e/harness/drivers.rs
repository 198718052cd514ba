//! The official Python driver against real servers, without Weir: what fails
//! here says nothing about Weir. The same scripts run through Weir in `e2e`.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weir_tests::cluster::{Cluster, shared};
use weir_tests::python::{Generation, PLAIN, Python};
use weir_tests::skip::skip;

/// Runs a script in both generations; returns what the newest one printed.
async fn both(cluster: &Cluster, script: &str, arguments: &[&str]) -> Result<Option<Value>> {
    on(&cluster.uri(), script, arguments).await
}

async fn on(uri: &str, script: &str, arguments: &[&str]) -> Result<Option<Value>> {
    let mut newest = None;
    for generation in Generation::ALL {
        let Some(python) = Python::of(generation).await else {
            continue;
        };
        let said = python.run(script, &[&[uri], arguments].concat()).await?;
        let version = said.get("pymongo").and_then(Value::as_str);
        ensure!(version == Some(generation.version()), "{said}");
        newest.get_or_insert(said);
    }
    Ok(newest)
}

#[tokio::test]
async fn every_plain_script_passes_on_one_member() -> Result<()> {
    let cluster = shared::single().await?;
    for script in PLAIN {
        both(cluster, script, &[]).await?;
    }
    Ok(())
}

#[tokio::test]
async fn an_exhaust_cursor_streams() -> Result<()> {
    let Some(said) = both(shared::single().await?, "exhaust.py", &[]).await? else {
        return Ok(());
    };
    ensure!(said["documents"] == 3000, "{said}");
    Ok(())
}

#[tokio::test]
async fn the_driver_sees_a_replica_set() -> Result<()> {
    let Some(said) = both(shared::single().await?, "topology.py", &[]).await? else {
        return Ok(());
    };
    ensure!(said["topology"] == "ReplicaSetWithPrimary", "{said}");
    Ok(())
}

#[tokio::test]
async fn compressors_are_agreed_on() -> Result<()> {
    let cluster = Cluster::builder()
        .arguments(&["--networkMessageCompressors", "snappy,zstd,zlib"])
        .start()
        .await?;
    for name in ["zlib", "snappy", "zstd"] {
        let Some(said) = both(&cluster, "compression.py", &[name]).await? else {
            continue;
        };
        // Only zlib is in every Python.
        if said["compressor"].is_null() && name != "zlib" {
            skip(
                &format!("compression with {name}"),
                "this Python has no such module",
            );
            continue;
        }
        ensure!(said["compressor"] == name, "{said}");
    }
    Ok(())
}

#[tokio::test]
async fn read_preferences_choose_members() -> Result<()> {
    let cluster = shared::three().await?;
    let port = |index: usize| cluster.member(index).map(|member| member.address().port());
    let cases: [(&[&str], Value); 4] = [
        (&["primary"], json!([port(0)?])),
        (&["secondary", "use:reports"], json!([port(1)?])),
        (&["nearest", "use:nothing", "use:backup"], json!([port(2)?])),
        (&["primaryPreferred"], json!([port(0)?])),
    ];
    for (arguments, ports) in cases {
        if let Some(said) = both(cluster, "read_preference.py", arguments).await? {
            ensure!(said["ports"] == ports, "{arguments:?}: {said}, not {ports}");
        }
    }
    both(cluster, "causal.py", &[]).await.map(drop)
}

#[tokio::test]
async fn threads_lose_and_double_nothing() -> Result<()> {
    let Some(said) = both(shared::single().await?, "threads.py", &["8", "25"]).await? else {
        return Ok(());
    };
    ensure!(said["rounds"] == 200 && said["counted"] == 200, "{said}");
    ensure!(said["errors"] == json!({}), "{said}");
    Ok(())
}

#[tokio::test]
async fn logins_and_tls_work() -> Result<()> {
    both(shared::login().await?, "crud.py", &[]).await?;
    both(shared::tls().await?, "cursors.py", &[]).await?;
    Ok(())
}

#[tokio::test]
async fn unix_sockets_work() -> Result<()> {
    let socket = shared::single().await?.member(0)?.unix_socket();
    let host = socket.to_string_lossy().replace('/', "%2F");
    let uri = format!("mongodb://{host}/?directConnection=true");
    on(&uri, "cursors.py", &[]).await.map(drop)
}
