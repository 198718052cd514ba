//! What the extension costs: its start, an invocation, its end, its memory, an operation.

use std::io::{Read, Write};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bson::doc;

use weir_tests::cluster::Cluster;
use weir_tests::lambda::processes::Found;
use weir_tests::lambda::{Extension, ScriptedApi};
use weir_tests::raw::Raw;
use weir_tests::weir::{WeirProcess, program_called};

/// Cold starts.
const STARTS: usize = 30;
/// Operations on each endpoint.
const OPERATIONS: usize = 2_000;
/// Invocations.
const INVOCATIONS: usize = 50;
/// Far beyond anything measured here.
const LONG: Duration = Duration::from_secs(60);

/// All that was measured.
#[derive(Clone, Debug)]
pub struct Overhead {
    /// Before a shared Weir, and before the database itself.
    pub columns: [Column; 2],
    /// A find without the extension.
    pub without: Duration,
    /// What a script of Lambda's API takes of an invocation, with a client that does nothing.
    pub api: Duration,
    /// The size of the program, in bytes.
    pub program: u64,
}

/// What was measured on one endpoint.
#[derive(Clone, Copy, Debug)]
pub struct Column {
    /// From the start to the question for the first event.
    pub init: Duration,
    /// The slowest of them.
    pub slowest_init: Duration,
    /// From INVOKE to the question for the next event.
    pub hook: Duration,
    /// One invocation in ten was no slower: less of it is the machine's scheduling.
    pub undisturbed_hook: Duration,
    /// From SHUTDOWN to the exit.
    pub end: Duration,
    /// Resident memory, in bytes.
    pub resident: u64,
    /// One find.
    pub find: Duration,
}

/// Measures everything.
///
/// # Errors
/// When something does not start or answer.
pub async fn measure() -> Result<Overhead> {
    let cluster = Cluster::builder().login().start().await?;
    let service = WeirProcess::builder()
        .upstream(cluster.uri())
        .start()
        .await?;
    let (own, address) = (cluster.uri(), service.address().to_string());
    let own = ("DB", own.as_str());
    Ok(Overhead {
        columns: [
            Column::measure(&[own, ("WEIR_SERVICE", &address)]).await?,
            Column::measure(&[own]).await?,
        ],
        without: finds(&mut Raw::connect(service.address()).await?).await?,
        api: api_alone().await?,
        program: program_called("weir-extension").await?.metadata()?.len(),
    })
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
        for n in 0..INVOCATIONS {
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
            undisturbed_hook: percentile(&hooks, 10),
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

fn median(times: Vec<Duration>) -> Duration {
    percentile(&times, 50)
}

fn percentile(times: &[Duration], percent: usize) -> Duration {
    let mut times = times.to_vec();
    times.sort();
    let rank = times.len() * percent / 100;
    times.get(rank).copied().unwrap_or_default()
}

/// The same exchange as at an invocation, by a client that asks again at once: what is left of
/// the extension's number when this is taken off is the extension's.
async fn api_alone() -> Result<Duration> {
    let api = ScriptedApi::start(&[])?;
    let address = api.address();
    let asking = std::thread::spawn(move || -> std::io::Result<()> {
        for _ in 0..=INVOCATIONS {
            let mut socket = std::net::TcpStream::connect(address)?;
            let ask = b"GET /2020-01-01/extension/event/next HTTP/1.1\r\nHost: api\r\n\r\n";
            socket.write_all(ask)?;
            socket.read_to_end(&mut Vec::new())?;
        }
        Ok(())
    });
    let mut times = Vec::new();
    for n in 0..=INVOCATIONS {
        api.called("next", n + 1).await?;
        let told = tokio::time::Instant::now();
        api.invoke(&format!("r-{n}"), LONG);
        if n < INVOCATIONS {
            let calls = api.called("next", n + 2).await?;
            let last = calls.last().context("no call")?.at;
            times.push(last.saturating_duration_since(told));
        }
    }
    let asked = asking.join();
    asked.map_err(|_| anyhow::anyhow!("the client panicked"))??;
    Ok(median(times))
}
