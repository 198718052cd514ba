//! A Python function as teams write it, under AWS's own emulator: shim, extension, shared Weir,
//! real replica set.

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::json;
use weir_tests::cluster::{Cluster, shared, unique};
use weir_tests::lambda::{Emulator, Function, parts};
use weir_tests::relay::{Fault, Side};
use weir_tests::skip::skip;
use weir_tests::surroundings::blocking;
use weir_tests::wait::{LIMIT, until_true};

use crate::support::Service;

/// A function's own string, as its team set it.
const NAME: &str = "MONGO_AUTH_CREDENTIALS";

pub(crate) fn folder(language: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("lambda/functions")
        .join(language)
}

/// The Python function, or why there is none.
pub(crate) async fn function(cluster: &Cluster) -> Result<Option<Function>> {
    let python = match blocking(parts::python).await? {
        Ok(python) => python.display().to_string(),
        Err(error) => {
            skip("Python functions", &error.to_string());
            return Ok(None);
        }
    };
    let port = weir::demo::mongod::free_port()?;
    let listen = format!("127.0.0.1:{port}");
    let command = [python.as_str(), "-m", "awslambdaric", "app.handler"];
    let function = Function::new(&command, &folder("python"));
    Ok(Some(
        function
            .with(NAME, &cluster.uri_with("&appName=exam"))
            .with("WEIR_LISTEN", &listen)
            .with("WEIR_SHIM_TARGET", &listen)
            .with("PYTHONDONTWRITEBYTECODE", "1"),
    ))
}

#[tokio::test]
async fn a_function_works_unchanged_from_its_cold_start_to_its_end() -> Result<()> {
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let Some(function) = function(cluster).await? else {
        return Ok(());
    };
    let listen = function
        .variables
        .get("WEIR_LISTEN")
        .cloned()
        .unwrap_or_default();
    let function = function.with("WEIR_SERVICE", &service.name());
    let Some(emulator) = Emulator::start(function).await? else {
        return Ok(());
    };
    let mark = unique("cold");
    let began = Instant::now();
    let first = emulator.succeed(json!({ "mark": mark })).await?;
    println!(
        "cold start: {:?}, in the function {} ms",
        began.elapsed(),
        first["ms"]
    );
    let uri = first["uri"].as_str().context("no uri")?;
    ensure!(uri.contains(&listen), "the function uses {uri}");
    ensure!(
        !uri.contains("replicaSet") && uri.contains("appName=exam"),
        "{uri}"
    );
    for _ in 0..10 {
        emulator.succeed(json!({ "mark": mark })).await?;
    }
    let counted = emulator
        .succeed(json!({ "do": "count", "mark": mark }))
        .await?;
    ensure!(counted["count"] == 11, "{counted}");
    ensure!(service.counts().accepted == 1, "{:?}", service.counts());
    let lines = emulator.extension_log();
    ensure!(
        lines
            .iter()
            .any(|line| line["message"] == "serving the function"),
        "{lines:?}"
    );
    emulator.terminate(LIMIT).await?;
    emulator.says("the environment ends").await?;
    until_true("the trunk to be closed", LIMIT, || {
        service.counts().open == 0
    })
    .await
}

/// The function is cut off, then works again: Lambda starts both anew.
#[tokio::test]
async fn a_function_is_told_before_it_is_cut_off() -> Result<()> {
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let Some(function) = function(cluster).await? else {
        return Ok(());
    };
    let function = function
        .with("WEIR_SERVICE", &service.name())
        .cut_off_after(2);
    let Some(emulator) = Emulator::start(function).await? else {
        return Ok(());
    };
    emulator.succeed(json!({})).await?;
    // The database does not answer: no operation could be served in time.
    service.relay.set(Side::Replies, &Fault::Stall);
    let began = Instant::now();
    let answer = emulator.invoke(json!({})).await?;
    let took = began.elapsed();
    println!("cut off after 2 s, answered after {took:?}: {answer}");
    ensure!(took < Duration::from_millis(1_900), "{took:?} {answer}");
    let error = answer["errorMessage"].as_str().unwrap_or_default();
    ensure!(error.contains("may have been carried out"), "{answer}");
    service.relay.heal();
    emulator.succeed(json!({})).await?;
    Ok(())
}

