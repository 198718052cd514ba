//! What one hello reply says about its node; pure.
//!
//! The reply may come from a monitor or from any connection that Weir opens. Both are parsed here,
//! so that both mean the same (*Server Discovery and Monitoring*, "Parsing a hello response").

use bson::raw::{RawBsonRef, RawDocument};
use thiserror::Error;

use super::address::NodeAddress;
use super::snapshot::{Limits, NodeKind, Tags, TopologyVersion};

/// What a hello reply says about its node. `None` means that the server left the field out.
#[derive(Clone, Debug, PartialEq)]
pub struct Hello {
    /// The kind of the node.
    pub kind: NodeKind,
    /// `setName`.
    pub set_name: Option<String>,
    /// `hosts`, `passives` and `arbiters`: every member that the node knows.
    pub hosts: Vec<NodeAddress>,
    /// The node's own address, as the replica set configuration spells it.
    pub me: Option<NodeAddress>,
    /// `setVersion`, the version of the replica set configuration.
    pub set_version: Option<i64>,
    /// `electionId` of the election that the primary won.
    pub election_id: Option<[u8; 12]>,
    /// `topologyVersion`.
    pub topology_version: Option<TopologyVersion>,
    /// `minWireVersion` and `maxWireVersion`.
    pub wire: (i32, i32),
    /// Size limits. Those that are left out have the specification's defaults.
    pub limits: Limits,
    /// `logicalSessionTimeoutMinutes`.
    pub session_timeout_minutes: Option<i64>,
    /// `lastWrite.lastWriteDate`, in milliseconds since 1970.
    pub last_write: Option<i64>,
    /// `tags`.
    pub tags: Tags,
    /// `serviceId`: the server behind a load balancer that answered.
    pub service_id: Option<[u8; 12]>,
    /// Whether the node is another Weir.
    pub is_weir: bool,
}

impl Default for Hello {
    fn default() -> Self {
        Self {
            kind: NodeKind::Unknown,
            set_name: None,
            hosts: Vec::new(),
            me: None,
            set_version: None,
            election_id: None,
            topology_version: None,
            wire: (0, 0),
            limits: Limits {
                max_bson: 16 << 20,
                max_message: 48_000_000,
                max_batch: 1_000,
            },
            session_timeout_minutes: None,
            last_write: None,
            tags: Tags::default(),
            service_id: None,
            is_weir: false,
        }
    }
}

/// Why a reply says nothing about its node.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum HelloError {
    /// The reply is no valid BSON.
    #[error("the hello reply is not a valid document")]
    Malformed,
    /// The server answered `ok: 0`.
    #[error("hello was refused with code {code}: {message}")]
    Refused {
        /// The error code; 0: the reply has none.
        code: i32,
        /// The error message.
        message: String,
    },
}

impl Hello {
    /// Reads a hello (or legacy hello) reply from raw BSON. Fields of an
    /// unexpected type count as left out.
    ///
    /// # Errors
    ///
    /// The bytes are no document, or the server answered with an error.
    pub fn parse(document: &[u8]) -> Result<Self, HelloError> {
        let document = RawDocument::from_bytes(document).map_err(|_| HelloError::Malformed)?;
        let mut hello = Self::default();
        let mut role = RoleFields::default();
        let mut refusal = Refusal::default();
        for element in document {
            let (key, value) = element.map_err(|_| HelloError::Malformed)?;
            let key = key.as_str();
            if !refusal.read(key, value) && !role.read(key, value) {
                hello.read(key, value);
            }
        }
        refusal.check()?;
        hello.kind = role.kind(hello.set_name.is_some());
        Ok(hello)
    }

