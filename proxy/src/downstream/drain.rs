//! What a client notices of a Weir that is leaving.
//!
//! Its monitors' sockets are closed, so that its driver looks elsewhere; what it asks may
//! be refused with 91, which makes its driver give the connections to this Weir up. When
//! each happens is decided in [`crate::drain`].

use std::time::Duration;

use crate::{
    downstream::{
        Client,
        read::{Incoming, ReadError},
    },
    drain::Work,
    error::{Class, ErrorReply, Failure},
    relay::Request,
};

/// The round trip that a driver is made to measure. It averages over some five samples and
/// chooses among servers that are at most 15 ms farther than the nearest.
const FAR: Duration = Duration::from_millis(500);

impl Client {
    /// It only ever greets: a driver watches Weir with it, or measures the way.
    ///
    /// A connection for operations greets once; the second hello gives a monitor away.
    pub(crate) const fn is_monitor(&self) -> bool {
        self.hellos > 1 && !self.worked
    }

    /// The next message of a monitor; `None` also when Weir closes its socket.
    pub(crate) async fn next_of_monitor(&mut self) -> Result<Option<Incoming>, ReadError> {
        let drain = self.frontend.drain.clone();
        tokio::select! {
            biased;
            () = drain.parting() => Ok(None),
            message = self.next_message() => message,
        }
    }

    /// Makes the way to a leaving Weir long for who measures it.
    pub(crate) async fn seem_far(&self) {
        if self.is_monitor() && self.frontend.drain.seems_far() {
            tokio::time::sleep(FAR).await;
        }
    }

    /// The error that sends this client away; `None`: the request is served.
    pub(crate) fn sent_away(&self, request: &Request) -> Option<ErrorReply> {
        let drain = &self.frontend.drain;
        let facts = &request.facts;
        if let Some(since) = drain.ushers_since()
            && self
                .frontend
                .own_relay()
                .is_stream_opened_before(facts, since)
        {
            // The driver resumes the stream on another Weir.
            let relay = self.frontend.own_relay();
            return Some(relay.refuse(Failure::CursorNotFound, facts.class));
        }
        if !drain.is_parting() {
            return None;
        }
        let load_balanced = self.traits.load_balanced;
        let work = Work {
            class: facts.class,
            starts_transaction: facts.starts_transaction,
            retried_read: is_retried(facts.class, facts.name.of(&request.message)),
            load_balanced,
            pinned: load_balanced && !self.pins.is_empty(),
            backpressure: self.traits.backpressure,
        };
        let away = drain.sends_away(work, facts.session, facts.txn_number);
        let refuse = || {
            self.frontend
                .own_relay()
                .refuse(Failure::Draining, facts.class)
        };
        away.then(refuse)
    }
}

/// Whether drivers try this read again by themselves (`retryable-reads.md`).
fn is_retried(class: Class, name: &[u8]) -> bool {
    let retried: [&[u8]; 7] = [
        b"find",
        b"aggregate",
        b"distinct",
        b"count",
        b"listDatabases",
        b"listCollections",
        b"listIndexes",
    ];
    class == Class::Read && retried.contains(&name)
}
