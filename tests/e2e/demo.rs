//! `weir demo`, seen from the terminal it runs in.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result};
use weir_kit::process::Scratch;
use weir_tests::demo::{Demo, END_LIMIT, cell, row};
use weir_tests::paths::paths;
use weir_tests::python::{Generation, Python};
use weir_tests::wait::until_true;

#[tokio::test]
async fn few_students_are_served_both_ways_and_nothing_is_left() -> Result<()> {
    let scratch = Scratch::new(&paths().temporary, "weir-demo-test")?;
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

/// Whatever kills it, the database is started again, and the table says what that was.
async fn outage_is_told(demo: &Demo) -> Result<()> {
    let code = demo.end().await?;
    let said = demo.said();
    assert_eq!(code, Some(0), "{said}");
    let cells = |label: &str| -> Result<Vec<String>> {
        let cells = row(&said, label).with_context(|| format!("no {label}: {said}"))?;
        Ok(cells.split_whitespace().map(ToOwned::to_owned).collect())
    };
    assert_eq!(
        cells("students served")?.get(3..6),
        Some(&["40", "of", "40"].map(ToOwned::to_owned)[..]),
        "{said}"
    );
    assert_eq!(
        cells("errors shown to students")?
            .last()
            .map(String::as_str),
        Some("0"),
        "{said}"
    );
    let answers = row(&said, "answers found / confirmed").context("no table")?;
    assert!(answers.ends_with("200 / 200"), "{said}");
    assert_eq!(
        cells("requests failed meanwhile")?
            .last()
            .map(String::as_str),
        Some("0"),
        "{said}"
    );
    let waited = cells("requests that waited")?;
    let waited: u32 = waited.last().context("no cell")?.parse()?;
    assert!(waited > 0, "nobody needed it: {said}");
    assert_ne!(
        cells("database away")?.last().map(String::as_str),
        Some("–"),
        "{said}"
    );
    assert!(said.contains("The database was killed"), "{said}");
    assert!(said.contains("The database takes writes again"), "{said}");
    let in_one_line: Vec<&str> = said.split_whitespace().collect();
    let verdict = in_one_line.join(" ");
    assert!(verdict.contains("While the database was away,"), "{said}");
    assert_eq!(demo.left_behind(), 0);
    Ok(())
}

#[tokio::test]
async fn a_killed_database_is_a_wait_through_weir() -> Result<()> {
    let scratch = Scratch::new(&paths().temporary, "weir-demo-test")?;
    let arguments = [
        "--clients",
        "40",
        "--seconds",
        "16",
        "--kill-database",
        "--exit",
    ];
    let demo = Demo::start(&scratch, &arguments).await?;
    outage_is_told(&demo).await?;
    // Once in each phase.
    assert_eq!(demo.said().matches("The database was killed").count(), 2);
    Ok(())
}

/// The process of the demo's own database: the one that has its folder.
fn database_of(demo: &Demo) -> Option<u32> {
    let processes = fs::read_dir("/proc").ok()?.filter_map(Result::ok);
    let mut pids = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<u32>().ok());
    pids.find(|pid| {
        let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).into_owned();
        line.contains("--dbpath") && line.contains(&*demo.temporary().to_string_lossy())
    })
}

#[tokio::test]
async fn a_database_killed_by_hand_is_started_again_too() -> Result<()> {
    if !std::path::Path::new("/proc/self/cmdline").exists() {
        weir_tests::skip::skip("a kill by hand", "this system has no /proc");
        return Ok(());
    }
    let scratch = Scratch::new(&paths().temporary, "weir-demo-test")?;
    let demo = Demo::start(&scratch, &["--clients", "40", "--seconds", "16", "--exit"]).await?;
    // Students arrive for eight seconds; the log has a line every two.
    let playing = || {
        let said = demo.said();
        let phase = said.split("2. Through Weir").nth(1).unwrap_or_default();
        phase.matches(" in exam ").count() >= 2
    };
    until_true("the second phase", END_LIMIT, playing).await?;
    let pid = database_of(&demo).context("no database")?.to_string();
    let killed = Command::new("sh")
        .args(["-c", "kill -s KILL \"$1\"", "sh", &pid])
        .status()?;
    assert!(killed.success());
    outage_is_told(&demo).await?;
    assert_eq!(demo.said().matches("The database was killed").count(), 1);
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
    let scratch = Scratch::new(&paths().temporary, "weir-demo-test")?;
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

    let last = |label, back| cell(&said, label, back);
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
    let scratch = Scratch::new(&paths().temporary, "weir-demo-test")?;
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
    demo.terminate()?;
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
    let scratch = Scratch::new(&paths().temporary, "weir-demo-test")?;
    let demo = Demo::start(&scratch, &["--clients", "40", "--seconds", "30"]).await?;
    let playing = || demo.said().contains(" in exam ");
    until_true("the first phase", END_LIMIT, playing).await?;
    assert_eq!(demo.left_behind(), 1, "the server's folder");
    demo.terminate()?;
    assert_eq!(demo.end().await?, Some(130), "{}", demo.said());
    assert_eq!(demo.left_behind(), 0);
    Ok(())
}

/// A server at its limit from the start is what the direct phase shows. It must not end the demo.
#[tokio::test]
async fn a_worker_that_every_connection_is_refused_to_goes_on() -> Result<()> {
    let Some(python) = Python::of(Generation::Newest).await else {
        return Ok(());
    };
    let worker = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../proxy/demo/src/fleet/worker.py"
    );
    let seen = python.run("refused_worker.py", &[worker]).await?;
    assert_eq!(seen["gave_up"], 1, "{seen}");
    Ok(())
}
