//! The book-keeping of what a reply changes: the node's verdict, and the pins of cursors and
//! transactions.

use crate::{
    command::{Facts, Outcome, Treatment},
    pool::{ConnId, Lease, PinReason},
    relay::{
        Relay, Request,
        decide::{CursorChange, ReplyDecision, TransactionChange},
    },
    route::pins::{CursorPin, Position, TransactionPin},
    wire::raw::find,
};

impl Relay {
    /// Notes what a whole reply changes. Call it before the connection is given back.
    pub(super) fn record(
        &self,
        request: &Request,
        lease: &Lease,
        body: &[u8],
        outcome: &Outcome,
        decision: ReplyDecision,
    ) {
        if let Some(code) = outcome.state_change {
            let (version, generation) = (outcome.topology_version, lease.generation());
            self.cluster
                .on_state_change(lease.pool(), code, version, generation);
        }
        match decision {
            ReplyDecision::Pass => {
                self.record_cursor(request, lease, body, outcome);
                self.record_transaction(&request.facts, lease, outcome);
            }
            ReplyDecision::Rewrite => self.record_transaction(&request.facts, lease, outcome),
            ReplyDecision::Retry(_) | ReplyDecision::Refuse(_) => {}
        }
    }

    /// The same for a reply that the client got in pieces. Its body was not kept.
    pub(super) fn record_streamed(&self, request: &Request, lease: &Lease, outcome: &Outcome) {
        let facts = &request.facts;
        match outcome.cursor.map(|cursor| cursor.id) {
            Some(0) => self.unpin_cursor(facts.cursor_id),
            // The resume token of this reply is not known, and the last known one is too old.
            Some(id) if self.pins.cursor(id).is_some() => {
                self.pins
                    .touch_cursor(id, self.now(), Some(Position::default()));
            }
            Some(id) => self.pin_cursor(id, request, lease, &[]),
            None => {}
        }
        self.record_transaction(facts, lease, outcome);
    }

    /// Pins a cursor that the reply leaves open, and forgets one that it closes.
    fn record_cursor(&self, request: &Request, lease: &Lease, body: &[u8], outcome: &Outcome) {
        let facts = &request.facts;
        match CursorChange::of(facts.treatment, outcome) {
            CursorChange::Open(id) => {
                let is_get_more = facts.treatment == Treatment::GetMore;
                match self.pins.cursor(id).filter(|_| is_get_more) {
                    Some(pin) => {
                        let position = pin.awaits.then(|| position_in(body)).flatten();
                        self.pins.touch_cursor(id, self.now(), position);
                    }
                    None => self.pin_cursor(id, request, lease, body),
                }
            }
            CursorChange::Closed => self.unpin_cursor(facts.cursor_id),
            CursorChange::None => {}
        }
    }

    /// Remembers the node of cursor `id`.
    fn pin_cursor(&self, id: i64, request: &Request, lease: &Lease, body: &[u8]) {
        let (facts, message) = (&request.facts, &request.message);
        // A stream that was opened through another Weir shows by its resume token.
        let is_stream = || position_in(body).is_some_and(|at| !at.resume_token.is_empty());
        let awaits = facts.awaits_data || waits_for_data(facts, message) || is_stream();
        let connection = self.cluster.is_load_balanced().then(|| lease.id().0);
        if connection.is_some() {
            lease.set_pinned(PinReason::Cursor, true);
        }
        let node = lease.pool().node();
        let pin = CursorPin {
            node: node.clone(),
            process: self.cluster.process_of(node),
            deaths: lease.pool().deaths(),
            connection,
            awaits,
            position: awaits.then(|| position_in(body)).flatten().map(Into::into),
            turn: None,
            opened: self.now(),
            last_used: self.now(),
        };
        self.pins.set_cursor(id, pin);
    }

    /// Forgets cursor `id` and frees the connection to which it was pinned.
    pub(super) fn unpin_cursor(&self, id: i64) {
        let Some(pin) = self.pins.remove_cursor(id) else {
            return;
        };
        if let Some(connection) = pin.connection
            && let Some(pool) = self.cluster.pool_of(&pin.node)
        {
            pool.set_pinned(ConnId(connection), PinReason::Cursor, false);
        }
    }

