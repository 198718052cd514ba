//! A scripted face of Weir that answers every class of operation believably, but for one
//! fault.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;
use bson::{Bson, Document, Timestamp, doc};

use super::Case;
use crate::matrix::stage::Face as Endpoint;
use weir_tests::message::Message;
use weir_tests::scripted::{Act, Face, Scripted};

const NAMESPACE: &str = "probe.things";
/// The cursor of a find, and of a change stream.
const CURSOR: i64 = 71;
const STREAM: i64 = 72;
/// How long a stream without an event keeps a getMore waiting.
const QUIET: Duration = Duration::from_millis(200);

/// One case, ready to be met once.
pub(super) struct Rehearsal {
    server: Scripted,
    /// What the case counts.
    counted: &'static str,
    met: Arc<AtomicBool>,
    endpoint: Endpoint,
}

struct Part {
    fault: Option<Act>,
    /// The command that meets the fault, and how many go before it.
    command: &'static str,
    before: usize,
    /// The next document of the open cursor, the next event of the stream.
    next: i32,
    event: i32,
}

impl Rehearsal {
    pub(super) fn start(case: &Case) -> Result<Self> {
        let server = Scripted::start(Face::Weir)?;
        let met = Arc::new(AtomicBool::new(false));
        let part = Mutex::new(Part {
            fault: Some(case.row.act(case.class)),
            command: faulty(case.class),
            // A stream has seen an event, so that losing or doubling one would show.
            before: usize::from(case.class == "CS"),
            next: 3,
            event: 1,
        });
        let told = Arc::clone(&met);
        server.answer_with(Arc::new(move |received| {
            let mut part = part.lock().unwrap_or_else(PoisonError::into_inner);
            part.answer(&received.message, &told)
        }));
        Ok(Self {
            server,
            counted: counted(case.class),
            met,
            endpoint: case.face,
        })
    }

    pub(super) fn uri(&self) -> String {
        let option = match self.endpoint {
            Endpoint::Balanced => "&loadBalanced=true",
            Endpoint::Direct | Endpoint::Mongos => "",
        };
        format!(
            "mongodb://{}/?retryWrites=true{option}",
            self.server.address()
        )
    }

    /// How often the counted command came.
    pub(super) fn sent(&self) -> usize {
        let all = self.server.received_of(self.counted);
        // A shell may run aggregates of its own.
        let counts = |message: &Message| self.counted != "aggregate" || is_stream(&message.body);
        all.iter().filter(|each| counts(&each.message)).count()
    }

    pub(super) fn was_met(&self) -> bool {
        self.met.load(Ordering::Relaxed)
    }

    /// Whether a hello carried `backpressure`.
    pub(super) fn announced_backpressure(&self) -> bool {
        let hellos = self.server.received_of("hello");
        hellos
            .iter()
            .any(|each| each.message.body.contains_key("backpressure"))
    }
}

/// What `tests/drivers/README.md` counts for a class.
fn counted(class: &str) -> &'static str {
    match class {
        "CS" => "aggregate",
        other => faulty(other),
    }
}

/// What meets the fault.
fn faulty(class: &str) -> &'static str {
    match class {
        "RD" => "find",
        "RW" | "TXW" => "insert",
        "NW" | "TX" => "update",
        "CM" | "CMW" => "commitTransaction",
        "AB" => "abortTransaction",
        _ => "getMore",
    }
}

