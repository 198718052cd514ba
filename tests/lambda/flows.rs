//! The extension's own connections to the database itself: those that watch it, and those of
//! environments that nobody is served by.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::doc;
use serde_json::json;
use tokio::net::TcpStream;
use weir_tests::cluster::shared;
use weir_tests::raw::Raw;
use weir_tests::scripted::{Face, Scripted};
use weir_tests::skip::skip;
use weir_tests::sockets;
use weir_tests::wait::{LIMIT, until_true};

use crate::support::{LONG, Service, ends_well, extension, insert, post, works};

/// What an invocation opens ends with it, the connection that watches among it.
#[tokio::test]
async fn nothing_is_left_of_an_invocation_on_the_road_to_the_database() -> Result<()> {
    if !sockets::can_count() {
        skip(
            "connections between invocations",
            "sockets cannot be counted here",
        );
        return Ok(());
    }
    let cluster = shared::single().await?;
    let ports: Vec<u16> = cluster.addresses().iter().map(|a| a.port()).collect();
    let (uri, port) = (cluster.uri(), weir_kit::mongod::free_port()?);
    let telemetry = port.to_string();
    let variables = [
        ("DB", uri.as_str()),
        ("WEIR_RELEASE", "invoke"),
        ("WEIR_TELEMETRY_PORT", telemetry.as_str()),
    ];
    let (api, extension) = extension(&variables).await?;
    let held = || -> usize {
        let counts = sockets::of_process(extension.pid(), &ports).unwrap_or_default();
        counts.values().map(|count| count.held).sum()
    };
    let mut function = Raw::connect(extension.address()).await?;
    for id in ["r-1", "r-2"] {
        let nexts = api.calls("next").len();
        api.invoke(id, LONG);
        works(&mut function, insert("flows", id)).await?;
        until_true("the database to be watched", LIMIT, || held() == 2).await?;
        let done = json!([{ "type": "platform.runtimeDone", "record": { "requestId": id } }]);
        post(port, &done.to_string()).await?;
        api.called("next", nexts + 1).await?;
        until_true("every connection to be closed", LIMIT, || held() == 0).await?;
    }
    ends_well(&api, &extension).await?;
    Ok(())
}

/// Word of an invocation's end is lost: the next event is asked for before Lambda cuts it off.
#[tokio::test]
async fn a_lost_word_of_the_end_is_not_waited_for_to_the_deadline() -> Result<()> {
    let service = Scripted::start(Face::LoadBalanced)?;
    let upstream = format!("mongodb://{}/?loadBalanced=true", service.address());
    let telemetry = weir_kit::mongod::free_port()?.to_string();
    let variables = [
        ("WEIR_UPSTREAM", upstream.as_str()),
        ("WEIR_RELEASE", "invoke"),
        ("WEIR_DEADLINE_NOTICE", "1500ms"),
        ("WEIR_TELEMETRY_PORT", telemetry.as_str()),
    ];
    let (api, extension) = extension(&variables).await?;
    let nexts = api.calls("next").len();
    let began = std::time::Instant::now();
    api.invoke("r-1", Duration::from_secs(3));
    let asked = api.called("next", nexts + 1).await?;
    let at = asked.last().map(|call| call.at.into_std());
    let after = at.unwrap_or(began).saturating_duration_since(began);
    ensure!(
        after >= Duration::from_secs(1),
        "it did not wait: {after:?}"
    );
    ensure!(after < Duration::from_millis(2_800), "{after:?} of 3 s");
    ends_well(&api, &extension).await?;
    Ok(())
}

