//! Connecting, logging in, reading and writing.

use anyhow::{Context, Result, bail, ensure};
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::error::ErrorKind;
use mongodb::options::{
    ClientOptions, DeleteOneModel, InsertOneModel, ReturnDocument, ServerApi, ServerApiVersion,
    UpdateOneModel, WriteModel,
};
use mongodb::{Client, Database, IndexModel, Namespace};
use tokio::task::JoinSet;

use crate::common::{NotApplicable, Plan, equal, fails};

const WIRE_VERSION_OF_BULK_WRITE: i64 = 25;

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

fn users(status: &Document) -> Result<usize> {
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

/// The driver's bulk write of one collection is insertMany.
pub(crate) async fn bulk(plan: &Plan) -> Result<()> {
    let things = plan.db().await?.collection::<Document>("bulk");
    for (ordered, inserted) in [(true, 1), (false, 2)] {
        things.drop().await?;
        let clash = [doc! { "_id": 1 }, doc! { "_id": 1 }, doc! { "_id": 2 }];
        let error = things.insert_many(clash).ordered(ordered).await.err();
        let error = error.context("the duplicate was taken")?;
        let ErrorKind::InsertMany(details) = error.kind.as_ref() else {
            bail!("not a bulk error: {error}");
        };
        let errors = details.write_errors.as_deref().unwrap_or_default();
        let places: Vec<(usize, i32)> = errors.iter().map(|e| (e.index, e.code)).collect();
        equal(places, vec![(1, 11000)], "errors")?;
        equal(things.count_documents(doc! {}).await?, inserted, "inserted")?;
    }
    things.drop().await?;
    let many = things
        .insert_many((0..10_000).map(|n| doc! { "n": n }))
        .await?;
    equal(many.inserted_ids.len(), 10_000, "inserted in one call")?;
    equal(things.count_documents(doc! {}).await?, 10_000, "counted")
}

pub(crate) async fn client_bulk_write(plan: &Plan) -> Result<()> {
    if plan.wire_version < WIRE_VERSION_OF_BULK_WRITE {
        let reason = format!("the server {} has no bulkWrite command", plan.version);
        return Err(NotApplicable::because(reason));
    }
    let db = plan.db().await?;
    let of = |name: &str| Namespace::new(db.name(), name);
    let insert = |id: i32, name: &str| {
        let document = doc! { "_id": id, "n": id };
        WriteModel::from(
            InsertOneModel::builder()
                .namespace(of(name))
                .document(document)
                .build(),
        )
    };
    let update = UpdateOneModel::builder()
        .namespace(of("one"))
        .filter(doc! { "_id": 1 });
    let update = update.update(doc! { "$set": { "n": 2 } }).build();
    let delete = DeleteOneModel::builder()
        .namespace(of("two"))
        .filter(doc! { "_id": 2 });
    let models = [
        insert(1, "one"),
        insert(2, "two"),
        update.into(),
        delete.build().into(),
        insert(3, "two"),
    ];
    let result = db.client().bulk_write(models).verbose_results().await?;
    let sum = &result.summary;
    let counts = (sum.inserted_count, sum.modified_count, sum.deleted_count);
    equal(counts, (3, 1, 1), "counts")?;
    let third = result
        .insert_results
        .get(&4)
        .map(|each| each.inserted_id.clone());
    equal(third, Some(Bson::Int32(3)), "the id of the last insert")?;
    let one = db
        .collection::<Document>("one")
        .find_one(doc! { "_id": 1 })
        .await?;
    equal(one, Some(doc! { "_id": 1, "n": 2 }), "updated")?;
    let two = db.collection::<Document>("two").find(doc! {}).await?;
    let two: Vec<Document> = two.try_collect().await?;
    equal(two, vec![doc! { "_id": 3, "n": 3 }], "the other collection")
}

pub(crate) async fn out_merge(plan: &Plan) -> Result<()> {
    let db = plan.db().await?;
    let [source, out, merge] =
        ["source", "out", "merge"].map(|name| db.collection::<Document>(name));
    for each in [&source, &out, &merge] {
        each.drop().await?;
    }
    source
        .insert_many((0..50).map(|n| doc! { "_id": n, "n": n }))
        .await?;
    let low = doc! { "$match": { "n": { "$lt": 10 } } };
    source.aggregate([low, doc! { "$out": "out" }]).await?;
    equal(
        out.count_documents(doc! { "n": { "$lt": 10 } }).await?,
        10,
        "$out",
    )?;
    merge.insert_one(doc! { "_id": 3, "old": true }).await?;
    let lower = doc! { "$match": { "n": { "$lt": 5 } } };
    source
        .aggregate([lower, doc! { "$merge": { "into": "merge" } }])
        .await?;
    equal(merge.count_documents(doc! {}).await?, 5, "$merge")?;
    let merged = merge.find_one(doc! { "_id": 3 }).await?;
    equal(
        merged,
        Some(doc! { "_id": 3, "old": true, "n": 3 }),
        "merged",
    )
}

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
