//! Commands about whole sessions, and the sessions that clients have used.

use std::{
    collections::{HashSet, VecDeque},
    sync::Arc,
};

use parking_lot::Mutex;
use tokio::{sync::Semaphore, time::Instant};

use crate::{
    command::Facts,
    error::ErrorReply,
    relay::{Relay, Request, client::NoClient},
    wire::raw::{elements, find},
};

/// `endSessions` commands that are forwarded at a time, so that they never compete with
/// operations.
static FORWARDED: Semaphore = Semaphore::const_new(2);

/// `endSessions` commands that may wait for that. The server forgets sessions by itself anyway.
const MOST_WAITING: usize = 1000;

/// Sessions that are remembered. A driver uses one session for each operation in progress, again
/// and again. The server forgets those that are too many here.
const MOST_SEEN: usize = 256;

/// Forwards `endSessions` in the background. The client has its `ok` already, so its shutdown
/// does not wait.
///
/// The waiting command counts as in flight. Without room in the budget it is dropped, and the
/// sessions end by themselves.
pub fn end_later(relay: &Arc<Relay>, mut request: Request) {
    static WAITING: Semaphore = Semaphore::const_new(MOST_WAITING);
    let Ok(place) = WAITING.try_acquire() else {
        return;
    };
    let Some(room) = relay.budget.try_reserve(request.message.len()) else {
        return;
    };
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        let _counted = (place, room);
        if let Ok(_permit) = FORWARDED.acquire().await {
            request.started = Instant::now();
            let _ = relay.run(&mut NoClient, &mut request).await;
        }
    });
}

/// Refuses `killSessions` with an empty list. It means every session of the user, and all clients
/// share one user.
#[must_use]
pub fn refuse_kill_sessions(request: &Request) -> Option<ErrorReply> {
    let body = request.facts.body.of(&request.message);
    let list = find(body, b"killSessions");
    let list = list.as_ref().and_then(|list| list.as_array());
    let mut named = elements(list.unwrap_or_default());
    named.next().is_none().then(|| {
        ErrorReply::unauthorized(
            "killSessions with an empty list would end every client's sessions; name the sessions",
        )
    })
}

/// The latest sessions that clients used, each once.
///
/// A host whose end ends its clients too (AWS Lambda) ends these sessions, because the clients
/// have no time to do so.
#[derive(Debug, Default)]
pub(super) struct SeenSessions(Mutex<Seen>);

#[derive(Debug, Default)]
struct Seen {
    known: HashSet<u64>,
    /// The `lsid` documents, oldest first.
    documents: VecDeque<(u64, Vec<u8>)>,
}

impl SeenSessions {
    /// Notes the session of a request, unless the request ends it.
    pub(super) fn note(&self, request: &Request) {
        let facts = &request.facts;
        let session = facts.session.filter(|_| !ends_sessions(facts, request));
        let Some(id) = session else {
            return;
        };
        let mut seen = self.0.lock();
        if !seen.known.insert(id) {
            return;
        }
        let lsid = find(facts.body.of(&request.message), b"lsid");
        let document = lsid.and_then(|lsid| lsid.as_document().map(<[u8]>::to_vec));
        seen.documents.push_back((id, document.unwrap_or_default()));
        if seen.documents.len() > MOST_SEEN
            && let Some((oldest, _)) = seen.documents.pop_front()
        {
            seen.known.remove(&oldest);
        }
    }

    /// Takes the `lsid` documents out.
    pub(super) fn take(&self) -> Vec<Vec<u8>> {
        let seen = std::mem::take(&mut *self.0.lock());
        let documents = seen.documents.into_iter().map(|(_, document)| document);
        documents.collect()
    }
}

fn ends_sessions(facts: &Facts, request: &Request) -> bool {
    facts.name.of(&request.message) == b"endSessions"
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, oid::ObjectId, rawdoc};

    use super::*;
    use crate::wire::reply;

    fn request(body: &RawDocumentBuf) -> Request {
        let message = reply::op_msg(1, 0, 0, body.as_bytes());
        let facts = Facts::of(&message).unwrap();
        Request::new(facts, message, 1, Instant::now())
    }

    fn ping(session: ObjectId) -> Request {
        request(&rawdoc! { "ping": 1, "lsid": { "id": session }, "$db": "admin" })
    }

    #[test]
    fn each_session_is_remembered_once_and_the_latest_of_many() {
        let seen = SeenSessions::default();
        seen.note(&request(&rawdoc! { "ping": 1, "$db": "admin" }));
        let one = ObjectId::new();
        seen.note(&ping(one));
        seen.note(&ping(one));
        assert_eq!(seen.take(), [rawdoc! { "id": one }.into_bytes()]);
        assert!(seen.take().is_empty());
        let many: Vec<_> = (0..MOST_SEEN + 3).map(|_| ObjectId::new()).collect();
        many.iter().for_each(|id| seen.note(&ping(*id)));
        let kept = seen.take();
        assert_eq!(kept.len(), MOST_SEEN);
        assert_eq!(kept[0], rawdoc! { "id": many[3] }.into_bytes());
    }

    #[test]
    fn only_named_sessions_may_be_killed() {
        let refused = |ids: bson::RawArrayBuf| {
            let body = rawdoc! { "killSessions": ids, "$db": "admin" };
            refuse_kill_sessions(&request(&body)).map(|error| error.code)
        };
        assert_eq!(refused(bson::RawArrayBuf::new()), Some(13));
        let named = bson::RawArrayBuf::from_iter([rawdoc! { "id": ObjectId::new() }]);
        assert_eq!(refused(named), None);
    }
}