impl Part {
    fn answer(&mut self, message: &Message, met: &AtomicBool) -> Option<Act> {
        if message.command() == self.command {
            if self.before > 0 {
                self.before -= 1;
            } else if let Some(fault) = self.fault.take() {
                met.store(true, Ordering::Relaxed);
                return Some(fault);
            }
        }
        let body = &message.body;
        Some(Act::Reply(match message.command() {
            "find" => find(body),
            "aggregate" if is_stream(body) => self.open_stream(body),
            "getMore" => return Some(self.get_more(body)),
            "insert" => doc! { "n": 1, "ok": 1 },
            "update" => doc! { "n": 1, "nModified": 1, "ok": 1 },
            "killCursors" => doc! {
                "cursorsKilled": body.get_array("cursors").cloned().unwrap_or_default(),
                "cursorsNotFound": [], "cursorsAlive": [], "cursorsUnknown": [], "ok": 1,
            },
            "buildInfo" | "buildinfo" => doc! {
                "version": "6.0.5", "versionArray": [6, 0, 5, 0], "ok": 1,
            },
            _ => return None,
        }))
    }

    /// Two documents at a time, five in all.
    fn get_more(&mut self, body: &Document) -> Act {
        if body.get_i64("getMore").ok() == Some(STREAM) {
            return self.next_event();
        }
        let first = self.next;
        self.next += 2;
        let batch: Vec<Document> = (first..=5).take(2).map(|n| doc! { "_id": n }).collect();
        let id = if self.next > 5 { 0 } else { CURSOR };
        Act::Reply(doc! {
            "cursor": { "id": id, "ns": NAMESPACE, "nextBatch": batch }, "ok": 1,
        })
    }

    /// A stream goes on after the event whose token it names.
    fn open_stream(&mut self, body: &Document) -> Document {
        if let Some(seen) = stream_stage(body).and_then(resume_point) {
            self.event = seen + 1;
        }
        let token = token(self.event - 1);
        doc! {
            "cursor": {
                "id": STREAM, "ns": NAMESPACE, "firstBatch": [], "postBatchResumeToken": token,
            },
            "operationTime": Timestamp { time: 1, increment: 1 },
            "ok": 1,
        }
    }

    fn next_event(&mut self) -> Act {
        let number = self.event;
        let batch = if number <= 3 {
            vec![event(number)]
        } else {
            Vec::new()
        };
        let seen = number.min(3);
        let quiet = batch.is_empty();
        self.event = seen + 1;
        let reply = doc! {
            "cursor": {
                "id": STREAM, "ns": NAMESPACE, "nextBatch": batch,
                "postBatchResumeToken": token(seen),
            },
            "ok": 1,
        };
        if quiet {
            Act::Late(QUIET, reply)
        } else {
            Act::Reply(reply)
        }
    }
}

fn find(body: &Document) -> Document {
    let batch = body.get("batchSize").and_then(Bson::as_i32);
    let wide = body.get("batchSize").and_then(Bson::as_i64);
    let double = body.get("batchSize").and_then(Bson::as_f64);
    let in_batches = batch == Some(2) || wide == Some(2) || double == Some(2.0);
    let (id, count) = if in_batches { (CURSOR, 2) } else { (0, 1) };
    let batch: Vec<Document> = (1..=count).map(|n| doc! { "_id": n }).collect();
    doc! { "cursor": { "id": id, "ns": NAMESPACE, "firstBatch": batch }, "ok": 1 }
}

fn is_stream(body: &Document) -> bool {
    stream_stage(body).is_some()
}

fn stream_stage(body: &Document) -> Option<&Document> {
    let first = body.get_array("pipeline").ok()?.first()?;
    first.as_document()?.get_document("$changeStream").ok()
}

fn resume_point(stage: &Document) -> Option<i32> {
    let token = ["resumeAfter", "startAfter"];
    let token = token.iter().find_map(|key| stage.get_document(key).ok())?;
    token.get_str("_data").ok()?.parse().ok()
}

fn token(number: i32) -> Document {
    doc! { "_data": format!("{number:02}") }
}

fn event(number: i32) -> Document {
    let increment = u32::try_from(number).unwrap_or(0);
    doc! {
        "_id": token(number),
        "operationType": "insert",
        "clusterTime": Timestamp { time: 1, increment },
        "ns": { "db": "probe", "coll": "things" },
        "documentKey": { "_id": number },
        "fullDocument": { "_id": number },
    }
}
