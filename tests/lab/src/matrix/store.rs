//! A scripted server of wire version 25: the client's bulkWrite, and just enough beside it
//! to see what the bulkWrite has done. It stands for MongoDB 8 where there is none.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use anyhow::Result;
use bson::{Bson, Document, doc};

use weir_tests::message::Message;
use weir_tests::scripted::{Act, Face, Scripted};

/// Collections by namespace, each in order of insertion.
type Data = BTreeMap<String, Vec<Document>>;

/// The running server.
pub struct Store {
    server: Scripted,
}

impl Store {
    /// What it says it is.
    pub const VERSION: &'static str = "8.0.0";

    /// Starts it.
    ///
    /// # Errors
    /// When no port is free.
    pub fn start() -> Result<Self> {
        let server = Scripted::start(Face::Primary)?;
        server.set_wire_version(25);
        let data = Mutex::new(Data::new());
        server.answer_with(Arc::new(move |received| {
            let mut data = data.lock().unwrap_or_else(PoisonError::into_inner);
            answer(&received.message, &mut data).map(Act::Reply)
        }));
        Ok(Self { server })
    }

    /// A replica set's string.
    #[must_use]
    pub fn uri(&self) -> String {
        format!("mongodb://{}/?replicaSet=rs0", self.server.address())
    }
}

fn answer(message: &Message, data: &mut Data) -> Option<Document> {
    let body = &message.body;
    let database = body.get_str("$db").unwrap_or_default();
    let collection = || body.get_str(message.command()).unwrap_or_default();
    let namespace = format!("{database}.{}", collection());
    Some(match message.command() {
        "buildInfo" | "buildinfo" => doc! {
            "version": Store::VERSION, "versionArray": [8, 0, 0, 0], "ok": 1,
        },
        "bulkWrite" => bulk_write(message, data),
        "insert" => {
            let documents = list(message, "documents");
            let n = number(documents.len());
            data.entry(namespace).or_default().extend(documents);
            doc! { "n": n, "ok": 1 }
        }
        "delete" => delete(message, data.entry(namespace).or_default()),
        "find" => {
            let filter = body.get_document("filter").cloned().unwrap_or_default();
            cursor(&namespace, matching(data, &namespace, &filter))
        }
        "aggregate" => aggregate(body, &namespace, data),
        "count" => doc! { "n": number(data.get(&namespace).map_or(0, Vec::len)), "ok": 1 },
        "drop" => {
            data.remove(&namespace);
            doc! { "ok": 1 }
        }
        "dropDatabase" => {
            let prefix = format!("{database}.");
            data.retain(|name, _| !name.starts_with(&prefix));
            doc! { "ok": 1 }
        }
        _ => return None,
    })
}

/// Counting, as drivers do it, and reading all.
fn aggregate(body: &Document, namespace: &str, data: &Data) -> Document {
    let stages = body.get_array("pipeline").cloned().unwrap_or_default();
    let stages: Vec<&Document> = stages.iter().filter_map(Bson::as_document).collect();
    let filter = stages
        .iter()
        .find_map(|stage| stage.get_document("$match").ok());
    let found = matching(data, namespace, &filter.cloned().unwrap_or_default());
    let group = stages
        .iter()
        .find_map(|stage| stage.get_document("$group").ok());
    let Some(group) = group else {
        return cursor(namespace, found);
    };
    let id = group.get("_id").cloned().unwrap_or(Bson::Null);
    let counted = doc! { "_id": id, "n": number(found.len()) };
    let counted = if found.is_empty() {
        vec![]
    } else {
        vec![counted]
    };
    cursor(namespace, counted)
}

fn bulk_write(message: &Message, data: &mut Data) -> Document {
    let namespaces: Vec<String> = list(message, "nsInfo")
        .iter()
        .map(|each| each.get_str("ns").unwrap_or_default().to_owned())
        .collect();
    let mut totals = Totals::default();
    let mut results = Vec::new();
    for (index, operation) in list(message, "ops").iter().enumerate() {
        let Some((kind, place)) = operation.iter().next() else {
            continue;
        };
        let place = integer(place).and_then(|place| usize::try_from(place).ok());
        let Some(namespace) = place.and_then(|place| namespaces.get(place)) else {
            return doc! { "ok": 0, "code": 2, "codeName": "BadValue", "errmsg": "no such ns" };
        };
        let documents = data.entry(namespace.clone()).or_default();
        let mut result = totals.apply(kind, operation, documents);
        result.insert("ok", 1.0);
        result.insert("idx", number(index));
        results.push(result);
    }
    if message.body.get_bool("errorsOnly").unwrap_or(false) {
        results.clear();
    }
    let mut reply = cursor("admin.$cmd.bulkWrite", results);
    reply.extend(doc! {
        "nErrors": 0, "nInserted": totals.inserted, "nMatched": totals.matched,
        "nModified": totals.modified, "nUpserted": totals.upserted, "nDeleted": totals.deleted,
    });
    reply
}

