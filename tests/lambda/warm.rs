//! An environment that is invoked again and again, and never frozen for long.

use std::time::Duration;

use anyhow::{Result, ensure};
use weir_tests::cluster::shared;
use weir_tests::memory::{can_ask, resident_kib};
use weir_tests::raw::Raw;
use weir_tests::relay::{Fault, Side};
use weir_tests::skip::skip;
use weir_tests::wait::{LIMIT, until_true};

use crate::support::{LONG, Service, ends_well, extension, insert, works};

/// Invocations that do not query keep no flow alive: the connection is as old as its last
/// operation, and is asked for a sign of life before the next.
#[tokio::test]
async fn invocations_without_a_query_make_no_flow_younger() -> Result<()> {
    let cluster = shared::single().await?;
    let service = Service::before(cluster).await?;
    let address = service.name();
    let variables = [
        ("WEIR_SERVICE", address.as_str()),
        ("WEIR_DOUBT_AFTER", "1s"),
    ];
    let (api, extension) = extension(&variables).await?;
    api.invoke("r-0", LONG);
    let mut function = Raw::connect(extension.address()).await?;
    works(&mut function, insert("warm", "r-0")).await?;
    ensure!(service.relay.hurt(0, Side::Requests, Fault::Discard));
    let began = std::time::Instant::now();
    // Each well within the time of doubt, the last one beyond it. The pauses are what is
    // tested, not something waited for.
    for n in 1..=5 {
        let at = Duration::from_millis(250) * n;
        until_true("the next invocation", LIMIT, || began.elapsed() > at).await?;
        api.invoke(&format!("r-{n}"), LONG);
        api.is_asked().await?;
    }
    let began = std::time::Instant::now();
    works(&mut function, insert("warm", "the first query")).await?;
    let took = began.elapsed();
    ensure!(took < Duration::from_secs(2), "{took:?}");
    ends_well(&api, &extension).await?;
    Ok(())
}

/// The page has the numbers of a layer's programs; this holds any build to what a function can
/// spare, so that a gross loss is seen at once.
#[tokio::test]
async fn the_extension_takes_little_memory() -> Result<()> {
    /// Promised of a layer's program after ordinary work, in KiB.
    const MOST: u64 = 20 * 1024;

    let cluster = shared::single().await?;
    let service = Service::before(cluster).await?;
    let address = service.name();
    let (api, extension) = extension(&[("WEIR_SERVICE", address.as_str())]).await?;
    api.invoke("r-0", LONG);
    let mut function = Raw::connect(extension.address()).await?;
    for _ in 0..200 {
        works(&mut function, insert("warm", "memory")).await?;
    }
    if !can_ask() {
        skip("memory of the extension", "there is no /proc here");
        return Ok(());
    }
    let kib = resident_kib(extension.pid())?;
    println!("the extension holds {kib} KiB");
    ensure!(kib <= MOST, "{kib} KiB, at most {MOST}");
    ends_well(&api, &extension).await?;
    Ok(())
}
