//! The Rust function and the extension before cargo-lambda's emulator. There init begins when
//! they are started, so that the first invocation may come much later, as with provisioned
//! concurrency.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use weir_kit::process::Signal;
use weir_tests::cluster::{shared, unique};
use weir_tests::lambda::function::OWN_STRING;
use weir_tests::lambda::{CargoLambda, Extension, Language};
use weir_tests::relay::{Fault, Side};
use weir_tests::wait::{LIMIT, until_true};

use crate::support::Service;

#[tokio::test]
async fn init_long_before_the_first_invocation() -> Result<()> {
    let Some(emulator) = CargoLambda::start().await? else {
        return Ok(());
    };
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let (uri, address) = (cluster.uri(), service.name());
    let variables = [
        (OWN_STRING, uri.as_str()),
        ("WEIR_SERVICE", address.as_str()),
        ("WEIR_DOUBT_AFTER", "300ms"),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "provisioned-concurrency"),
    ];
    let extension = Extension::before(&emulator.runtime_api(), &variables).await?;
    extension.says("registered").await?;
    let Some(function) = Language::Rust.function(&uri).await? else {
        return Ok(());
    };
    let listen = extension.address().to_string();
    let more = [
        ("WEIR_SHIM_TARGET", listen.as_str()),
        ("WEIR_LISTEN", listen.as_str()),
        ("QUERY_IN_INIT", "1"),
    ];
    let function = emulator.run(&function, &more).await?;
    function.says("init has queried").await?;

    // Provisioned, frozen, and forgotten by the balancer before the first invocation.
    function.signal(Signal::Stop)?;
    extension.signal(Signal::Stop)?;
    let began = Instant::now();
    until_true("the freeze to last", LIMIT, || {
        began.elapsed() > Duration::from_millis(400)
    })
    .await?;
    ensure!(service.relay.hurt(0, Side::Requests, Fault::Discard));
    extension.signal(Signal::Continue)?;
    function.signal(Signal::Continue)?;
    let mark = unique("provisioned");
    let first = emulator.succeed(json!({ "mark": mark })).await?;
    println!("the first invocation: {} ms in the function", first["ms"]);
    let used = first["uri"].as_str().unwrap_or_default();
    ensure!(used.contains(&listen), "{first}");
    service.relay.heal();

    for _ in 0..5 {
        emulator.succeed(json!({ "mark": mark })).await?;
    }
    let counted = json!({ "do": "count", "mark": mark });
    let counted = emulator.succeed(counted).await?;
    ensure!(counted["count"] == 6, "{counted}");
    let many = json!({ "do": "many", "times": 200, "mark": unique("many") });
    let many = emulator.succeed(many).await?;
    ensure!(many["count"] == 200, "{many}");
    // This emulator reports an end only to what it has started itself.
    extension.signal(Signal::Terminate)?;
    ensure!(extension.ends(LIMIT).await?.success());
    ensure!(invocations(&extension)? == 8, "{:?}", extension.out());
    until_true("the trunk to be closed", LIMIT, || {
        service.counts().open == 0
    })
    .await
}

/// Of how many invocations the extension was told, by its counters.
fn invocations(extension: &Extension) -> Result<u64> {
    let mut told = 0;
    for line in extension.out() {
        let counters: Value = serde_json::from_str(&line)?;
        told += counters["Invocations"].as_u64().unwrap_or_default();
    }
    Ok(told)
}