fn delete(message: &Message, from: &mut Vec<Document>) -> Document {
    let deletes = list(message, "deletes");
    let removed = deletes.iter().map(|each| {
        let filter = each.get_document("q").cloned().unwrap_or_default();
        let all = each.get("limit").and_then(integer) == Some(0);
        remove(from, &filter, if all { usize::MAX } else { 1 })
    });
    doc! { "n": number(removed.sum()), "ok": 1 }
}

/// Removes at most so many; says how many.
fn remove(from: &mut Vec<Document>, filter: &Document, most: usize) -> usize {
    let before = from.len();
    let mut left = most;
    from.retain(|each| {
        let goes = left > 0 && fits(each, filter);
        left -= usize::from(goes);
        !goes
    });
    before - from.len()
}

#[derive(Default)]
struct Totals {
    inserted: i32,
    matched: i32,
    modified: i32,
    upserted: i32,
    deleted: i32,
}

impl Totals {
    /// One operation; its part of a verbose result.
    fn apply(&mut self, kind: &str, operation: &Document, into: &mut Vec<Document>) -> Document {
        let filter = operation
            .get_document("filter")
            .cloned()
            .unwrap_or_default();
        let multi = operation.get_bool("multi").unwrap_or(false);
        let most = if multi { usize::MAX } else { 1 };
        match kind {
            "insert" => {
                into.extend(operation.get_document("document").cloned());
                self.inserted += 1;
                doc! { "n": 1 }
            }
            "update" => self.update(operation, &filter, most, into),
            _ => {
                let n = number(remove(into, &filter, most));
                self.deleted += n;
                doc! { "n": n }
            }
        }
    }

    fn update(
        &mut self,
        operation: &Document,
        filter: &Document,
        most: usize,
        into: &mut Vec<Document>,
    ) -> Document {
        let changes = operation
            .get_document("updateMods")
            .cloned()
            .unwrap_or_default();
        let (mut n, mut modified) = (0, 0);
        for each in into.iter_mut().filter(|each| fits(each, filter)).take(most) {
            let old = each.clone();
            change(each, &changes);
            n += 1;
            modified += i32::from(*each != old);
        }
        self.matched += n;
        self.modified += modified;
        if n > 0 || !operation.get_bool("upsert").unwrap_or(false) {
            return doc! { "n": n, "nModified": modified };
        }
        let mut made = filter.clone();
        change(&mut made, &changes);
        if !made.contains_key("_id") {
            made.insert("_id", bson::oid::ObjectId::new());
        }
        let id = made.get("_id").cloned().unwrap_or(Bson::Null);
        into.push(made);
        self.upserted += 1;
        doc! { "n": 1, "nModified": 0, "upserted": { "_id": id } }
    }
}

/// `$set`, `$inc`, or a whole new document.
fn change(document: &mut Document, changes: &Document) {
    let operators = changes.keys().any(|key| key.starts_with('$'));
    if !operators {
        let id = document.get("_id").cloned();
        *document = changes.clone();
        id.map(|id| document.insert("_id", id));
        return;
    }
    if let Ok(set) = changes.get_document("$set") {
        document.extend(set.clone());
    }
    for (key, by) in changes.get_document("$inc").into_iter().flatten() {
        let sum = document.get(key).and_then(integer).unwrap_or(0) + integer(by).unwrap_or(0);
        document.insert(key, i32::try_from(sum).unwrap_or(i32::MAX));
    }
}

fn matching(data: &Data, namespace: &str, filter: &Document) -> Vec<Document> {
    let all = data.get(namespace).into_iter().flatten();
    all.filter(|each| fits(each, filter)).cloned().collect()
}

/// Equality of fields only; numbers of different types are equal.
fn fits(document: &Document, filter: &Document) -> bool {
    filter.iter().all(|(key, wanted)| match document.get(key) {
        Some(found) => {
            found == wanted || integer(found).is_some() && integer(found) == integer(wanted)
        }
        None => false,
    })
}

fn integer(value: &Bson) -> Option<i64> {
    match value {
        Bson::Int32(number) => Some(i64::from(*number)),
        Bson::Int64(number) => Some(*number),
        #[expect(clippy::cast_possible_truncation, reason = "whole numbers of a test")]
        Bson::Double(number) if number.fract() == 0.0 => Some(*number as i64),
        _ => None,
    }
}

/// From the document sequence of this name, or the body's array.
fn list(message: &Message, name: &str) -> Vec<Document> {
    let sequence = message.sequences.iter().find(|(found, _)| found == name);
    if let Some((_, documents)) = sequence {
        return documents.clone();
    }
    let array = message.body.get_array(name).into_iter().flatten();
    array
        .filter_map(|each| each.as_document().cloned())
        .collect()
}

fn cursor(namespace: &str, batch: Vec<Document>) -> Document {
    doc! { "cursor": { "id": 0_i64, "ns": namespace, "firstBatch": batch }, "ok": 1 }
}

fn number(count: usize) -> i32 {
    i32::try_from(count).unwrap_or(i32::MAX)
}
