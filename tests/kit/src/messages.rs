//! Every message a simulated client sends, built once.
//!
//! 1,500 environments would otherwise encode the same few documents tens of
//! thousands of times on the two cores that the server needs. A [`Template`]
//! is the finished message with holes; filling them copies some bytes.
//!
//! The shapes are those of current drivers: the first hello of a connection is
//! a legacy `isMaster` in an OP_QUERY with client metadata, everything after
//! it an OP_MSG; writes carry their documents as a sequence, with session id
//! and transaction number as a retryable write. Not imitated: `$clusterTime`
//! gossip and compression.

use bson::spec::BinarySubtype;
use bson::{Binary, RawDocumentBuf, rawdoc};

use weir::wire::header::{Header, opcode};
use weir::wire::{legacy, op_msg};

/// The `_id` of the quiz.
pub const QUIZ: &str = "databases-1";

/// Stands where the session id will be; 16 bytes as an UUID has.
const SESSION: [u8; 16] = *b"session 16 bytes";
/// Stands where the student's `_id` will be.
const STUDENT: &str = "student-######";
/// Stand where numbers will be. No byte is in two of them or in any text, so
/// that none is found inside another.
const TRANSACTION: i64 = 0x7181_91a1_b1c1_d1e1;
const QUESTION: i32 = 0x7282_92a2;
const CHOICE: i32 = 0x7383_93a3;

/// How long a server may hold back the reply to an awaiting hello.
const MAX_AWAIT_MS: i64 = 10_000;

/// The `_id` of a student; always of the same length, so that it fits the hole.
pub fn student_id(student: u32) -> String {
    format!("student-{student:06}")
}

/// What differs between two messages of the same template.
#[derive(Clone, Copy, Debug, Default)]
pub struct Values {
    /// The student's number.
    pub student: u32,
    /// The session id (`lsid.id`).
    pub session: [u8; 16],
    /// The transaction number of a retryable write.
    pub transaction: i64,
    /// The number of the question answered, from 1.
    pub question: i32,
    /// The choice made.
    pub choice: i32,
}

/// A finished message with holes.
#[derive(Clone, Debug)]
pub struct Template {
    bytes: Vec<u8>,
    session: Vec<usize>,
    student: Vec<usize>,
    transaction: Vec<usize>,
    question: Vec<usize>,
    choice: Vec<usize>,
}

impl Template {
    fn new(bytes: Vec<u8>) -> Self {
        Self {
            session: positions(&bytes, &SESSION),
            student: positions(&bytes, STUDENT.as_bytes()),
            transaction: positions(&bytes, &TRANSACTION.to_le_bytes()),
            question: positions(&bytes, &QUESTION.to_le_bytes()),
            choice: positions(&bytes, &CHOICE.to_le_bytes()),
            bytes,
        }
    }

    /// The message with every hole filled. Its request id is the caller's to set.
    pub fn fill(&self, values: &Values) -> Vec<u8> {
        let mut message = self.bytes.clone();
        let student = student_id(values.student);
        let holes: [(&[usize], &[u8]); 5] = [
            (&self.session, &values.session),
            (&self.student, student.as_bytes()),
            (&self.transaction, &values.transaction.to_le_bytes()),
            (&self.question, &values.question.to_le_bytes()),
            (&self.choice, &values.choice.to_le_bytes()),
        ];
        for (places, value) in holes {
            for &at in places {
                if let Some(hole) = message.get_mut(at..at + value.len()) {
                    hole.copy_from_slice(value);
                }
            }
        }
        message
    }
}

fn positions(bytes: &[u8], needle: &[u8]) -> Vec<usize> {
    bytes
        .windows(needle.len())
        .enumerate()
        .filter_map(|(at, window)| (window == needle).then_some(at))
        .collect()
}

/// The messages of one database.
#[derive(Clone, Debug)]
pub struct Messages {
    /// First message of every connection.
    pub handshake: Vec<u8>,
    /// What RTT monitors and polling monitors send later.
    pub hello: Vec<u8>,
    /// Reads the student.
    pub find_user: Template,
    /// Reads all questions of the quiz.
    pub fetch_quiz: Template,
    /// Inserts the student's attempt.
    pub start_attempt: Template,
    /// Adds one answer to the attempt.
    pub submit_answer: Template,
}

impl Messages {
    /// The messages for the quiz in `database`.
    pub fn new(database: &str) -> Self {
        Self {
            handshake: legacy::op_query(0, "admin.$cmd", handshake().as_bytes()),
            hello: message(&rawdoc! { "hello": 1, "$db": "admin" }),
            find_user: Template::new(message(&rawdoc! {
                "find": "users",
                "filter": { "_id": STUDENT },
                "limit": 1,
                "singleBatch": true,
                "lsid": session(),
                "$db": database,
            })),
            fetch_quiz: Template::new(message(&rawdoc! {
                "find": "questions",
                "filter": { "quiz": QUIZ },
                "sort": { "number": 1 },
                "lsid": session(),
                "$db": database,
            })),
            start_attempt: Template::new(message_with(
                &rawdoc! {
                    "insert": "attempts",
                    "ordered": true,
                    "lsid": session(),
                    "txnNumber": TRANSACTION,
                    "$db": database,
                },
                "documents",
                &[rawdoc! { "_id": STUDENT, "quiz": QUIZ, "answers": [] }],
            )),
            submit_answer: Template::new(message_with(
                &rawdoc! {
                    "update": "attempts",
                    "ordered": true,
                    "lsid": session(),
                    "txnNumber": TRANSACTION,
                    "$db": database,
                },
                "updates",
                &[rawdoc! {
                    "q": { "_id": STUDENT },
                    "u": { "$push": { "answers": { "question": QUESTION, "choice": CHOICE } } },
                    "multi": false,
                    "upsert": false,
                }],
            )),
        }
    }
}

