//! What the Lambda extension costs: `cargo run --release -p weir-tests --bin weir-lambda`.
//!
//! Extension and shim are real, Lambda's API is a script, the shared Weir and the database are
//! real ones on this machine. So these are this machine's numbers, not AWS's: there they depend
//! on the memory of the function.

use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bson::doc;
use weir_tests::cluster::Cluster;
use weir_tests::lambda::{Extension, ScriptedApi, processes::Found};
use weir_tests::raw::Raw;
use weir_tests::weir::{WeirProcess, program_called};

/// Cold starts.
const STARTS: usize = 30;
/// Operations on each road.
const OPERATIONS: usize = 2_000;
/// Far beyond anything measured here.
const LONG: Duration = Duration::from_secs(60);

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let cluster = Cluster::builder().login().start().await?;
    let service = WeirProcess::builder()
        .upstream(cluster.uri())
        .start()
        .await?;
    let (own, address) = (cluster.uri(), service.address().to_string());
    let roads = [
        (
            "shared Weir",
            vec![("DB", own.as_str()), ("WEIR_SERVICE", address.as_str())],
        ),
        ("database itself", vec![("DB", own.as_str())]),
    ];
    println!("| measure | shared Weir | database itself | wanted |\n|---|---|---|---|");
    let mut columns = Vec::new();
    for (_, variables) in &roads {
        columns.push(Column::measure(variables).await?);
    }
    let row = |name: &str, wanted: &str, of: fn(&Column) -> String| {
        let cells: Vec<String> = columns.iter().map(of).collect();
        println!("| {name} | {} | {wanted} |", cells.join(" | "));
    };
    row("start to registered, median", "15 ms", |c| ms(c.init));
    row("the same, slowest of 30", "", |c| ms(c.slowest_init));
    row(
        "INVOKE to asking for the next event, median",
        "0.2 ms",
        |c| ms(c.hook),
    );
    row("SHUTDOWN to exit", "300 ms", |c| ms(c.end));
    row("resident memory after 2,000 operations", "20 MB", |c| {
        megabytes(c.resident)
    });
    row("find by _id through the extension, median", "", |c| {
        ms(c.find)
    });
    let without = finds(&mut Raw::connect(service.address()).await?).await?;
    println!(
        "| the same through the shared Weir alone | {} | | |",
        ms(without)
    );
    let program = program_called("weir-extension").await?;
    println!(
        "| size of the program | {} | | |",
        megabytes(program.metadata()?.len())
    );
    Ok(())
}

/// What was measured on one road.
struct Column {
    init: Duration,
    slowest_init: Duration,
    hook: Duration,
    end: Duration,
    resident: u64,
    find: Duration,
}

impl Column {
    async fn measure(variables: &[(&str, &str)]) -> Result<Self> {
        let (mut inits, mut ends) = (Vec::new(), Vec::new());
        for _ in 0..STARTS {
            let api = ScriptedApi::start(&[])?;
            let began = tokio::time::Instant::now();
            let extension = Extension::start(&api, variables).await?;
            let calls = api.called("next", 1).await?;
            let registered = calls.first().context("no call")?.at;
            inits.push(registered.saturating_duration_since(began));
            let mut function = Raw::connect(extension.address()).await?;
            function.command("lambda", doc! { "ping": 1 }).await?;
            ends.push(end(&api, &extension).await?);
        }
        let api = ScriptedApi::start(&[])?;
        let extension = Extension::start(&api, variables).await?;
        api.is_asked().await?;
        let mut hooks = Vec::new();
        for n in 0..50 {
            let asked = api.calls("next").len();
            let told = tokio::time::Instant::now();
            api.invoke(&format!("r-{n}"), LONG);
            let calls = api.called("next", asked + 1).await?;
            let last = calls.last().context("no call")?.at;
            hooks.push(last.saturating_duration_since(told));
        }
        let mut function = Raw::connect(extension.address()).await?;
        let find = finds(&mut function).await?;
        let process = Found {
            pid: extension.pid(),
            name: String::new(),
        };
        let resident = process.resident().context("no memory was found")?;
        ends.push(end(&api, &extension).await?);
        Ok(Self {
            slowest_init: inits.iter().max().copied().unwrap_or_default(),
            init: median(inits),
            hook: median(hooks),
            end: median(ends),
            resident,
            find,
        })
    }
}

async fn end(api: &ScriptedApi, extension: &Extension) -> Result<Duration> {
    let told = Instant::now();
    api.shut_down("spindown");
    extension.ends(LONG).await?;
    Ok(told.elapsed())
}

async fn finds(function: &mut Raw) -> Result<Duration> {
    let insert = doc! { "insert": "found", "documents": [{ "_id": 1 }] };
    function.command("lambda", insert).await?;
    let mut times = Vec::new();
    for _ in 0..OPERATIONS {
        let began = Instant::now();
        let find = doc! { "find": "found", "filter": { "_id": 1 }, "limit": 1 };
        function.command("lambda", find).await?;
        times.push(began.elapsed());
    }
    Ok(median(times))
}

fn median(mut times: Vec<Duration>) -> Duration {
    times.sort();
    times.get(times.len() / 2).copied().unwrap_or_default()
}

fn ms(time: Duration) -> String {
    format!("{:.2} ms", time.as_secs_f64() * 1000.0)
}

fn megabytes(bytes: u64) -> String {
    format!("{}.{} MB", bytes / 1_000_000, bytes % 1_000_000 / 100_000)
}
