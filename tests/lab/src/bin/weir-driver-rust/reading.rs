//! Cursors, consistency, change streams, files, other nodes than the primary.

use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use bson::{Bson, Document, doc, spec::BinarySubtype};
use futures_util::{AsyncReadExt, AsyncWriteExt, TryStreamExt};
use mongodb::error::{Error, ErrorKind};
use mongodb::options::{
    Acknowledgment, ClientOptions, CursorType, GridFsBucketOptions, ReadConcern, ReadPreference,
    ReadPreferenceOptions, SelectionCriteria, TagSet, WriteConcern,
};
use mongodb::{Client, Collection};

use crate::common::{NotApplicable, Plan, code_of, equal, fails, fresh, majority};

pub(crate) async fn large_results(plan: &Plan) -> Result<()> {
    let things = plan.db().await?.collection::<Document>("large");
    things.drop().await?;
    let payload = |n: i32| format!("{n:05}").repeat(2048);
    for start in (0..2000).step_by(500) {
        let documents = (start..start + 500).map(|n| doc! { "_id": n, "p": payload(n) });
        things.insert_many(documents).await?;
    }
    let mut cursor = things
        .find(doc! {})
        .sort(doc! { "_id": 1 })
        .batch_size(50)
        .await?;
    let mut count = 0;
    while let Some(each) = cursor.try_next().await? {
        ensure!(each.get_i32("_id")? == count, "out of order at {count}");
        ensure!(
            each.get_str("p")? == payload(count),
            "the payload of {count}"
        );
        count += 1;
    }
    equal(count, 2000, "documents")?;
    let bytes: Vec<u8> = (0..12_000_000_u32).map(|n| n.to_le_bytes()[0]).collect();
    let subtype = BinarySubtype::Generic;
    let big = Bson::Binary(bson::Binary { subtype, bytes });
    things
        .insert_one(doc! { "_id": "big", "p": big.clone() })
        .await?;
    let back = things.find_one(doc! { "_id": "big" }).await?;
    ensure!(
        back.and_then(|mut back| back.remove("p")) == Some(big),
        "the 12 MB came back"
    );
    Ok(things.drop().await?)
}

pub(crate) async fn causal(plan: &Plan) -> Result<()> {
    let db = plan.db().await?;
    let things = db.collection::<Document>("causal");
    things.drop().await?;
    let preference = if plan.secondaries {
        ReadPreference::SecondaryPreferred { options: None }
    } else {
        ReadPreference::Primary
    };
    let mut session = db.client().start_session().causal_consistency(true).await?;
    for n in 0..50 {
        let insert = things
            .insert_one(doc! { "_id": n })
            .write_concern(majority());
        insert.session(&mut session).await?;
        let find = things
            .find_one(doc! { "_id": n })
            .read_concern(ReadConcern::majority());
        let criteria = SelectionCriteria::ReadPreference(preference.clone());
        let found = find
            .selection_criteria(criteria)
            .session(&mut session)
            .await?;
        equal(found, Some(doc! { "_id": n }), "own write")?;
    }
    Ok(())
}

pub(crate) async fn snapshot(plan: &Plan) -> Result<()> {
    let db = plan.db().await?;
    let things = db.collection::<Document>("snapshot");
    things.drop().await?;
    let old = doc! { "_id": 1, "n": 1 };
    things.insert_one(&old).write_concern(majority()).await?;
    let mut session = db.client().start_session().snapshot(true).await?;
    let one = doc! { "_id": 1 };
    let found = things.find_one(one.clone()).session(&mut session).await?;
    equal(found, Some(old.clone()), "the state")?;
    let update = things.update_one(one.clone(), doc! { "$set": { "n": 2 } });
    update.write_concern(majority()).await?;
    let found = things.find_one(one.clone()).session(&mut session).await?;
    equal(found, Some(old), "the old state")?;
    equal(
        things.find_one(one).await?,
        Some(doc! { "_id": 1, "n": 2 }),
        "the new state",
    )
}

pub(crate) async fn change_stream(plan: &Plan) -> Result<()> {
    let faulty = plan.faulty().await?;
    let things = fresh(&faulty.db, "stream").await?;
    let wait = Duration::from_millis(500);
    let mut stream = things.watch().max_await_time(wait).await?;
    for start in [0, 5] {
        if start == 5 {
            let labels = ["ResumableChangeStreamError"];
            let fault = doc! { "errorCode": 6, "errorLabels": labels };
            faulty.fail_once("getMore", fault).await?;
        }
        things
            .insert_many((start..start + 5).map(|n| doc! { "_id": n }))
            .await?;
        for n in start..start + 5 {
            let event = faulty_event(&faulty, &mut stream).await?;
            equal(event, Some(Bson::Int32(n)), "the event")?;
        }
    }
    equal(faulty.commands.count("aggregate"), 2, "opened and resumed")
}

type Stream = mongodb::change_stream::ChangeStream<
    mongodb::change_stream::event::ChangeStreamEvent<Document>,
>;

/// The next event's document; the fail point is off after a failure too.
async fn faulty_event(faulty: &crate::common::Faulty, stream: &mut Stream) -> Result<Option<Bson>> {
    let event = match stream.try_next().await {
        Ok(event) => event,
        Err(error) => faulty.off(Err(error)).await?,
    };
    let key = event.and_then(|event| event.document_key);
    Ok(key.and_then(|key| key.get("_id").cloned()))
}

