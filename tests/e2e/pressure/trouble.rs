//! Users who may do little, servers with nothing in them, and what cannot be measured.

use anyhow::{Result, ensure};
use bson::doc;
use weir_tests::cluster::{PASSWORD_IN_URI, USER};

use super::{Bench, fill, server};

#[tokio::test]
async fn an_empty_server_is_pinged_and_the_screen_says_so() -> Result<()> {
    let cluster = server().await?;
    let uri = cluster.uri();
    let arguments = ["--target", &uri, "--clients", "2", "--duration", "200ms"];
    let bench = Bench::start(&arguments).await?;
    ensure!(bench.end().await? == Some(0), "{}", bench.err());
    let said = bench.out();
    for words in [
        "there is no collection with a document",
        // A quarter of what a server of 100 still accepts.
        "Pools of 5, 10, 20 connections",
        "← knee",
        "Recommended: --max-connections",
    ] {
        ensure!(said.contains(words), "{words}: {said}");
    }
    ensure!(!said.contains('\u{1b}'), "escapes in a file: {said:?}");
    Ok(())
}

#[tokio::test]
async fn a_user_who_may_only_read_is_enough() -> Result<()> {
    let cluster = server().await?;
    let client = fill(&cluster).await?;
    let reader = doc! {
        "createUser": "reader",
        "pwd": "only",
        "roles": [{ "role": "read", "db": "shop" }],
    };
    client.database("admin").run_command(reader).await?;
    let own = format!("{USER}:{PASSWORD_IN_URI}@");
    let uri = cluster.uri().replacen(&own, "reader:only@", 1);
    ensure!(uri.contains("reader:only@"), "{uri}");
    let sweep = ["--clients", "2", "--pools", "5", "--duration", "200ms"];
    let bench = Bench::start(&[&["--target", &uri], &sweep[..]].concat()).await?;
    ensure!(
        bench.end().await? == Some(0),
        "{}{}",
        bench.out(),
        bench.err()
    );
    let said = bench.out();
    let flat: Vec<_> = said.split_whitespace().collect();
    let flat = flat.join(" ");
    for words in [
        "its limit of connections is not known",
        "the role clusterMonitor may",
        "find by _id in shop.orders (300 documents)",
    ] {
        ensure!(flat.contains(words), "{words}: {said}");
    }
    ensure!(!said.contains("only@"), "{said}");

    let writing = Bench::start(&[&["--write", "--target", &uri], &sweep[..]].concat()).await?;
    ensure!(writing.end().await? == Some(1), "{}", writing.out());
    ensure!(
        writing.out().contains("give the user the roles readWrite"),
        "{}",
        writing.out()
    );
    Ok(())
}

#[tokio::test]
async fn what_cannot_be_measured_says_what_to_change() -> Result<()> {
    let cluster = server().await?;
    fill(&cluster).await?;
    let uri = cluster.uri();
    let wrong_login = uri.replacen(USER, "nobody", 1);
    let cases: [(&[&str], i32, &str); 5] = [
        (
            &["--target", "mongodb://127.0.0.1:1/?replicaSet=rs"],
            1,
            "nothing listens there",
        ),
        (
            &["--target", &wrong_login],
            1,
            "password is wrong; correct user and password in --target",
        ),
        (
            &["--target", &uri, "--pools", "3"],
            2,
            "--pools: allows 3 sockets",
        ),
        (
            &["--target", &uri, "--pools", "500"],
            1,
            "fewer than a pool of 500",
        ),
        (
            &["--target", &uri, "--collection", "shop.none"],
            1,
            "does not exist or is empty",
        ),
    ];
    for (arguments, code, words) in cases {
        let bench = Bench::start(arguments).await?;
        let ended = bench.end().await?;
        let said = format!("{}{}", bench.out(), bench.err());
        ensure!(
            ended == Some(code) && said.contains(words),
            "{ended:?} {words}: {said}"
        );
        ensure!(!said.contains("op/s"), "something was measured: {said}");
    }
    Ok(())
}
