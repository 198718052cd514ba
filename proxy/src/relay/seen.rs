//! The sessions that clients have used: whoever ends for good ends them too, because clients
//! that are killed with it do not.

use std::collections::{HashSet, VecDeque};

use parking_lot::Mutex;

use crate::{command::Facts, relay::Request, wire::raw::find};

/// Drivers use one session for each operation in progress, again and again; the server
/// forgets those of a longer list by itself.
const MOST: usize = 256;

/// The latest sessions, each once.
#[derive(Debug, Default)]
pub(crate) struct SeenSessions(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    known: HashSet<u64>,
    /// Their `lsid` documents, oldest first.
    documents: VecDeque<(u64, Vec<u8>)>,
}

impl SeenSessions {
    /// A request is about to be served.
    pub(crate) fn note(&self, request: &Request) {
        let facts = &request.facts;
        let Some(id) = facts.session.filter(|_| !is_farewell(facts, request)) else {
            return;
        };
        let mut seen = self.0.lock();
        if !seen.known.insert(id) {
            return;
        }
        let lsid = find(facts.body.of(&request.message), b"lsid");
        let document = lsid.and_then(|lsid| lsid.as_document().map(<[u8]>::to_vec));
        seen.documents.push_back((id, document.unwrap_or_default()));
        if seen.documents.len() > MOST
            && let Some((oldest, _)) = seen.documents.pop_front()
        {
            seen.known.remove(&oldest);
        }
    }

    /// The documents, whose sessions are now somebody else's affair.
    pub(crate) fn take(&self) -> Vec<Vec<u8>> {
        let seen = std::mem::take(&mut *self.0.lock());
        let documents = seen.documents.into_iter().map(|(_, document)| document);
        documents.collect()
    }
}

fn is_farewell(facts: &Facts, request: &Request) -> bool {
    facts.name.of(&request.message) == b"endSessions"
}

#[cfg(test)]
mod tests {
    use bson::{oid::ObjectId, rawdoc};
    use tokio::time::Instant;

    use super::*;
    use crate::wire::reply;

    fn request(session: Option<ObjectId>) -> Request {
        let body = match session {
            Some(id) => rawdoc! { "ping": 1, "lsid": { "id": id }, "$db": "admin" },
            None => rawdoc! { "ping": 1, "$db": "admin" },
        };
        let message = reply::op_msg(1, 0, 0, body.as_bytes());
        let facts = Facts::of(&message).unwrap();
        let started = Instant::now();
        Request {
            facts,
            message,
            missing: 0,
            id: 1,
            started,
        }
    }

    #[test]
    fn each_session_is_remembered_once_and_the_latest_of_many() {
        let seen = SeenSessions::default();
        seen.note(&request(None));
        let one = ObjectId::new();
        seen.note(&request(Some(one)));
        seen.note(&request(Some(one)));
        assert_eq!(seen.take(), [rawdoc! { "id": one }.into_bytes()]);
        assert!(seen.take().is_empty());
        let many: Vec<_> = (0..MOST + 3).map(|_| ObjectId::new()).collect();
        many.iter().for_each(|id| seen.note(&request(Some(*id))));
        let kept = seen.take();
        assert_eq!(kept.len(), MOST);
        assert_eq!(kept[0], rawdoc! { "id": many[3] }.into_bytes());
    }
}
