//! The command line: what is printed, and the exit code.

use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde_json::Value;
use weir_kit::mongod::{Server, ServerOptions, free_port};
use weir_kit::process::{Scratch, Signal};
use weir_tests::cluster::{PASSWORD_IN_URI, USER, shared};
use weir_tests::paths::{blocking, mongod, paths};
use weir_tests::raw::Raw;
use weir_tests::weir::{WeirProcess, program};

use crate::support;

/// What one run of the program left.
#[derive(Debug)]
struct Run {
    code: Option<i32>,
    out: String,
    err: String,
}

async fn run(arguments: &[&str]) -> Result<Run> {
    let mut command = Command::new(program().await?);
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("WEIR_") {
            command.env_remove(name);
        }
    }
    command.args(arguments);
    let output = blocking(move || command.output()).await??;
    Ok(Run {
        code: output.status.code(),
        out: String::from_utf8(output.stdout)?,
        err: String::from_utf8(output.stderr)?,
    })
}

async fn check(upstream: &str, more: &[&str]) -> Result<Run> {
    let listen = format!("127.0.0.1:{}", free_port()?);
    let arguments = ["check", "--upstream", upstream, "--listen", &listen];
    run(&[&arguments, more].concat()).await
}

fn ensure_failure(run: &Run, words: &str) -> Result<()> {
    ensure!(run.code == Some(1), "{run:?}");
    ensure!(run.out.contains(words), "{words}: {run:?}");
    ensure!(run.out.contains("\nproblems\n"), "{run:?}");
    ensure!(run.err.is_empty(), "{run:?}");
    Ok(())
}

#[tokio::test]
async fn check_is_fine_with_a_set_and_shows_what_a_person_needs() -> Result<()> {
    let cluster = shared::login().await?;
    let options = "&compressors=zstd&w=majority";
    let fine = check(&cluster.uri_with(options), &[]).await?;
    ensure!(fine.code == Some(0), "{fine:?}");
    for words in [
        "primary, MongoDB ",
        "compression zstd",
        "user root of admin by SCRAM-SHA-256: accepted by 1 node",
        "connections open",
        "w=majority",
        "left out of the application's string\n    replicaSet: ",
        "keep these in the client's string",
        "everything is fine\n",
    ] {
        ensure!(fine.out.contains(words), "{words}: {fine:?}");
    }
    ensure!(!fine.out.contains(PASSWORD_IN_URI), "{fine:?}");
    Ok(())
}

#[tokio::test]
async fn check_speaks_json() -> Result<()> {
    let cluster = shared::single().await?;
    let fine = check(&cluster.uri(), &["--json"]).await?;
    let report: Value = serde_json::from_str(&fine.out)?;
    ensure!(report["ok"] == true, "{report:#}");
    let listener = &report["listeners"][0];
    ensure!(listener["serves"] == true, "{report:#}");
    ensure!(listener["topology"]["nodes"][0]["role"] == "primary");

    let dead = format!("mongodb://127.0.0.1:{}", free_port()?);
    let dead = check(&dead, &["--json"]).await?;
    let report: Value = serde_json::from_str(&dead.out)?;
    ensure!(dead.code == Some(1) && report["ok"] == false, "{report:#}");

    let wrong = check("mongodb://h/?maxPoolSize=3", &["--json"]).await?;
    let report: Value = serde_json::from_str(&wrong.out)?;
    ensure!(wrong.code == Some(2), "{wrong:?}");
    let hint = report["configuration"][0]["hint"].as_str();
    ensure!(hint.context("no hint")?.contains("4 or more"), "{report:#}");
    Ok(())
}