    /// Pins a transaction that has begun to its router, and forgets one that has ended. The
    /// nodes of a replica set need no pins.
    fn record_transaction(&self, facts: &Facts, lease: &Lease, outcome: &Outcome) {
        let (Some(session), Some(number)) = (facts.session, facts.txn_number) else {
            return;
        };
        if !facts.in_transaction || !self.cluster.has_router() {
            return;
        }
        match TransactionChange::of(facts, outcome) {
            TransactionChange::Begun => self.pin_transaction(session, number, lease),
            TransactionChange::Ended { keep_node } => self.end_transaction(session, keep_node),
            TransactionChange::None => {}
        }
    }

    fn pin_transaction(&self, session: u64, number: i64, lease: &Lease) {
        let connection = self.cluster.is_load_balanced().then(|| lease.id().0);
        if connection.is_some() {
            lease.set_pinned(PinReason::Transaction, true);
        }
        let pin = TransactionPin {
            number,
            node: lease.pool().node().clone(),
            connection,
            last_used: self.now(),
        };
        if let Some(old) = self.pins.set_transaction(session, pin) {
            self.free_connection(&old);
        }
    }

    /// Forgets the transaction of these facts, because its connection is gone.
    pub(super) fn forget_transaction(&self, facts: &Facts) {
        if let Some(session) = facts.session.filter(|_| facts.in_transaction) {
            self.end_transaction(session, false);
        }
    }

    fn end_transaction(&self, session: u64, keep_node: bool) {
        let Some(pin) = self.pins.remove_transaction(session) else {
            return;
        };
        self.free_connection(&pin);
        if keep_node {
            let connection = None;
            self.pins
                .set_transaction(session, TransactionPin { connection, ..pin });
        }
    }

    fn free_connection(&self, pin: &TransactionPin) {
        let pool = self.cluster.pool_of(&pin.node);
        if let (Some(pool), Some(connection)) = (pool, pin.connection) {
            pool.set_pinned(ConnId(connection), PinReason::Transaction, false);
        }
    }
}

/// Whether the request is a getMore that waits for data, by its own fields.
fn waits_for_data(facts: &Facts, message: &[u8]) -> bool {
    facts.treatment == Treatment::GetMore && find(facts.body.of(message), b"maxTimeMS").is_some()
}

/// The position of the reply's cursor.
fn position_in(body: &[u8]) -> Option<Position> {
    let cursor = find(body, b"cursor")?;
    let cursor = cursor.as_document()?;
    let token = find(cursor, b"postBatchResumeToken");
    Some(Position {
        namespace: find(cursor, b"ns")?.as_str()?.to_vec(),
        resume_token: token
            .and_then(|t| t.as_document().map(<[u8]>::to_vec))
            .unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use bson::rawdoc;

    use super::*;
    use crate::wire::reply;

    #[test]
    fn the_position_is_the_namespace_and_the_resume_token() {
        let token = rawdoc! { "_data": "82" };
        let cursor = rawdoc! { "id": 1_i64, "ns": "d.c", "postBatchResumeToken": token.clone() };
        let position = position_in(rawdoc! { "cursor": cursor }.as_bytes()).unwrap();
        assert_eq!(position.namespace, b"d.c");
        assert_eq!(position.resume_token, token.as_bytes());
        let plain = rawdoc! { "cursor": { "id": 1_i64, "ns": "d.c" } };
        assert!(
            position_in(plain.as_bytes())
                .unwrap()
                .resume_token
                .is_empty()
        );
        assert_eq!(position_in(rawdoc! { "ok": 1 }.as_bytes()), None);
    }

    #[test]
    fn only_a_get_more_with_a_time_waits_for_data() {
        let waits = |body: bson::RawDocumentBuf| {
            let message = reply::op_msg(1, 0, 0, body.as_bytes());
            waits_for_data(&Facts::of(&message).unwrap(), &message)
        };
        assert!(waits(
            rawdoc! { "getMore": 1_i64, "maxTimeMS": 100, "$db": "d" }
        ));
        assert!(!waits(rawdoc! { "getMore": 1_i64, "$db": "d" }));
        assert!(!waits(
            rawdoc! { "find": "c", "maxTimeMS": 100, "$db": "d" }
        ));
    }
}
