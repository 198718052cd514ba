//! Connecting, logging in, reading and writing.

use anyhow::{Context, Result, ensure};
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::error::ErrorKind;
use mongodb::options::{ClientOptions, ReturnDocument, ServerApi, ServerApiVersion};
use mongodb::{Client, Collection, Database, IndexModel};

use crate::common::{Plan, equal, fails};

async fn once(plan: &Plan, api: Option<ServerApi>) -> Result<Database> {
    let mut options = ClientOptions::parse(&plan.uri).await?;
    options.server_api = api;
    let client = Client::with_options(options)?;
    client
        .database("admin")
        .run_command(doc! { "ping": 1 })
        .await?;
    let db = client.database(&plan.database);
    let things = db.collection::<Document>("connect");
    let document = doc! { "_id": 1, "n": 7 };
    things
        .replace_one(doc! { "_id": 1 }, &document)
        .upsert(true)
        .await?;
    equal(
        things.find_one(doc! { "_id": 1 }).await?,
        Some(document),
        "read back",
    )?;
    Ok(db)
}

pub(crate) async fn connect(plan: &Plan) -> Result<()> {
    for _ in 0..3 {
        once(plan, None).await?.client().clone().shutdown().await;
    }
    Ok(())
}

pub(crate) async fn server_api(plan: &Plan) -> Result<()> {
    for _ in 0..3 {
        let api = ServerApi::builder().version(ServerApiVersion::V1).build();
        once(plan, Some(api))
            .await?
            .client()
            .clone()
            .shutdown()
            .await;
    }
    Ok(())
}

pub(crate) async fn server_api_strict(plan: &Plan) -> Result<()> {
    let api = ServerApi::builder().version(ServerApiVersion::V1);
    let api = api.strict(true).deprecation_errors(true).build();
    let db = once(plan, Some(api)).await?;
    let things = db.collection::<Document>("strict");
    things.insert_many((0..10).map(|n| doc! { "n": n })).await?;
    let big = doc! { "n": { "$gt": 5 } };
    things
        .update_many(big, doc! { "$set": { "big": true } })
        .await?;
    equal(
        things.count_documents(doc! { "big": true }).await?,
        4,
        "updated",
    )?;
    things.delete_many(doc! { "big": true }).await?;
    let rest: Vec<Document> = things
        .find(doc! {})
        .batch_size(2)
        .await?
        .try_collect()
        .await?;
    equal(rest.len(), 6, "left")?;
    let names = db.client().list_database_names().await?;
    ensure!(names.contains(&"admin".to_owned()), "databases: {names:?}");
    let outside = db.run_command(doc! { "collStats": "strict" }).await;
    fails(323, outside, "a command outside the API")
}

pub(crate) async fn scram(plan: &Plan, mechanism: &str) -> Result<()> {
    let uri = plan.address(mechanism)?;
    for right in [true, false, true] {
        let mut options = ClientOptions::parse(uri).await?;
        if !right {
            let credential = options.credential.as_mut().context("no login")?;
            credential.password = Some("wrong".into());
        }
        let client = Client::with_options(options)?;
        let admin = client.database("admin");
        let status = admin.run_command(doc! { "connectionStatus": 1 }).await;
        if !right {
            let error = status.err().context("a wrong password was taken")?;
            let refused = matches!(error.kind.as_ref(), ErrorKind::Authentication { .. });
            ensure!(refused, "a wrong password: {error}");
            continue;
        }
        equal(users(&status?)?, 1, "users logged in")?;
        let things = client
            .database(&plan.database)
            .collection::<Document>("scram");
        let document = doc! { "_id": mechanism };
        things
            .replace_one(document.clone(), &document)
            .upsert(true)
            .await?;
        equal(
            things.find_one(document.clone()).await?,
            Some(document),
            "read back",
        )?;
    }
    Ok(())
}

pub(crate) fn users(status: &Document) -> Result<usize> {
    let info = status.get_document("authInfo")?;
    Ok(info.get_array("authenticatedUsers")?.len())
}

pub(crate) async fn crud(plan: &Plan) -> Result<()> {
    let things = plan.db().await?.collection::<Document>("crud");
    things.drop().await?;
    things.insert_one(doc! { "_id": 0, "n": 0 }).await?;
    let many = things
        .insert_many((1..10).map(|n| doc! { "_id": n, "n": n }))
        .await?;
    equal(many.inserted_ids.len(), 9, "inserted")?;
    let found = things
        .find(doc! { "n": { "$gte": 2 } })
        .projection(doc! { "n": 1, "_id": 0 });
    let found = found.sort(doc! { "n": -1 }).skip(1).limit(3).await?;
    let found: Vec<Document> = found.try_collect().await?;
    let wanted = vec![doc! { "n": 8 }, doc! { "n": 7 }, doc! { "n": 6 }];
    equal(found, wanted, "sort, skip, limit, projection")?;
    let one = doc! { "_id": 1 };
    let update = things
        .update_one(one.clone(), doc! { "$inc": { "n": 100 } })
        .await?;
    equal(update.modified_count, 1, "updated")?;
    let low = things.update_many(doc! { "n": { "$lt": 5 } }, doc! { "$set": { "low": true } });
    equal(low.await?.modified_count, 4, "updated many")?;
    let nine = doc! { "_id": 9 };
    equal(
        things
            .replace_one(nine.clone(), doc! { "r": 1 })
            .await?
            .modified_count,
        1,
        "replaced",
    )?;
    let after = things.find_one_and_update(one.clone(), doc! { "$inc": { "n": 1 } });
    let after = after.return_document(ReturnDocument::After).await?;
    equal(
        after,
        Some(doc! { "_id": 1, "n": 102 }),
        "found and updated",
    )?;
    let old = things
        .find_one_and_replace(nine.clone(), doc! { "r": 2 })
        .await?;
    equal(old, Some(doc! { "_id": 9, "r": 1 }), "found and replaced")?;
    counted_and_deleted(&things).await?;
    indexed(&things).await
}

async fn counted_and_deleted(things: &Collection<Document>) -> Result<()> {
    let (one, nine) = (doc! { "_id": 1 }, doc! { "_id": 9 });
    let gone = things.find_one_and_delete(nine).await?;
    equal(gone, Some(doc! { "_id": 9, "r": 2 }), "found and deleted")?;
    equal(
        things.distinct("low", doc! {}).await?,
        vec![Bson::Boolean(true)],
        "distinct",
    )?;
    equal(things.count_documents(doc! {}).await?, 9, "counted")?;
    equal(things.estimated_document_count().await?, 9, "estimated")?;
    let up = doc! { "_id": "up" };
    let upsert = things
        .update_one(up.clone(), doc! { "$set": { "n": 1 } })
        .upsert(true)
        .await?;
    equal(upsert.upserted_id, Some("up".into()), "upserted")?;
    equal(things.delete_one(up).await?.deleted_count, 1, "deleted")?;
    equal(
        things
            .delete_many(doc! { "low": true })
            .await?
            .deleted_count,
        4,
        "deleted many",
    )?;
    fails(11000, things.insert_one(one).await, "a duplicate")?;
    Ok(())
}

async fn indexed(things: &Collection<Document>) -> Result<()> {
    let name = things
        .create_index(IndexModel::builder().keys(doc! { "n": 1 }).build())
        .await?;
    let name = name.index_name;
    ensure!(
        things.list_index_names().await?.contains(&name),
        "index listed"
    );
    things.drop_index(&name).await?;
    ensure!(
        !things.list_index_names().await?.contains(&name),
        "index dropped"
    );
    Ok(())
}
