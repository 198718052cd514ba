//! The smaller tools.

use std::time::Duration;

use anyhow::{Result, ensure};
use bson::doc;
use tokio::net::{TcpListener, TcpStream};
use weir_tests::message::{Message, kind_0, kind_1, op_msg_sections, op_query};
use weir_tests::skip;
use weir_tests::sockets::{Sampler, can_count, of_process, to_port};
use weir_tests::wait::{LIMIT, until, until_true};

#[test]
fn messages_survive_being_built_and_read() -> Result<()> {
    let body = doc! { "insert": "c", "$db": "d" };
    let documents = [doc! { "a": 1 }, doc! {}];
    let sections = [kind_1("documents", &documents), kind_0(&body)];
    let message = Message::parse(op_msg_sections(5, 4, 0, &sections))?;
    ensure!((message.request_id, message.response_to) == (5, 4));
    ensure!(message.command() == "insert" && message.body == body);
    ensure!(message.sequences == [("documents".to_owned(), documents.to_vec())]);
    let query = Message::parse(op_query(6, "admin", &doc! { "hello": 1 }))?;
    ensure!(query.command() == "hello");
    ensure!(Message::parse(vec![16, 0, 0, 0]).is_err());
    Ok(())
}

#[tokio::test]
async fn waiting_ends_with_the_condition_or_names_it() -> Result<()> {
    let mut looks = 0;
    until_true("the third look", LIMIT, || {
        looks += 1;
        looks == 3
    })
    .await?;
    ensure!(looks == 3);
    let never = until("the impossible", Duration::from_millis(30), || async {
        None::<()>
    });
    ensure!(never.await.unwrap_err().to_string() == "waited 30ms for the impossible");
    Ok(())
}

#[tokio::test]
async fn sockets_are_counted_while_they_are_open() -> Result<()> {
    if !can_count() {
        skip::skip("counting sockets", "this system has no /proc/net/tcp");
        return Ok(());
    }
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let port = listener.local_addr()?.port();
    let us = std::process::id();
    let sampler = Sampler::start(us, vec![port])?;
    let mut open = Vec::new();
    for _ in 0..7 {
        let client = TcpStream::connect(("127.0.0.1", port)).await?;
        open.push((client, listener.accept().await?));
    }
    let held = || of_process(us, &[port]).map(|counts| counts[&port].held);
    ensure!(held()? == 7);
    ensure!(to_port(port)? == 7);
    // Three looks' time at least, or the sampler may have missed them.
    tokio::time::sleep(Duration::from_millis(200)).await;
    drop(open);
    until_true("the end of all", LIMIT, || {
        to_port(port).is_ok_and(|count| count == 0)
    })
    .await?;
    ensure!(held()? == 0);
    let maxima = sampler.finish()?;
    ensure!(
        maxima.looks >= 2 && maxima.most[&port].held == 7,
        "{maxima:?}"
    );
    Ok(())
}

/// Set for the copy of this test program that skips something.
const SKIPPER: &str = "WEIR_TESTS_SKIPPER";

/// Not a test of its own: what the copy does.
#[test]
fn skipper() {
    if std::env::var_os(SKIPPER).is_some() {
        skip::skip("one thing", "it is\nnot here");
        skip::skip("another", "too");
        assert_eq!(skip::skipped().len(), 2);
    }
}

#[test]
fn skips_are_counted_at_the_end() -> Result<()> {
    // Reads until the printer, which inherits the pipe, has ended too.
    let output = std::process::Command::new(std::env::current_exe()?)
        .args(["--exact", "harness::tools::skipper"])
        .env(SKIPPER, "1")
        .output()?;
    ensure!(output.status.success());
    let said = String::from_utf8(output.stderr)?;
    let end = "\n2 skipped on this machine:\n  one thing: it is not here\n  another: too\n";
    ensure!(said.ends_with(end), "{said}");
    Ok(())
}
