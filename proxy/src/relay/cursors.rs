//! getMore and killCursors: commands that belong to a cursor rather than to a kind of
//! node.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use crate::{
    command::Facts,
    error::{Class, Failure},
    pool::{ConnId, Lane, LeaseError, NodePool, Want},
    relay::{
        ClientSide, Relay, Request, Stop,
        attempt::{Answer, Attempt, Retries},
        deadline::Deadline,
        fresh_id,
    },
    route::pins::CursorPin,
    wire::{
        build::DocumentBuilder,
        edit,
        op_msg::{self, OpMsg},
        raw::find,
        reply,
    },
};

/// How long a server waits for data when a getMore does not say.
const DEFAULT_WAIT: Duration = Duration::from_secs(1);

/// Counts one more while it lives.
struct Counted<'a>(&'a AtomicUsize);

impl<'a> Counted<'a> {
    fn new(count: &'a AtomicUsize) -> Self {
        count.fetch_add(1, Ordering::Relaxed);
        Self(count)
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Ordering::Relaxed);
    }
}

impl Relay {
    /// A getMore goes where its cursor is, and is never sent twice.
    pub(crate) async fn get_more<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        deadline: Deadline,
    ) -> Result<Answer, Stop> {
        match self.pins.cursor(request.facts.cursor_id) {
            Some(pin) => {
                let Some(pool) = self.cluster.pool_of(&pin.node) else {
                    self.unpin_cursor(request.facts.cursor_id);
                    return Err(self.refuse(Failure::CursorNotFound, Class::GetMore).into());
                };
                if pin.awaits {
                    self.await_data(client, request, &pool, &pin).await
                } else {
                    self.ask_node(
                        client,
                        request,
                        &pool,
                        wanted(&pin, Lane::Finishing),
                        deadline,
                    )
                    .await
                }
            }
            None if self.settings.probe_cursors => self.probe(client, request, deadline).await,
            None => Err(self.refuse(Failure::CursorNotFound, Class::GetMore).into()),
        }
    }

    /// One node and no other will do; tries again only what was not executed.
    pub(super) async fn ask_node<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        pool: &Arc<NodePool>,
        want: Want,
        deadline: Deadline,
    ) -> Result<Answer, Stop> {
        let mut retries = Retries::default();
        loop {
            let tried = self
                .attempt(client, request, pool, want, deadline, &mut retries)
                .await;
            match tried? {
                Attempt::Done(answer) => return Ok(answer),
                Attempt::Again => tokio::task::yield_now().await,
            }
        }
    }

    /// A cursor of another Weir: ask the primary, then the others, one at a time. A node
    /// that does not know it answers 43 and has done nothing; any other answer is final.
    async fn probe<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        deadline: Deadline,
    ) -> Result<Answer, Stop> {
        let want = Want {
            lane: Lane::Finishing,
            ..Want::default()
        };
        let mut last = None;
        for pool in self.cluster.data_pools_primary_first() {
            let answer = self
                .ask_node(client, request, &pool, want, deadline)
                .await?;
            let Answer::Message(message) = &answer else {
                return Ok(answer);
            };
            if !says_not_found(message) || request.is_spent() {
                return Ok(answer);
            }
            last = Some(answer);
        }
        last.ok_or_else(|| self.refuse(Failure::CursorNotFound, Class::GetMore).into())
    }

    /// A getMore that waits for data: in short waits on shared slots, until the client's
    /// own wait is over.
    async fn await_data<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        pool: &Arc<NodePool>,
        pin: &CursorPin,
    ) -> Result<Answer, Stop> {
        let _counted = Counted::new(&self.cluster.awaiting);
        let asked = request
            .facts
            .max_time
            .and_then(|max| u64::try_from(max.ms).ok());
        let wait = asked.map_or(DEFAULT_WAIT, Duration::from_millis);
        let until = request.started + wait;
        let want = wanted(pin, Lane::Awaiting);
        let mut retries = Retries::default();
        let mut last = None;
        loop {
            let now = Instant::now();
            if now >= until && last.is_some() {
                break;
            }
            if has_left(client).await {
                return Err(Stop::Abandoned);
            }
            self.set_wait(
                request,
                self.wait_share(pool, until.saturating_duration_since(now)),
            );
            match self
                .poll_once(client, request, pool, want, until, &mut retries)
                .await?
            {
                Poll::Answered(answer) if is_empty_batch(&answer) => last = Some(answer),
                Poll::Answered(answer) => return Ok(answer),
                Poll::NoSlot => break,
                Poll::Again => tokio::task::yield_now().await,
            }
        }
        Ok(last.unwrap_or_else(|| Answer::Message(self.empty_batch(request))))
    }

    /// Each of n streams on K slots may wait K/n of a second, so that all are asked about
    /// once a second.
    fn wait_share(&self, pool: &NodePool, left: Duration) -> Duration {
        let streams = u32::try_from(self.cluster.awaiting.load(Ordering::Relaxed)).unwrap_or(1);
        let slots = u32::try_from(pool.awaiting_share()).unwrap_or(1);
        let share = Duration::from_secs(1) * slots / streams.max(1);
        share.clamp(Duration::from_millis(1), left.max(Duration::from_millis(1)))
    }

    /// Writes the wait of one poll into the request, adding the field when it is missing.
    fn set_wait(&self, request: &mut Request, wait: Duration) {
        let ms = i64::try_from(wait.as_millis()).unwrap_or(1000).max(1);
        if let Some(max) = request.facts.max_time {
            edit::overwrite_number(&mut request.message, max.at, max.kind, ms);
            return;
        }
        let value = i32::try_from(ms).unwrap_or(1000).to_le_bytes();
        let Ok(msg) = OpMsg::parse(&request.message) else {
            return;
        };
        if edit::append_to_body(&mut request.message, &msg, 0x10, "maxTimeMS", &value).is_err() {
            return;
        }
        // Positions have moved: read them again.
        if let Ok(facts) = Facts::of(&request.message) {
            request.facts = facts;
        }
    }

    async fn poll_once<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        pool: &Arc<NodePool>,
        want: Want,
        until: Instant,
        retries: &mut Retries,
    ) -> Result<Poll, Stop> {
        let leased = tokio::select! {
            biased;
            leased = pool.lease(want, until) => leased,
            () = client.departed() => return Err(Stop::Abandoned),
        };
        let lease = match leased {
            Ok(lease) => lease,
            Err(LeaseError::TimedOut | LeaseError::Shed) => return Ok(Poll::NoSlot),
            Err(LeaseError::Cleared) if Instant::now() < until => return Ok(Poll::Again),
            Err(LeaseError::Cleared) => return Ok(Poll::NoSlot),
            Err(LeaseError::LoginRefused) => {
                return Err(self.refuse(Failure::LoginRefused, Class::GetMore).into());
            }
            Err(LeaseError::Gone) => {
                self.unpin_cursor(request.facts.cursor_id);
                return Err(self.refuse(Failure::CursorNotFound, Class::GetMore).into());
            }
        };
        let deadline = Deadline::of(request, &self.settings);
        match self
            .attempt_on(client, request, lease, deadline, retries)
            .await?
        {
            Attempt::Done(answer) => Ok(Poll::Answered(answer)),
            Attempt::Again => Ok(Poll::Again),
        }
    }

    /// What a server would have said had nothing happened: the wait ended in our queue.
    fn empty_batch(&self, request: &Request) -> Vec<u8> {
        let id = request.facts.cursor_id;
        let position = self
            .pins
            .cursor(id)
            .and_then(|pin| pin.position)
            .unwrap_or_default();
        let mut cursor = DocumentBuilder::new();
        cursor.array("nextBatch", &DocumentBuilder::new().finish());
        if !position.resume_token.is_empty() {
            cursor.document("postBatchResumeToken", &position.resume_token);
        }
        cursor.i64("id", id);
        let namespace = match position.namespace.as_slice() {
            [] => namespace_asked(request),
            known => String::from_utf8_lossy(known).into_owned(),
        };
        cursor.str("ns", &namespace);
        let mut body = DocumentBuilder::new();
        body.document("cursor", &cursor.finish()).f64("ok", 1.0);
        reply::op_msg(fresh_id(), request.id, 0, &body.finish())
    }
}

