//! What a reply means: whether it is the answer, and which cursors and transactions it opens or
//! ends. Pure. [`super::record`] does the book-keeping.

use std::time::Duration;

use crate::{
    command::{Facts, Outcome, Treatment},
    error::{Class, Failure, Labels},
    wire::raw::find,
};

/// `ReauthenticationRequired`: the server forgot the login and executed nothing.
const REAUTHENTICATE: i32 = 391;

/// Errors of a getMore after which its cursor no longer exists: not found, killed with its plan
/// by a change of role or a rollback, killed, interrupted.
const ENDS_CURSOR: [i32; 4] = [43, 175, 237, 11_601];

/// First pause after an overload error of the upstream that names none. The client-backpressure
/// specification gives the value.
const BASE_BACKOFF: Duration = Duration::from_millis(100);

/// How often Weir tries an operation again that the upstream refused because of overload.
const MAX_OVERLOAD_RETRIES: u8 = 2;

/// What Weir does with a reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ReplyDecision {
    /// The client gets the reply as it is.
    Pass,
    /// The client gets the reply without the node's change of role in it.
    Rewrite,
    /// The upstream executed nothing. Try again.
    Retry(Retry),
    /// The client gets this error instead.
    Refuse(Failure),
}

/// Why an operation is tried again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Retry {
    /// The node's role changed. Another node may serve this read.
    Reroute,
    /// The server forgot Weir's login. The connection is of no more use.
    LogInAgain,
    /// The upstream is overloaded. Wait for a random part of this pause.
    AfterPause(Duration),
}

/// How often an operation was tried again, by reason.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct RetryCounts {
    rerouted: bool,
    logged_in_again: bool,
    overloads: u8,
}

impl RetryCounts {
    /// Counts one more attempt.
    pub(super) const fn count(&mut self, retry: Retry) {
        match retry {
            Retry::Reroute => self.rerouted = true,
            Retry::LogInAgain => self.logged_in_again = true,
            Retry::AfterPause(_) => self.overloads += 1,
        }
    }
}

/// Decides about a whole reply to an operation of `class`.
///
/// `backpressure`: the client announced it, so an overload error is the client's to handle.
pub(super) fn decide(
    class: Class,
    backpressure: bool,
    outcome: &Outcome,
    body: &[u8],
    counts: RetryCounts,
) -> ReplyDecision {
    let changes_role = outcome.state_change.is_some();
    // A node that changes its role has executed nothing only if it says so: a Weir that drains
    // does, with the overload labels.
    if !outcome.ok
        && (!changes_role || outcome.is_overload())
        && let Some(decision) = decide_refusal(backpressure, outcome, body, counts)
    {
        return decision;
    }
    if !changes_role {
        return ReplyDecision::Pass;
    }
    if class == Class::Read && !outcome.ok && !counts.rerouted {
        return ReplyDecision::Retry(Retry::Reroute);
    }
    ReplyDecision::Rewrite
}

/// The decision about an error by which the upstream says that it executed nothing. `None`: it
/// is another error.
fn decide_refusal(
    backpressure: bool,
    outcome: &Outcome,
    body: &[u8],
    counts: RetryCounts,
) -> Option<ReplyDecision> {
    if outcome.code == REAUTHENTICATE && !counts.logged_in_again {
        return Some(ReplyDecision::Retry(Retry::LogInAgain));
    }
    if !outcome.is_overload() || backpressure {
        return None;
    }
    if counts.overloads >= MAX_OVERLOAD_RETRIES {
        return Some(ReplyDecision::Refuse(Failure::Overloaded {
            backpressure: false,
            base_backoff_ms: 0,
        }));
    }
    let named = find(body, b"baseBackoffMS").and_then(|field| field.as_number_i64());
    let base = named.and_then(|ms| u64::try_from(ms).ok());
    let base = base.map_or(BASE_BACKOFF, Duration::from_millis);
    let pause = base.saturating_mul(2_u32.pow(counts.overloads.into()));
    Some(ReplyDecision::Retry(Retry::AfterPause(pause)))
}

/// What a whole reply says about cursors.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CursorChange {
    /// This cursor is open. Remember its node, or that it was used.
    Open(i64),
    /// The getMore's cursor no longer exists.
    Closed,
    /// Nothing.
    None,
}

impl CursorChange {
    /// Reads it from the outcome of an operation.
    pub(super) fn of(treatment: Treatment, outcome: &Outcome) -> Self {
        let open = outcome.cursor.map(|cursor| cursor.id).filter(|id| *id != 0);
        match open {
            Some(id) => Self::Open(id),
            None if treatment != Treatment::GetMore => Self::None,
            None if outcome.ok || ENDS_CURSOR.contains(&outcome.code) => Self::Closed,
            None => Self::None,
        }
    }
}

/// What a reply says about the transaction of its operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum TransactionChange {
    /// The transaction has begun.
    Begun,
    /// The transaction has ended.
    Ended {
        /// Its commit succeeded. The driver may ask for it again, and must ask the same node.
        keep_node: bool,
    },
    /// Nothing.
    None,
}

