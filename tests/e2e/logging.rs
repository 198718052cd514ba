//! A log that cannot be written costs lines, never an operation.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::doc;
use tokio::{io::AsyncWriteExt, net::TcpStream};
use weir_kit::process::Signal;
use weir_tests::cluster::shared;
use weir_tests::raw::Raw;
use weir_tests::weir::{LogReader, WeirProcess};

/// More lines than a pipe and the queue hold: a pipe has 64 KiB.
const LINES: usize = 3_000;

/// Longest time for an operation while the log stands still.
const LIMIT: Duration = Duration::from_secs(5);

async fn weir(reader: LogReader) -> Result<WeirProcess> {
    WeirProcess::builder()
        .upstream(shared::single().await?.uri())
        .log_reader(reader)
        .start()
        .await
}

/// Each of these connections is worth a line.
async fn make_lines(weir: &WeirProcess, lines: usize) -> Result<()> {
    for _ in 0..lines {
        let mut garbage = TcpStream::connect(weir.address()).await?;
        garbage
            .write_all(b"GET / HTTP/1.1\r\nHost: weir\r\n\r\n")
            .await?;
    }
    Ok(())
}

/// An operation and a health check.
async fn works(weir: &WeirProcess) -> Result<()> {
    let started = Instant::now();
    let mut raw = Raw::connect(weir.address()).await?;
    let insert = doc! { "insert": "logging", "documents": [{}] };
    let reply = raw.command("logging", insert).await?;
    ensure!(reply.get_i32("n").ok() == Some(1), "{reply}");
    let (code, _) = weir.get_any("/live").await?;
    ensure!(code == 200, "/live says {code}");
    ensure!(started.elapsed() < LIMIT, "it took {:?}", started.elapsed());
    Ok(())
}

async fn ends(weir: &WeirProcess) -> Result<()> {
    weir.signal(Signal::Terminate)?;
    let status = weir.wait(Duration::from_secs(10)).await?;
    ensure!(status.success(), "{status}");
    Ok(())
}

#[tokio::test]
async fn a_log_reader_that_stalls_stops_nothing_and_the_loss_is_counted() -> Result<()> {
    let weir = weir(LogReader::Stalls).await?;
    make_lines(&weir, LINES).await?;
    works(&weir).await?;
    weir.read_log_now()?;
    weir.wait_for_log("lost_lines").await?;
    ends(&weir).await
}

#[tokio::test]
async fn a_weir_whose_log_stands_still_ends_in_time() -> Result<()> {
    let weir = weir(LogReader::Stalls).await?;
    make_lines(&weir, 500).await?;
    ends(&weir).await
}

#[tokio::test]
async fn a_log_reader_that_is_gone_ends_nothing() -> Result<()> {
    let weir = weir(LogReader::IsGone).await?;
    make_lines(&weir, 50).await?;
    works(&weir).await?;
    ends(&weir).await
}

#[tokio::test]
async fn signals_by_custom_end_nothing_without_a_word() -> Result<()> {
    let weir = weir(LogReader::Reads).await?;
    for (signal, name) in [(Signal::HangUp, "SIGHUP"), (Signal::User1, "SIGUSR1")] {
        weir.signal(signal)?;
        weir.wait_for_log(name).await?;
    }
    works(&weir).await?;
    ends(&weir).await
}