enum Poll {
    Answered(Answer),
    NoSlot,
    Again,
}

/// Whether the client has left by now. A free connection is taken without looking, so a
/// loop of short waits has to ask.
async fn has_left<C: ClientSide>(client: &C) -> bool {
    tokio::select! {
        biased;
        () = client.departed() => true,
        () = std::future::ready(()) => false,
    }
}

fn wanted(pin: &CursorPin, lane: Lane) -> Want {
    Want {
        lane,
        only: pin.connection.map(ConnId),
        opens_transaction: false,
    }
}

/// What a getMore reads from, as its reply names it.
fn namespace_asked(request: &Request) -> String {
    let facts = &request.facts;
    let collection = find(facts.body.of(&request.message), b"collection");
    let collection = collection
        .as_ref()
        .and_then(|name| name.as_str())
        .unwrap_or_default();
    String::from_utf8_lossy(&[facts.db.of(&request.message), b".", collection].concat())
        .into_owned()
}

fn says_not_found(message: &[u8]) -> bool {
    let code = op_msg::body(message).and_then(|body| find(body, b"code")?.as_number_i64());
    code == Some(43)
}

/// An empty batch of a cursor that is still open.
fn is_empty_batch(answer: &Answer) -> bool {
    let Answer::Message(message) = answer else {
        return false;
    };
    let batch = || {
        let cursor = find(op_msg::body(message)?, b"cursor")?;
        let cursor = cursor.as_document()?;
        let open = find(cursor, b"id")?.as_i64()? != 0;
        Some(open && find(cursor, b"nextBatch")?.as_array()?.len() <= 5)
    };
    batch() == Some(true)
}
