//! Real replica sets, and what can be done to them.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::{Document, doc};
use weir_tests::cluster::{Cluster, shared, unique};
use weir_tests::wait::{LIMIT, until};

async fn insert(cluster: &Cluster, database: &str) -> Result<()> {
    let client = cluster.client().await?;
    let things = client.database(database).collection::<Document>("things");
    things.insert_one(doc! { "x": 1 }).await?;
    ensure!(things.count_documents(doc! {}).await? == 1);
    Ok(())
}

#[tokio::test]
async fn one_member_takes_writes() -> Result<()> {
    let cluster = shared::single().await?;
    insert(cluster, &unique("one")).await?;
    let log = std::fs::read_to_string(cluster.member(0)?.log())?;
    ensure!(log.contains("Waiting for connections"));
    ensure!(cluster.member(0)?.unix_socket().exists());
    Ok(())
}

#[tokio::test]
async fn tests_share_one_cluster() -> Result<()> {
    let (first, second) = tokio::join!(shared::single(), shared::single());
    ensure!(first?.member(0)?.pid() == second?.member(0)?.pid());
    Ok(())
}

/// Everything a failover test does, on one cluster of its own.
#[tokio::test]
async fn three_members_lose_their_primary_and_get_a_new_one() -> Result<()> {
    let cluster = Cluster::builder().priorities(&[2, 1, 0]).start().await?;
    ensure!(cluster.primary().await? == 0, "the highest priority wins");
    ensure!(cluster.settled().await? == 0);
    insert(&cluster, "stepdown").await?;

    let old = cluster.step_down(Duration::from_secs(60)).await?;
    ensure!(old == 0);
    let new = cluster.primary_other_than(Some(old)).await?;
    ensure!(new == 1, "priority 0 never becomes primary");
    ensure!(cluster.member(0)?.runs(), "a stepdown is no death");
    insert(&cluster, "after_stepdown").await?;

    let pid = cluster.member(1)?.pid();
    let address = cluster.member(1)?.address();
    cluster.kill(1)?;
    ensure!(!cluster.member(1)?.runs());
    cluster.restart(1).await?;
    ensure!(cluster.member(1)?.address() == address);
    ensure!(cluster.member(1)?.pid() != pid);
    // One of the two may be elected again; the third may not.
    ensure!(cluster.primary().await? < 2);
    Ok(())
}

#[tokio::test]
async fn a_frozen_member_keeps_its_sockets_and_says_nothing() -> Result<()> {
    let cluster = Cluster::builder().start().await?;
    cluster.freeze(0)?;
    ensure!(cluster.member(0)?.runs());
    let mut raw = weir_tests::raw::Raw::connect(cluster.member(0)?.address()).await?;
    raw.limit = Duration::from_millis(300);
    ensure!(raw.command("admin", doc! { "hello": 1 }).await.is_err());
    cluster.thaw(0)?;
    raw.limit = LIMIT;
    // The first hello is answered now, the second after it.
    ensure!(raw.receive().await?.body.get_bool("isWritablePrimary")?);
    Ok(())
}

#[tokio::test]
async fn logins_work_with_both_mechanisms_and_not_without() -> Result<()> {
    let cluster = shared::login().await?;
    insert(cluster, &unique("login")).await?;
    let host = cluster.member(0)?.address();
    for mechanism in ["SCRAM-SHA-1", "SCRAM-SHA-256"] {
        let uri = cluster.uri_with(&format!("&authMechanism={mechanism}"));
        let client = mongodb::Client::with_uri_str(uri).await?;
        client.list_database_names().await?;
    }
    cluster.add_user("old", "old", &["SCRAM-SHA-1"]).await?;
    let uri = format!("mongodb://old:old@{host}/?authMechanism=SCRAM-SHA-1");
    mongodb::Client::with_uri_str(uri)
        .await?
        .list_database_names()
        .await?;

    let stranger = mongodb::Client::with_uri_str(format!("mongodb://{host}")).await?;
    let refused = stranger
        .list_database_names()
        .await
        .unwrap_err()
        .to_string();
    ensure!(refused.contains("requires authentication"), "{refused}");
    Ok(())
}

#[tokio::test]
async fn tls_is_required_and_trusted() -> Result<()> {
    let cluster = shared::tls().await?;
    insert(cluster, &unique("tls")).await?;
    let host = cluster.member(0)?.address();
    let plain = format!("mongodb://{host}/?serverSelectionTimeoutMS=500");
    let plain = mongodb::Client::with_uri_str(plain).await?;
    ensure!(plain.list_database_names().await.is_err());
    Ok(())
}

#[tokio::test]
async fn a_fail_point_fails_what_it_names() -> Result<()> {
    let cluster = shared::single().await?;
    let name = unique("failing");
    let data = doc! { "failCommands": ["ping"], "errorCode": 8_000, "appName": &name };
    cluster.fail_command(0, 1, data).await?;
    let uri = cluster.uri_with(&format!("&appName={name}"));
    let client = mongodb::Client::with_uri_str(uri).await?;
    let database = client.database("admin");
    let error = database.run_command(doc! { "ping": 1 }).await.unwrap_err();
    ensure!(error.to_string().contains("8000"), "{error}");
    database.run_command(doc! { "ping": 1 }).await?;
    cluster.no_fail_command(0).await
}

#[tokio::test]
async fn a_limit_refuses_connections_and_a_counter_counts_them() -> Result<()> {
    let limit = 60;
    let cluster = Cluster::builder().max_connections(limit).start().await?;
    let counter = cluster.counter(0).await?;
    let address = cluster.member(0)?.address();
    let mut open = Vec::new();
    for _ in 0..20 {
        let mut raw = weir_tests::raw::Raw::connect(address).await?;
        raw.command("admin", doc! { "hello": 1 }).await?;
        open.push(raw);
    }
    ensure!(counter.above_baseline().await? == 20);
    let mut refused = 0;
    for _ in 0..limit {
        let mut raw = weir_tests::raw::Raw::connect(address).await?;
        match raw.command("admin", doc! { "hello": 1 }).await {
            Ok(_) => open.push(raw),
            Err(_) => refused += 1,
        }
    }
    ensure!(
        refused > 0,
        "{} are open under a limit of {limit}",
        open.len()
    );
    // mongod admits one more than it says, and counts a refused one until it
    // is closed.
    until("the limit and one", LIMIT, || async {
        let total = counter.total().await;
        total
            .is_ok_and(|total| total == i64::from(limit) + 1)
            .then_some(())
    })
    .await?;
    drop(open);
    until("the count to fall", LIMIT, || async {
        let above = counter.above_baseline().await;
        above.is_ok_and(|above| above <= 0).then_some(())
    })
    .await
}

#[tokio::test]
async fn a_stopped_cluster_has_no_processes_and_no_folder() -> Result<()> {
    let cluster = Cluster::builder().start().await?;
    let folder = cluster.member(0)?.folder().to_owned();
    let pid = cluster.member(0)?.pid();
    cluster.stop().await?;
    ensure!(pid.is_some() && cluster.member(0)?.pid().is_none());
    let log = std::fs::read_to_string(cluster.member(0)?.log())?;
    ensure!(log.contains("Now exiting"), "it was asked, not killed");
    drop(cluster);
    ensure!(!folder.exists());
    Ok(())
}
