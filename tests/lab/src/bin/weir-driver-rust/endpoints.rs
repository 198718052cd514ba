//! The endpoints to the server: codecs, TLS, sockets, faces, deadlines, the pool itself.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::event::EventHandler;
use mongodb::event::cmap::CmapEvent;
use mongodb::event::sdam::SdamEvent;
use mongodb::options::{ClientOptions, Compressor};
use mongodb::{Client, ServerType};

use crate::common::{Plan, equal, fails, fresh, majority};

pub(crate) async fn compressor(plan: &Plan, name: &str) -> Result<()> {
    let mut options = ClientOptions::parse(&plan.uri).await?;
    options.compressors = Some(vec![match name {
        "snappy" => Compressor::Snappy,
        "zlib" => Compressor::Zlib { level: None },
        _ => Compressor::Zstd { level: None },
    }]);
    let client = Client::with_options(options)?;
    let things = client
        .database(&plan.database)
        .collection::<Document>("codec");
    things.drop().await?;
    let text = (0..200_000)
        .map(|n: u32| format!("{n:x}"))
        .collect::<String>();
    things
        .insert_many((0..3).map(|n| doc! { "_id": n, "text": &text }))
        .await?;
    let mut cursor = things.find(doc! {}).batch_size(1).await?;
    let mut count = 0;
    while let Some(each) = cursor.try_next().await? {
        ensure!(each.get_str("text")? == text, "the text came back");
        count += 1;
    }
    equal(count, 3, "documents")
}

pub(crate) async fn crud_through(plan: &Plan, name: &str) -> Result<()> {
    let client = Client::with_uri_str(plan.address(name)?).await?;
    let db = client.database(&plan.database);
    let things = db.collection::<Document>(name);
    things.drop().await?;
    things
        .insert_many((0..20).map(|n| doc! { "_id": n }))
        .await?;
    let one = doc! { "_id": 1 };
    let update = things
        .update_one(one.clone(), doc! { "$set": { "n": 1 } })
        .await?;
    equal(update.modified_count, 1, "updated")?;
    equal(
        things.find_one(one).await?,
        Some(doc! { "_id": 1, "n": 1 }),
        "read back",
    )?;
    let all: Vec<Document> = things
        .find(doc! {})
        .batch_size(5)
        .await?
        .try_collect()
        .await?;
    equal(all.len(), 20, "read in batches")?;
    equal(
        things.delete_many(doc! {}).await?.deleted_count,
        20,
        "deleted",
    )?;
    // The server behind this address need not be the one behind the others.
    if name == "tls" {
        db.drop().await?;
    }
    Ok(())
}

pub(crate) async fn balanced(plan: &Plan) -> Result<()> {
    let uri = plan.address("balanced")?;
    let options = ClientOptions::parse(uri).await?;
    equal(
        options.load_balanced,
        Some(true),
        "loadBalanced in the string",
    )?;
    let client = Client::with_options(options)?;
    let things = fresh(&client.database(&plan.database), "balanced").await?;
    things
        .insert_many((0..100).map(|n| doc! { "_id": n }))
        .await?;
    let all = things
        .find(doc! {})
        .sort(doc! { "_id": 1 })
        .batch_size(7)
        .await?;
    let all: Vec<Document> = all.try_collect().await?;
    equal(
        all,
        (0..100).map(|n| doc! { "_id": n }).collect(),
        "a cursor of many batches",
    )?;
    let mut session = client.start_session().await?;
    session.start_transaction().await?;
    let mut cursor = things
        .find(doc! {})
        .batch_size(10)
        .session(&mut session)
        .await?;
    while let Some(each) = cursor.next(&mut session).await.transpose()? {
        let update = things.update_one(each, doc! { "$set": { "seen": 1 } });
        update.session(&mut session).await?;
    }
    let seen = doc! { "seen": 1 };
    equal(
        things.count_documents(seen.clone()).await?,
        0,
        "seen from outside",
    )?;
    session.commit_transaction().await?;
    equal(
        things.count_documents(seen).await?,
        100,
        "seen after the commit",
    )
}

/// The driver has no `timeoutMS`: the limit is the server's.
pub(crate) async fn timeout(plan: &Plan) -> Result<()> {
    let things = fresh(&plan.db().await?, "timeout").await?;
    things.insert_one(doc! { "_id": 1 }).await?;
    let start = Instant::now();
    let slow = things.find_one(doc! { "$where": "sleep(2000) || true" });
    let ended = slow.max_time(Duration::from_millis(300)).await;
    fails(50, ended, "a command beyond maxTimeMS")?;
    let took = start.elapsed().as_millis();
    ensure!((250..=1500).contains(&took), "ended after {took} ms");
    let next = things.find_one(doc! { "_id": 1 }).await?;
    equal(next, Some(doc! { "_id": 1 }), "the next operation")
}

/// Cleared pools, and servers that became Unknown.
#[derive(Clone, Debug, Default)]
pub(crate) struct Watcher {
    pub(crate) cleared: Arc<AtomicU64>,
    pub(crate) unknown: Arc<AtomicU64>,
    known: Arc<AtomicBool>,
}

impl Watcher {
    pub(crate) fn watch(&self, options: &mut ClientOptions) {
        let of_pool = self.clone();
        options.cmap_event_handler = Some(EventHandler::callback(move |event| {
            if let CmapEvent::PoolCleared(_) = event {
                of_pool.cleared.fetch_add(1, Ordering::Relaxed);
            }
        }));
        let of_servers = self.clone();
        options.sdam_event_handler = Some(EventHandler::callback(move |event| {
            if let SdamEvent::ServerDescriptionChanged(change) = event {
                of_servers.changed(change.new_description.server_type());
            }
        }));
    }

    fn changed(&self, to: ServerType) {
        if to != ServerType::Unknown {
            self.known.store(true, Ordering::Relaxed);
        } else if self.known.load(Ordering::Relaxed) {
            self.unknown.fetch_add(1, Ordering::Relaxed);
        }
    }
}

pub(crate) async fn pool(plan: &Plan) -> Result<()> {
    let watcher = Watcher::default();
    let mut options = ClientOptions::parse(&plan.uri).await?;
    options.heartbeat_freq = Some(Duration::from_millis(500));
    watcher.watch(&mut options);
    let client = Client::with_options(options)?;
    let things = client
        .database(&plan.database)
        .collection::<Document>("pool");
    for n in 0..20 {
        let id = doc! { "_id": n };
        let replace = things.replace_one(id.clone(), id).upsert(true);
        replace.write_concern(majority()).await?;
    }
    equal(things.count_documents(doc! {}).await?, 20, "documents")?;
    ensure!(watcher.known.load(Ordering::Relaxed), "no server was seen");
    equal(watcher.cleared.load(Ordering::Relaxed), 0, "pools cleared")?;
    equal(
        watcher.unknown.load(Ordering::Relaxed),
        0,
        "servers that became Unknown",
    )
}
