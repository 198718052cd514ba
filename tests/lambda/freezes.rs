//! Environments are frozen between invocations, for a second or for a week, and copied.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::doc;
use serde_json::json;
use weir_kit::process::Signal;
use weir_tests::cluster::{Cluster, shared};
use weir_tests::lambda::{Extension, ScriptedApi};
use weir_tests::raw::Raw;
use weir_tests::relay::{Accept, Fault, Side};
use weir_tests::scripted::{Act, Face, Scripted};
use weir_tests::wait::{LIMIT, until, until_true};

use crate::support::{
    DOUBT, LONG, Service, ends_well, extension, freeze, insert, post, thaw, works,
};

/// A service behind a relay, an extension before it, and a function that has worked once.
struct Stand {
    service: Service,
    api: ScriptedApi,
    extension: Extension,
    function: Raw,
}

impl Stand {
    async fn start() -> Result<Self> {
        let cluster = shared::single().await?;
        let service = Service::before(cluster).await?;
        let address = service.name();
        let variables = [
            ("WEIR_SERVICE", address.as_str()),
            ("WEIR_DOUBT_AFTER", DOUBT),
        ];
        let (api, extension) = extension(&variables).await?;
        api.invoke("r-1", LONG);
        let mut function = Raw::connect(extension.address()).await?;
        works(&mut function, insert("freezes", "r-1")).await?;
        api.is_asked().await?;
        Ok(Self {
            service,
            api,
            extension,
            function,
        })
    }

    async fn thawed_insert(&mut self, id: &str) -> Result<Duration> {
        thaw(&self.api, &self.extension, id)?;
        let began = std::time::Instant::now();
        // No class that Weir or a driver might repeat.
        works(&mut self.function, insert("freezes", id)).await?;
        Ok(began.elapsed())
    }
}

#[tokio::test]
async fn after_a_reset_during_the_freeze_the_first_operation_succeeds() -> Result<()> {
    let mut stand = Stand::start().await?;
    for id in ["r-2", "r-3", "r-4"] {
        freeze(&stand.extension).await?;
        stand.service.relay.reset_all();
        stand.thawed_insert(id).await?;
    }
    ends_well(&stand.api, &stand.extension).await?;
    Ok(())
}

/// The balancer has forgotten the flow and says nothing: what is sent is lost.
#[tokio::test]
async fn after_a_flow_was_dropped_silently_the_first_operation_succeeds() -> Result<()> {
    let mut stand = Stand::start().await?;
    for id in ["r-2", "r-3"] {
        freeze(&stand.extension).await?;
        ensure!(stand.service.relay.hurt(0, Side::Requests, Fault::Discard));
        let took = stand.thawed_insert(id).await?;
        println!("the first operation after a silent drop: {took:?}");
        ensure!(took < Duration::from_secs(2), "{took:?}");
        // What was forgotten is gone on the extension's side, too.
        stand.service.relay.heal();
        until_true("one connection to be left", LIMIT, || {
            stand.service.counts().open == 1
        })
        .await?;
    }
    ends_well(&stand.api, &stand.extension).await?;
    Ok(())
}

/// A service that was not to be reached during the thaw is tried again with the next
/// invocation, not after a pause that has grown.
#[tokio::test]
async fn a_service_that_comes_back_is_found_with_the_next_invocation() -> Result<()> {
    let mut stand = Stand::start().await?;
    freeze(&stand.extension).await?;
    stand.service.relay.reset_all();
    stand.service.relay.accept(Accept::Reset);
    thaw(&stand.api, &stand.extension, "r-2")?;
    stand.extension.says("could not open a connection").await?;
    stand.service.relay.heal();
    stand.thawed_insert("r-3").await?;
    ends_well(&stand.api, &stand.extension).await?;
    Ok(())
}

/// Nothing has piled up while time stood still.
#[tokio::test]
async fn a_thaw_is_no_storm() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let (api, extension) = extension(&[("DB", &cluster.uri())]).await?;
    api.invoke("r-1", LONG);
    let mut function = Raw::connect(extension.address()).await?;
    works(&mut function, insert("storm", "r-1")).await?;
    let hellos = async || -> Result<i64> {
        let status = cluster.admin(0, doc! { "serverStatus": 1 }).await?;
        let commands = status.get_document("metrics")?.get_document("commands")?;
        let of = |name: &str| commands.get_document(name).and_then(|c| c.get_i64("total"));
        Ok(of("hello").unwrap_or(0) + of("isMaster").unwrap_or(0))
    };
    extension.signal(Signal::Stop)?;
    let began = std::time::Instant::now();
    until_true("many heartbeats to be missed", LIMIT, || {
        began.elapsed() > Duration::from_secs(8)
    })
    .await?;
    let before = hellos().await?;
    thaw(&api, &extension, "r-2")?;
    works(&mut function, insert("storm", "r-2")).await?;
    let asked = hellos().await? - before;
    println!("{asked} hellos from a thaw to the first reply after 8 heartbeats were missed");
    // Those of this test's own two clients are among them.
    ensure!(asked <= 10, "{asked} hellos after a thaw");
    ends_well(&api, &extension).await?;
    Ok(())
}

/// The primary changes while the environment is frozen: what the extension knows is history.
#[tokio::test]
async fn after_a_change_of_primary_during_the_freeze_the_first_operation_succeeds() -> Result<()> {
    let cluster = Cluster::builder().members(3).start().await?;
    cluster.settled().await?;
    let variables = [
        ("DB", cluster.uri()),
        ("WEIR_DOUBT_AFTER", DOUBT.to_owned()),
    ];
    let variables = variables
        .each_ref()
        .map(|(name, value)| (*name, value.as_str()));
    let (api, extension) = extension(&variables).await?;
    api.invoke("r-1", LONG);
    let mut function = Raw::connect(extension.address()).await?;
    works(&mut function, insert("primaries", "r-1")).await?;
    api.is_asked().await?;
    freeze(&extension).await?;
    cluster.step_down(Duration::from_secs(60)).await?;
    thaw(&api, &extension, "r-2")?;
    works(&mut function, insert("primaries", "r-2")).await?;
    ends_well(&api, &extension).await?;
    Ok(())
}

