//! Weirs are replaced one after the other while five drivers work through them. No
//! operation may fail, none may be applied twice.

mod death;

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use tokio::sync::Mutex;
use weir_lab::rolling::{Done, Work, programs};
use weir_tests::balancer::{Balancer, Target};
use weir_tests::cluster::Cluster;
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::WeirProcess;

/// Two tests at once would be ten programs on two cores.
static TURN: Mutex<()> = Mutex::const_new(());

/// Short, so that the test is; a driver's heartbeat is as much shorter.
const DRAIN: Duration = Duration::from_secs(8);
/// In every client's string.
const HEARTBEAT: &str = "heartbeatFrequencyMS=1000";

/// A Weir of its own before `cluster`.
async fn weir(cluster: &Cluster, behind: &str) -> Result<WeirProcess> {
    builder(cluster, behind).start().await
}

fn builder(cluster: &Cluster, behind: &str) -> weir_tests::weir::Builder {
    WeirProcess::builder().upstream(cluster.uri()).args(&[
        "--behind",
        behind,
        "--drain-timeout",
        "8s",
    ])
}

/// SIGTERM, and how long it took to leave.
async fn leave(weir: &WeirProcess) -> Result<Duration> {
    let begun = Instant::now();
    let status = weir.stop(DRAIN + Duration::from_secs(2)).await?;
    ensure!(status.success(), "{status}\n{}", weir.log().join("\n"));
    Ok(begun.elapsed())
}

/// Behind a balancer, without `loadBalanced=true`, a driver can only be moved by making it give
/// all connections up. Go and Java fail a getMore that falls into the moment in which they
/// have none, Node a statement of a transaction, as they do when a mongos is restarted: no error
/// of Weir's, and told apart.
fn is_the_drivers(done: &Done, error: &str) -> bool {
    let cleared = error.contains("was cleared") || error.contains("is paused");
    let repeated_by_nobody = error.contains("cursor: ") || error.contains("transaction: ");
    done.target == "mongos" && repeated_by_nobody && cleared
}

fn judge(all: &[Done]) -> Result<()> {
    for done in all {
        println!(
            "{:<16} {:<9} {:>6} operations, slowest {:>5} ms, errors: {:?}",
            done.title,
            done.target,
            done.operations,
            done.slowest.as_millis(),
            done.errors
        );
    }
    for done in all {
        let mut errors = done.errors.iter();
        ensure!(
            errors.all(|error| is_the_drivers(done, error)),
            "{} {}: {:#?}",
            done.title,
            done.target,
            done.errors
        );
        ensure!(done.operations > 100, "{done:?}");
        ensure!(done.slowest < Duration::from_secs(5), "{done:?}");
    }
    Ok(())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weirs_in_a_list_are_replaced_without_a_failed_operation() -> Result<()> {
    let _turn = TURN.lock().await;
    let programs = programs().await?;
    let cluster = Cluster::builder().start().await?;
    let direct = cluster.client().await?;
    let mut weirs = [weir(&cluster, "list").await?, weir(&cluster, "list").await?];
    let [one, two] = weirs.each_ref().map(WeirProcess::address);
    let list = format!("mongodb://{one},{two}/?{HEARTBEAT}");
    let work = Work::start(programs, &[("list", list)], 2)?;
    work.goes_on(&direct, 30).await?;
    for weir in &mut weirs {
        let took = leave(weir).await?;
        println!("left the list in {} ms", took.as_millis());
        let successor = builder(&cluster, "list").at(weir.address(), weir.admin_address());
        *weir = successor.start().await?;
        is_used(weir).await?;
        work.goes_on(&direct, 30).await?;
    }
    judge(&work.end(&direct).await?)
}

/// Drivers find a successor again by themselves.
async fn is_used(weir: &WeirProcess) -> Result<()> {
    until("a successor to be used", LIMIT, || async {
        let operations = weir.metric("weir_operations_total", &[]).await;
        operations.is_ok_and(|n| n > 20.0).then_some(())
    })
    .await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn weirs_behind_a_balancer_are_replaced_without_a_failed_operation() -> Result<()> {
    let _turn = TURN.lock().await;
    let programs = programs().await?;
    let cluster = Cluster::builder().start().await?;
    let direct = cluster.client().await?;
    let target = |weir: &WeirProcess| Target {
        address: weir.address(),
        health: Some(weir.admin_address()),
    };
    let mut weirs = [
        weir(&cluster, "balancer").await?,
        weir(&cluster, "balancer").await?,
    ];
    let balancer = Balancer::start(weirs.iter().map(target))?;
    let address = balancer.address();
    let targets = [
        ("mongos", format!("mongodb://{address}/?{HEARTBEAT}")),
        (
            "balanced",
            format!("mongodb://{address}/?loadBalanced=true"),
        ),
    ];
    let work = Work::start(programs, &targets, 2)?;
    work.goes_on(&direct, 30).await?;
    for weir in &mut weirs {
        let successor = self::weir(&cluster, "balancer").await?;
        balancer.add(target(&successor));
        let took = leave(weir).await?;
        println!("left the balancer in {} ms", took.as_millis());
        balancer.remove(weir.address());
        *weir = successor;
        is_used(weir).await?;
        work.goes_on(&direct, 30).await?;
    }
    judge(&work.end(&direct).await?)
}