    fn read(&mut self, key: &str, value: RawBsonRef<'_>) {
        match key {
            "setName" => self.set_name = value.as_str().map(str::to_owned),
            "hosts" | "passives" | "arbiters" => self.hosts.extend(addresses(value)),
            "me" => self.me = value.as_str().and_then(NodeAddress::parse),
            "setVersion" => self.set_version = integer(value),
            "electionId" => self.election_id = value.as_object_id().map(|id| id.bytes()),
            "topologyVersion" => self.topology_version = topology_version(value),
            "minWireVersion" => self.wire.0 = small(value).unwrap_or(0),
            "maxWireVersion" => self.wire.1 = small(value).unwrap_or(0),
            "maxBsonObjectSize" => set(&mut self.limits.max_bson, value),
            "maxMessageSizeBytes" => set(&mut self.limits.max_message, value),
            "maxWriteBatchSize" => set(&mut self.limits.max_batch, value),
            "logicalSessionTimeoutMinutes" => self.session_timeout_minutes = integer(value),
            "lastWrite" => self.last_write = last_write(value),
            "tags" => self.tags = tags(value),
            "serviceId" => self.service_id = value.as_object_id().map(|id| id.bytes()),
            "weir" => self.is_weir = true,
            _ => {}
        }
    }
}

/// The fields that decide the kind of a node.
#[derive(Default)]
struct RoleFields {
    is_mongos: bool,
    is_writable: bool,
    is_secondary: bool,
    is_arbiter: bool,
    is_hidden: bool,
    is_ghost: bool,
}

impl RoleFields {
    fn read(&mut self, key: &str, value: RawBsonRef<'_>) -> bool {
        let says_yes = value.as_bool() == Some(true);
        match key {
            "msg" => self.is_mongos = value.as_str() == Some("isdbgrid"),
            "isWritablePrimary" | "ismaster" => self.is_writable |= says_yes,
            "secondary" => self.is_secondary = says_yes,
            "arbiterOnly" => self.is_arbiter = says_yes,
            "hidden" => self.is_hidden = says_yes,
            "isreplicaset" => self.is_ghost = says_yes,
            _ => return false,
        }
        true
    }

    fn kind(&self, has_set_name: bool) -> NodeKind {
        if self.is_mongos {
            NodeKind::Mongos
        } else if !has_set_name {
            if self.is_ghost {
                NodeKind::Ghost
            } else {
                NodeKind::Standalone
            }
        } else if self.is_hidden {
            NodeKind::Other
        } else if self.is_writable {
            NodeKind::Primary
        } else if self.is_secondary {
            NodeKind::Secondary
        } else if self.is_arbiter {
            NodeKind::Arbiter
        } else {
            NodeKind::Other
        }
    }
}

#[derive(Default)]
struct Refusal<'a> {
    ok: bool,
    code: i32,
    message: &'a str,
}

impl<'a> Refusal<'a> {
    fn read(&mut self, key: &str, value: RawBsonRef<'a>) -> bool {
        match key {
            "ok" => self.ok = integer(value) == Some(1) || value.as_bool() == Some(true),
            "code" => self.code = small(value).unwrap_or(0),
            "errmsg" => self.message = value.as_str().unwrap_or_default(),
            _ => return false,
        }
        true
    }

    fn check(self) -> Result<(), HelloError> {
        if self.ok {
            return Ok(());
        }
        Err(HelloError::Refused {
            code: self.code,
            message: self.message.to_owned(),
        })
    }
}

/// Parses a `topologyVersion` of a hello or of an error.
#[must_use]
pub fn topology_version(value: RawBsonRef<'_>) -> Option<TopologyVersion> {
    let document = value.as_document()?;
    Some(TopologyVersion {
        process_id: document.get_object_id("processId").ok()?.bytes(),
        counter: integer(document.get("counter").ok()??)?,
    })
}

fn integer(value: RawBsonRef<'_>) -> Option<i64> {
    match value {
        RawBsonRef::Int32(number) => Some(number.into()),
        RawBsonRef::Int64(number) => Some(number),
        RawBsonRef::Double(number) if number.is_finite() => Some(number as i64),
        _ => None,
    }
}

fn small(value: RawBsonRef<'_>) -> Option<i32> {
    integer(value).and_then(|number| number.try_into().ok())
}

fn set(limit: &mut i32, value: RawBsonRef<'_>) {
    if let Some(number) = small(value).filter(|number| *number > 0) {
        *limit = number;
    }
}