impl TransactionChange {
    /// Reads it from the outcome of an operation.
    pub(super) const fn of(facts: &Facts, outcome: &Outcome) -> Self {
        if !facts.in_transaction {
            return Self::None;
        }
        let has_ended = match facts.class {
            Class::Commit | Class::Abort => true,
            _ => outcome.labels.contains(Labels::TRANSIENT_TRANSACTION),
        };
        if has_ended {
            let keep_node = matches!(facts.class, Class::Commit) && outcome.ok;
            Self::Ended { keep_node }
        } else if facts.starts_transaction {
            Self::Begun
        } else {
            Self::None
        }
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::*;
    use crate::wire::reply;

    const FRESH: RetryCounts = RetryCounts {
        rerouted: false,
        logged_in_again: false,
        overloads: 0,
    };

    fn after(retries: &[Retry]) -> RetryCounts {
        let mut counts = FRESH;
        retries.iter().for_each(|retry| counts.count(*retry));
        counts
    }

    fn decided(
        class: Class,
        backpressure: bool,
        body: &RawDocumentBuf,
        counts: RetryCounts,
    ) -> ReplyDecision {
        let outcome = Outcome::read(body.as_bytes()).unwrap();
        decide(class, backpressure, &outcome, body.as_bytes(), counts)
    }

    fn overload(code: i32) -> RawDocumentBuf {
        let labels = ["SystemOverloadedError", "RetryableError"];
        let labels = bson::RawArrayBuf::from_iter(labels);
        rawdoc! { "ok": 0.0, "code": code, "errorLabels": labels }
    }

    #[test]
    fn successes_and_ordinary_errors_pass() {
        for class in Class::ALL {
            for body in [
                rawdoc! { "ok": 1.0 },
                rawdoc! { "ok": 0.0, "code": 11000, "errmsg": "E11000 duplicate key" },
                rawdoc! { "ok": 0.0, "code": 43 },
                rawdoc! { "ok": 1.0, "writeErrors": [{ "index": 0, "code": 11000 }] },
                rawdoc! { "ok": 1.0, "writeConcernError": { "code": 64 } },
            ] {
                assert_eq!(decided(class, false, &body, FRESH), ReplyDecision::Pass);
            }
        }
    }

    #[test]
    fn a_state_change_reroutes_a_read_once_and_is_rewritten_for_all_others() {
        let body = rawdoc! { "ok": 0.0, "code": 10107, "errmsg": "not primary" };
        for class in Class::ALL {
            let expected = match class {
                Class::Read => ReplyDecision::Retry(Retry::Reroute),
                _ => ReplyDecision::Rewrite,
            };
            assert_eq!(decided(class, false, &body, FRESH), expected, "{class:?}");
            let again = decided(class, false, &body, after(&[Retry::Reroute]));
            assert_eq!(again, ReplyDecision::Rewrite, "{class:?}");
        }
    }

    #[test]
    fn a_state_change_inside_of_a_success_is_rewritten() {
        let concern = rawdoc! { "ok": 1.0, "writeConcernError": { "code": 11602 } };
        let errors = rawdoc! { "ok": 1.0, "writeErrors": [{ "index": 0, "code": 189 }] };
        for class in Class::ALL {
            for body in [&concern, &errors] {
                let decision = decided(class, false, body, FRESH);
                assert_eq!(decision, ReplyDecision::Rewrite, "{class:?}");
            }
        }
    }

    #[test]
    fn a_forgotten_login_is_renewed_once() {
        let body = rawdoc! { "ok": 0.0, "code": 391 };
        for class in Class::ALL {
            let first = decided(class, true, &body, FRESH);
            assert_eq!(first, ReplyDecision::Retry(Retry::LogInAgain));
            let second = decided(class, true, &body, after(&[Retry::LogInAgain]));
            assert_eq!(second, ReplyDecision::Pass);
        }
    }

    #[test]
    fn overload_is_the_clients_to_handle_if_it_can() {
        for class in Class::ALL {
            assert_eq!(
                decided(class, true, &overload(462), FRESH),
                ReplyDecision::Pass
            );
        }
    }

    #[test]
    fn overload_is_tried_again_twice_with_growing_pauses() {
        let pause = |ms| ReplyDecision::Retry(Retry::AfterPause(Duration::from_millis(ms)));
        let once = Retry::AfterPause(Duration::ZERO);
        let body = overload(462);
        assert_eq!(decided(Class::Write, false, &body, FRESH), pause(100));
        assert_eq!(
            decided(Class::Write, false, &body, after(&[once])),
            pause(200)
        );
        assert_eq!(
            decided(Class::Write, false, &body, after(&[once, once])),
            ReplyDecision::Refuse(Failure::Overloaded {
                backpressure: false,
                base_backoff_ms: 0
            })
        );
        let mut named = overload(462);
        named.append(bson::raw::cstr!("baseBackoffMS"), 30);
        assert_eq!(decided(Class::Write, false, &named, FRESH), pause(30));
        assert_eq!(
            decided(Class::Write, false, &named, after(&[once])),
            pause(60)
        );
    }

    #[test]
    fn one_label_alone_is_no_overload() {
        let body = rawdoc! { "ok": 0.0, "code": 462, "errorLabels": ["SystemOverloadedError"] };
        assert_eq!(
            decided(Class::Write, false, &body, FRESH),
            ReplyDecision::Pass
        );
    }

    #[test]
    fn a_draining_weir_upstream_has_executed_nothing() {
        let body = overload(91);
        let pause = Retry::AfterPause(BASE_BACKOFF);
        let decision = decided(Class::Write, false, &body, FRESH);
        assert_eq!(decision, ReplyDecision::Retry(pause), "whatever the class");
        let decision = decided(Class::Write, true, &body, FRESH);
        assert_eq!(
            decision,
            ReplyDecision::Rewrite,
            "the client may not see 91"
        );
        let decision = decided(Class::Read, true, &body, FRESH);
        assert_eq!(decision, ReplyDecision::Retry(Retry::Reroute));
    }

    fn cursor(treatment: Treatment, body: &RawDocumentBuf) -> CursorChange {
        CursorChange::of(treatment, &Outcome::read(body.as_bytes()).unwrap())
    }

    #[test]
    fn a_reply_that_names_an_open_cursor_opens_it() {
        let open = rawdoc! { "cursor": { "id": 7_i64, "ns": "d.c", "firstBatch": [] }, "ok": 1.0 };
        assert_eq!(cursor(Treatment::Read, &open), CursorChange::Open(7));
        assert_eq!(cursor(Treatment::GetMore, &open), CursorChange::Open(7));
        let closed = rawdoc! { "cursor": { "id": 0_i64, "ns": "d.c" }, "ok": 1.0 };
        assert_eq!(cursor(Treatment::Read, &closed), CursorChange::None);
        assert_eq!(cursor(Treatment::GetMore, &closed), CursorChange::Closed);
        assert_eq!(
            cursor(Treatment::Read, &rawdoc! { "ok": 1.0 }),
            CursorChange::None
        );
    }

    #[test]
    fn only_some_errors_of_a_get_more_close_its_cursor() {
        for code in [43, 175, 237, 11_601] {
            let body = rawdoc! { "ok": 0.0, "code": code };
            assert_eq!(
                cursor(Treatment::GetMore, &body),
                CursorChange::Closed,
                "{code}"
            );
            assert_eq!(cursor(Treatment::Read, &body), CursorChange::None, "{code}");
        }
        for code in [13, 50, 50_736] {
            let body = rawdoc! { "ok": 0.0, "code": code };
            assert_eq!(
                cursor(Treatment::GetMore, &body),
                CursorChange::None,
                "{code}"
            );
        }
    }

    fn transaction(command: &RawDocumentBuf, answer: &RawDocumentBuf) -> TransactionChange {
        let mut command = command.clone();
        command.append(bson::raw::cstr!("$db"), "admin");
        let message = reply::op_msg(1, 0, 0, command.as_bytes());
        let outcome = Outcome::read(answer.as_bytes()).unwrap();
        TransactionChange::of(&Facts::of(&message).unwrap(), &outcome)
    }

    #[test]
    fn a_transaction_begins_and_ends_with_its_commands() {
        let statement = |starts: bool| {
            let mut command = rawdoc! { "insert": "c", "txnNumber": 1_i64, "autocommit": false };
            if starts {
                command.append(bson::raw::cstr!("startTransaction"), true);
            }
            command
        };
        let commit = rawdoc! { "commitTransaction": 1, "txnNumber": 1_i64, "autocommit": false };
        let abort = rawdoc! { "abortTransaction": 1, "txnNumber": 1_i64, "autocommit": false };
        let ok = rawdoc! { "ok": 1.0 };
        let failed = rawdoc! { "ok": 0.0, "code": 112 };
        let transient =
            rawdoc! { "ok": 0.0, "code": 112, "errorLabels": ["TransientTransactionError"] };
        let ended = |keep_node| TransactionChange::Ended { keep_node };

        assert_eq!(transaction(&statement(true), &ok), TransactionChange::Begun);
        assert_eq!(
            transaction(&statement(true), &failed),
            TransactionChange::Begun
        );
        assert_eq!(transaction(&statement(true), &transient), ended(false));
        assert_eq!(transaction(&statement(false), &ok), TransactionChange::None);
        assert_eq!(transaction(&statement(false), &transient), ended(false));
        assert_eq!(transaction(&commit, &ok), ended(true));
        assert_eq!(transaction(&commit, &failed), ended(false));
        assert_eq!(transaction(&abort, &ok), ended(false));
        let plain = rawdoc! { "insert": "c", "txnNumber": 1_i64 };
        assert_eq!(
            transaction(&plain, &ok),
            TransactionChange::None,
            "a retryable write"
        );
    }
}
