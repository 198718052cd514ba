//! A program that has its connection string from its environment, as the shim leaves it.

use std::env;

use anyhow::{Context, Result, ensure};
use bson::{Document, doc, oid::ObjectId};
use mongodb::Client;
use mongodb::options::{ClientOptions, CollectionOptions, ReadPreference, SelectionCriteria};
use serde_json::{Value, json};

pub(crate) async fn run(case: &Value) -> Result<Value> {
    let text = |key: &str| {
        let found = case.get(key).and_then(Value::as_str);
        found.context("an incomplete case")
    };
    let mut line = json!({
        "id": text("id")?, "outcome": "ok", "database": null, "weir": null, "message": "",
    });
    let string = env::var(text("variable")?).context("no such variable");
    let ended = match string {
        Ok(string) => connect(&string, text("id")?, &mut line).await,
        Err(error) => Err(error),
    };
    if let (Err(error), Some(line)) = (ended, line.as_object_mut()) {
        line.insert("outcome".into(), "error".into());
        line.insert("message".into(), format!("{error:#}").into());
    }
    Ok(line)
}

async fn connect(string: &str, id: &str, line: &mut Value) -> Result<()> {
    let options = ClientOptions::parse(string).await?;
    let name = options.default_database.clone();
    let name = name.unwrap_or_else(|| "test".to_owned());
    let client = Client::with_options(options)?;
    let hello = client
        .database("admin")
        .run_command(doc! { "hello": 1 })
        .await?;
    let line = line.as_object_mut().context("a line is an object")?;
    let weir = hello.get_str("weir").map_or(Value::Null, Value::from);
    line.insert("weir".into(), weir);
    line.insert("database".into(), name.as_str().into());
    let primary = SelectionCriteria::ReadPreference(ReadPreference::Primary);
    let primary = CollectionOptions::builder()
        .selection_criteria(primary)
        .build();
    let things = client
        .database(&name)
        .collection_with_options::<Document>("shim", primary);
    let document = doc! { "_id": ObjectId::new(), "text": id };
    things.insert_one(&document).await?;
    let found = things.find_one(doc! { "_id": document.get("_id") }).await?;
    ensure!(
        found.as_ref() == Some(&document),
        "what was written is not what is read"
    );
    client.shutdown().immediate(true).await;
    Ok(())
}
