//! `weir demo`, seen from the terminal it runs in.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result};
use tokio::sync::{Mutex, MutexGuard};
use weir::demo::process::{Process, Scratch, Signal};
use weir_tests::surroundings::{blocking, mongod, surroundings};
use weir_tests::wait::until_true;
use weir_tests::weir::program;

/// Two short phases, two servers, and a machine with much else to do.
const END_LIMIT: Duration = Duration::from_secs(120);

/// One demo at a time: each fills the machine, and its students have no patience.
static TURN: Mutex<()> = Mutex::const_new(());

/// A running demo that writes into a file.
struct Demo {
    _turn: MutexGuard<'static, ()>,
    process: Arc<Process>,
    output: PathBuf,
    temporary: PathBuf,
}

impl Demo {
    async fn start(scratch: &Arc<Scratch>, arguments: &[&str]) -> Result<Self> {
        let turn = TURN.lock().await;
        let output = scratch.path().join("output.txt");
        let temporary = scratch.path().join("tmp");
        fs::create_dir(&temporary)?;
        let mut command = Command::new(program().await?);
        command
            .arg("demo")
            .args(arguments)
            .env("WEIR_MONGOD", mongod().await?.path)
            .env("TMPDIR", &temporary)
            .stdin(Stdio::null())
            .stdout(File::create(&output)?)
            .stderr(Stdio::inherit());
        Ok(Self {
            _turn: turn,
            process: Arc::new(Process::spawn(&mut command, scratch)?),
            output,
            temporary,
        })
    }

    fn said(&self) -> String {
        fs::read_to_string(&self.output).unwrap_or_default()
    }

    /// Waits for its end and returns the exit code.
    async fn end(&self) -> Result<Option<i32>> {
        let process = self.process.clone();
        let status = blocking(move || process.wait(END_LIMIT)).await??;
        Ok(status.context("the demo did not end")?.code())
    }

    fn left_behind(&self) -> usize {
        fs::read_dir(&self.temporary).map_or(0, Iterator::count)
    }
}

/// The cells of the first row with that label.
fn row<'t>(text: &'t str, label: &str) -> Option<&'t str> {
    let line = text.lines().find(|line| line.trim().starts_with(label))?;
    Some(line.trim().strip_prefix(label)?.trim())
}

#[tokio::test]
async fn few_students_are_served_both_ways_and_nothing_is_left() -> Result<()> {
    let scratch = Scratch::new(&surroundings().temporary, "weir-demo-test")?;
    let demo = Demo::start(&scratch, &["--clients", "40", "--seconds", "5", "--exit"]).await?;
    let code = demo.end().await?;
    let said = demo.said();
    assert_eq!(code, Some(0), "{said}");

    let served = row(&said, "students served").context("no table")?;
    assert_eq!(
        served
            .split_whitespace()
            .filter(|cell| *cell == "40")
            .count(),
        4,
        "{said}"
    );
    let answers = row(&said, "answers found / confirmed").context("no table")?;
    assert_eq!(answers.matches("200 / 200").count(), 2, "{said}");
    let connections = row(&said, "server connections, peak").context("no table")?;
    let through = connections
        .split_whitespace()
        .rev()
        .nth(2)
        .context("one column")?;
    assert!((1..=20).contains(&through.parse::<u32>()?), "{said}");
    assert!(!said.contains('\u{1b}'), "escapes in a file: {said:?}");
    assert_eq!(demo.left_behind(), 0);
    Ok(())
}

/// Everything but the workers is of our own making; without Python there are none.
async fn python() -> bool {
    weir_tests::python::Python::of(weir_tests::python::Generation::Newest)
        .await
        .is_some()
}

