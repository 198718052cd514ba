//! Sessions, many tasks on one client, and commands that are not wrapped.

use anyhow::{Result, ensure};
use bson::{Document, doc};
use futures_util::TryStreamExt;
use tokio::task::JoinSet;

use crate::basics::users;
use crate::common::{Plan, equal, fails};

pub(crate) async fn sessions(plan: &Plan) -> Result<()> {
    let db = plan.db().await?;
    let things = db.collection::<Document>("sessions");
    things.drop().await?;
    let mut session = db.client().start_session().await?;
    for n in 0..5 {
        things
            .insert_one(doc! { "_id": n })
            .session(&mut session)
            .await?;
    }
    let count = things
        .count_documents(doc! {})
        .session(&mut session)
        .await?;
    equal(count, 5, "in the session")?;
    let mut cursor = things
        .find(doc! {})
        .batch_size(2)
        .session(&mut session)
        .await?;
    let mut read = 0;
    while cursor.next(&mut session).await.transpose()?.is_some() {
        read += 1;
    }
    equal(read, 5, "read in the session")?;
    let ending = doc! { "endSessions": [session.id().clone()] };
    db.client().database("admin").run_command(ending).await?;
    let mut tasks = JoinSet::new();
    for _ in 0..50 {
        let things = things.clone();
        tasks.spawn(async move {
            let cursor = things.find(doc! {}).batch_size(2).await?;
            let all: Vec<Document> = cursor.try_collect().await?;
            equal(all.len(), 5, "read in parallel")
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

pub(crate) async fn concurrent(plan: &Plan) -> Result<()> {
    let db = plan.db().await?;
    let things = db.collection::<Document>("concurrent");
    things.drop().await?;
    let mut tasks = JoinSet::new();
    for task in 0..50 {
        let things = things.clone();
        tasks.spawn(async move {
            let payload = format!("{task}:").repeat(500);
            for n in 0..10 {
                let id = format!("{task}-{n}");
                let document = doc! { "_id": &id, "task": task, "payload": &payload };
                things.insert_one(&document).await?;
                let back = things.find_one(doc! { "_id": id }).await?;
                equal(back, Some(document), "the payload")?;
            }
            let mine = things.find(doc! { "task": task }).batch_size(3).await?;
            let mine: Vec<Document> = mine.try_collect().await?;
            equal(mine.len(), 10, "documents of the task")?;
            let same = |each: &Document| each.get_str("payload").ok() == Some(payload.as_str());
            ensure!(mine.iter().all(same), "another task's payload");
            anyhow::Ok(())
        });
    }
    while let Some(ended) = tasks.join_next().await {
        ended??;
    }
    Ok(())
}

pub(crate) async fn commands(plan: &Plan) -> Result<()> {
    let db = plan.db().await?;
    let admin = db.client().database("admin");
    let things = db.collection::<Document>("commands");
    things.drop().await?;
    things.insert_many((0..3).map(|n| doc! { "n": n })).await?;
    admin.run_command(doc! { "ping": 1 }).await?;
    let hello = admin.run_command(doc! { "hello": 1 }).await?;
    equal(hello.get_bool("isWritablePrimary")?, true, "hello")?;
    let router = hello.get_str("msg").ok() == Some("isdbgrid");
    equal(router, plan.face != "direct", "the face in hello")?;
    let build = admin.run_command(doc! { "buildInfo": 1 }).await?;
    equal(build.get_str("version")?, plan.version.as_str(), "version")?;
    let status = admin.run_command(doc! { "connectionStatus": 1 }).await?;
    equal(
        users(&status)?,
        usize::from(plan.uri.contains('@')),
        "users",
    )?;
    let status = admin.run_command(doc! { "serverStatus": 1 }).await?;
    let connections = status.get_document("connections")?.get_i32("current")?;
    ensure!(connections > 0, "connections: {connections}");
    let stats = db.run_command(doc! { "dbStats": 1 }).await?;
    equal(stats.get_str("db")?, db.name(), "dbStats")?;
    let stats = db.run_command(doc! { "collStats": "commands" }).await?;
    equal(stats.get_i32("count")?, 3, "collStats")?;
    let find = doc! { "find": "commands", "filter": { "n": 1 } };
    let explained = db
        .run_command(doc! { "explain": find, "verbosity": "queryPlanner" })
        .await?;
    ensure!(
        explained.contains_key("queryPlanner"),
        "explain: {explained}"
    );
    let names = db
        .list_collection_names()
        .filter(doc! { "name": "commands" })
        .await?;
    equal(names, vec!["commands".to_owned()], "listCollections")?;
    let unknown = db.run_command(doc! { "noSuchCommand": 1 }).await;
    fails(59, unknown, "an unknown command")
}
