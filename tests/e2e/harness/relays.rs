//! The relay's faults, on plain sockets and on a real server.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::{Document, doc};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use weir_tests::background::accept_all;
use weir_tests::cluster::{Cluster, shared, unique};
use weir_tests::raw::Raw;
use weir_tests::relay::{Accept, Fault, Relay, Side, Trigger};
use weir_tests::wait::{LIMIT, until_true, within};

/// A relay before an echo, and a connection through it.
async fn echo() -> Result<(Relay, TcpStream)> {
    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let relay = Relay::start(listener.local_addr()?)?;
    tokio::spawn(async move {
        let echo = |mut stream: TcpStream| async move {
            let (mut reads, mut writes) = stream.split();
            drop(tokio::io::copy(&mut reads, &mut writes).await);
        };
        accept_all(&listener, echo).await;
    });
    let stream = TcpStream::connect(relay.address()).await?;
    Ok((relay, stream))
}

async fn back(stream: &mut TcpStream, sent: &[u8]) -> Result<Vec<u8>> {
    stream.write_all(sent).await?;
    let mut got = vec![0; sent.len()];
    within("the echo", LIMIT, stream.read_exact(&mut got)).await??;
    Ok(got)
}

/// Everything until the end; the error when that is a reset.
async fn rest(stream: &mut TcpStream) -> std::io::Result<Vec<u8>> {
    let mut got = Vec::new();
    stream.read_to_end(&mut got).await.map(|_| got)
}

#[tokio::test]
async fn passes_everything_when_nothing_is_wrong() -> Result<()> {
    let (relay, mut stream) = echo().await?;
    let big: Vec<u8> = (0..300_000_u32).flat_map(u32::to_le_bytes).collect();
    let (mut reads, mut writes) = stream.split();
    let mut got = Vec::new();
    let (sent, read) = tokio::join!(
        async {
            writes.write_all(&big).await?;
            writes.shutdown().await
        },
        reads.read_to_end(&mut got)
    );
    sent?;
    read?;
    ensure!(got == big, "a half-close lets the rest come back");
    until_true("the connection's end", LIMIT, || relay.counts().open == 0).await?;
    ensure!(relay.counts().accepted == 1 && relay.counts().most_open == 1);
    Ok(())
}

#[tokio::test]
async fn delays() -> Result<()> {
    let (relay, mut stream) = echo().await?;
    back(&mut stream, b"warm").await?;
    let delay = Fault::Delay {
        by: Duration::from_millis(60),
        jitter: Duration::from_millis(20),
    };
    relay.set(Side::Requests, &delay);
    relay.set(Side::Replies, &delay);
    let start = Instant::now();
    back(&mut stream, b"slow").await?;
    ensure!(
        start.elapsed() >= Duration::from_millis(120),
        "{:?}",
        start.elapsed()
    );
    Ok(())
}

/// How long each of eight pieces takes when nothing but jitter holds it back.
async fn jittered() -> Result<Vec<Duration>> {
    let (relay, mut stream) = echo().await?;
    back(&mut stream, b"warm").await?;
    relay.set(
        Side::Requests,
        &Fault::Delay {
            by: Duration::ZERO,
            jitter: Duration::from_millis(400),
        },
    );
    let mut took = Vec::new();
    for _ in 0..8 {
        let start = Instant::now();
        back(&mut stream, b"piece").await?;
        took.push(start.elapsed());
    }
    Ok(took)
}

#[tokio::test]
async fn jitter_varies_and_is_the_same_in_every_run() -> Result<()> {
    let (first, second) = tokio::try_join!(jittered(), jittered())?;
    let shortest = first.iter().min().copied().unwrap_or_default();
    let longest = first.iter().max().copied().unwrap_or_default();
    ensure!(longest - shortest > Duration::from_millis(100), "{first:?}");
    // A busy machine adds to a wait, it never shortens one: half of them being alike is
    // beyond chance.
    let alike = first
        .iter()
        .zip(&second)
        .filter(|(one, other)| one.abs_diff(**other) < Duration::from_millis(25))
        .count();
    ensure!(alike >= 4, "{first:?} and {second:?}");
    Ok(())
}

#[tokio::test]
async fn a_cut_network_says_nothing_and_delivers_when_it_is_whole_again() -> Result<()> {
    let (relay, mut old) = echo().await?;
    back(&mut old, b"warm").await?;
    relay.cut();
    let mut new = TcpStream::connect(relay.address()).await?;
    let silence = Duration::from_millis(100);
    for stream in [&mut old, &mut new] {
        stream.write_all(b"held").await?;
        let mut got = [0; 4];
        let nothing = within("nothing", silence, stream.read_exact(&mut got)).await;
        ensure!(nothing.is_err());
    }
    relay.heal();
    for stream in [&mut old, &mut new] {
        let mut got = [0; 4];
        within("the echo", LIMIT, stream.read_exact(&mut got)).await??;
        ensure!(&got == b"held");
    }
    Ok(())
}

#[tokio::test]
async fn slows_down_to_a_rate() -> Result<()> {
    let (relay, mut stream) = echo().await?;
    relay.set(Side::Replies, &Fault::Slow(10_000));
    let start = Instant::now();
    back(&mut stream, &[7; 3_000]).await?;
    ensure!(
        start.elapsed() >= Duration::from_millis(250),
        "{:?}",
        start.elapsed()
    );
    Ok(())
}

