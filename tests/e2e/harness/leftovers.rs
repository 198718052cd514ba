//! Nothing outlives the process that started it, not even after SIGKILL.

use std::io::{BufRead, BufReader};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use weir_tests::cluster::Cluster;
use weir_tests::wait::{LIMIT, until_true};

/// Set for the copy of this test program that is to be killed.
const VICTIM: &str = "WEIR_TESTS_VICTIM";

/// Not a test of its own: what the killed copy does.
#[tokio::test]
async fn victim() -> Result<()> {
    if std::env::var_os(VICTIM).is_none() {
        return Ok(());
    }
    let cluster = Cluster::builder().start().await?;
    let member = cluster.member(0)?;
    let pid = member.pid().context("no process")?;
    // Past the runner, which would hold it back until the end.
    use std::io::Write;
    writeln!(
        std::io::stderr(),
        "victim {pid} {}",
        member.folder().display()
    )?;
    tokio::time::sleep(Duration::from_secs(600)).await;
    Ok(())
}

#[tokio::test]
async fn a_killed_test_process_leaves_no_mongod_behind() -> Result<()> {
    let mut copy = Command::new(std::env::current_exe()?)
        .args(["--exact", "harness::leftovers::victim", "--test-threads=1"])
        .env(VICTIM, "1")
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()?;
    let said = BufReader::new(copy.stderr.take().context("no pipe")?);
    let line = said
        .lines()
        .map_while(Result::ok)
        .find(|line| line.starts_with("victim "));
    let line = line.context("the copy started nothing")?;
    let mut words = line.splitn(3, ' ').skip(1);
    let pid = words.next().context("no id")?.to_owned();
    let folder = words.next().context("no folder")?.to_owned();
    ensure!(Path::new(&folder).exists());

    copy.kill()?;
    copy.wait()?;
    // A process whose new parent does not reap it stays as a zombie.
    let runs = || {
        let status = Command::new("sh")
            .args(["-c", "ps -o stat= -p \"$1\" | grep -qv Z", "sh", &pid])
            .status();
        status.is_ok_and(|status| status.success())
    };
    until_true("the end of mongod", LIMIT, || !runs()).await?;
    until_true("the folder to go", LIMIT, || !Path::new(&folder).exists()).await
}
