//! Where the extension's connections lead, and how many there are.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::{Document, doc};
use futures_util::future::try_join_all;
use weir_tests::cluster::{PASSWORD_IN_URI, USER, shared, unique};
use weir_tests::raw::Raw;
use weir_tests::relay::Accept;
use weir_tests::skip::skip;
use weir_tests::sockets::{self, Sampler};
use weir_tests::wait::{LIMIT, until, until_true, within};

use crate::support::{LONG, Service, ends_well, extension, insert, works};

/// The shared Weir sees one connection of an environment; a second one only while a
/// transaction must end that stands behind other work.
#[tokio::test]
async fn a_service_sees_one_trunk() -> Result<()> {
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let address = service.name();
    let own = cluster.uri();
    let (api, extension) = extension(&[("WEIR_SERVICE", &address), ("DB", &own)]).await?;
    api.invoke("r-1", LONG);
    let uri = format!(
        "mongodb://{USER}:{PASSWORD_IN_URI}@{}/",
        extension.address()
    );
    let function = mongodb::Client::with_uri_str(uri).await?;
    let things = function.database("lambda").collection("trunk");
    for n in 0..20 {
        things.insert_one(doc! { "n": n }).await?;
    }
    let cursor = things.find(doc! {}).batch_size(2).await?;
    let found: Vec<bson::Document> = futures_util::TryStreamExt::try_collect(cursor).await?;
    ensure!(found.len() >= 20);
    ensure!(service.counts().accepted == 1, "{:?}", service.counts());
    let inserts = (0..50).map(|n| {
        let things = things.clone();
        async move { things.insert_one(doc! { "at once": n }).await }
    });
    try_join_all(inserts).await?;
    ensure!(service.counts().most_open <= 2, "{:?}", service.counts());
    let mut session = function.start_session().await?;
    session.start_transaction().await?;
    things
        .insert_one(doc! { "in": "a transaction" })
        .session(&mut session)
        .await?;
    session.commit_transaction().await?;
    ensure!(service.counts().most_open <= 2, "{:?}", service.counts());
    ends_well(&api, &extension).await?;
    until_true("the trunk to be closed", LIMIT, || {
        service.counts().open == 0
    })
    .await
}

/// At most three connections to the primary, usually two; one to each secondary.
#[tokio::test]
async fn the_database_itself_sees_few() -> Result<()> {
    if !sockets::can_count() {
        skip(
            "connections of a function to each member",
            "sockets cannot be counted here",
        );
        return Ok(());
    }
    let cluster = shared::three().await?;
    let primary = cluster.settled().await?;
    let ports: Vec<u16> = cluster.addresses().iter().map(|a| a.port()).collect();
    let (api, extension) = extension(&[("DB", &cluster.uri())]).await?;
    let counted = || -> Result<Vec<usize>> {
        let counts = sockets::of_process(extension.pid(), &ports)?;
        Ok(ports
            .iter()
            .map(|port| counts.get(port).map_or(0, |count| count.held))
            .collect())
    };
    let expected: Vec<usize> = (0..3).map(|n| if n == primary { 2 } else { 1 }).collect();
    api.invoke("r-1", LONG);
    let mut function = Raw::connect(extension.address()).await?;
    for _ in 0..10 {
        works(&mut function, insert("few", "one")).await?;
    }
    until_true("every member to be watched", LIMIT, || {
        counted().is_ok_and(|counted| counted.iter().sum::<usize>() >= 4)
    })
    .await?;
    ensure!(counted()? == expected, "{:?}", counted()?);
    let sampler = Sampler::start(extension.pid(), ports.clone())?;
    let inserts = (0..20).map(|_| async {
        let mut function = Raw::connect(extension.address()).await?;
        for _ in 0..20 {
            works(&mut function, insert("few", "many")).await?;
        }
        anyhow::Ok(())
    });
    try_join_all(inserts).await?;
    let maxima = sampler.finish()?;
    ensure!(
        maxima.together.values().all(|most| *most <= 3),
        "{maxima:?}"
    );
    ends_well(&api, &extension).await?;
    Ok(())
}