#[tokio::test]
async fn resets_after_some_bytes() -> Result<()> {
    let (relay, mut stream) = echo().await?;
    relay.set(Side::Replies, &Fault::Reset(5));
    stream.write_all(b"0123456789").await?;
    let error = rest(&mut stream).await.unwrap_err();
    ensure!(
        error.kind() == std::io::ErrorKind::ConnectionReset,
        "{error}"
    );
    Ok(())
}

#[tokio::test]
async fn truncates_across_pieces() -> Result<()> {
    let (relay, mut stream) = echo().await?;
    relay.set(Side::Replies, &Fault::Truncate(5));
    ensure!(back(&mut stream, b"012").await? == b"012");
    stream.write_all(b"3456").await?;
    ensure!(rest(&mut stream).await? == b"34");
    Ok(())
}

#[tokio::test]
async fn stalls_and_goes_on() -> Result<()> {
    let (relay, mut stream) = echo().await?;
    relay.set(Side::Requests, &Fault::Stall);
    stream.write_all(b"later").await?;
    let mut got = [0; 5];
    let early = within(
        "nothing",
        Duration::from_millis(100),
        stream.read_exact(&mut got),
    )
    .await;
    ensure!(early.is_err());
    relay.heal();
    within("the echo", LIMIT, stream.read_exact(&mut got)).await??;
    ensure!(&got == b"later");
    Ok(())
}

#[tokio::test]
async fn discards_for_good() -> Result<()> {
    let (relay, mut stream) = echo().await?;
    back(&mut stream, b"warm").await?;
    relay.set(Side::Requests, &Fault::Discard);
    stream.write_all(b"lost").await?;
    let mut got = [0; 4];
    let nothing = within(
        "nothing",
        Duration::from_millis(100),
        stream.read_exact(&mut got),
    )
    .await;
    ensure!(nothing.is_err());
    relay.heal();
    ensure!(back(&mut stream, b"kept").await? == b"kept");
    Ok(())
}

#[tokio::test]
async fn overwrites_one_length() -> Result<()> {
    let (relay, mut stream) = echo().await?;
    relay.set(Side::Replies, &Fault::Length(-1));
    ensure!(back(&mut stream, b"12345678").await? == b"\xff\xff\xff\xff5678");
    ensure!(back(&mut stream, b"12345678").await? == b"12345678");
    Ok(())
}

#[tokio::test]
async fn refuses_or_ignores_new_connections() -> Result<()> {
    let (relay, mut old) = echo().await?;
    back(&mut old, b"warm").await?;
    relay.accept(Accept::Reset);
    // The reset may be there before `connect` has returned.
    match TcpStream::connect(relay.address()).await {
        Ok(mut reset) => ensure!(within("a reset", LIMIT, rest(&mut reset)).await?.is_err()),
        Err(error) => ensure!(
            error.kind() == std::io::ErrorKind::ConnectionReset,
            "{error}"
        ),
    }
    relay.accept(Accept::Hang);
    let mut ignored = TcpStream::connect(relay.address()).await?;
    ignored.write_all(b"hello?").await?;
    let nothing = within("nothing", Duration::from_millis(100), rest(&mut ignored)).await;
    ensure!(nothing.is_err());
    ensure!(
        back(&mut old, b"open").await? == b"open",
        "open ones are left alone"
    );
    relay.reset_all();
    ensure!(within("a reset", LIMIT, rest(&mut old)).await?.is_err());
    Ok(())
}

#[tokio::test]
async fn a_trigger_hurts_the_connection_on_which_it_was_pulled() -> Result<()> {
    let cluster = shared::single().await?;
    let relay = Relay::start(cluster.member(0)?.address())?;
    let mut bystander = Raw::connect(relay.address()).await?;
    // Side, fault, and how many documents the server has got at the end.
    let cases = [
        (Side::Replies, Fault::Truncate(20), 1),
        (Side::Replies, Fault::Reset(0), 1),
        (Side::Requests, Fault::Reset(0), 0),
        (Side::Requests, Fault::Truncate(30), 0),
    ];
    for (number, (side, fault, wanted)) in cases.into_iter().enumerate() {
        let mut victim = Raw::connect(relay.address()).await?;
        let name = unique("victims");
        relay.add(Trigger::once(&name, side, fault.clone()));
        bystander.command("admin", doc! { "ping": 1 }).await?;

        let insert = doc! { "insert": &name, "documents": [{ "_id": 1 }] };
        ensure!(victim.command("triggers", insert).await.is_err());
        ensure!(relay.counts().triggered == number + 1);
        let count = doc! { "count": &name };
        let count = bystander.command("triggers", count).await?.get_i32("n")?;
        ensure!(count == wanted, "{side:?} {fault:?}: {count}");
    }
    Ok(())
}

#[tokio::test]
async fn clients_of_a_relayed_cluster_stay_behind_the_relay() -> Result<()> {
    let cluster = Cluster::builder().relays().start().await?;
    let client = cluster.client().await?;
    let things = client.database("relayed").collection::<Document>("things");
    things.insert_one(doc! { "_id": 1 }).await?;
    let before = cluster.relay(0)?.counts().accepted;
    cluster.relay(0)?.reset_all();
    // The driver retries once by itself, over a new connection.
    things.insert_one(doc! { "_id": 2 }).await?;
    ensure!(cluster.relay(0)?.counts().accepted > before);
    ensure!(things.count_documents(doc! {}).await? == 2);
    Ok(())
}
