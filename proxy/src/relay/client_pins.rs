//! The cursors and the transaction that end with a load-balanced client's connection.
//!
//! In the load-balanced face they belong to the client's connection. When its socket closes,
//! Weir kills the cursors and aborts the transaction. It aborts by the transaction's own lsid
//! and number. It never kills the session, because a retry may still use it.
//!
//! In the mongos face nothing ends: another connection of the same client may go on with its
//! cursors and transactions. Source: `load-balancers.md`.

use std::{collections::HashMap, sync::Arc};

use crate::{
    command::{Facts, Outcome},
    error::{Class, Labels},
    relay::{Relay, Request},
    wire::{build::DocumentBuilder, raw::find},
};

/// The cursors and the transaction that one client connection has open.
#[derive(Debug, Default)]
pub struct ClientPins {
    /// Namespaces by cursor id.
    cursors: HashMap<i64, Vec<u8>>,
    /// The raw `lsid` document and the transaction's number.
    transaction: Option<(Vec<u8>, i64)>,
}

impl ClientPins {
    /// Notes that a request is about to be sent. No abort may follow a commit that was sent.
    pub fn before(&mut self, facts: &Facts) {
        if facts.class == Class::Commit {
            self.transaction = None;
        }
    }

    /// Notes what a reply opens and closes. `body` is empty if the reply was not kept.
    pub fn after(&mut self, request: &Request, body: &[u8], outcome: &Outcome) {
        let facts = &request.facts;
        match outcome.cursor.map(|cursor| cursor.id) {
            Some(id) if id != 0 => {
                let namespace = namespace_in(body).unwrap_or_else(|| namespace_of(request));
                self.cursors.entry(id).or_insert(namespace);
            }
            Some(_) => self.killed(&[facts.cursor_id]),
            None if outcome.code == 43 => self.killed(&[facts.cursor_id]),
            None => {}
        }
        let ended =
            facts.class == Class::Abort || outcome.labels.contains(Labels::TRANSIENT_TRANSACTION);
        if ended {
            self.transaction = None;
        } else if facts.starts_transaction {
            let session = find(facts.body.of(&request.message), b"lsid");
            let session = session.and_then(|lsid| lsid.as_document().map(<[u8]>::to_vec));
            self.transaction = session.zip(facts.txn_number);
        }
    }

    /// Notes that the client killed these cursors, whatever the server answers.
    pub fn killed(&mut self, ids: &[i64]) {
        for id in ids {
            self.cursors.remove(id);
        }
    }

    /// Whether anything is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cursors.is_empty() && self.transaction.is_none()
    }

    /// Kills the cursors and aborts the transaction.
    pub async fn close_all(self, relay: Arc<Relay>) {
        if let Some((session, number)) = self.transaction {
            let mut abort = DocumentBuilder::new();
            abort
                .i32("abortTransaction", 1)
                .document("lsid", &session)
                .i64("txnNumber", number);
            abort.bool("autocommit", false).str("$db", "admin");
            relay.run_own(&abort.finish()).await;
        }
        let mut by_namespace: HashMap<Vec<u8>, Vec<i64>> = HashMap::new();
        for (id, namespace) in self.cursors {
            by_namespace.entry(namespace).or_default().push(id);
        }
        for (namespace, ids) in by_namespace {
            let text = String::from_utf8_lossy(&namespace).into_owned();
            let Some((database, collection)) = text.split_once('.') else {
                continue;
            };
            let mut list = DocumentBuilder::new();
            for (index, id) in ids.iter().enumerate() {
                list.i64(&index.to_string(), *id);
            }
            let mut kill = DocumentBuilder::new();
            kill.str("killCursors", collection)
                .array("cursors", &list.finish());
            kill.str("$db", database);
            relay.run_own(&kill.finish()).await;
        }
    }
}

fn namespace_in(body: &[u8]) -> Option<Vec<u8>> {
    let cursor = find(body, b"cursor")?;
    Some(find(cursor.as_document()?, b"ns")?.as_str()?.to_vec())
}

/// The namespace by the request itself, for a reply whose body was not kept.
///
/// A getMore names its collection in a field of its own, other commands in their first field. A
/// command about no collection, such as `listCollections`, has a name that stands for it.
fn namespace_of(request: &Request) -> Vec<u8> {
    let (facts, message) = (&request.facts, &request.message);
    let body = facts.body.of(message);
    let collection = find(body, b"collection").or_else(|| find(body, facts.name.of(message)));
    let collection = collection.and_then(|field| field.as_str().map(<[u8]>::to_vec));
    let collection = collection.unwrap_or_else(|| [b"$cmd.", facts.name.of(message)].concat());
    [facts.db.of(message), b".", &collection].concat()
}
