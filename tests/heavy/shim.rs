//! Every string of the shim's corpus, as the shim leaves it in a program's environment, connects:
//! with the official drivers, through a real Weir, to a real replica set.

#![allow(
    clippy::panic,
    clippy::expect_used,
    reason = "all of this file is a test"
)]

use std::env;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde_json::{Value, json};
use weir_lab::matrix::program::{Program, prepare_all, two_at_a_time};
use weir_tests::cluster::Cluster;
use weir_tests::drivers::newest_of_each;
use weir_tests::paths::blocking;
use weir_tests::skip::skip;
use weir_tests::weir::{WeirProcess, program_called};

/// Of one driver's program with all its strings.
const LIMIT: Duration = Duration::from_secs(120);
/// Where the corpus says that Weir is.
const ADDRESS: &str = "127.0.0.1:27017";

/// A string of the corpus.
struct Entry {
    /// Its place, which names its variable.
    number: usize,
    drivers: String,
    old: String,
    new: String,
}

impl Entry {
    fn variable(&self) -> String {
        format!("STRING_{}", self.number)
    }

    fn is_of(&self, language: &str) -> bool {
        let mut drivers = self.drivers.split(' ');
        drivers.any(|driver| driver == "all" || driver == language)
    }

    /// The database that the program must find in it.
    fn database(&self) -> &str {
        let (_, rest) = self.new.split_once(ADDRESS).unwrap_or_default();
        let name = rest.trim_start_matches('/').split('?').next();
        match name.unwrap_or_default() {
            "" => "test",
            // The one that is escaped.
            "sh%2Dop" => "sh-op",
            plain => plain,
        }
    }
}

fn corpus() -> Result<Vec<Entry>> {
    let mut entries = Vec::new();
    for entry in include_str!("../../shim/tests/corpus.txt").split("\n\n") {
        let lines = entry.lines().filter(|line| !line.starts_with('#'));
        let lines: Vec<&str> = lines.filter(|line| !line.is_empty()).collect();
        if lines.is_empty() {
            continue;
        }
        let [drivers, old, new] = lines[..] else {
            anyhow::bail!("no entry of the corpus: {entry}");
        };
        entries.push(Entry {
            number: entries.len(),
            drivers: drivers.to_owned(),
            old: old.to_owned(),
            new: new.to_owned(),
        });
    }
    Ok(entries)
}

/// The shim: `$WEIR_SHIM_BINARY`, or that of this build.
async fn shim() -> Result<PathBuf> {
    match env::var_os("WEIR_SHIM_BINARY") {
        Some(given) => Ok(given.into()),
        None => program_called("weir-shim").await,
    }
}

/// What the program is started with: its strings, and where Weir is.
fn variables(entries: &[&Entry], address: &str) -> Vec<(String, String)> {
    let strings = entries.iter();
    let mut variables: Vec<_> = strings
        .map(|entry| (entry.variable(), entry.old.clone()))
        .collect();
    // They name many clusters; a list says that this is meant.
    let names: Vec<_> = entries.iter().map(|entry| entry.variable()).collect();
    variables.push(("WEIR_SHIM_VARS".to_owned(), names.join(",")));
    variables.push(("WEIR_SHIM_TARGET".to_owned(), address.to_owned()));
    variables
}

/// Runs a driver's program with its strings; what went wrong.
fn connect(program: &Program, entries: &[Entry], shim: PathBuf, address: &str) -> Result<usize> {
    let title = program.driver.title();
    let language = program.driver.language;
    let entries: Vec<&Entry> = entries.iter().filter(|e| e.is_of(language)).collect();
    let case =
        |entry: &&Entry| json!({"id": entry.number.to_string(), "variable": entry.variable()});
    let cases: Vec<Value> = entries.iter().map(case).collect();
    let wrapped = program.clone().wrapped(shim, variables(&entries, address));
    let mut lines = Vec::new();
    let start = Instant::now();
    wrapped
        .run(&json!({"mode": "connect", "cases": cases}), LIMIT, |line| {
            lines.push(line);
        })
        .with_context(|| title.clone())?;
    println!("{title}: {} strings, {:?}", lines.len(), start.elapsed());
    ensure!(lines.len() == entries.len(), "{title}: {lines:?}");
    let failed = entries.iter().zip(&lines).filter_map(|(entry, line)| {
        let text = |key: &str| line.get(key).and_then(Value::as_str).unwrap_or_default();
        let right = text("id") == entry.number.to_string()
            && text("outcome") == "ok"
            && text("database") == entry.database()
            // It was Weir that answered, and not some server.
            && text("weir") == env!("CARGO_PKG_VERSION");
        (!right).then(|| format!("{title}: {}\n  {line}", entry.old))
    });
    let failed: Vec<_> = failed.collect();
    ensure!(failed.is_empty(), "{}", failed.join("\n"));
    Ok(lines.len())
}

#[tokio::test(flavor = "multi_thread")]
async fn every_rewritten_string_connects_with_every_driver() -> Result<()> {
    let _turn = crate::turn().await;
    let mut drivers = newest_of_each();
    // The shell is given its string as an argument.
    drivers.retain(|driver| driver.language != "mongosh");
    let (programs, missing) = blocking(move || prepare_all(&drivers)).await??;
    for (driver, reason) in missing {
        skip(&format!("strings with {}", driver.title()), &reason);
    }
    let cluster = Cluster::builder().login().start().await?;
    let weir = WeirProcess::builder().upstream(cluster.uri());
    let weir = weir.start().await?;
    let address = weir.address().to_string();
    let entries = corpus()?;
    let expected = programs.len();
    let shim = shim().await?;
    let counts = blocking(move || {
        two_at_a_time(programs, |_, program| {
            connect(&program, &entries, shim.clone(), &address)
        })
    })
    .await?;
    let failures: Vec<String> = counts
        .iter()
        .filter_map(|count| count.as_ref().err().map(|error| format!("{error:#}")))
        .collect();
    ensure!(failures.is_empty(), "{}", failures.join("\n"));
    let tried: usize = counts.iter().flatten().sum();
    ensure!(
        expected > 0 && tried >= expected * 30,
        "{tried} strings tried"
    );
    Ok(())
}
