//! What `--enable-test-commands` changes in replies: fail points, and the `recoveryToken` that
//! drivers' suites expect from a router.

use crate::{
    command::{Facts, Treatment},
    downstream::{
        Client,
        failpoint::{Asked, Planned, introduced_app},
    },
    error::Class,
    wire::{
        edit,
        op_msg::OpMsg,
        raw::{MIN_DOCUMENT_LEN, find, kind},
    },
};

/// What the fail point of this listener does to a command. `None`: nothing.
pub(super) fn planned(client: &Client, facts: &Facts, message: &[u8]) -> Option<Planned> {
    let fail_points = &client.frontend.fail_points;
    if !fail_points.are_set() {
        return None;
    }
    let introduced = match facts.treatment {
        Treatment::Hello if !client.has_greeted() => introduced_app(facts.body.of(message)),
        _ => None,
    };
    let app = introduced.as_deref().or(client.app_name.as_deref());
    fail_points.plan(Asked::of(facts, message, app))
}

/// The reply, with what test commands add to it.
pub(super) fn amended(facts: &Facts, planned: Option<&Planned>, mut reply: Vec<u8>) -> Vec<u8> {
    if facts.class == Class::InTransaction {
        add_recovery_token(&mut reply);
    }
    let with_concern = planned.and_then(|planned| planned.add_concern(&reply));
    with_concern.unwrap_or(reply)
}

/// Adds the token that a router puts into each reply of a transaction. The token is empty while
/// no shard has to be asked for the transaction's outcome.
///
/// The nodes of a replica set know the outcome by themselves and ignore the token, so Weir sends
/// it only where drivers' suites look for it. A reply that cannot be edited stays as it is.
fn add_recovery_token(reply: &mut Vec<u8>) {
    const EMPTY: [u8; MIN_DOCUMENT_LEN] = [5, 0, 0, 0, 0];
    let Ok(msg) = OpMsg::parse(reply) else { return };
    let body = reply.get(msg.body.clone()).unwrap_or_default();
    let succeeded = find(body, b"ok").is_some_and(|field| field.as_truthy());
    if succeeded && find(body, b"recoveryToken").is_none() {
        let _unchanged_if_refused =
            edit::append_to_body(reply, &msg, kind::DOCUMENT, "recoveryToken", &EMPTY);
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::*;
    use crate::wire::reply;

    fn with_token(body: &RawDocumentBuf) -> Option<RawDocumentBuf> {
        let mut message = reply::op_msg(1, 2, 0, body.as_bytes());
        add_recovery_token(&mut message);
        let body = OpMsg::parse(&message).unwrap().body;
        let body = RawDocumentBuf::from_bytes(message.get(body).unwrap().to_vec()).unwrap();
        let token = body.get_document("recoveryToken").ok()?;
        Some(token.to_owned())
    }

    #[test]
    fn only_successes_without_a_token_get_one() {
        assert_eq!(with_token(&rawdoc! { "n": 1, "ok": 1.0 }), Some(rawdoc! {}));
        assert_eq!(with_token(&rawdoc! { "ok": 0.0, "code": 1 }), None);
        let theirs = rawdoc! { "ok": 1.0, "recoveryToken": { "recoveryShardId": "s" } };
        assert_eq!(
            with_token(&theirs),
            Some(rawdoc! { "recoveryShardId": "s" })
        );
    }
}
