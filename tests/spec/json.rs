//! Reading fixtures: extended JSON to BSON, names to Weir's types.

use bson::{Bson, DateTime, Document, oid::ObjectId};
use serde_json::Value;
use weir::topology::{NodeKind, TopologyKind, TopologyVersion};

/// Extended JSON, as far as the fixtures use it.
pub(crate) fn to_bson(value: &Value) -> Bson {
    match value {
        Value::Null => Bson::Null,
        Value::Bool(yes) => Bson::Boolean(*yes),
        Value::Number(number) => match number.as_i64() {
            Some(number) => i32::try_from(number).map_or(Bson::Int64(number), Bson::Int32),
            None => Bson::Double(number.as_f64().unwrap_or_default()),
        },
        Value::String(text) => Bson::String(text.clone()),
        Value::Array(values) => Bson::Array(values.iter().map(to_bson).collect()),
        Value::Object(fields) => {
            if let Some(id) = object_id(value) {
                return Bson::ObjectId(ObjectId::from_bytes(id));
            }
            if fields.contains_key("$numberLong") {
                return Bson::Int64(long(value).unwrap());
            }
            Bson::Document(to_document(value))
        }
    }
}

/// A hello reply or an error document.
pub(crate) fn to_document(value: &Value) -> Document {
    let fields = value.as_object().into_iter().flatten();
    fields
        .map(|(key, value)| {
            (
                key.clone(),
                date(key, value).unwrap_or_else(|| to_bson(value)),
            )
        })
        .collect()
}

/// `lastWriteDate` is a date, though some fixtures write a bare number.
fn date(key: &str, value: &Value) -> Option<Bson> {
    (key == "lastWriteDate")
        .then(|| long(value.get("$date").unwrap_or(value)).map(DateTime::from_millis))
        .flatten()
        .map(Bson::DateTime)
}

/// A number, or `{"$numberLong": "…"}`.
pub(crate) fn long(value: &Value) -> Option<i64> {
    match value.get("$numberLong") {
        Some(text) => text.as_str()?.parse().ok(),
        None => value.as_i64(),
    }
}

/// `{"$oid": "…"}`.
pub(crate) fn object_id(value: &Value) -> Option<[u8; 12]> {
    let text = value.get("$oid")?.as_str()?;
    Some(ObjectId::parse_str(text).ok()?.bytes())
}

pub(crate) fn topology_version(value: &Value) -> Option<TopologyVersion> {
    Some(TopologyVersion {
        process_id: object_id(value.get("processId")?)?,
        counter: long(value.get("counter")?)?,
    })
}

pub(crate) fn node_kind(name: &str) -> NodeKind {
    match name {
        // A possible primary is an unknown node that is asked first.
        "Unknown" | "PossiblePrimary" => NodeKind::Unknown,
        "Standalone" => NodeKind::Standalone,
        "RSPrimary" => NodeKind::Primary,
        "RSSecondary" => NodeKind::Secondary,
        "RSArbiter" => NodeKind::Arbiter,
        "RSOther" => NodeKind::Other,
        "RSGhost" => NodeKind::Ghost,
        "Mongos" => NodeKind::Mongos,
        "LoadBalancer" => NodeKind::LoadBalancer,
        other => panic!("no such node kind: {other}"),
    }
}

pub(crate) fn topology_kind(name: &str) -> TopologyKind {
    match name {
        "Unknown" => TopologyKind::Unknown,
        "Single" => TopologyKind::Single,
        "ReplicaSetNoPrimary" => TopologyKind::ReplicaSetNoPrimary,
        "ReplicaSetWithPrimary" => TopologyKind::ReplicaSetWithPrimary,
        "Sharded" => TopologyKind::Sharded,
        "LoadBalanced" => TopologyKind::LoadBalanced,
        other => panic!("no such topology kind: {other}"),
    }
}
