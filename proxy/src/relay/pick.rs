//! From a route to a node's pool, and to the lane that the operation uses there.

use std::sync::Arc;

use crate::{
    cluster::Table,
    command::{Facts, Treatment},
    error::{Class, ErrorReply},
    pool::{ConnId, Lane, NodePool, Want},
    random,
    relay::Request,
    route::{self, Route, Rules, pins::Pins, select},
    topology::Snapshot,
};

/// The route of a request. A node that fails again and again is avoided, unless no other suits.
///
/// The writable node of a set is never avoided, because a write has no other.
pub(super) fn route(
    request: &Request,
    table: &Table,
    pins: &Pins,
    rules: Rules,
) -> Result<Route, ErrorReply> {
    let (facts, message) = (&request.facts, &request.message);
    if table.pools.iter().any(|pool| pool.has_failed()) {
        let mut rest = Snapshot::clone(&table.snapshot);
        for (node, pool) in rest.nodes.iter_mut().zip(&table.pools) {
            node.suspended |= pool.is_avoided();
        }
        let route = route::plan(facts, message, &rest, pins, rules)?;
        if route != Route::Hold {
            return Ok(route);
        }
    }
    route::plan(facts, message, &table.snapshot, pins, rules)
}

/// The pool and the kind of connection for a route. `None`: hold the operation.
pub(super) fn pick(facts: &Facts, route: Route, table: &Table) -> Option<(Arc<NodePool>, Want)> {
    let mut want = Want {
        lane: lane(facts),
        only: None,
        opens_transaction: false,
        place: None,
    };
    let pool = match route {
        Route::Node(index) => table.pools.get(index)?,
        Route::AnyOf(nodes) => {
            let busy = |index: usize| {
                table
                    .pools
                    .get(index)
                    .map_or(usize::MAX, |p| p.counts().load())
            };
            table
                .pools
                .get(select::choose(&nodes, random::number(), busy)?)?
        }
        Route::Bound(node, connection) => {
            want.only = connection.map(ConnId);
            table.pools.get(table.snapshot.position(&node)?)?
        }
        Route::Hold | Route::UnknownCursor => return None,
    };
    want.opens_transaction = facts.starts_transaction && table.keeps_transactions_apart;
    Some((Arc::clone(pool), want))
}

/// The lane of an operation. Commands that let others proceed may use the reserve.
const fn lane(facts: &Facts) -> Lane {
    match facts.class {
        Class::Commit | Class::Abort | Class::GetMore => Lane::Finishing,
        Class::InTransaction if !facts.starts_transaction => Lane::Finishing,
        _ => match facts.treatment {
            Treatment::KillCursors => Lane::Finishing,
            _ => Lane::Normal,
        },
    }
}

#[cfg(test)]
mod tests {
    use bson::{RawDocumentBuf, rawdoc};

    use super::*;
    use crate::wire::reply;

    #[test]
    fn commands_that_let_others_proceed_may_use_the_reserve() {
        let lane_of = |body: &RawDocumentBuf| {
            let message = reply::op_msg(1, 0, 0, body.as_bytes());
            lane(&Facts::of(&message).unwrap())
        };
        for body in [
            rawdoc! { "getMore": 1_i64, "collection": "c", "$db": "d" },
            rawdoc! { "killCursors": "c", "cursors": [1_i64], "$db": "d" },
            rawdoc! { "commitTransaction": 1, "autocommit": false, "$db": "admin" },
            rawdoc! { "abortTransaction": 1, "autocommit": false, "$db": "admin" },
            rawdoc! { "insert": "c", "autocommit": false, "$db": "d" },
        ] {
            assert_eq!(lane_of(&body), Lane::Finishing, "{body:?}");
        }
        for body in [
            rawdoc! { "find": "c", "$db": "d" },
            rawdoc! { "insert": "c", "txnNumber": 1_i64, "$db": "d" },
            rawdoc! { "insert": "c", "autocommit": false, "startTransaction": true, "$db": "d" },
        ] {
            assert_eq!(lane_of(&body), Lane::Normal, "{body:?}");
        }
    }
}
