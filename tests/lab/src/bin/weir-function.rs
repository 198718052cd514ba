//! A function of few megabytes, as a process: one client, made at its start from the string in
//! its environment, and one write. It tells what came of it as a line of JSON, and stays, as an
//! environment does, until its input ends.

use std::env;
use std::io::Read;

use anyhow::{Context, Result};
use bson::{Document, doc};
use mongodb::Client;
use mongodb::options::ClientOptions;
use serde_json::json;

const VARIABLE: &str = weir_tests::lambda::environment::VARIABLE;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<()> {
    let options = ClientOptions::parse(env::var(VARIABLE).context(VARIABLE)?).await?;
    let host = options.hosts.first().map(ToString::to_string);
    let client = Client::with_options(options)?;
    let name = env::var("AWS_LAMBDA_LOG_STREAM_NAME").unwrap_or_default();
    let database = client.database("lambda_functions");
    let things = database.collection::<Document>("storm");
    let written = things.insert_one(doc! { "environment": name }).await;
    let error = written.err().map(|error| error.to_string());
    println!("{}", json!({ "host": host, "error": error }));
    let ends = || std::io::stdin().read_to_end(&mut Vec::new());
    tokio::task::spawn_blocking(ends).await??;
    Ok(())
}
