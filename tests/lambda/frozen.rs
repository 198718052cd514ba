//! Function and extension are frozen together, as Lambda does it, and the world goes on: the
//! first operation after the thaw succeeds.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weir_tests::cluster::{Cluster, PASSWORD_IN_URI, USER};
use weir_tests::lambda::{Emulator, Function, Language};
use weir_tests::relay::{Fault, Side};
use weir_tests::wait::{LIMIT, until_true};

use crate::stage::Stage;
use crate::support::Service;

/// Connections unused for so long are doubted here; in earnest it is ten seconds.
const DOUBT: &str = "300ms";

/// The user whose password is changed, so that the tests' own is not.
const APPLICATION: &str = "application";
const OLD: &str = "password-of-yesterday";
const NEW: &str = "password-of-today";

fn doubting(function: Function) -> Function {
    function.with("WEIR_DOUBT_AFTER", DOUBT)
}

/// A freeze that lasts longer than a connection is trusted.
async fn freeze(emulator: &Emulator) -> Result<()> {
    emulator.freeze().await?;
    let began = Instant::now();
    until_true("the freeze to last", LIMIT, || {
        began.elapsed() > Duration::from_millis(400)
    })
    .await
}

#[tokio::test]
async fn after_a_reset_or_a_silent_drop_the_first_operation_succeeds() -> Result<()> {
    let Some(stage) = Stage::of(Language::Python, doubting).await? else {
        return Ok(());
    };
    let Stage {
        emulator, service, ..
    } = &stage;
    emulator.succeed(json!({})).await?;
    for silent in [false, true, false, true] {
        freeze(emulator).await?;
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

/// Without a service: what the extension knows of the database is history.
#[tokio::test]
async fn after_a_change_of_primary_the_first_operation_succeeds() -> Result<()> {
    let cluster = Cluster::builder().members(3).login().start().await?;
    cluster.settled().await?;
    let Some(emulator) = direct(&cluster.uri()).await? else {
        return Ok(());
    };
    emulator.succeed(json!({})).await?;
    freeze(&emulator).await?;
    let old = cluster.step_down(Duration::from_secs(60)).await?;
    cluster.primary_other_than(Some(old)).await?;
    emulator.thaw()?;
    let answer = emulator.succeed(json!({})).await?;
    let took = answer["ms"].as_f64().context("no time")?;
    println!("another primary: {took:.0} ms in the function");
    ensure!(took < 1_500.0, "{answer}");
    Ok(())
}

/// A function without a service.
async fn direct(uri: &str) -> Result<Option<Emulator>> {
    match Language::Python.function(uri).await? {
        Some(function) => Emulator::start(doubting(function)).await,
        None => Ok(None),
    }
}

/// A cluster with a user for the application, and the string with the old password.
async fn with_application(builder: weir_tests::cluster::Builder) -> Result<(Cluster, String)> {
    let cluster = builder.login().start().await?;
    cluster
        .add_user(APPLICATION, OLD, &["SCRAM-SHA-256"])
        .await?;
    let uri = cluster.uri();
    let own = format!("{USER}:{PASSWORD_IN_URI}@");
    ensure!(uri.contains(&own), "another login");
    Ok((cluster, uri.replace(&own, &format!("{APPLICATION}:{OLD}@"))))
}

/// The function's string is as old as its environment. As long as the shared Weir has the same
/// one, a change of the database's password is no matter: the extension logs in to that Weir,
/// and that one's connections stay. A Weir with the new string refuses the old one, which the
/// function is told; environments with the new string work.
#[tokio::test]
async fn a_password_that_changes_meanwhile_is_the_shared_weirs_matter() -> Result<()> {
    let (cluster, uri) = with_application(Cluster::builder()).await?;
    let service = Service::with(&uri).await?;
    let Some(stage) = Stage::before(Language::Python, &uri, service, doubting).await? else {
        return Ok(());
    };
    stage.emulator.succeed(json!({})).await?;
    freeze(&stage.emulator).await?;
    cluster.change_password(APPLICATION, NEW).await?;
    // The trunk has to log in again, with the function's string.
    stage.service.relay.reset_all();
    stage.emulator.thaw()?;
    stage.emulator.succeed(json!({})).await?;

    let old = stage.emulator;
    freeze(&old).await?;
    let uri = uri.replace(OLD, NEW);
    let service = stage.service.replaced(&uri).await?;
    old.thaw()?;
    is_told(&old).await?;
    let next = Stage::before(Language::Python, &uri, service, doubting).await?;
    let next = next.context("a second environment")?;
    next.emulator.succeed(json!({})).await?;
    Ok(())
}

/// Without a service: connections that are open stay logged in; a new one is refused.
#[tokio::test]
async fn a_password_that_changes_meanwhile_leaves_open_connections_alone() -> Result<()> {
    let (cluster, uri) = with_application(Cluster::builder().relays()).await?;
    let Some(emulator) = direct(&uri).await? else {
        return Ok(());
    };
    emulator.succeed(json!({})).await?;
    freeze(&emulator).await?;
    cluster.change_password(APPLICATION, NEW).await?;
    emulator.thaw()?;
    emulator.succeed(json!({})).await?;
    freeze(&emulator).await?;
    cluster.relay(0)?.reset_all();
    emulator.thaw()?;
    is_told(&emulator).await?;
    Ok(())
}

/// The function hears about the login long before its time is over.
async fn is_told(emulator: &Emulator) -> Result<Value> {
    let began = Instant::now();
    let answer = emulator.invoke(json!({})).await?;
    let took = began.elapsed();
    println!("another password: told after {took:?}: {answer}");
    let error = answer["errorMessage"].as_str().unwrap_or_default();
    ensure!(error.contains("refuses Weir's own login"), "{answer}");
    ensure!(took < Duration::from_secs(5), "told after {took:?}");
    Ok(answer)
}
