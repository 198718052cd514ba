//! From a route to a pool, and to the share of it that the operation may use.

use std::sync::Arc;

use crate::{
    command::{Facts, Treatment},
    error::Class,
    pool::{ConnId, Lane, NodePool, Want},
    random,
    relay::cluster::Table,
    route::{Route, select},
};

/// The pool and the kind of lease for a route; `None`: hold.
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

/// Commands that let others proceed may use the reserve.
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
