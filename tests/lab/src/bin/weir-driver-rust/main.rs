//! What an application does with the official Rust driver, feature by feature; see
//! `tests/drivers/README.md`.

use std::io::Read;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use serde_json::{Value, json};

use common::{NotApplicable, Plan};

mod basics;
mod bulk;
mod common;
mod connect;
mod endpoints;
mod parallel;
mod probe;
mod reading;
mod rolling;
mod writing;

/// Of one feature.
const LIMIT: Duration = Duration::from_secs(30);

#[tokio::main]
async fn main() -> Result<()> {
    let mut plan = String::new();
    std::io::stdin().read_to_string(&mut plan)?;
    let plan: Value = serde_json::from_str(&plan)?;
    match plan.get("mode").and_then(Value::as_str) {
        Some("features") => features(&Plan::read(&plan)?).await,
        Some("probe") => {
            let cases = plan.get("cases").and_then(Value::as_array);
            for case in cases.into_iter().flatten() {
                println!("{}", probe::run(case).await?);
            }
            Ok(())
        }
        Some("connect") => {
            let cases = plan.get("cases").and_then(Value::as_array);
            for case in cases.into_iter().flatten() {
                println!("{}", connect::run(case).await?);
            }
            Ok(())
        }
        Some("rolling") => {
            for line in rolling::run(&plan).await? {
                println!("{line}");
            }
            Ok(())
        }
        mode => bail!("no mode {mode:?}"),
    }
}

/// What a pass of a feature does not show.
fn note(feature: &str) -> Option<String> {
    (feature == "timeout").then(|| "by maxTimeMS: this driver has no timeoutMS".to_owned())
}

async fn features(plan: &Plan) -> Result<()> {
    let client = plan.client().await?;
    let database = client.database(&plan.database);
    database.drop().await?;
    for feature in &plan.features {
        let start = Instant::now();
        let ended = tokio::time::timeout(LIMIT, one(plan, feature)).await;
        let ended = ended.unwrap_or_else(|_| bail!("took longer than 30 s"));
        let (result, reason) = match ended {
            Ok(()) => ("pass", note(feature)),
            Err(error) => match error.downcast_ref::<NotApplicable>() {
                Some(reason) => ("n/a", Some(reason.0.clone())),
                None => ("fail", Some(format!("{error:#}"))),
            },
        };
        let ms = u64::try_from(start.elapsed().as_millis())?;
        let mut line = json!({ "feature": feature, "result": result, "ms": ms });
        if let (Some(reason), Some(line)) = (reason, line.as_object_mut()) {
            line.insert("reason".into(), reason.into());
        }
        println!("{line}");
    }
    database.drop().await.context("dropping at the end")
}

async fn one(plan: &Plan, feature: &str) -> Result<()> {
    match feature {
        "connect" => basics::connect(plan).await,
        "server-api" => basics::server_api(plan).await,
        "server-api-strict" => basics::server_api_strict(plan).await,
        "scram-sha-256" => basics::scram(plan, "sha256").await,
        "scram-sha-1" => basics::scram(plan, "sha1").await,
        "crud" => basics::crud(plan).await,
        "bulk" => bulk::bulk(plan).await,
        "client-bulk-write" => bulk::client_bulk_write(plan).await,
        "out-merge" => bulk::out_merge(plan).await,
        "sessions" => parallel::sessions(plan).await,
        "concurrent" => parallel::concurrent(plan).await,
        "commands" => parallel::commands(plan).await,
        "transactions" => writing::transactions(plan).await,
        "transaction-retry" => writing::transaction_retry(plan).await,
        "with-transaction" => writing::with_transaction(plan).await,
        "retryable-read" => writing::retryable_read(plan).await,
        "retryable-write" => writing::retryable_write(plan).await,
        "unacknowledged" => writing::unacknowledged(plan).await,
        "large-results" => reading::large_results(plan).await,
        "causal" => reading::causal(plan).await,
        "snapshot" => reading::snapshot(plan).await,
        "change-stream" => reading::change_stream(plan).await,
        "gridfs" => reading::gridfs(plan).await,
        "read-preference" => reading::read_preference(plan).await,
        "max-staleness" => reading::max_staleness(plan).await,
        "tailable" => reading::tailable(plan).await,
        "exhaust" => Err(NotApplicable::because("the driver has no exhaust cursors")),
        "snappy" | "zlib" | "zstd" => endpoints::compressor(plan, feature).await,
        "timeout" => endpoints::timeout(plan).await,
        "tls" | "unix" => endpoints::crud_through(plan, feature).await,
        "balanced" => endpoints::balanced(plan).await,
        "pool" => endpoints::pool(plan).await,
        _ => bail!("the program has no such feature"),
    }
}
