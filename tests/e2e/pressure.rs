//! `weir bench pressure`, seen from outside: its document, its sockets, and what it leaves.

use std::fs::{self, File};
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use mongodb::Client;
use serde_json::Value;
use weir_kit::process::{Process, Scratch, Signal};
use weir_tests::cluster::Cluster;
use weir_tests::paths::{blocking, paths};
use weir_tests::sockets::{Sampler, can_count};
use weir_tests::wait::until_true;
use weir_tests::weir::program;

mod trouble;

/// A few short measurements, on a machine with much else to do.
const END_LIMIT: Duration = Duration::from_secs(90);
/// The database that `--write` makes.
const OURS: &str = "weir_bench";

/// A running measurement that writes into files.
struct Bench {
    process: Arc<Process>,
    scratch: Arc<Scratch>,
}

impl Bench {
    async fn start(arguments: &[&str]) -> Result<Self> {
        let scratch = Scratch::new(&paths().temporary, "weir-pressure-test")?;
        let mut command = Command::new(program().await?);
        command
            .args(["bench", "pressure"])
            .args(arguments)
            .stdin(Stdio::null())
            .stdout(File::create(scratch.path().join("out"))?)
            .stderr(File::create(scratch.path().join("err"))?);
        let process = Arc::new(Process::spawn(&mut command, &scratch)?);
        Ok(Self { process, scratch })
    }

    fn path(&self, name: &str) -> PathBuf {
        self.scratch.path().join(name)
    }

    fn out(&self) -> String {
        fs::read_to_string(self.path("out")).unwrap_or_default()
    }

    fn err(&self) -> String {
        fs::read_to_string(self.path("err")).unwrap_or_default()
    }

    async fn end(&self) -> Result<Option<i32>> {
        let process = Arc::clone(&self.process);
        let status = blocking(move || process.wait(END_LIMIT)).await??;
        Ok(status.context("the measurement did not end")?.code())
    }

    /// Runs to the end and reads the document.
    async fn document(arguments: &[&str]) -> Result<Value> {
        let bench = Self::start(&[arguments, &["--json"]].concat()).await?;
        let code = bench.end().await?;
        ensure!(code == Some(0), "{code:?}: {}", bench.err());
        Ok(serde_json::from_str(&bench.out())?)
    }
}

/// A server of one's own: what others write must not be mistaken for ours.
async fn server() -> Result<Cluster> {
    Cluster::builder()
        .login()
        .max_connections(100)
        .start()
        .await
}

async fn fill(cluster: &Cluster) -> Result<Client> {
    let client = cluster.client().await?;
    let orders = client.database("shop").collection::<Document>("orders");
    let documents = (0..300).map(|n| doc! { "_id": format!("order-{n}"), "n": n });
    orders.insert_many(documents).await?;
    Ok(client)
}

/// What anybody has written; a set's own housekeeping is not counted.
async fn written(client: &Client) -> Result<u64> {
    let oplog = client.database("local").collection::<Document>("oplog.rs");
    let theirs = doc! {
        "op": { "$in": ["i", "u", "d", "c"] },
        "ns": { "$not": bson::Regex {
            pattern: "^(config|admin)\\.".try_into()?,
            options: "".try_into()?,
        } },
    };
    Ok(oplog.count_documents(theirs).await?)
}

fn number(value: &Value) -> Result<f64> {
    value
        .as_f64()
        .with_context(|| format!("{value} is no number"))
}

fn text<'v>(value: &'v Value, pointer: &str) -> Option<&'v str> {
    value.pointer(pointer)?.as_str()
}

fn check_cell(cell: &Value) -> Result<()> {
    for name in [
        "clients",
        "operations",
        "operations_per_second",
        "queue_depth_max",
    ] {
        number(&cell[name]).with_context(|| name.to_owned())?;
    }
    for times in [&cell["latency_ms"], &cell["checkout_wait_ms"]] {
        ensure!(number(&times["p50"])? <= number(&times["p99"])?, "{cell:#}");
    }
    let lanes = &cell["lanes"];
    for lane in [&lanes["normal"], &lanes["finishing"], &lanes["awaiting"]] {
        number(&lane["mean"])?;
    }
    let (cap, most) = (
        number(&cell["max_connections"])?,
        number(&cell["sockets_max"])?,
    );
    ensure!((3.0..=cap).contains(&most), "{most} sockets of {cap}");
    ensure!(
        number(&cell["operations"])? > 0.0 && cell["failed"] == 0,
        "{cell:#}"
    );
    ensure!(cell["sheds"] == 0 && cell["refused"] == 0, "{cell:#}");
    Ok(())
}

