//! A Lambda function as teams write it in Rust: one client, made before the first event.
//!
//! Run by `tests/lambda` under AWS's emulator and under cargo-lambda's.

use std::env;
use std::sync::Arc;
use std::time::Instant;

use bson::{Document, doc};
use futures_util::future::try_join_all;
use lambda_runtime::{Error, LambdaEvent, service_fn};
use mongodb::{Client, Collection};
use serde_json::{Value, json};

/// What every invocation shares.
struct Function {
    uri: String,
    things: Collection<Document>,
}

#[tokio::main]
async fn main() -> Result<(), Error> {
    let uri = env::var("MONGO_AUTH_CREDENTIALS")?;
    let client = Client::with_uri_str(&uri).await?;
    let things = client.database("lambda_functions").collection("rust");
    if env::var_os("QUERY_IN_INIT").is_some() {
        things.insert_one(doc! { "in": "init" }).await?;
        println!("init has queried");
    }
    let function = Arc::new(Function { uri, things });
    // One invocation at a time, unless Lambda says how many.
    lambda_runtime::run_concurrent(service_fn(move |event| {
        let function = Arc::clone(&function);
        async move { function.handle(event).await }
    }))
    .await
}

impl Function {
    async fn handle(&self, event: LambdaEvent<Value>) -> Result<Value, Error> {
        let began = Instant::now();
        let (event, context) = event.into_parts();
        let text = |name: &str| event.get(name).and_then(Value::as_str);
        let mark = text("mark").unwrap_or_default();
        let count = match text("do") {
            Some("many") => {
                let times = event.get("times").and_then(Value::as_i64);
                self.insert_many(times.unwrap_or_default(), mark).await?;
                Some(self.count(mark).await?)
            }
            Some("count") => Some(self.count(mark).await?),
            _ => {
                let document = doc! { "request": &context.request_id, "mark": mark };
                self.things.insert_one(document).await?;
                None
            }
        };
        Ok(json!({
            "uri": self.uri,
            "pid": std::process::id(),
            "count": count,
            "ms": began.elapsed().as_secs_f64() * 1e3,
        }))
    }

    async fn insert_many(&self, times: i64, mark: &str) -> Result<(), Error> {
        let insert = |n| self.things.insert_one(doc! { "n": n, "mark": mark });
        try_join_all((0..times).map(|n| async move { insert(n).await })).await?;
        Ok(())
    }

    async fn count(&self, mark: &str) -> Result<u64, Error> {
        let filter = doc! { "mark": mark };
        Ok(self.things.count_documents(filter).await?)
    }
}
