//! Work until a file appears: what a rolling replacement must not be noticed by.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::{Client, ClientSession, Collection, Database};
use serde_json::{Value, json};
use tokio::task::JoinSet;

const PAUSE: Duration = Duration::from_millis(5);

/// What the workers of one target did.
#[derive(Default)]
struct Tally {
    operations: u64,
    errors: BTreeMap<String, u64>,
    slowest: Duration,
    counts: BTreeMap<&'static str, u64>,
}

struct Worker {
    client: Client,
    database: Database,
    name: String,
    stop: PathBuf,
    tally: Arc<Mutex<Tally>>,
}

/// Runs the plan; one line for each target.
pub(crate) async fn run(plan: &Value) -> Result<Vec<Value>> {
    let text = |of: &Value, key: &str| {
        let text = of.get(key).and_then(Value::as_str).map(str::to_owned);
        text.with_context(|| format!("no {key} in the plan"))
    };
    let (database, stop) = (text(plan, "database")?, PathBuf::from(text(plan, "stop")?));
    let workers = plan.get("workers").and_then(Value::as_u64);
    let targets = plan.get("targets").and_then(Value::as_array);
    let mut working = JoinSet::new();
    let mut tallies = Vec::new();
    for target in targets.context("no targets in the plan")? {
        let name = text(target, "name")?;
        let client = Client::with_uri_str(text(target, "uri")?).await?;
        let tally = Arc::new(Mutex::new(Tally::default()));
        for number in 0..workers.context("no workers in the plan")? {
            let worker = Worker {
                client: client.clone(),
                database: client.database(&database),
                name: format!("{name}-{number}"),
                stop: stop.clone(),
                tally: Arc::clone(&tally),
            };
            working.spawn(worker.work());
        }
        tallies.push((name, tally));
    }
    while let Some(ended) = working.join_next().await {
        ended??;
    }
    Ok(tallies
        .iter()
        .map(|(name, tally)| line(name, tally))
        .collect())
}

fn line(name: &str, tally: &Mutex<Tally>) -> Value {
    let tally = tally.lock().unwrap_or_else(PoisonError::into_inner);
    let count = |what| tally.counts.get(what).copied().unwrap_or_default();
    json!({
        "target": name,
        "operations": tally.operations,
        "errors": tally.errors,
        "slowestMs": u64::try_from(tally.slowest.as_millis()).unwrap_or(u64::MAX),
        "inserted": count("inserted"),
        "increments": count("increments"),
        "many": count("many"),
        "pairs": count("pairs"),
    })
}

impl Worker {
    async fn work(self) -> Result<()> {
        let things = self.database.collection::<Document>("things");
        let counters = self.database.collection::<Document>("counters");
        let counter = doc! { "_id": &self.name };
        let start = doc! { "_id": &self.name, "one": [], "many": [] };
        counters.insert_one(start).await?;
        let mut n = 0_u64;
        while !self.stop.exists() {
            let which = format!("{}-{n}", self.name);
            let number = i64::try_from(n)?;
            let start = Instant::now();
            let inserted = things.insert_one(doc! { "_id": &which }).await;
            self.note("insert", Some(("inserted", 1)), start, inserted);
            let start = Instant::now();
            let found = found(&things, &which).await;
            self.note("find", None, start, found);
            let start = Instant::now();
            let one = doc! { "$push": { "one": number } };
            let updated = counters.update_one(counter.clone(), one).await;
            self.note("update", Some(("increments", 1)), start, updated);
            let start = Instant::now();
            match n % 3 {
                0 => {
                    let many = doc! { "$push": { "many": number } };
                    let updated = counters.update_many(counter.clone(), many).await;
                    self.note("updateMany", Some(("many", 1)), start, updated);
                }
                1 => self.note("cursor", None, start, batches(&things).await),
                _ => {
                    let paired = self.pair(&which).await;
                    self.note("transaction", Some(("pairs", 2)), start, paired);
                }
            }
            n += 1;
            tokio::time::sleep(PAUSE).await;
        }
        Ok(())
    }

    /// Whatever an operation returned, the application saw it.
    fn note<T, E: std::fmt::Display>(
        &self,
        what: &str,
        counts: Option<(&'static str, u64)>,
        start: Instant,
        outcome: Result<T, E>,
    ) {
        let mut tally = self.tally.lock().unwrap_or_else(PoisonError::into_inner);
        tally.operations += 1;
        tally.slowest = tally.slowest.max(start.elapsed());
        match (outcome, counts) {
            (Ok(_), Some((count, by))) => *tally.counts.entry(count).or_default() += by,
            (Ok(_), None) => {}
            (Err(error), _) => {
                let seen: String = format!("{what}: {error}").chars().take(300).collect();
                *tally.errors.entry(seen).or_default() += 1;
            }
        }
    }

    async fn pair(&self, which: &str) -> mongodb::error::Result<()> {
        let pairs = self.database.collection::<Document>("pairs");
        let ids = [format!("{which}-a"), format!("{which}-b")];
        let body = async move |session: &mut ClientSession| {
            for id in &ids {
                pairs
                    .insert_one(doc! { "_id": id })
                    .session(&mut *session)
                    .await?;
            }
            Ok(())
        };
        let mut session = self.client.start_session().await?;
        session.start_transaction().and_run2(body).await
    }
}

async fn found(things: &Collection<Document>, which: &str) -> Result<()> {
    let found = things.find_one(doc! { "_id": which }).await?;
    found.map(drop).ok_or_else(|| anyhow!("not found"))
}

async fn batches(things: &Collection<Document>) -> Result<()> {
    let cursor = things.find(doc! {}).limit(7).batch_size(2).await?;
    let found: Vec<Document> = cursor.try_collect().await?;
    ensure!(found.len() <= 7, "too many");
    Ok(())
}
