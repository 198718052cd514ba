//! Where the load reads, and the database of our own for `--write`.

use bson::{RawDocumentBuf, rawdoc};

use crate::args::Namespace;
use crate::connection::{Connection, Endpoint, reason};
use crate::{PressureArgs, Target, Trouble};
use weir::wire::raw::{self, Element};
use weir_kit::client::{ClientError, Reply};
use weir_kit::messages::message_with;
use weir_kit::numbers::count;

/// The database of our own, dropped at the end.
pub(super) const DATABASE: &str = "weir_bench";
/// Its only collection.
pub(super) const COLLECTION: &str = "load";
/// Documents in it; their `_id`s are numbers from 0.
pub(super) const DOCUMENTS: i32 = 1_000;

/// Documents that are read again and again.
const SAMPLE: i32 = 256;
/// Databases and collections looked at in search of the largest one.
const MOST_DATABASES: usize = 20;
const MOST_COLLECTIONS: usize = 100;
/// Databases of the server itself.
const SYSTEM: [&str; 3] = ["admin", "config", "local"];

/// Where clients read and write.
pub(super) struct Dataset {
    /// The collection that is read; without one, clients ping.
    pub(super) place: Option<Namespace>,
    /// How many documents it holds, estimated.
    pub(super) documents: i64,
    /// `{ _id: … }` of some of its documents.
    pub(super) ids: Vec<RawDocumentBuf>,
    /// Whether clients write too, into the database of our own.
    pub(super) writes: bool,
    /// What the user should know about it.
    pub(super) remarks: Vec<String>,
}

impl Dataset {
    /// Finds something to read on `target`; with `--write`, makes the database of our own.
    ///
    /// # Errors
    /// The collection that was asked for cannot be read, or the database cannot be made.
    pub(super) async fn find(args: &PressureArgs, target: &Target) -> Result<Self, Trouble> {
        let mut connection = open(target).await?;
        if args.write {
            make_own(&mut connection).await?;
        }
        let own = args.write.then(own_place);
        match args.collection.clone().or(own) {
            Some(place) => Self::at(&mut connection, place, args.write).await,
            None => Self::largest(&mut connection).await,
        }
    }

    /// The same on the deployment that is compared.
    ///
    /// # Errors
    /// It does not have the collection.
    pub(super) async fn again(
        args: &PressureArgs,
        compare: &Target,
        first: &Self,
    ) -> Result<Self, Trouble> {
        let mut connection = open(compare).await?;
        if args.write {
            make_own(&mut connection).await?;
        }
        match &first.place {
            Some(place) => Self::at(&mut connection, place.clone(), args.write).await,
            None => Ok(Self::pings(Vec::new())),
        }
    }

    /// What clients do, in words.
    pub(super) fn reads(&self) -> String {
        let reads = match &self.place {
            Some(place) => format!(
                "find by _id in {place} ({} documents)",
                documents(self.documents)
            ),
            None => "ping".to_owned(),
        };
        match self.writes {
            true => format!("{reads}, and updates in {DATABASE}.{COLLECTION}"),
            false => reads,
        }
    }

    async fn at(
        connection: &mut Connection,
        place: Namespace,
        writes: bool,
    ) -> Result<Self, Trouble> {
        let refused = |error: ClientError| {
            Trouble(format!(
                "{place} cannot be read ({}): give the user the role read on {}, or name another \
                 --collection",
                reason(&error),
                place.database
            ))
        };
        let documents = size(connection, &place).await.map_err(refused)?;
        let ids = sample(connection, &place).await.map_err(refused)?;
        if ids.is_empty() {
            return Err(Trouble(format!(
                "{place} does not exist or is empty: name another --collection"
            )));
        }
        Ok(Self {
            place: Some(place),
            documents,
            ids,
            writes,
            remarks: Vec::new(),
        })
    }

    async fn largest(connection: &mut Connection) -> Result<Self, Trouble> {
        let mut largest: Option<(i64, Namespace)> = None;
        let mut refusal = None;
        for place in collections(connection, &mut refusal).await {
            match size(connection, &place).await {
                Ok(size) if size > largest.as_ref().map_or(0, |(size, _)| *size) => {
                    largest = Some((size, place));
                }
                Ok(_) => {}
                Err(error) => refusal = refusal.or(Some(reason(&error))),
            }
        }
        if let Some((_, place)) = largest {
            return Self::at(connection, place, false).await;
        }
        let why = match refusal {
            Some(refusal) => format!("this user may read no collection ({refusal})"),
            None => "there is no collection with a document".to_owned(),
        };
        Ok(Self::pings(vec![format!(
            "Nothing to read: {why}. Clients ping instead, which costs a server less than any \
             read: real operations hold connections longer, so take the pool found here as the \
             least. Name a --collection, or use --write."
        )]))
    }

    fn pings(remarks: Vec<String>) -> Self {
        Self {
            place: None,
            documents: 0,
            ids: Vec::new(),
            writes: false,
            remarks,
        }
    }
}

fn documents(number: i64) -> String {
    count(u64::try_from(number).unwrap_or(0))
}

fn own_place() -> Namespace {
    Namespace {
        database: DATABASE.to_owned(),
        collection: COLLECTION.to_owned(),
    }
}

async fn open(target: &Target) -> Result<Connection, Trouble> {
    let opened = Endpoint::Direct(target.direct()?).open().await;
    opened.map_err(|error| Trouble(format!("{}: {}", target.node, reason(&error))))
}

