//! Many writes at once, and results that are written instead of returned.

use anyhow::{Context, Result, bail};
use bson::{Bson, Document, doc};
use futures_util::TryStreamExt;
use mongodb::Namespace;
use mongodb::error::ErrorKind;
use mongodb::options::{DeleteOneModel, InsertOneModel, UpdateOneModel, WriteModel};

use crate::common::{NotApplicable, Plan, equal};

const WIRE_VERSION_OF_BULK_WRITE: i64 = 25;

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
