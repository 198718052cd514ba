//! What the features share.

use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, bail, ensure};
use bson::{Document, doc, oid::ObjectId};
use mongodb::error::{Error, ErrorKind, WriteFailure};
use mongodb::event::EventHandler;
use mongodb::event::command::CommandEvent;
use mongodb::options::{ClientOptions, WriteConcern};
use mongodb::{Client, Collection, Database};
use serde_json::Value;

/// The driver, the server or the face cannot do this; says why.
#[derive(Debug)]
pub(crate) struct NotApplicable(pub(crate) String);

impl NotApplicable {
    pub(crate) fn because(reason: impl Into<String>) -> anyhow::Error {
        anyhow::Error::new(Self(reason.into()))
    }
}

impl fmt::Display for NotApplicable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for NotApplicable {}

/// The plan, and clients made from it.
pub(crate) struct Plan {
    pub(crate) face: String,
    pub(crate) uri: String,
    pub(crate) database: String,
    pub(crate) features: Vec<String>,
    pub(crate) version: String,
    pub(crate) wire_version: i64,
    pub(crate) secondaries: bool,
    uris: Value,
}

impl Plan {
    pub(crate) fn read(plan: &Value) -> Result<Self> {
        let text = |key: &str| {
            let found = plan.get(key).and_then(Value::as_str).map(str::to_owned);
            found.with_context(|| format!("the plan has no {key}"))
        };
        let features = plan.get("features").and_then(Value::as_array);
        let features = features.context("the plan names no features")?;
        let features = features.iter().filter_map(Value::as_str);
        let server = plan.get("server").context("the plan has no server")?;
        let version = server.get("version").and_then(Value::as_str);
        let wire_version = server.get("maxWireVersion").and_then(Value::as_i64);
        Ok(Self {
            face: text("face")?,
            uri: text("uri")?,
            database: text("database")?,
            features: features.map(str::to_owned).collect(),
            version: version.unwrap_or_default().to_owned(),
            wire_version: wire_version.unwrap_or(0),
            secondaries: plan.get("secondaries").and_then(Value::as_bool) == Some(true),
            uris: plan.get("uris").cloned().unwrap_or_default(),
        })
    }

    pub(crate) fn address(&self, name: &str) -> Result<&str> {
        let found = self.uris.get(name).and_then(Value::as_str);
        found.ok_or_else(|| NotApplicable::because(format!("no address for {name} in this plan")))
    }

    pub(crate) async fn client(&self) -> Result<Client> {
        Ok(Client::with_uri_str(&self.uri).await?)
    }

    pub(crate) async fn db(&self) -> Result<Database> {
        Ok(self.client().await?.database(&self.database))
    }

    /// A client that alone meets its fail points, and what it sends.
    pub(crate) async fn faulty(&self) -> Result<Faulty> {
        let name = format!("drivers {}", ObjectId::new());
        let commands = Commands::default();
        let mut options = ClientOptions::parse(&self.uri).await?;
        options.app_name = Some(name.clone());
        options.command_event_handler = Some(commands.handler());
        let client = Client::with_options(options)?;
        Ok(Faulty {
            db: client.database(&self.database),
            client,
            commands,
            name,
        })
    }
}

/// Names of the commands sent.
#[derive(Clone, Debug, Default)]
pub(crate) struct Commands(Arc<Mutex<Vec<String>>>);

impl Commands {
    pub(crate) fn handler(&self) -> EventHandler<CommandEvent> {
        let names = Arc::clone(&self.0);
        EventHandler::callback(move |event| {
            if let CommandEvent::Started(started) = event {
                let mut names = names.lock().unwrap_or_else(PoisonError::into_inner);
                names.push(started.command_name);
            }
        })
    }

    pub(crate) fn count(&self, name: &str) -> usize {
        let names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        names.iter().filter(|each| *each == name).count()
    }
}

/// A client that alone meets its fail points.
pub(crate) struct Faulty {
    pub(crate) client: Client,
    pub(crate) db: Database,
    pub(crate) commands: Commands,
    name: String,
}

impl Faulty {
    /// Sets a fail point for this client's next such command.
    pub(crate) async fn fail_once(&self, command: &str, fault: Document) -> Result<()> {
        let mut data = doc! { "failCommands": [command], "appName": &self.name };
        data.extend(fault);
        let point = doc! {
            "configureFailPoint": "failCommand", "mode": { "times": 1 }, "data": data,
        };
        self.client.database("admin").run_command(point).await?;
        Ok(())
    }

    /// Switches it off, whatever `outcome` is, and returns that.
    pub(crate) async fn off<T>(&self, outcome: Result<T, Error>) -> Result<T> {
        let point = doc! { "configureFailPoint": "failCommand", "mode": "off" };
        self.client.database("admin").run_command(point).await?;
        Ok(outcome?)
    }
}

/// A collection that exists: older servers create none inside a transaction.
pub(crate) async fn fresh(db: &Database, name: &str) -> Result<Collection<Document>> {
    db.collection::<Document>(name).drop().await?;
    db.create_collection(name).await?;
    Ok(db.collection(name))
}

/// `w: majority`.
pub(crate) fn majority() -> WriteConcern {
    WriteConcern::majority()
}

pub(crate) fn equal<T: PartialEq + fmt::Debug>(got: T, wanted: T, what: &str) -> Result<()> {
    ensure!(got == wanted, "{what}: got {got:?}, wanted {wanted:?}");
    Ok(())
}

/// The server's code in an error.
pub(crate) fn code_of(error: &Error) -> Option<i32> {
    match error.kind.as_ref() {
        ErrorKind::Command(error) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteError(error)) => Some(error.code),
        ErrorKind::Write(WriteFailure::WriteConcernError(error)) => Some(error.code),
        _ => None,
    }
}

/// Fails unless the outcome is an error with this code.
pub(crate) fn fails<T>(code: i32, outcome: Result<T, Error>, what: &str) -> Result<()> {
    match outcome {
        Ok(_) => bail!("{what}: did not fail"),
        Err(error) => equal(code_of(&error), Some(code), &format!("{what}: {error}")),
    }
}
