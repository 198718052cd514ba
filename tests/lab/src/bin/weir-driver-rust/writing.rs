//! Transactions, retries, and writes nobody acknowledges.

use std::sync::Arc;
use std::sync::atomic::{AtomicI32, Ordering};

use anyhow::{Context, Result, ensure};
use bson::{Document, doc};
use futures_util::TryStreamExt;
use mongodb::error::ErrorKind;
use mongodb::options::{Acknowledgment, WriteConcern};

use crate::common::{NotApplicable, Plan, equal, fresh};

const LABEL: &str = "RetryableWriteError";

pub(crate) async fn transactions(plan: &Plan) -> Result<()> {
    let db = plan.db().await?;
    let things = fresh(&db, "transactions").await?;
    let mut session = db.client().start_session().await?;
    session.start_transaction().await?;
    things
        .insert_one(doc! { "_id": "commit" })
        .session(&mut session)
        .await?;
    equal(
        things.count_documents(doc! {}).await?,
        0,
        "seen from outside before the commit",
    )?;
    let inside = things
        .count_documents(doc! {})
        .session(&mut session)
        .await?;
    equal(inside, 1, "seen from inside")?;
    session.commit_transaction().await?;
    equal(
        things.count_documents(doc! {}).await?,
        1,
        "seen after the commit",
    )?;
    session.start_transaction().await?;
    things
        .insert_one(doc! { "_id": "abort" })
        .session(&mut session)
        .await?;
    session.abort_transaction().await?;
    equal(
        things.count_documents(doc! { "_id": "abort" }).await?,
        0,
        "seen after the abort",
    )
}

pub(crate) async fn transaction_retry(plan: &Plan) -> Result<()> {
    let faulty = plan.faulty().await?;
    let things = fresh(&faulty.db, "transaction_retry").await?;
    things.insert_one(doc! { "_id": 1, "n": 0 }).await?;
    let mut session = faulty.client.start_session().await?;
    session.start_transaction().await?;
    let one = doc! { "_id": 1 };
    let update = things.update_one(one.clone(), doc! { "$inc": { "n": 1 } });
    update.session(&mut session).await?;
    let fault = doc! { "errorCode": 6, "errorLabels": [LABEL] };
    faulty.fail_once("commitTransaction", fault).await?;
    faulty.off(session.commit_transaction().await).await?;
    equal(
        faulty.commands.count("commitTransaction"),
        2,
        "commits sent",
    )?;
    equal(
        things.find_one(one).await?,
        Some(doc! { "_id": 1, "n": 1 }),
        "applied",
    )
}

pub(crate) async fn with_transaction(plan: &Plan) -> Result<()> {
    let faulty = plan.faulty().await?;
    let things = fresh(&faulty.db, "with_transaction").await?;
    let fault = doc! { "errorCode": 251, "errorLabels": ["TransientTransactionError"] };
    faulty.fail_once("insert", fault).await?;
    let mut session = faulty.client.start_session().await?;
    let runs = Arc::new(AtomicI32::new(0));
    let (counted, into) = (Arc::clone(&runs), things.clone());
    let body = async move |session: &mut mongodb::ClientSession| {
        let run = counted.fetch_add(1, Ordering::Relaxed) + 1;
        into.insert_one(doc! { "_id": run }).session(session).await
    };
    let ended = session.start_transaction().and_run2(body).await;
    faulty.off(ended).await?;
    equal(runs.load(Ordering::Relaxed), 2, "runs of the body")?;
    let found: Vec<Document> = things.find(doc! {}).await?.try_collect().await?;
    equal(found, vec![doc! { "_id": 2 }], "applied")
}

pub(crate) async fn retryable_write(plan: &Plan) -> Result<()> {
    let faulty = plan.faulty().await?;
    let things = fresh(&faulty.db, "retryable_write").await?;
    things.insert_one(doc! { "_id": "warm" }).await?;
    let ways = [
        doc! { "errorCode": 6, "errorLabels": [LABEL] },
        doc! { "closeConnection": true },
    ];
    for way in ways {
        let before = faulty.commands.count("insert");
        let id = doc! { "_id": way.to_string() };
        faulty.fail_once("insert", way).await?;
        faulty.off(things.insert_one(&id).await).await?;
        equal(faulty.commands.count("insert") - before, 2, "inserts sent")?;
        equal(things.count_documents(id).await?, 1, "present")?;
    }
    Ok(())
}

pub(crate) async fn retryable_read(plan: &Plan) -> Result<()> {
    let faulty = plan.faulty().await?;
    let things = fresh(&faulty.db, "retryable_read").await?;
    things.insert_one(doc! { "_id": 1 }).await?;
    for way in [doc! { "errorCode": 6 }, doc! { "closeConnection": true }] {
        let before = faulty.commands.count("find");
        faulty.fail_once("find", way).await?;
        let found = faulty.off(things.find_one(doc! { "_id": 1 }).await).await?;
        equal(found, Some(doc! { "_id": 1 }), "found")?;
        equal(faulty.commands.count("find") - before, 2, "finds sent")?;
    }
    Ok(())
}

/// The driver refuses such a write concern; that it still does is looked at.
pub(crate) async fn unacknowledged(plan: &Plan) -> Result<()> {
    let things = plan.db().await?.collection::<Document>("unacknowledged");
    let quiet = WriteConcern::builder().w(Acknowledgment::Nodes(0)).build();
    let refused = things.insert_one(doc! {}).write_concern(quiet).await.err();
    let refused = refused.context("the driver takes w: 0 now: test it")?;
    let invalid = matches!(refused.kind.as_ref(), ErrorKind::InvalidArgument { .. });
    ensure!(invalid, "{refused}");
    Err(NotApplicable::because(
        "the driver refuses unacknowledged writes",
    ))
}