#[tokio::test]
async fn workers_are_served_through_their_sidecars_and_nothing_is_left() -> Result<()> {
    if !python().await {
        return Ok(());
    }
    let scratch = Scratch::new(&surroundings().temporary, "weir-demo-test")?;
    let arguments = [
        "--as",
        "sidecar",
        "--clients",
        "48",
        "--seconds",
        "12",
        "--exit",
    ];
    let demo = Demo::start(&scratch, &arguments).await?;
    let code = demo.end().await?;
    let said = demo.said();
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("through 3 sidecars"), "{said}");

    let last = |label: &str, back: usize| -> Result<String> {
        let cells = row(&said, label).context("no table")?;
        let cell = cells.split_whitespace().rev().nth(back);
        Ok(cell.context("too few cells")?.to_owned())
    };
    assert_eq!(last("students served", 2)?, "48", "{said}");
    assert_eq!(last("errors shown to students", 0)?, "0", "{said}");
    assert_eq!(last("connections refused", 0)?, "0", "{said}");
    let [found, confirmed] = [
        last("answers found / confirmed", 2)?,
        last("answers found / confirmed", 0)?,
    ];
    assert_eq!(
        (found.as_str(), confirmed.as_str()),
        ("240", "240"),
        "{said}"
    );
    assert_eq!(last("server connections, peak", 0)?, "60", "{said}");
    let peak: u32 = last("server connections, peak", 2)?.parse()?;
    // Each has its two monitors at least, all of them no more than three caps.
    assert!((6..=60).contains(&peak), "{said}");
    // Directly, the two tasks that were there take what there is, and every
    // third student meets a worker of the last one.
    let turned_away = row(&said, "students turned away").context("no table")?;
    let turned_away = turned_away.split_whitespace().next().context("no cell")?;
    assert!(turned_away.parse::<u32>()? >= 16, "{said}");
    let direct: u32 = last("server connections, peak", 5)?.parse()?;
    assert!(direct > peak, "{said}");
    assert_eq!(demo.left_behind(), 0);
    Ok(())
}

#[tokio::test]
async fn an_interrupt_leaves_no_worker_and_no_sidecar() -> Result<()> {
    if !python().await {
        return Ok(());
    }
    let scratch = Scratch::new(&surroundings().temporary, "weir-demo-test")?;
    let cluster = weir_tests::cluster::Cluster::builder().start().await?;
    let uri = cluster.uri();
    let arguments = [
        "--as",
        "sidecar",
        "--clients",
        "48",
        "--seconds",
        "60",
        "--upstream",
        &uri,
    ];
    let demo = Demo::start(&scratch, &arguments).await?;
    let playing = || demo.said().contains(" in exam ");
    until_true("the phase", END_LIMIT, playing).await?;
    assert_eq!(
        demo.left_behind(),
        2,
        "the sidecars' and the workers' folders"
    );
    demo.process.signal(Signal::Terminate)?;
    assert_eq!(demo.end().await?, Some(130), "{}", demo.said());
    assert_eq!(demo.left_behind(), 0);
    assert!(
        demo.said().contains("Dropped the database weir_demo"),
        "{}",
        demo.said()
    );
    let port = cluster.member(0)?.address().port();
    let counted = || weir_tests::sockets::to_port(port).is_ok_and(|count| count < 6);
    if weir_tests::sockets::can_count() {
        until_true("the sidecars' sockets are gone", END_LIMIT, counted).await?;
    }
    let client = cluster.client().await?;
    assert!(
        !client
            .list_database_names()
            .await?
            .contains(&"weir_demo".to_owned())
    );
    Ok(())
}

#[tokio::test]
async fn an_interrupt_in_the_middle_leaves_nothing() -> Result<()> {
    let scratch = Scratch::new(&surroundings().temporary, "weir-demo-test")?;
    let demo = Demo::start(&scratch, &["--clients", "40", "--seconds", "30"]).await?;
    let playing = || demo.said().contains(" in exam ");
    until_true("the first phase", END_LIMIT, playing).await?;
    assert_eq!(demo.left_behind(), 1, "the server's folder");
    demo.process.signal(Signal::Terminate)?;
    assert_eq!(demo.end().await?, Some(130), "{}", demo.said());
    assert_eq!(demo.left_behind(), 0);
    Ok(())
}
