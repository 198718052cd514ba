//! The extension goes on whatever happens to it: its end would be the function's.

use std::io::Read;
use std::net::SocketAddr;
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, ensure};
use weir_kit::mongod::free_port;
use weir_tests::cluster::shared;
use weir_tests::lambda::{Answer, ScriptedApi};
use weir_tests::raw::Raw;
use weir_tests::wait::{LIMIT, until};
use weir_tests::weir::program_called;

use crate::support::{insert, works};

/// A process whose output the test holds itself, and may let go of.
struct Bare(Child);

impl Drop for Bare {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// Nobody reads its log any more, and it has something to say every time Lambda does not answer.
#[tokio::test]
async fn a_log_that_cannot_be_written_ends_nothing() -> Result<()> {
    let cluster = shared::single().await?;
    let api = ScriptedApi::start(&[Answer::Hold])?;
    let listen = SocketAddr::from(([127, 0, 0, 1], free_port()?));
    let mut command = Command::new(program_called("weir-extension").await?);
    command
        .env_clear()
        .env("AWS_LAMBDA_RUNTIME_API", api.address().to_string())
        .env("WEIR_LISTEN", listen.to_string())
        .env("DB", cluster.uri())
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped());
    let mut process = Bare(command.spawn()?);
    let mut log = process.0.stderr.take().context("no standard error")?;
    ensure!(log.read(&mut [0])? == 1, "it says that it serves");
    drop(log);
    // Each of them is written, and nobody reads it.
    api.break_nexts(5);
    api.let_go();
    api.is_asked().await?;
    let asked = api.calls("next").len();
    ensure!(asked > 5, "{asked} calls");
    let mut function = Raw::connect(listen).await?;
    works(&mut function, insert("robust", "unheard")).await?;
    api.shut_down("spindown");
    let status = until("it to end", LIMIT, || {
        let ended = process.0.try_wait().transpose();
        async move { ended }
    })
    .await??;
    ensure!(status.success(), "{status}");
    Ok(())
}