pub(crate) async fn gridfs(plan: &Plan) -> Result<()> {
    let db = plan.db().await?;
    let options = GridFsBucketOptions::builder()
        .bucket_name("files".to_owned())
        .build();
    let bucket = db.gridfs_bucket(options);
    let content: Vec<u8> = (0..3_000_000_u32)
        .map(|n| (n.wrapping_mul(2_654_435_761) >> 24).to_le_bytes()[0])
        .collect();
    let mut upload = bucket.open_upload_stream("three").await?;
    upload.write_all(&content).await?;
    upload.close().await?;
    let id = upload.id().clone();
    let mut back = Vec::new();
    bucket
        .open_download_stream(id.clone())
        .await?
        .read_to_end(&mut back)
        .await?;
    ensure!(back == content, "the file came back");
    bucket.rename(id.clone(), "renamed").await?;
    let found = bucket
        .find_one(doc! { "_id": id.clone() })
        .await?
        .context("no file")?;
    equal(found.filename.as_deref(), Some("renamed"), "the new name")?;
    bucket.delete(id.clone()).await?;
    let chunks = db.collection::<Document>("files.chunks");
    equal(
        chunks.count_documents(doc! { "files_id": id }).await?,
        0,
        "chunks left",
    )
}

fn secondary(tags: &[&[(&str, &str)]]) -> SelectionCriteria {
    let set = |pairs: &&[(&str, &str)]| -> TagSet {
        let pair = |(key, value): &(&str, &str)| ((*key).to_owned(), (*value).to_owned());
        pairs.iter().map(pair).collect()
    };
    let tags: Vec<TagSet> = tags.iter().map(set).collect();
    let options =
        (!tags.is_empty()).then(|| ReadPreferenceOptions::builder().tag_sets(tags).build());
    SelectionCriteria::ReadPreference(ReadPreference::Secondary { options })
}

async fn read(
    things: &Collection<Document>,
    from: SelectionCriteria,
) -> Result<Option<Document>, Error> {
    things
        .find_one(doc! { "_id": 1 })
        .selection_criteria(from)
        .await
}

pub(crate) async fn read_preference(plan: &Plan) -> Result<()> {
    if !plan.secondaries {
        return Err(NotApplicable::because("the set has no secondaries"));
    }
    let mut options = ClientOptions::parse(&plan.uri).await?;
    options.server_selection_timeout = Some(Duration::from_secs(2));
    let client = Client::with_options(options)?;
    let things = client
        .database(&plan.database)
        .collection::<Document>("preference");
    things.drop().await?;
    let everywhere = WriteConcern::builder().w(Acknowledgment::Nodes(3)).build();
    let one = doc! { "_id": 1 };
    things.insert_one(&one).write_concern(everywhere).await?;
    for from in [secondary(&[]), secondary(&[&[("region", "east")]])] {
        equal(
            read(&things, from).await?,
            Some(one.clone()),
            "from a secondary",
        )?;
    }
    let nowhere: &[(&str, &str)] = &[("region", "nowhere")];
    let start = Instant::now();
    let refused = read(&things, secondary(&[nowhere])).await;
    if plan.face == "direct" {
        let error = refused.err().context("tags that match no node found one")?;
        let selection = matches!(error.kind.as_ref(), ErrorKind::ServerSelection { .. });
        ensure!(selection, "tags that match no node: {error}");
    } else {
        fails(133, refused, "tags that match no node")?;
    }
    ensure!(
        start.elapsed() < Duration::from_secs(3),
        "an error inside 3 s"
    );
    equal(
        read(&things, secondary(&[nowhere, &[]])).await?,
        Some(one),
        "the last set matches all",
    )
}

pub(crate) async fn max_staleness(plan: &Plan) -> Result<()> {
    let things = plan.db().await?.collection::<Document>("staleness");
    things.drop().await?;
    things
        .insert_one(doc! { "_id": 1 })
        .write_concern(majority())
        .await?;
    let fresh_within = |seconds: u64| {
        let options = ReadPreferenceOptions::builder().max_staleness(Duration::from_secs(seconds));
        let options = Some(options.build());
        SelectionCriteria::ReadPreference(ReadPreference::SecondaryPreferred { options })
    };
    let start = Instant::now();
    // A secondary may be a moment behind the majority.
    while read(&things, fresh_within(90)).await?.is_none() {
        ensure!(
            start.elapsed() < Duration::from_secs(5),
            "the document does not arrive"
        );
    }
    let refused = read(&things, fresh_within(1)).await.err();
    let refused = refused.context("a staleness of 1 s was accepted")?;
    let invalid = matches!(refused.kind.as_ref(), ErrorKind::InvalidArgument { .. });
    ensure!(
        invalid || code_of(&refused) == Some(160),
        "refused with {refused}"
    );
    Ok(())
}

pub(crate) async fn tailable(plan: &Plan) -> Result<()> {
    let db = plan.db().await?;
    db.collection::<Document>("tail").drop().await?;
    db.create_collection("tail")
        .capped(true)
        .size(1_000_000)
        .await?;
    let things = db.collection::<Document>("tail");
    things.insert_one(doc! { "_id": 0 }).await?;
    let find = things.find(doc! {}).cursor_type(CursorType::TailableAwait);
    let mut cursor = find.max_await_time(Duration::from_millis(500)).await?;
    equal(
        cursor.try_next().await?,
        Some(doc! { "_id": 0 }),
        "the first",
    )?;
    let writer = things.clone();
    let later = tokio::spawn(async move {
        // While the cursor waits.
        tokio::time::sleep(Duration::from_millis(300)).await;
        writer.insert_many((1..4).map(|n| doc! { "_id": n })).await
    });
    for n in 1..4 {
        let next = tokio::time::timeout(Duration::from_secs(10), cursor.try_next());
        equal(next.await??, Some(doc! { "_id": n }), "a later one")?;
    }
    later.await??;
    Ok(())
}