/// The share of environments that may do so goes to the database itself while the shared Weir
/// is gone, and comes back; the rest waits.
#[tokio::test]
async fn the_fallback_is_taken_by_the_share_that_may_and_left_again() -> Result<()> {
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let (address, own) = (service.name(), cluster.uri());
    let ports: Vec<u16> = cluster.addresses().iter().map(|a| a.port()).collect();
    for (share, expected) in [("100", true), ("0", false)] {
        let variables = [
            ("WEIR_SERVICE", address.as_str()),
            ("DB", own.as_str()),
            ("WEIR_FALLBACK_SHARE", share),
            ("WEIR_FALLBACK_AFTER", "200ms"),
            ("WEIR_QUEUE_TIMEOUT", "2s"),
        ];
        let (api, extension) = extension(&variables).await?;
        api.invoke("r-1", LONG);
        let mut function = Raw::connect(extension.address()).await?;
        works(&mut function, insert("fallback", "r-1")).await?;
        let direct = || -> usize {
            let counts = sockets::of_process(extension.pid(), &ports).unwrap_or_default();
            counts.values().map(|count| count.held).sum()
        };
        ensure!(direct() == 0, "nothing is opened before it is needed");
        service.relay.accept(Accept::Reset);
        service.relay.reset_all();
        if expected {
            extension
                .says("connecting to the database directly")
                .await?;
            works(&mut function, insert("fallback", "direct")).await?;
            ensure!((1..=3).contains(&direct()), "{}", direct());
        } else {
            let reply = function
                .command("lambda", insert("fallback", "waits"))
                .await?;
            ensure!(reply.get_i32("code").is_ok(), "{reply}");
            ensure!(direct() == 0, "{}", direct());
        }
        service.relay.heal();
        if expected {
            extension.says("using the shared Weir again").await?;
            until_true("the direct connections to be closed", LIMIT, || {
                direct() == 0
            })
            .await?;
        }
        until_true("the trunk to be open again", LIMIT, || {
            service.counts().open > 0
        })
        .await?;
        works(&mut function, insert("fallback", "r-2")).await?;
        ends_well(&api, &extension).await?;
    }
    Ok(())
}

/// A plain write waits for the lock of a transaction, on the only trunk there is: the commit
/// that would free it gets a connection of its own.
#[tokio::test]
async fn a_commit_does_not_wait_behind_the_write_that_waits_for_it() -> Result<()> {
    let cluster = shared::login().await?;
    let service = Service::before(cluster).await?;
    let (address, own) = (service.name(), cluster.uri());
    let (api, extension) = extension(&[("WEIR_SERVICE", &address), ("DB", &own)]).await?;
    api.invoke("r-1", LONG);
    let uri = format!(
        "mongodb://{USER}:{PASSWORD_IN_URI}@{}/",
        extension.address()
    );
    let function = mongodb::Client::with_uri_str(uri).await?;
    let name = unique("locks");
    let things = function.database("lambda").collection::<Document>(&name);
    things.insert_one(doc! { "_id": 1 }).await?;
    let mut session = function.start_session().await?;
    session.start_transaction().await?;
    let change = |by: &str| doc! { "$set": { "by": by } };
    things
        .update_one(doc! { "_id": 1 }, change("the transaction"))
        .session(&mut session)
        .await?;
    let plain = {
        let (things, change) = (things.clone(), change("the plain write"));
        tokio::spawn(async move { things.update_one(doc! { "_id": 1 }, change).await })
    };
    let waiting = doc! {
        "aggregate": 1,
        "pipeline": [
            { "$currentOp": {} },
            { "$match": { "ns": format!("lambda.{name}"), "op": "update", "active": true } },
        ],
        "cursor": {},
    };
    until("the plain write to wait", LIMIT, || async {
        let found = cluster.admin(0, waiting.clone()).await.ok()?;
        let found = found
            .get_document("cursor")
            .ok()?
            .get_array("firstBatch")
            .ok()?;
        (!found.is_empty()).then_some(())
    })
    .await?;
    within(
        "the commit",
        Duration::from_secs(5),
        session.commit_transaction().into_future(),
    )
    .await??;
    within("the plain write", Duration::from_secs(5), plain).await???;
    let last = things.find_one(doc! { "_id": 1 }).await?;
    let by = last.as_ref().and_then(|last| last.get_str("by").ok());
    ensure!(by == Some("the plain write"), "{last:?}");
    ensure!(service.counts().most_open == 2, "{:?}", service.counts());
    ends_well(&api, &extension).await?;
    Ok(())
}
