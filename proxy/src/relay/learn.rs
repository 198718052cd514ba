//! What a reply changes: pins, verdicts, and whether it is the answer at all.

use std::time::Duration;

use crate::{
    command::{Facts, Outcome, Treatment},
    error::{Class, Failure, Labels, executed_perhaps},
    pool::{Bond, Lease},
    random,
    relay::{
        ClientTraits, Relay, Request,
        retries::Retries,
        scrub::{as_failed, scrub},
    },
    route::pins::{CursorPin, Position, TransactionPin},
    wire::{op_msg::OpMsg, raw::find, reply},
};

/// `ReauthenticationRequired`: the server forgot the login and executed nothing.
const REAUTHENTICATE: i32 = 391;

/// Errors of a getMore after which its cursor is no more: not found, killed with its plan by
/// a change of role or a rollback, killed, interrupted.
const ENDS_CURSOR: [i32; 4] = [43, 175, 237, 11_601];

/// First pause after the upstream's overload error that names none, by the
/// client-backpressure specification.
const BASE_BACKOFF: Duration = Duration::from_millis(100);

/// What to do with a reply.
#[derive(Debug)]
pub(crate) enum Lesson {
    /// It is the answer, as it is.
    Pass,
    /// It is the answer, but speaks of a change of the node's role.
    Rewrite,
    /// Nothing was executed: try again after a pause.
    Again {
        /// How long to wait first.
        pause: Duration,
        /// The connection is of no more use.
        discard: bool,
    },
    /// Tell the client this instead.
    Refuse(Failure),
}

