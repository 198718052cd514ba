//! One operation against one fault: what the driver made of it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::error::{Error, ErrorKind};
use mongodb::options::ClientOptions;
use mongodb::{Client, ClientSession, Collection};
use serde_json::{Value, json};

use crate::common::{Commands, code_of};
use crate::endpoints::Watcher;

const LIMIT: Duration = Duration::from_secs(25);

/// What happened, or that something else than the driver's error was wrong.
enum Ended {
    Ok,
    Failed(Error),
    Wrong(String),
}

pub(crate) async fn run(case: &Value) -> Result<Value> {
    let text = |key: &str| {
        case.get(key)
            .and_then(Value::as_str)
            .context("an incomplete case")
    };
    let (class, uri) = (text("class")?, text("uri")?);
    let (commands, watcher) = (Commands::default(), Watcher::default());
    let mut options = ClientOptions::parse(uri).await?;
    options.server_selection_timeout = Some(LIMIT);
    options.command_event_handler = Some(commands.handler());
    watcher.watch(&mut options);
    let client = Client::with_options(options)?;
    client
        .database("admin")
        .run_command(doc! { "ping": 1 })
        .await?;
    let bodies = Arc::new(AtomicU64::new(0));
    let start = Instant::now();
    let ended = tokio::time::timeout(LIMIT, operate(class, &client, &bodies)).await;
    let ms = u64::try_from(start.elapsed().as_millis())?;
    let mut line = json!({
        "id": text("id")?,
        "outcome": "ok",
        "code": null,
        "labels": [],
        "network": false,
        "message": "",
        "attempts": commands.count(counted(class)),
        "bodies": bodies.load(Ordering::Relaxed),
        "poolCleared": watcher.cleared.load(Ordering::Relaxed),
        "unknown": watcher.unknown.load(Ordering::Relaxed),
        "ms": ms,
    });
    let failure = match ended {
        Ok(Ended::Ok) => None,
        Ok(Ended::Failed(error)) => Some(failure(&error)),
        Ok(Ended::Wrong(message)) => Some(json!({ "message": message })),
        Err(_) => Some(json!({ "message": "took longer than 25 s" })),
    };
    if let (Some(failure), Some(line)) = (failure, line.as_object_mut()) {
        line.insert("outcome".into(), "error".into());
        line.extend(failure.as_object().cloned().unwrap_or_default());
    }
    client.shutdown().immediate(true).await;
    Ok(line)
}

fn failure(error: &Error) -> Value {
    let mut labels: Vec<&String> = error.labels().iter().collect();
    labels.sort();
    let network = matches!(
        error.kind.as_ref(),
        ErrorKind::Io(_) | ErrorKind::ConnectionPoolCleared { .. }
    );
    json!({
        "code": code_of(error),
        "labels": labels,
        "network": network,
        "message": error.to_string().chars().take(200).collect::<String>(),
    })
}

fn counted(class: &str) -> &'static str {
    match class {
        "RD" => "find",
        "RW" | "TXW" => "insert",
        "NW" | "TX" => "update",
        "CM" | "CMW" => "commitTransaction",
        "AB" => "abortTransaction",
        "GM" => "getMore",
        _ => "aggregate",
    }
}

async fn operate(class: &str, client: &Client, bodies: &Arc<AtomicU64>) -> Ended {
    let things = client.database("probe").collection::<Document>("things");
    let ended = match class {
        "RD" => things.find_one(doc! { "_id": 1 }).await.map(drop),
        "RW" => things.insert_one(doc! { "_id": 1 }).await.map(drop),
        "NW" => {
            let change = doc! { "$set": { "n": 1 } };
            things.update_many(doc! {}, change).await.map(drop)
        }
        "TX" | "CM" | "AB" => by_hand(class, client, &things).await,
        "TXW" | "CMW" => convenient(client, &things, bodies).await,
        "GM" => match read_all(&things).await {
            Ok(5) => Ok(()),
            Ok(count) => return Ended::Wrong(format!("{count} documents, not 5")),
            Err(error) => Err(error),
        },
        _ => match stream(&things).await {
            Ok(keys) if keys == [1, 2, 3] => Ok(()),
            Ok(keys) => return Ended::Wrong(format!("events {keys:?}")),
            Err(error) => Err(error),
        },
    };
    match ended {
        Ok(()) => Ended::Ok,
        Err(error) => Ended::Failed(error),
    }
}

async fn by_hand(class: &str, client: &Client, things: &Collection<Document>) -> Result<(), Error> {
    let mut session = client.start_session().await?;
    session.start_transaction().await?;
    let ended = statements(class, things, &mut session).await;
    if class == "AB" {
        ended?;
        return session.abort_transaction().await;
    }
    if let Err(error) = ended {
        // What an application does, and as its error tells.
        let _ = session.abort_transaction().await;
        return Err(error);
    }
    session.commit_transaction().await
}

async fn statements(
    class: &str,
    things: &Collection<Document>,
    session: &mut ClientSession,
) -> Result<(), Error> {
    things
        .insert_one(doc! { "_id": 1 })
        .session(&mut *session)
        .await?;
    if class == "TX" {
        let update = things.update_one(doc! { "_id": 1 }, doc! { "$set": { "n": 1 } });
        update.session(session).await?;
    }
    Ok(())
}

async fn convenient(
    client: &Client,
    things: &Collection<Document>,
    bodies: &Arc<AtomicU64>,
) -> Result<(), Error> {
    let mut session = client.start_session().await?;
    let (things, bodies) = (things.clone(), Arc::clone(bodies));
    let body = async move |session: &mut ClientSession| {
        let _ = bodies.fetch_add(1, Ordering::Relaxed);
        things.insert_one(doc! { "n": 1 }).session(session).await
    };
    session.start_transaction().and_run2(body).await.map(drop)
}

async fn read_all(things: &Collection<Document>) -> Result<usize, Error> {
    let cursor = things.find(doc! {}).batch_size(2).await?;
    let all: Vec<Document> = cursor.try_collect().await?;
    Ok(all.len())
}

async fn stream(things: &Collection<Document>) -> Result<Vec<i32>, Error> {
    let mut stream = things.watch().await?;
    let mut keys = Vec::new();
    while keys.len() < 3 {
        let Some(event) = stream.try_next().await? else {
            break;
        };
        let key = event.document_key.and_then(|key| key.get_i32("_id").ok());
        keys.push(key.unwrap_or(0));
    }
    Ok(keys)
}