#[tokio::test]
async fn check_tells_what_to_change() -> Result<()> {
    let cluster = shared::login().await?;
    let host = cluster.member(0)?.address();
    let wrong = check(&format!("mongodb://{USER}:no@{host}"), &[]).await?;
    ensure_failure(&wrong, "user root of database admin or its password")?;
    let nobody = check(&format!("mongodb://{host}"), &[]).await?;
    ensure_failure(&nobody, "the database demands a login")?;
    let set = check(&cluster.uri().replace("replicaSet=", "replicaSet=not"), &[]).await?;
    ensure_failure(&set, "write replicaSet=")?;
    let dead = format!("mongodb://127.0.0.1:{}", free_port()?);
    ensure_failure(&check(&dead, &[]).await?, "connection refused")?;
    let unknown = check("mongodb://nobody.invalid", &[]).await?;
    ensure_failure(&unknown, "its name does not resolve")?;

    let tls = shared::tls().await?;
    let host = tls.member(0)?.address();
    let login = format!("mongodb://{USER}:{PASSWORD_IN_URI}@{host}/?tls=true");
    ensure_failure(&check(&login, &[]).await?, "tlsCAFile")?;
    let plain = check(&format!("mongodb://{host}"), &[]).await?;
    ensure_failure(&plain, "add tls=true")?;
    Ok(())
}

#[tokio::test]
async fn check_leaves_no_connection_behind() -> Result<()> {
    let cluster = weir_tests::cluster::Cluster::builder().start().await?;
    let counter = cluster.counter(0).await?;
    ensure!(check(&cluster.uri(), &[]).await?.code == Some(0));
    weir_tests::wait::until("the sockets to end", weir_tests::wait::LIMIT, || async {
        let above = counter.above_baseline().await;
        above.is_ok_and(|above| above <= 0).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_standalone_is_refused_alike_by_check_and_at_start() -> Result<()> {
    let binary = mongod().await?;
    let scratch = Scratch::new(&paths().temporary, "weir-standalone")?;
    let port = free_port()?;
    let server = blocking({
        let scratch = Arc::clone(&scratch);
        move || Server::start(&binary, &scratch, port, ServerOptions::default())
    })
    .await??;
    let words = "the upstream is a standalone server";
    let upstream = format!("mongodb://{}", server.address());
    ensure_failure(&check(&upstream, &[]).await?, words)?;
    let named = format!("{upstream}/?replicaSet=rs0");
    ensure_failure(&check(&named, &[]).await?, words)?;

    let weir = WeirProcess::builder().upstream(&upstream).launch().await?;
    weir.wait_for_log(words).await?;
    ensure!(weir.wait(Duration::from_secs(10)).await?.code() == Some(1));
    Ok(())
}

#[tokio::test]
async fn wrong_settings_and_missing_subcommands_exit_with_2() -> Result<()> {
    let wrong = check("mongodb://h/?maxPoolSize=3", &["--queue-depth", "x"]).await?;
    ensure!(wrong.code == Some(2), "{wrong:?}");
    ensure!(wrong.err.contains("2 mistakes"), "{wrong:?}");
    let absent = run(&["plan", "--any", "thing"]).await?;
    ensure!(absent.code == Some(2), "{absent:?}");
    ensure!(absent.err.contains("not in this version"), "{absent:?}");
    let nothing = run(&["demo", "--as", "nothing"]).await?;
    ensure!(nothing.code == Some(2), "{nothing:?}");
    ensure!(
        nothing.err.contains("service, sidecar, lambda"),
        "{nothing:?}"
    );
    Ok(())
}

#[tokio::test]
async fn status_prints_a_table_of_a_running_weir() -> Result<()> {
    let weir = support::single().await?;
    let admin = weir.admin_address().to_string();
    let status = run(&["status", "--admin", &admin]).await?;
    ensure!(status.code == Some(0), "{status:?}");
    for words in [
        "listener default: mongodb://",
        "  node ",
        " primary ",
        "/20 ",
    ] {
        ensure!(status.out.contains(words), "{words}: {status:?}");
    }
    let json = run(&["status", "--json", "--admin", &admin]).await?;
    let json: Value = serde_json::from_str(&json.out)?;
    ensure!(json["listeners"][0]["name"] == "default", "{json:#}");
    Ok(())
}

#[tokio::test]
async fn a_second_signal_ends_the_drain() -> Result<()> {
    let weir = support::single().await?;
    let mut client = Raw::connect(weir.address()).await?;
    client.command("admin", bson::doc! { "ping": 1 }).await?;
    weir.signal(Signal::Terminate)?;
    weir.wait_for_log("draining").await?;
    weir.signal(Signal::Terminate)?;
    ensure!(weir.wait(Duration::from_secs(10)).await?.success());
    ensure!(weir.log().iter().any(|line| line.contains("told twice")));
    Ok(())
}