/// A SnapStart image is copied: nothing is opened before the first invocation, the driver's
/// hello is answered nevertheless, and what init opened all the same is not used again.
#[tokio::test]
async fn a_copy_uses_no_connection_of_its_original() -> Result<()> {
    let cluster = shared::single().await?;
    let service = Service::before(cluster).await?;
    let address = service.name();
    let variables = [
        ("WEIR_SERVICE", address.as_str()),
        ("AWS_LAMBDA_INITIALIZATION_TYPE", "snap-start"),
    ];
    let (api, extension) = extension(&variables).await?;
    let mut function = Raw::connect(extension.address()).await?;
    let began = std::time::Instant::now();
    let hello = function.command("admin", doc! { "hello": 1 }).await?;
    ensure!(hello.get_bool("isWritablePrimary")?, "{hello}");
    ensure!(
        !hello.contains_key("topologyVersion"),
        "drivers would stream: {hello}"
    );
    ensure!(
        began.elapsed() < Duration::from_secs(1),
        "hello waited {:?}",
        began.elapsed()
    );
    ensure!(service.counts().accepted == 0, "{:?}", service.counts());
    // A function that queries in init is served.
    works(&mut function, insert("copies", "init")).await?;
    ensure!(service.counts().accepted == 1, "{:?}", service.counts());
    api.is_asked().await?;
    api.invoke("r-1", LONG);
    api.is_asked().await?;
    until("another connection", LIMIT, || async {
        (service.counts().accepted == 2).then_some(())
    })
    .await?;
    works(&mut function, insert("copies", "r-1")).await?;
    ensure!(service.counts().open == 1, "{:?}", service.counts());
    ends_well(&api, &extension).await?;
    Ok(())
}

/// Lambda tells that an invocation is over; until then the extension asks for no other event.
#[tokio::test]
async fn an_invocations_connections_end_with_it_if_they_are_to() -> Result<()> {
    let cluster = shared::single().await?;
    let service = Service::before(cluster).await?;
    let address = service.name();
    let port = weir_kit::mongod::free_port()?.to_string();
    let variables = [
        ("WEIR_SERVICE", address.as_str()),
        ("WEIR_RELEASE", "invoke"),
        ("WEIR_TELEMETRY_PORT", port.as_str()),
    ];
    let (api, extension) = extension(&variables).await?;
    ensure!(service.counts().accepted == 0, "nothing is kept warm");
    let asked = api.called("telemetry", 1).await?;
    let body = asked
        .first()
        .map(|call| call.body.clone())
        .unwrap_or_default();
    ensure!(
        body.contains(&format!("sandbox.localdomain:{port}")),
        "{body}"
    );
    let mut function = Raw::connect(extension.address()).await?;
    for id in ["r-1", "r-2"] {
        let nexts = api.calls("next").len();
        api.invoke(id, LONG);
        works(&mut function, insert("release", id)).await?;
        ensure!(service.counts().open == 1, "{:?}", service.counts());
        ensure!(
            api.calls("next").len() == nexts,
            "the invocation is not over"
        );
        let done = json!([{
            "time": "now",
            "type": "platform.runtimeDone",
            "record": { "requestId": id, "status": "success" },
        }]);
        post(port.parse()?, &done.to_string()).await?;
        api.called("next", nexts + 1).await?;
        ensure!(service.counts().open == 0, "{:?}", service.counts());
    }
    ensure!(service.counts().accepted == 2, "{:?}", service.counts());
    ends_well(&api, &extension).await?;
    Ok(())
}

/// What an invocation leaves unfinished is finished before the environment freezes, but not
/// for longer than was said; where Lambda tells nothing, quiet is taken for the end.
#[tokio::test]
async fn work_left_behind_is_finished_before_the_freeze() -> Result<()> {
    let slow = Scripted::start(Face::LoadBalanced)?;
    slow.script(
        "insert",
        [Act::Late(
            Duration::from_millis(600),
            doc! { "ok": 1.0, "n": 1 },
        )],
    );
    let upstream = format!("mongodb://{}/?loadBalanced=true", slow.address());
    let port = weir_kit::mongod::free_port()?.to_string();
    let variables = [
        ("WEIR_UPSTREAM", upstream.as_str()),
        ("WEIR_DRAIN_BEFORE_FREEZE", "5s"),
        ("WEIR_TELEMETRY_PORT", port.as_str()),
    ];
    let (api, extension) = extension(&variables).await?;
    let nexts = api.calls("next").len();
    let mut function = Raw::connect(extension.address()).await?;
    api.invoke("r-1", LONG);
    let working = async { works(&mut function, doc! { "insert": "drain" }).await };
    let ending = async {
        slow.wait_for("insert", 1).await?;
        let done = json!([{ "type": "platform.runtimeDone", "record": { "requestId": "r-1" } }]);
        post(port.parse()?, &done.to_string()).await
    };
    let began = std::time::Instant::now();
    tokio::try_join!(working, ending)?;
    let asked = api.called("next", nexts + 1).await?;
    let last = asked.last().map(|call| call.at.into_std());
    let waited = last
        .map(|at| at.saturating_duration_since(began))
        .unwrap_or_default();
    ensure!(
        waited >= Duration::from_millis(500),
        "it asked after {waited:?}"
    );
    ends_well(&api, &extension).await?;
    Ok(())
}