#[tokio::test]
async fn after_a_timeout_and_after_a_crash_the_function_works_again() -> Result<()> {
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let Some(function) = function(cluster).await? else {
        return Ok(());
    };
    let function = function
        .with("WEIR_SERVICE", &service.name())
        .cut_off_after(2);
    let Some(emulator) = Emulator::start(function).await? else {
        return Ok(());
    };
    let first = emulator.succeed(json!({})).await?;
    let answer = emulator
        .invoke(json!({ "do": "sleep", "ms": 5_000 }))
        .await?;
    ensure!(answer.to_string().contains("timed out"), "{answer}");
    let second = emulator.succeed(json!({})).await?;
    ensure!(
        second["pid"] != first["pid"],
        "the runtime was not started anew"
    );
    let answer = emulator.invoke(json!({ "do": "crash" })).await?;
    ensure!(answer.to_string().contains("Runtime"), "{answer}");
    emulator.succeed(json!({})).await?;
    let ends = || {
        let lines = emulator.extension_log();
        lines
            .iter()
            .filter(|line| line["message"] == "the environment ends")
            .count()
    };
    until_true("both ends to be logged", LIMIT, || ends() == 2).await?;
    emulator.terminate(LIMIT).await?;
    until_true("the trunks to be closed", LIMIT, || {
        service.counts().open == 0
    })
    .await
}

/// Function and extension are frozen together, as Lambda does; the flow is gone meanwhile.
#[tokio::test]
async fn after_a_freeze_the_first_operation_of_the_function_succeeds() -> Result<()> {
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let Some(function) = function(cluster).await? else {
        return Ok(());
    };
    let function = function
        .with("WEIR_SERVICE", &service.name())
        .with("WEIR_DOUBT_AFTER", "300ms");
    let Some(emulator) = Emulator::start(function).await? else {
        return Ok(());
    };
    emulator.succeed(json!({})).await?;
    for silent in [false, true, false, true] {
        emulator.freeze().await?;
        let began = Instant::now();
        until_true("the freeze to last", LIMIT, || {
            began.elapsed() > Duration::from_millis(400)
        })
        .await?;
        if silent {
            ensure!(service.relay.hurt(0, Side::Requests, Fault::Discard));
        } else {
            service.relay.reset_all();
        }
        emulator.thaw()?;
        let answer = emulator.succeed(json!({})).await?;
        println!("silent: {silent}: {} ms in the function", answer["ms"]);
        service.relay.heal();
    }
    Ok(())
}

/// Without a service the extension goes to the database itself.
#[tokio::test]
async fn directly_to_the_database() -> Result<()> {
    let cluster = shared::login().await?;
    let Some(function) = function(cluster).await? else {
        return Ok(());
    };
    let listen = function.variables.get("WEIR_LISTEN").cloned();
    let listen = listen.unwrap_or_default();
    let Some(emulator) = Emulator::start(function).await? else {
        return Ok(());
    };
    for _ in 0..3 {
        let answer = emulator.succeed(json!({})).await?;
        let uri = answer["uri"].as_str().unwrap_or_default();
        ensure!(uri.contains(&listen), "{answer}");
    }
    emulator.terminate(LIMIT).await
}

/// An extension of somebody else's that fails takes the function with it; ours ends with it,
/// and leaves nothing behind.
#[tokio::test]
async fn when_another_extension_fails_ours_leaves_nothing_behind() -> Result<()> {
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let Some(mut function) = function(cluster).await? else {
        return Ok(());
    };
    function.other_extension = Some("/bin/false".into());
    let function = function.with("WEIR_SERVICE", &service.name());
    let Some(emulator) = Emulator::start(function).await? else {
        return Ok(());
    };
    let answer = emulator.invoke(json!({})).await?;
    ensure!(answer.get("ms").is_none(), "{answer}");
    until_true("the trunk to be closed", LIMIT, || {
        service.counts().open == 0
    })
    .await
}
