//! The quiz data set: put in before a phase, counted after it.

use bson::{RawDocumentBuf, rawdoc};

use crate::exam::QUESTIONS;
use weir::wire::raw;
use weir_kit::client::{ClientError, Connection};
use weir_kit::messages::{QUIZ, message, message_with, student_id};

/// Users per insert; servers take up to 100,000.
const BATCH: u32 = 1_000;

/// The collections that the demo makes.
const OURS: [&[u8]; 3] = [b"users", b"questions", b"attempts"];

/// Fills `database` with the students and the quiz.
///
/// # Errors
/// When the server refuses one of the commands.
pub(super) async fn fill(
    connection: &mut Connection,
    database: &str,
    students: u32,
) -> Result<(), ClientError> {
    for from in (0..students).step_by(BATCH as usize) {
        let users: Vec<_> = (from..students.min(from + BATCH)).map(user).collect();
        insert(connection, database, "users", &users).await?;
    }
    let questions: Vec<_> = (1..=QUESTIONS).map(question).collect();
    insert(connection, database, "questions", &questions).await?;
    for command in [
        rawdoc! {
            "createIndexes": "questions",
            "indexes": [{ "key": { "quiz": 1, "number": 1 }, "name": "quiz_1_number_1" }],
            "$db": database,
        },
        // There before the rush: making it would block the first inserts.
        rawdoc! { "create": "attempts", "$db": database },
    ] {
        connection.exchange(message(&command)).await?;
    }
    Ok(())
}

async fn insert(
    connection: &mut Connection,
    database: &str,
    collection: &str,
    documents: &[RawDocumentBuf],
) -> Result<(), ClientError> {
    let body = rawdoc! { "insert": collection, "ordered": false, "$db": database };
    let message = message_with(&body, "documents", documents);
    connection.exchange(message).await.map(drop)
}

fn user(student: u32) -> RawDocumentBuf {
    rawdoc! {
        "_id": student_id(student),
        "name": format!("Student {student}"),
        "email": format!("student{student}@example.edu"),
        "courses": ["databases", "networks"],
        "extraTimePercent": 0,
    }
}

fn question(number: i32) -> RawDocumentBuf {
    rawdoc! {
        "quiz": QUIZ,
        "number": number,
        "text": format!(
            "Question {number}: a client has sent an update and its connection breaks \
             before the answer arrives. Which of the following can it know for certain?"
        ),
        "choices": [
            "The update was executed once.",
            "The update was executed at most once.",
            "The update was not executed.",
            "Nothing, unless the update is retryable.",
        ],
        "points": 5,
    }
}

/// Waits for an answer that only the server itself can give.
///
/// # Errors
/// When it refuses.
pub(super) async fn ping(connection: &mut Connection) -> Result<(), ClientError> {
    let command = message(&rawdoc! { "ping": 1, "$db": "admin" });
    connection.exchange(command).await.map(drop)
}

/// Answers that really are in the database, of all attempts together.
///
/// # Errors
/// When the server refuses the command.
pub(super) async fn stored_answers(
    connection: &mut Connection,
    database: &str,
) -> Result<u64, ClientError> {
    let reply = connection
        .exchange(message(&rawdoc! {
            "aggregate": "attempts",
            "pipeline": [
                { "$group": { "_id": 1, "answers": { "$sum": { "$size": "$answers" } } } },
            ],
            "cursor": {},
            "$db": database,
        }))
        .await?;
    let answers = first_of_batch(reply.body())
        .and_then(|group| raw::find(group, b"answers")?.as_number_i64());
    Ok(answers.and_then(|n| u64::try_from(n).ok()).unwrap_or(0))
}

fn first_of_batch(body: &[u8]) -> Option<&[u8]> {
    let cursor = raw::find(body, b"cursor")?.as_document()?;
    let batch = raw::find(cursor, b"firstBatch")?.as_array()?;
    raw::elements(batch).next()?.ok()?.as_document()
}

/// The first collection in `database` that the demo would not have made.
///
/// # Errors
/// When the server refuses the command.
pub(super) async fn stranger(
    connection: &mut Connection,
    database: &str,
) -> Result<Option<String>, ClientError> {
    let reply = connection
        .exchange(message(&rawdoc! {
            "listCollections": 1,
            "nameOnly": true,
            "cursor": {},
            "$db": database,
        }))
        .await?;
    let name = collection_names(reply.body())
        .into_iter()
        .find(|name| !OURS.contains(name));
    Ok(name.map(|name| String::from_utf8_lossy(name).into_owned()))
}

fn collection_names(body: &[u8]) -> Vec<&[u8]> {
    let names = || {
        let cursor = raw::find(body, b"cursor")?.as_document()?;
        let batch = raw::find(cursor, b"firstBatch")?.as_array()?;
        let named = raw::elements(batch)
            .filter_map(|entry| raw::find(entry.ok()?.as_document()?, b"name")?.as_str());
        Some(named.collect())
    };
    names().unwrap_or_default()
}

/// Drops `database`.
///
/// # Errors
/// When the server refuses the command.
pub(super) async fn remove(connection: &mut Connection, database: &str) -> Result<(), ClientError> {
    let command = message(&rawdoc! { "dropDatabase": 1, "$db": database });
    connection.exchange(command).await.map(drop)
}