/// A streaming monitor's hello: answered when the topology changes, or after
/// ten seconds, again and again. `version` is the server's last
/// `topologyVersion`, copied as raw BSON.
pub fn awaiting_hello(version: &[u8]) -> Option<Vec<u8>> {
    let version = RawDocumentBuf::from_bytes(version.to_vec()).ok()?;
    let mut hello = message(&rawdoc! {
        "hello": 1,
        "topologyVersion": version,
        "maxAwaitTimeMS": MAX_AWAIT_MS,
        "$db": "admin",
    });
    op_msg::set_flags(&mut hello, op_msg::EXHAUST_ALLOWED);
    Some(hello)
}

/// An OP_MSG with `body` as its only section.
pub fn message(body: &RawDocumentBuf) -> Vec<u8> {
    assemble(body, &[])
}

/// An OP_MSG with a body and one document sequence, as drivers send writes.
pub fn message_with(
    body: &RawDocumentBuf,
    identifier: &str,
    documents: &[RawDocumentBuf],
) -> Vec<u8> {
    let content: Vec<u8> = documents
        .iter()
        .flat_map(|one| one.as_bytes())
        .copied()
        .collect();
    let size = 4 + identifier.len() + 1 + content.len();
    let mut sequence = vec![1];
    sequence.extend_from_slice(&le(size));
    sequence.extend_from_slice(identifier.as_bytes());
    sequence.push(0);
    sequence.extend_from_slice(&content);
    assemble(body, &sequence)
}

fn assemble(body: &RawDocumentBuf, more: &[u8]) -> Vec<u8> {
    let body = body.as_bytes();
    // Header, flags (none) and the kind of the first section (0).
    let length = 16 + 4 + 1 + body.len() + more.len();
    let header = Header {
        length,
        request_id: 0,
        response_to: 0,
        op_code: opcode::MSG,
    };
    let mut message = Vec::with_capacity(length);
    message.extend_from_slice(&header.encode());
    message.extend_from_slice(&[0; 5]);
    message.extend_from_slice(body);
    message.extend_from_slice(more);
    message
}

/// Lengths here are a few kilobytes; saturating only satisfies the type.
fn le(length: usize) -> [u8; 4] {
    i32::try_from(length).unwrap_or(i32::MAX).to_le_bytes()
}

fn session() -> RawDocumentBuf {
    rawdoc! { "id": Binary { subtype: BinarySubtype::Uuid, bytes: SESSION.to_vec() } }
}

fn handshake() -> RawDocumentBuf {
    rawdoc! {
        "isMaster": 1,
        "helloOk": true,
        "client": {
            "application": { "name": "quiz" },
            "driver": { "name": "weir-demo", "version": env!("CARGO_PKG_VERSION") },
            "os": { "type": "Linux" },
            "env": { "name": "aws.lambda", "memory_mb": 512 },
        },
        "compression": [],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use weir::wire::op_msg::OpMsg;
    use weir::wire::raw;

    fn body(message: &[u8]) -> &[u8] {
        let parsed = OpMsg::parse(message).unwrap();
        &message[parsed.body]
    }

    #[test]
    fn a_filled_write_is_a_retryable_write_of_that_student() {
        let messages = Messages::new("quiz");
        let filled = messages.submit_answer.fill(&Values {
            student: 1_499,
            session: [7; 16],
            transaction: 3,
            question: 2,
            choice: 1,
        });
        let parsed = OpMsg::parse(&filled).unwrap();
        let transaction = raw::find(body(&filled), b"txnNumber").unwrap();
        assert_eq!(transaction.as_i64(), Some(3));
        let lsid = raw::find(body(&filled), b"lsid").unwrap();
        let id = raw::find(lsid.as_document().unwrap(), b"id").unwrap();
        assert_eq!(id.value, [&[16, 0, 0, 0, 4][..], &[7; 16]].concat());

        let (identifier, documents) = parsed.sequences(&filled).next().unwrap();
        assert_eq!(identifier, b"updates");
        let update = RawDocumentBuf::from_bytes(documents.to_vec()).unwrap();
        let expected = rawdoc! {
            "q": { "_id": "student-001499" },
            "u": { "$push": { "answers": { "question": 2, "choice": 1 } } },
            "multi": false,
            "upsert": false,
        };
        assert_eq!(update, expected);
    }

    #[test]
    fn every_template_has_its_holes() {
        let all = Messages::new("quiz");
        for (template, student, transaction) in [
            (&all.find_user, 1, 0),
            (&all.fetch_quiz, 0, 0),
            (&all.start_attempt, 1, 1),
            (&all.submit_answer, 1, 1),
        ] {
            assert_eq!(template.session.len(), 1);
            assert_eq!(template.student.len(), student);
            assert_eq!(template.transaction.len(), transaction);
        }
        assert_eq!(all.submit_answer.question.len(), 1);
        assert_eq!(all.submit_answer.choice.len(), 1);
    }

    #[test]
    fn an_awaiting_hello_allows_exhaust_and_carries_the_version() {
        let version =
            rawdoc! { "processId": bson::oid::ObjectId::from_bytes([1; 12]), "counter": 6_i64 };
        let hello = awaiting_hello(version.as_bytes()).unwrap();
        assert_eq!(op_msg::flags(&hello), Some(op_msg::EXHAUST_ALLOWED));
        let carried = raw::find(body(&hello), b"topologyVersion").unwrap();
        assert_eq!(carried.as_document(), Some(version.as_bytes()));
    }
}
