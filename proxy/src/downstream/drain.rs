//! What a client notices of a Weir that drains.
//!
//! Weir closes its monitors' sockets, so that its driver looks elsewhere. It may refuse the
//! client's operations with 91, so that its driver gives up the connections to this Weir.
//! [`crate::drain`] decides when each happens.

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

/// The round trip that a driver is made to measure. A driver averages over about five samples,
/// and selects among servers that are at most 15 ms farther away than the nearest.
const FAR: Duration = Duration::from_millis(500);

/// The next message of a monitor. `None`: the client has left, or Weir closes its socket.
pub(super) async fn next_of_monitor(client: &mut Client) -> Result<Option<Incoming>, ReadError> {
    let drain = client.frontend.drain.clone();
    tokio::select! {
        biased;
        () = drain.monitors_closing() => Ok(None),
        message = client.next_message() => message,
    }
}

/// Makes a monitor measure a long round trip to a Weir that drains.
pub(super) async fn seem_far(client: &Client) {
    if client.is_monitor() && client.frontend.drain.delays_hello() {
        tokio::time::sleep(FAR).await;
    }
}

/// The error that sends this client to another Weir. `None`: serve the request.
pub(super) fn sent_away(client: &Client, request: &Request) -> Option<ErrorReply> {
    let (drain, relay) = (&client.frontend.drain, client.frontend.own_relay());
    let facts = &request.facts;
    if let Some(since) = drain.streams_resume_since()
        && relay.is_stream_opened_before(facts, since)
    {
        // The driver resumes the stream on another Weir.
        return Some(relay.refuse(Failure::CursorNotFound, facts.class));
    }
    if !drain.closes_monitors() {
        return None;
    }
    let load_balanced = client.traits.load_balanced;
    let work = Work {
        class: facts.class,
        starts_transaction: facts.starts_transaction,
        retried_read: is_retried(facts.class, facts.name.of(&request.message)),
        load_balanced,
        pinned: load_balanced && !client.pins.is_empty(),
        backpressure: client.traits.backpressure,
    };
    let is_sent_away = drain.sends_away(work, facts.session, facts.txn_number);
    is_sent_away.then(|| relay.refuse(Failure::Draining, facts.class))
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn drivers_retry_only_some_reads() {
        assert!(is_retried(Class::Read, b"find"));
        assert!(is_retried(Class::Read, b"listIndexes"));
        assert!(!is_retried(Class::Read, b"mapReduce"));
        assert!(!is_retried(Class::InTransaction, b"find"));
    }
}