/// Where the shim moves a share only, an environment that is passed by holds no connection; one
/// that is not opens its own with the first hello.
#[tokio::test]
async fn who_may_be_passed_by_opens_nothing_before_a_client_comes() -> Result<()> {
    let cluster = shared::single().await?;
    let service = Service::before(cluster).await?;
    let address = service.name();
    let asleep = [
        ("WEIR_SERVICE", address.as_str()),
        ("WEIR_SHIM_PERCENT", "10"),
    ];
    let (api, extension) = extension(&asleep).await?;
    api.invoke("r-1", LONG);
    api.is_asked().await?;
    // As the shim looks whether somebody is there.
    drop(TcpStream::connect(extension.address()).await?);
    api.invoke("r-2", LONG);
    api.is_asked().await?;
    ensure!(service.counts().accepted == 0, "{:?}", service.counts());
    let mut function = Raw::connect(extension.address()).await?;
    function.command("admin", doc! { "hello": 1 }).await?;
    until_true("the trunk to be open", LIMIT, || service.counts().open == 1).await?;
    works(&mut function, insert("flows", "chosen")).await?;
    ends_well(&api, &extension).await?;
    Ok(())
}

/// Nobody can be served any more: nobody is to find a listener, so that the shim leaves the
/// function's string as it is.
#[tokio::test]
async fn who_cannot_serve_does_not_listen() -> Result<()> {
    let standalone = Scripted::start(Face::Custom(doc! {
        "isWritablePrimary": true,
        "helloOk": true,
        "maxBsonObjectSize": 16_777_216,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "minWireVersion": 0,
        "maxWireVersion": 17,
    }))?;
    let uri = format!("mongodb://{}/?directConnection=true", standalone.address());
    let (api, extension) = extension(&[("DB", &uri)]).await?;
    extension.says("nobody listens").await?;
    let address = extension.address();
    until_true("the port to be closed", LIMIT, || {
        std::net::TcpStream::connect(address).is_err()
    })
    .await?;
    ends_well(&api, &extension).await?;
    Ok(())
}

/// A service with a login of its own: the function's driver shows its own login all the same.
#[tokio::test]
async fn the_functions_own_login_is_accepted_beside_the_services() -> Result<()> {
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let user = format!(
        "mongodb://{}:{}@{}",
        weir_tests::cluster::USER,
        weir_tests::cluster::PASSWORD_IN_URI,
        service.name()
    );
    let own = "mongodb://shop:its%20own@db.example.net/";
    let (api, extension) = extension(&[("WEIR_SERVICE", &user), ("DB", own)]).await?;
    let uri = |login: &str| format!("mongodb://{login}@{}/", extension.address());
    let client = mongodb::Client::with_uri_str(uri("shop:its%20own")).await?;
    client
        .database("admin")
        .run_command(doc! { "ping": 1 })
        .await?;
    let wrong = mongodb::Client::with_uri_str(uri("shop:another")).await?;
    let refused = wrong
        .database("admin")
        .run_command(doc! { "ping": 1 })
        .await;
    ensure!(refused.is_err(), "{refused:?}");
    ends_well(&api, &extension).await?;
    Ok(())
}

/// The string was changed and an option in the function's code was not: its driver finds no such
/// replica set, and asks nothing but hello for ever.
#[tokio::test]
async fn a_driver_that_only_greets_in_an_invocation_is_told_of() -> Result<()> {
    let cluster = shared::single().await?;
    let uri = cluster.uri();
    let (api, extension) = extension(&[("DB", uri.as_str())]).await?;
    api.invoke("r-1", LONG);
    api.is_asked().await?;
    let mut function = Raw::connect(extension.address()).await?;
    let client = doc! {
        "driver": { "name": "SomeDriver", "version": "1" },
        "os": { "type": "Linux" },
    };
    let hello = doc! { "hello": 1, "client": client };
    function.command("admin", hello).await?;
    let line = extension.says("nothing but hello").await?;
    // A function may have had nothing to ask: it is no warning.
    ensure!(
        line["level"] == "INFO" && line["requestId"] == "r-1",
        "{line}"
    );
    let here = line["here"].as_str().unwrap_or_default();
    ensure!(here.contains("in its code"), "{line}");
    ends_well(&api, &extension).await?;
    Ok(())
}