impl Relay {
    /// Takes in what the reply says. Called before its connection is given back.
    #[expect(
        clippy::too_many_arguments,
        reason = "one reply and everything it bears on"
    )]
    pub(crate) fn learn(
        &self,
        client: ClientTraits,
        request: &Request,
        lease: &Lease,
        reply: &[u8],
        msg: &OpMsg,
        outcome: &Outcome,
        retries: &mut Retries,
    ) -> Lesson {
        let facts = &request.facts;
        let body = reply.get(msg.body.clone()).unwrap_or_default();
        if let Some(code) = outcome.state_change {
            let version = outcome.topology_version;
            self.cluster
                .on_state_change(lease.pool(), code, version, lease.generation());
            // A Weir that is about to leave, say: it has executed nothing.
            if !outcome.ok
                && outcome.is_overload()
                && let Some(lesson) = self.learn_refusal(client, outcome, body, retries)
            {
                return lesson;
            }
            if facts.class == Class::Read && !outcome.ok && !retries.rerouted {
                retries.rerouted = true;
                return Lesson::Again {
                    pause: Duration::ZERO,
                    discard: false,
                };
            }
            self.note_transaction(facts, lease, outcome);
            return Lesson::Rewrite;
        }
        if !outcome.ok
            && let Some(lesson) = self.learn_refusal(client, outcome, body, retries)
        {
            return lesson;
        }
        self.note_cursor(facts, &request.message, lease, body, outcome);
        self.note_transaction(facts, lease, outcome);
        Lesson::Pass
    }

    fn learn_refusal(
        &self,
        client: ClientTraits,
        outcome: &Outcome,
        body: &[u8],
        retries: &mut Retries,
    ) -> Option<Lesson> {
        if outcome.code == REAUTHENTICATE && !retries.logged_in_again {
            retries.logged_in_again = true;
            return Some(Lesson::Again {
                pause: Duration::ZERO,
                discard: true,
            });
        }
        if outcome.is_overload() && !client.backpressure {
            if retries.overloads >= 2 {
                let failure = Failure::Overloaded {
                    backpressure: false,
                    base_backoff_ms: 0,
                };
                return Some(Lesson::Refuse(failure));
            }
            let named = find(body, b"baseBackoffMS").and_then(|f| f.as_number_i64());
            let base = named.and_then(|ms| u64::try_from(ms).ok());
            let base = base.map_or(BASE_BACKOFF, Duration::from_millis);
            let pause = base.mul_f64(random::fraction()) * 2_u32.pow(retries.overloads.into());
            retries.overloads += 1;
            return Some(Lesson::Again {
                pause,
                discard: false,
            });
        }
        None
    }

    /// Pins a cursor that the reply leaves open, forgets one that it closes.
    fn note_cursor(
        &self,
        facts: &Facts,
        message: &[u8],
        lease: &Lease,
        body: &[u8],
        outcome: &Outcome,
    ) {
        let opened = outcome.cursor.map(|cursor| cursor.id).filter(|id| *id != 0);
        if facts.treatment == Treatment::GetMore {
            match opened.map(|id| (id, self.pins.cursor(id))) {
                Some((id, Some(pin))) => {
                    let position = pin.awaits.then(|| position_in(body)).flatten();
                    self.pins.touch_cursor(id, self.now(), position);
                }
                Some((id, None)) => self.pin_cursor(id, facts, message, lease, body),
                None if outcome.ok || ENDS_CURSOR.contains(&outcome.code) => {
                    self.unpin_cursor(facts.cursor_id);
                }
                None => {}
            }
        } else if let Some(id) = opened {
            self.pin_cursor(id, facts, message, lease, body);
        }
    }

    /// Remembers where cursor `id` lives.
    pub(crate) fn pin_cursor(
        &self,
        id: i64,
        facts: &Facts,
        message: &[u8],
        lease: &Lease,
        body: &[u8],
    ) {
        // A stream opened through another Weir is known by its resume token.
        let is_stream = || position_in(body).is_some_and(|at| !at.resume_token.is_empty());
        let awaits = facts.awaits_data || waits_for_data(facts, message) || is_stream();
        let connection = self.cluster.is_load_balanced().then(|| lease.id().0);
        if connection.is_some() {
            lease.bond(Bond::Cursor, true);
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

    /// Forgets cursor `id` and frees the connection it was tied to.
    pub(crate) fn unpin_cursor(&self, id: i64) {
        let Some(pin) = self.pins.remove_cursor(id) else {
            return;
        };
        if let Some((pool, connection)) = pin
            .connection
            .and_then(|c| Some((self.cluster.pool_of(&pin.node)?, crate::pool::ConnId(c))))
        {
            pool.bond(connection, Bond::Cursor, false);
        }
    }

    /// Behind routers a transaction stays with the one that began it.
    pub(crate) fn note_transaction(&self, facts: &Facts, lease: &Lease, outcome: &Outcome) {
        let (Some(session), Some(number)) = (facts.session, facts.txn_number) else {
            return;
        };
        if !facts.in_transaction || !self.cluster.has_router() {
            return;
        }
        let ended = match facts.class {
            Class::Commit | Class::Abort => true,
            _ => outcome.labels.contains(Labels::TRANSIENT_TRANSACTION),
        };
        if ended {
            // A successful commit may be asked for again, and must be asked there.
            let keep = facts.class == Class::Commit && outcome.ok;
            self.end_transaction(session, keep);
        } else if facts.starts_transaction {
            let connection = self.cluster.is_load_balanced().then(|| lease.id().0);
            if connection.is_some() {
                lease.bond(Bond::Transaction, true);
            }
            let node = lease.pool().node().clone();
            let pin = TransactionPin {
                number,
                node,
                connection,
                last_used: self.now(),
            };
            if let Some(old) = self.pins.set_transaction(session, pin) {
                self.unbond(&old);
            }
        }
    }

    /// Forgets the transaction of these facts: what it was tied to is gone.
    pub(crate) fn forget_transaction(&self, facts: &Facts) {
        if let Some(session) = facts.session.filter(|_| facts.in_transaction) {
            self.end_transaction(session, false);
        }
    }

    fn end_transaction(&self, session: u64, keep: bool) {
        let Some(pin) = self.pins.remove_transaction(session) else {
            return;
        };
        self.unbond(&pin);
        if keep {
            self.pins.set_transaction(
                session,
                TransactionPin {
                    connection: None,
                    ..pin
                },
            );
        }
    }

    fn unbond(&self, pin: &TransactionPin) {
        let pool = self.cluster.pool_of(&pin.node);
        if let (Some(pool), Some(connection)) = (pool, pin.connection) {
            pool.bond(crate::pool::ConnId(connection), Bond::Transaction, false);
        }
    }

    /// The reply with every state-change code turned into 6 HostUnreachable, the tell-tale
    /// phrases taken out of its texts, its `topologyVersion` dropped, and the labels that
    /// let the driver retry added. Everything else stays byte for byte; but a retryable write
    /// is told as failed (see [`as_failed`]).
    pub(crate) fn without_state_change(
        &self,
        request: &Request,
        message: &[u8],
        msg: &OpMsg,
        class: Class,
    ) -> Vec<u8> {
        let body = message.get(msg.body.clone()).unwrap_or_default();
        let failed = !find(body, b"ok").is_some_and(|ok| ok.as_truthy());
        self.metrics.state_change(class);
        let told = match class {
            Class::RetryableWrite if !failed => as_failed(body),
            _ => None,
        };
        let rewritten =
            told.unwrap_or_else(|| scrub(body, failed.then(|| executed_perhaps(class)), class));
        reply::op_msg(super::fresh_id(), request.id, 0, &rewritten)
    }
}

/// A find that is tailable and waits, by its own fields.
fn waits_for_data(facts: &Facts, message: &[u8]) -> bool {
    facts.treatment == Treatment::GetMore && find(facts.body.of(message), b"maxTimeMS").is_some()
}

/// Where the cursor of this reply stands.
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