fn addresses(value: RawBsonRef<'_>) -> impl Iterator<Item = NodeAddress> {
    let elements = value.as_array().into_iter().flatten();
    elements.filter_map(|element| NodeAddress::parse(element.ok()?.as_str()?))
}

fn last_write(value: RawBsonRef<'_>) -> Option<i64> {
    let date = value.as_document()?.get_datetime("lastWriteDate").ok()?;
    Some(date.timestamp_millis())
}

fn tags(value: RawBsonRef<'_>) -> Tags {
    let pairs = value.as_document().into_iter().flatten().filter_map(|tag| {
        let (name, value) = tag.ok()?;
        Some((name.to_string(), value.as_str()?.to_owned()))
    });
    Tags::new(pairs)
}

#[cfg(test)]
mod tests {
    use bson::{DateTime, Document, doc, oid::ObjectId};
    use proptest::prelude::*;

    use super::*;

    fn parse(document: Document) -> Result<Hello, HelloError> {
        Hello::parse(&document.to_vec().unwrap())
    }

    #[test]
    fn the_role_is_decided_as_the_specification_says() {
        let member = doc! { "ok": 1, "setName": "rs" };
        let with = |extra: Document| member.clone().into_iter().chain(extra).collect();
        for (document, kind) in [
            (doc! { "ok": 1 }, NodeKind::Standalone),
            (doc! { "ok": 1, "isreplicaset": true }, NodeKind::Ghost),
            (doc! { "ok": 1, "msg": "isdbgrid" }, NodeKind::Mongos),
            (with(doc! { "isWritablePrimary": true }), NodeKind::Primary),
            (with(doc! { "ismaster": true }), NodeKind::Primary),
            (with(doc! { "secondary": true }), NodeKind::Secondary),
            (
                with(doc! { "secondary": true, "hidden": true }),
                NodeKind::Other,
            ),
            (with(doc! { "arbiterOnly": true }), NodeKind::Arbiter),
            (with(doc! { "ismaster": false }), NodeKind::Other),
        ] {
            assert_eq!(parse(document.clone()).unwrap().kind, kind, "{document}");
        }
    }

    #[test]
    fn every_field_is_read() {
        let id = ObjectId::from_bytes([7; 12]);
        let hello = parse(doc! {
            "ok": 1.0, "setName": "rs", "secondary": true, "hosts": ["A:1"], "passives": ["b:2"],
            "arbiters": ["c:3"], "me": "A:1", "setVersion": 4, "electionId": id,
            "topologyVersion": { "processId": id, "counter": 6_i64 },
            "minWireVersion": 0, "maxWireVersion": 17, "maxBsonObjectSize": 1, "maxMessageSizeBytes": 2,
            "maxWriteBatchSize": 3, "logicalSessionTimeoutMinutes": 30, "serviceId": id, "weir": "0.1.0",
            "lastWrite": { "lastWriteDate": DateTime::from_millis(99) }, "tags": { "dc": "ny" },
        });
        let address = |text| NodeAddress::parse(text).unwrap();
        let expected = Hello {
            kind: NodeKind::Secondary,
            set_name: Some("rs".into()),
            hosts: ["a:1", "b:2", "c:3"].map(address).to_vec(),
            me: Some(address("a:1")),
            set_version: Some(4),
            election_id: Some([7; 12]),
            topology_version: Some(TopologyVersion {
                process_id: [7; 12],
                counter: 6,
            }),
            wire: (0, 17),
            limits: Limits {
                max_bson: 1,
                max_message: 2,
                max_batch: 3,
            },
            session_timeout_minutes: Some(30),
            last_write: Some(99),
            tags: Tags::new([("dc".into(), "ny".into())]),
            service_id: Some([7; 12]),
            is_weir: true,
        };
        assert_eq!(hello, Ok(expected));
    }

    #[test]
    fn a_refused_hello_says_why() {
        let refused = parse(doc! { "ok": 0, "code": 18, "errmsg": "no" });
        assert_eq!(
            refused,
            Err(HelloError::Refused {
                code: 18,
                message: "no".into()
            })
        );
    }

    proptest! {
        #[test]
        fn no_bytes_make_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..64)) {
            let _ = Hello::parse(&bytes);
        }
    }
}
