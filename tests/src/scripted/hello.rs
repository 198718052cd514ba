//! Answering hello in a face.

use std::time::Duration;

use bson::{DateTime, Document, doc};

use super::{Face, Shared};
use crate::message::Message;

/// The set's name in the faces of members.
pub(super) const SET: &str = "rs0";

pub(super) fn is_hello(message: &Message) -> bool {
    matches!(message.command(), "hello" | "isMaster" | "ismaster")
}

/// The reply; `None` when this face does not answer.
///
/// A hello that names the current version waits for a change, at most as long
/// as it says.
pub(super) async fn answer(
    message: &Message,
    connection: usize,
    shared: &Shared,
) -> Option<Document> {
    let known = message
        .body
        .get_document("topologyVersion")
        .ok()
        .and_then(|version| version.get_i64("counter").ok());
    let patience = message.body.get("maxAwaitTimeMS").and_then(|value| {
        let number = value.as_i64().or_else(|| value.as_i32().map(i64::from));
        number.and_then(|number| u64::try_from(number).ok())
    });
    let mut version = shared.version.subscribe();
    if let (Some(known), Some(patience)) = (known, patience) {
        let change = version.wait_for(|now| *now != known);
        let _ = tokio::time::timeout(Duration::from_millis(patience), change).await;
    }
    let counter = *version.borrow();
    let (face, wire_version) = {
        let state = shared.lock();
        (state.face.clone(), state.wire_version)
    };
    let balanced = message.body.get_bool("loadBalanced").unwrap_or(false);
    let watched = matches!(face, Face::Weir) && !balanced;
    let mut reply = face_fields(face, shared, balanced)?;
    if reply.contains_key("maxWireVersion") && wire_version != 17 {
        reply.insert("maxWireVersion", wire_version);
    }
    if matches!(message.command(), "isMaster" | "ismaster")
        && let Some(writable) = reply.remove("isWritablePrimary")
    {
        reply.insert("ismaster", writable);
    }
    if message.body.get_bool("helloOk").unwrap_or(false) {
        reply.insert("helloOk", true);
    }
    if watched || !reply.contains_key("msg") && !reply.contains_key("serviceId") {
        let version = doc! { "processId": shared.process_id, "counter": counter };
        reply.insert("topologyVersion", version);
    }
    reply.insert("connectionId", i64::try_from(connection).unwrap_or(0));
    reply.insert("ok", 1.0);
    Some(reply)
}

fn face_fields(face: Face, shared: &Shared, balanced: bool) -> Option<Document> {
    let mut fields = doc! {
        "maxBsonObjectSize": 16_777_216,
        "maxMessageSizeBytes": 48_000_000,
        "maxWriteBatchSize": 100_000,
        "localTime": DateTime::now(),
        "logicalSessionTimeoutMinutes": 30,
        "minWireVersion": 0,
        "maxWireVersion": 17,
    };
    let member = |primary: bool| {
        let me = shared.address.to_string();
        let mut fields = doc! {
            "setName": SET,
            "setVersion": 1,
            "isWritablePrimary": primary,
            "secondary": !primary,
            "hosts": [&me],
            "me": &me,
            "lastWrite": { "lastWriteDate": DateTime::now() },
        };
        if primary {
            fields.insert("primary", me);
            fields.insert("electionId", shared.process_id);
        }
        fields
    };
    fields.extend(match face {
        Face::Primary => member(true),
        Face::Secondary => member(false),
        Face::Mongos => doc! { "isWritablePrimary": true, "msg": "isdbgrid" },
        Face::Weir if !balanced => doc! { "isWritablePrimary": true, "msg": "isdbgrid" },
        Face::LoadBalanced | Face::Weir => doc! {
            "isWritablePrimary": true,
            "msg": "isdbgrid",
            "serviceId": shared.process_id,
        },
        Face::Custom(fields) => return Some(fields),
        Face::Silent => return None,
    });
    Some(fields)
}