/// Every collection that may be read, of databases that are not the server's own.
async fn collections(connection: &mut Connection, refusal: &mut Option<String>) -> Vec<Namespace> {
    let command = rawdoc! {
        "listDatabases": 1, "nameOnly": true, "authorizedDatabases": true, "$db": "admin",
    };
    let databases = match connection.command(&command).await {
        Ok(reply) => names(raw::find(reply.body(), b"databases")),
        Err(error) => {
            *refusal = Some(reason(&error));
            Vec::new()
        }
    };
    let databases = databases
        .into_iter()
        .filter(|name| !SYSTEM.contains(&name.as_str()));
    let mut found = Vec::new();
    for database in databases.take(MOST_DATABASES) {
        let command = rawdoc! {
            "listCollections": 1, "nameOnly": true, "authorizedCollections": true,
            "filter": { "type": "collection" }, "$db": database.as_str(),
        };
        match connection.command(&command).await {
            Ok(reply) => {
                let names = names(batch(&reply)).into_iter();
                let own = names.filter(|name| !name.starts_with("system."));
                found.extend(own.map(|collection| Namespace {
                    database: database.clone(),
                    collection,
                }));
            }
            Err(error) => *refusal = refusal.take().or(Some(reason(&error))),
        }
    }
    found.truncate(MOST_COLLECTIONS);
    found
}

/// Documents by the collection's own bookkeeping, which costs no scan.
async fn size(connection: &mut Connection, place: &Namespace) -> Result<i64, ClientError> {
    let command = rawdoc! { "count": place.collection.as_str(), "$db": place.database.as_str() };
    let reply = connection.command(&command).await?;
    let number = raw::find(reply.body(), b"n").and_then(|n| n.as_number_i64());
    Ok(number.unwrap_or(0))
}

async fn sample(
    connection: &mut Connection,
    place: &Namespace,
) -> Result<Vec<RawDocumentBuf>, ClientError> {
    let command = rawdoc! {
        "aggregate": place.collection.as_str(),
        "pipeline": [{ "$sample": { "size": SAMPLE } }, { "$project": { "_id": 1 } }],
        "cursor": { "batchSize": SAMPLE },
        "$db": place.database.as_str(),
    };
    let reply = connection.command(&command).await?;
    let batch = batch(&reply)
        .and_then(|batch| batch.as_array())
        .unwrap_or_default();
    let ids = raw::elements(batch).filter_map(|id| {
        let id = id.ok()?.as_document()?;
        RawDocumentBuf::from_bytes(id.to_vec()).ok()
    });
    Ok(ids.collect())
}

fn batch(reply: &Reply) -> Option<Element<'_>> {
    let cursor = raw::find(reply.body(), b"cursor")?.as_document()?;
    raw::find(cursor, b"firstBatch")
}

/// The `name` of each document in an array.
fn names(array: Option<Element<'_>>) -> Vec<String> {
    let array = array.and_then(|array| array.as_array()).unwrap_or_default();
    let names = raw::elements(array).filter_map(|entry| {
        let name = raw::find(entry.ok()?.as_document()?, b"name")?.as_str()?;
        Some(String::from_utf8_lossy(name).into_owned())
    });
    names.collect()
}

/// Makes the database of our own anew, unless somebody else's data is in it.
async fn make_own(connection: &mut Connection) -> Result<(), Trouble> {
    let failed = |error: ClientError| {
        Trouble(format!(
            "cannot make the database {DATABASE} ({}): give the user the roles readWrite and \
             dbAdmin on it, or leave --write out",
            reason(&error)
        ))
    };
    let list = rawdoc! { "listCollections": 1, "nameOnly": true, "$db": DATABASE };
    let there = connection.command(&list).await.map_err(failed)?;
    if let Some(stranger) = names(batch(&there)).iter().find(|name| *name != COLLECTION) {
        return Err(Trouble(format!(
            "the database {DATABASE} holds the collection {stranger}, which is not ours: nothing \
             was changed"
        )));
    }
    let drop = rawdoc! { "dropDatabase": 1, "$db": DATABASE };
    connection.command(&drop).await.map_err(failed)?;
    let body = rawdoc! { "insert": COLLECTION, "ordered": false, "$db": DATABASE };
    let padding = "x".repeat(400);
    let documents: Vec<_> = (0..DOCUMENTS)
        .map(|id| rawdoc! { "_id": id, "n": 0, "padding": padding.as_str() })
        .collect();
    let insert = message_with(&body, "documents", &documents);
    connection
        .ask(insert)
        .await
        .map(std::mem::drop)
        .map_err(failed)
}

/// Drops the database of our own if it is there and only ours; tells whether it did.
///
/// # Errors
/// The server was not reached, or refused.
pub(super) async fn drop_own(target: &Target) -> Result<bool, Trouble> {
    let mut connection = open(target).await?;
    let list = rawdoc! { "listCollections": 1, "nameOnly": true, "$db": DATABASE };
    let refused = |error: ClientError| Trouble(reason(&error));
    let there = connection.command(&list).await.map_err(refused)?;
    let there = names(batch(&there));
    if there.is_empty() || there.iter().any(|name| name != COLLECTION) {
        return Ok(false);
    }
    let drop = rawdoc! { "dropDatabase": 1, "$db": DATABASE };
    connection.command(&drop).await.map_err(refused)?;
    Ok(true)
}