/// The document of a sweep of 4 and 12 clients over pools of 4 and 6.
fn check_document(document: &Value) -> Result<()> {
    ensure!(
        document["complete"] == true && document["write"] == false,
        "{document:#}"
    );
    ensure!(
        document["reads"]
            .as_str()
            .is_some_and(|reads| reads.contains("shop.orders"))
    );
    ensure!(text(document, "/target/uri").is_some_and(|uri| uri.contains("***")));
    let cells = document["cells"].as_array().context("no cells")?;
    let order: Vec<_> = cells
        .iter()
        .map(|cell| (cell["max_connections"].as_u64(), cell["clients"].as_u64()))
        .collect();
    let expected = [(4, 4), (4, 12), (6, 4), (6, 12)].map(|(pool, n)| (Some(pool), Some(n)));
    ensure!(order == expected, "{order:?}");
    cells.iter().try_for_each(check_cell)?;
    // Pages leave a cursor for a getMore, which is finishing work.
    let finishing = cells.iter().filter(|cell| {
        cell.pointer("/finishing_wait_ms/p99")
            .is_some_and(Value::is_number)
    });
    ensure!(finishing.count() == 4, "{document:#}");
    let said = document.pointer("/recommendation/max_connections");
    let said = said.and_then(Value::as_u64);
    ensure!(matches!(said, Some(4 | 6)), "{document:#}");
    Ok(())
}

#[tokio::test]
async fn a_sweep_keeps_the_cap_writes_nothing_and_recommends_a_pool() -> Result<()> {
    let cluster = server().await?;
    let client = fill(&cluster).await?;
    let before = written(&client).await?;
    let uri = cluster.uri();
    let sweep = ["--clients", "12,4", "--pools", "6,4", "--duration", "400ms"];
    let arguments = [
        &["--json", "--target", &uri, "--scenario", "mixed"],
        &sweep[..],
    ]
    .concat();
    let bench = Bench::start(&arguments).await?;
    let port = cluster.member(0)?.address().port();
    let sampler = Sampler::start(bench.process.id(), vec![port])?;
    let code = bench.end().await?;
    let seen = sampler.finish()?;
    ensure!(code == Some(0), "{code:?}: {}", bench.err());
    if can_count() {
        let held = seen.most.get(&port).context("never looked")?.held;
        ensure!(
            (4..=6).contains(&held),
            "{held} sockets with pools of 4 and 6"
        );
    }

    check_document(&serde_json::from_str(&bench.out())?)?;
    ensure!(written(&client).await? == before, "something was written");
    Ok(())
}

#[tokio::test]
async fn writes_stay_in_a_database_of_its_own_that_is_dropped() -> Result<()> {
    let cluster = server().await?;
    let client = cluster.client().await?;
    let uri = cluster.uri();
    let sweep = ["--clients", "4", "--pools", "5", "--duration", "400ms"];
    let arguments = [
        &["--write", "--target", &uri, "--compare", &uri],
        &sweep[..],
    ]
    .concat();
    let document = Bench::document(&arguments).await?;
    let compared = &document["compare"]["cells"][0];
    ensure!(
        number(&compared["operations"])? > 0.0 && compared["failed"] == 0,
        "{compared:#}"
    );
    let ratio = number(&document["cells"][0]["against"]["operations_per_second"])?;
    let [ours, theirs] =
        [&document["cells"][0], compared].map(|cell| &cell["operations_per_second"]);
    ensure!(
        (ratio - number(ours)? / number(theirs)?).abs() < 1e-6,
        "{document:#}"
    );
    // Made and dropped, and in between updated by both halves.
    let updates = doc! { "op": "u", "ns": format!("{OURS}.load") };
    let oplog = client.database("local").collection::<Document>("oplog.rs");
    ensure!(oplog.count_documents(updates).await? > 0);
    let databases = client.list_database_names().await?;
    ensure!(!databases.iter().any(|name| name == OURS), "{databases:?}");

    // Somebody else's data under that name is left alone.
    let theirs = client.database(OURS).collection::<Document>("grades");
    theirs.insert_one(doc! { "_id": 1 }).await?;
    let refused = Bench::start(&[&["--write", "--target", &uri], &sweep[..]].concat()).await?;
    ensure!(refused.end().await? == Some(1));
    ensure!(
        refused.out().contains("holds the collection grades"),
        "{}",
        refused.out()
    );
    ensure!(theirs.count_documents(doc! {}).await? == 1);
    Ok(())
}

#[tokio::test]
async fn an_interrupt_prints_what_there_is_and_cleans_up() -> Result<()> {
    let cluster = server().await?;
    let uri = cluster.uri();
    let sweep = [
        "--clients",
        "2,4",
        "--pools",
        "5",
        "--duration",
        "5s",
        "--json",
        "--write",
    ];
    let bench = Bench::start(&[&["--target", &uri], &sweep[..]].concat()).await?;
    let second = || bench.err().contains("2 of 2");
    until_true("the second measurement", END_LIMIT, second).await?;
    bench.process.signal(Signal::Terminate)?;
    ensure!(bench.end().await? == Some(130), "{}", bench.err());
    let document: Value = serde_json::from_str(&bench.out())?;
    ensure!(document["complete"] == false, "{document:#}");
    ensure!(
        document["cells"].as_array().map(Vec::len) == Some(1),
        "{document:#}"
    );
    let databases = cluster.client().await?.list_database_names().await?;
    ensure!(!databases.iter().any(|name| name == OURS), "{databases:?}");
    Ok(())
}
