//! Commands about whole sessions.

use std::{
    future::{Future, pending},
    io,
    sync::Arc,
};

use tokio::sync::Semaphore;

use crate::{
    error::ErrorReply,
    relay::{ClientSide, ClientTraits, Relay, Request},
    wire::raw::{elements, find},
};

/// `endSessions` forwarded at a time: tidying up never competes with work.
static TIDYING: Semaphore = Semaphore::const_new(2);

/// `endSessions` that may wait for that; the server forgets sessions by itself anyway.
const MOST_WAITING: usize = 1000;

/// Nobody: the client of work that Weir does on its own behalf.
#[derive(Debug, Default)]
pub struct Nobody;

impl ClientSide for Nobody {
    fn traits(&self) -> ClientTraits {
        ClientTraits::default()
    }

    fn departed(&self) -> impl Future<Output = ()> + Send {
        pending()
    }

    async fn write_some(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    async fn read_some(&mut self, _buf: &mut Vec<u8>, _capacity: usize) -> io::Result<usize> {
        Ok(0)
    }
}

impl Relay {
    /// Runs a command of Weir's own; whatever it answers, nobody is there to be told.
    pub(super) async fn run_unheard(&self, body: &[u8]) {
        if let Ok(mut request) = Request::own(body) {
            drop(self.run(&mut Nobody, &mut request).await);
        }
    }
}

/// Forwards `endSessions` in the background; the client has been told `ok` already, so
/// that its shutdown never waits.
///
/// What waits counts as in flight; without room for it the sessions end by themselves.
pub fn end_later(relay: &Arc<Relay>, mut request: Request) {
    static WAITING: Semaphore = Semaphore::const_new(MOST_WAITING);
    let (Ok(place), Some(room)) = (
        WAITING.try_acquire(),
        relay.budget.try_reserve(request.message.len()),
    ) else {
        return;
    };
    let relay = Arc::clone(relay);
    tokio::spawn(async move {
        let _counted = (place, room);
        if let Ok(_permit) = TIDYING.acquire().await {
            request.started = tokio::time::Instant::now();
            drop(relay.run(&mut Nobody, &mut request).await);
        }
    });
}

/// An empty list means every session of the user, and all clients share one user.
#[must_use]
pub fn refuse_kill_sessions(request: &Request) -> Option<ErrorReply> {
    let body = request.facts.body.of(&request.message);
    let list = find(body, b"killSessions");
    let list = list
        .as_ref()
        .and_then(|list| list.as_array())
        .unwrap_or_default();
    elements(list).next().is_none().then(|| {
        ErrorReply::unauthorized(
            "killSessions with an empty list would end every client's sessions; name them",
        )
    })
}
