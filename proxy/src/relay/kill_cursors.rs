//! killCursors: split by the nodes that hold the cursors, results merged.

use std::collections::BTreeMap;

use crate::{
    command::Facts,
    pool::{ConnId, Lane, Want},
    relay::{
        ClientSide, Request,
        deadline::{Deadline, KILL_NODE_AWAY},
        fresh_id,
        operation::{OneNode, Operation},
        outcome::{Answer, Stop},
    },
    route::pins::Pins,
    topology::NodeAddress,
    wire::{
        build::DocumentBuilder,
        header::set_response_to,
        op_msg,
        raw::{elements, find},
        reply,
    },
};

/// The four result lists of killCursors. The order decides about an id that nodes put into
/// different lists: an id that one node killed counts as killed, and one that no node knew as
/// not found.
const RESULTS: [&str; 4] = [
    "cursorsKilled",
    "cursorsAlive",
    "cursorsUnknown",
    "cursorsNotFound",
];

/// Where a cursor lives: a node, and the one connection that can see it, if only one can.
type Home = (NodeAddress, Option<u64>);

/// Cursor ids by result list.
type Results = BTreeMap<&'static str, Vec<i64>>;

/// Sends killCursors to every node that holds one of the cursors, and merges the results.
pub(super) async fn kill_cursors<C: ClientSide>(
    operation: &mut Operation<'_, C>,
) -> Result<Answer, Stop> {
    let relay = operation.relay;
    let ids = cursor_ids(operation.request);
    let everywhere = || {
        let pools = relay.cluster.table().data_pools();
        pools.iter().map(|pool| pool.node().clone()).collect()
    };
    let homes = homes(&ids, &relay.pins, everywhere);
    for id in &ids {
        relay.unpin_cursor(*id);
    }
    if let Some(pins) = operation.client.pins() {
        pins.killed(&ids);
    }
    let mut results = Results::new();
    let mut last = None;
    let single = homes.len() == 1;
    for (home, ids) in homes {
        let node = home.0.clone();
        let answer = match kill_at(operation, home, &ids).await {
            Ok(Some(answer)) => answer,
            Ok(None) => continue,
            // One unreachable node must not hide the others' results.
            Err(Stop::Error(error)) if !single => {
                tracing::debug!(%node, code = error.code, "killCursors failed on one node");
                continue;
            }
            Err(stop) => return Err(stop),
        };
        // The client has a reply already, which was too large to be kept. It may get only one.
        let Answer::Message(message) = &answer else {
            return Ok(answer);
        };
        collect(message, &mut results);
        last = Some(answer);
    }
    let request = &*operation.request;
    let message = match last {
        Some(Answer::Message(mut message)) if single => {
            set_response_to(&mut message, request.id);
            message
        }
        _ => reply::op_msg(fresh_id(), request.id, 0, &merged(&ids, &results)),
    };
    Ok(Answer::Message(message))
}

/// Sends a node its part and returns its answer. `None`: the node is away.
async fn kill_at<C: ClientSide>(
    operation: &mut Operation<'_, C>,
    (node, connection): Home,
    ids: &[i64],
) -> Result<Option<Answer>, Stop> {
    let patience = operation.deadline.hold_at_most(KILL_NODE_AWAY);
    let is_there = comes_back(operation, &node, patience).await;
    let pool = operation.relay.cluster.pool_of(&node);
    let Some(pool) = pool.filter(|_| is_there) else {
        return Ok(None);
    };
    let want = Want {
        lane: Lane::Finishing,
        only: connection.map(ConnId),
        opens_transaction: false,
        place: None,
    };
    let mut part = part_of(operation.request, ids)?;
    let mut operation = operation.with_request(&mut part);
    let answer = operation.complete(OneNode { pool: &pool, want });
    answer.await.map(Some)
}

/// Whether the node is there, or comes back in time.
async fn comes_back<C: ClientSide>(
    operation: &Operation<'_, C>,
    node: &NodeAddress,
    patience: Deadline,
) -> bool {
    let cluster = &operation.relay.cluster;
    loop {
        let table = arc_swap::Guard::into_inner(cluster.table());
        if cluster.serves(node) {
            return true;
        }
        if operation.hold(&table, patience).await.is_err() {
            return false;
        }
    }
}

/// Cursor ids by node and connection. A cursor that is not pinned may be `everywhere`.
fn homes(
    ids: &[i64],
    pins: &Pins,
    everywhere: impl Fn() -> Vec<NodeAddress>,
) -> BTreeMap<Home, Vec<i64>> {
    let mut homes: BTreeMap<Home, Vec<i64>> = BTreeMap::new();
    for id in ids {
        let of_this = match pins.cursor(*id) {
            Some(pin) => vec![(pin.node, pin.connection)],
            None => everywhere().into_iter().map(|node| (node, None)).collect(),
        };
        for home in of_this {
            homes.entry(home).or_default().push(*id);
        }
    }
    homes
}

fn cursor_ids(request: &Request) -> Vec<i64> {
    let body = request.facts.body.of(&request.message);
    let list = find(body, b"cursors");
    let list = list.as_ref().and_then(|list| list.as_array());
    elements(list.unwrap_or_default())
        .map_while(Result::ok)
        .filter_map(|id| id.as_number_i64())
        .collect()
}

/// The same command for some of its cursors.
fn part_of(request: &Request, ids: &[i64]) -> Result<Request, Stop> {
    let list = id_list(ids);
    let mut body = DocumentBuilder::new();
    for field in elements(request.facts.body.of(&request.message)).map_while(Result::ok) {
        if field.key == b"cursors" {
            body.array("cursors", &list);
        } else {
            body.element(&field);
        }
    }
    let message = reply::op_msg(request.id, 0, 0, &body.finish());
    let facts = Facts::of(&message).map_err(|_| Stop::Abandoned)?;
    Ok(Request::new(facts, message, request.id, request.started))
}

fn id_list(ids: &[i64]) -> Vec<u8> {
    let mut list = DocumentBuilder::new();
    for (index, id) in ids.iter().enumerate() {
        list.i64(&index.to_string(), *id);
    }
    list.finish()
}

/// Adds the lists of one node's reply.
fn collect(message: &[u8], results: &mut Results) {
    for name in RESULTS {
        let list = op_msg::body(message).and_then(|body| find(body, name.as_bytes()));
        let list = list.as_ref().and_then(|list| list.as_array());
        let ids = elements(list.unwrap_or_default()).map_while(Result::ok);
        let ids = ids.filter_map(|id| id.as_i64());
        results.entry(name).or_default().extend(ids);
    }
}

/// One reply document from all nodes' results. Each id is in one list.
fn merged(ids: &[i64], results: &Results) -> Vec<u8> {
    let mut out = DocumentBuilder::new();
    let mut left: Vec<i64> = ids.to_vec();
    for name in RESULTS {
        let named = results.get(name).map_or(&[][..], Vec::as_slice);
        let is_last = name == "cursorsNotFound";
        let (these, rest): (Vec<i64>, Vec<i64>) = left
            .into_iter()
            .partition(|id| is_last || named.contains(id));
        left = rest;
        out.array(name, &id_list(&these));
    }
    out.f64("ok", 1.0);
    out.finish()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bson::{RawDocumentBuf, rawdoc};
    use tokio::time::Instant;

    use super::*;
    use crate::route::pins::CursorPin;

    fn command(ids: &[i64]) -> Request {
        let ids = bson::RawArrayBuf::from_iter(ids.iter().copied());
        let body = rawdoc! { "killCursors": "c", "cursors": ids, "comment": "x", "$db": "d" };
        let message = reply::op_msg(9, 0, 0, body.as_bytes());
        let facts = Facts::of(&message).unwrap();
        Request::new(facts, message, 9, Instant::now())
    }

    fn pin(node: &NodeAddress, connection: Option<u64>) -> CursorPin {
        CursorPin {
            node: node.clone(),
            process: None,
            deaths: 0,
            connection,
            awaits: false,
            position: None,
            turn: None,
            opened: Duration::ZERO,
            last_used: Duration::ZERO,
        }
    }

    #[test]
    fn cursors_go_to_their_nodes_and_unknown_ones_to_all() {
        let [a, b] = ["a", "b"].map(|name| NodeAddress::tcp(name, None));
        let pins = Pins::default();
        pins.set_cursor(1, pin(&a, None));
        pins.set_cursor(2, pin(&b, Some(7)));
        pins.set_cursor(3, pin(&a, None));
        let homes = homes(&[1, 2, 3, 4], &pins, || vec![a.clone(), b.clone()]);
        let expected = BTreeMap::from([
            ((a.clone(), None), vec![1, 3, 4]),
            ((b.clone(), Some(7)), vec![2]),
            ((b.clone(), None), vec![4]),
        ]);
        assert_eq!(homes, expected);
    }

    #[test]
    fn a_part_is_the_same_command_with_fewer_cursors() {
        let request = command(&[1, 2, 3]);
        assert_eq!(cursor_ids(&request), [1, 2, 3]);
        let part = part_of(&request, &[3]).unwrap();
        assert_eq!(cursor_ids(&part), [3]);
        assert_eq!((part.id, part.started), (9, request.started));
        let body = part.facts.body.of(&part.message).to_vec();
        let body = RawDocumentBuf::from_bytes(body).unwrap();
        assert_eq!(body.get_str("comment").unwrap(), "x");
        assert_eq!(body.get_str("killCursors").unwrap(), "c");
    }

    #[test]
    fn an_id_counts_by_the_best_that_any_node_says_of_it() {
        let of_node = |killed: &[i64], not_found: &[i64], alive: &[i64]| {
            let list = |ids: &[i64]| bson::RawArrayBuf::from_iter(ids.iter().copied());
            let body = rawdoc! {
                "cursorsKilled": list(killed), "cursorsNotFound": list(not_found),
                "cursorsAlive": list(alive), "cursorsUnknown": [], "ok": 1.0,
            };
            reply::op_msg(1, 2, 0, body.as_bytes())
        };
        let mut results = Results::new();
        collect(&of_node(&[1], &[2, 3], &[]), &mut results);
        collect(&of_node(&[], &[1, 2], &[3]), &mut results);
        let merged = RawDocumentBuf::from_bytes(merged(&[1, 2, 3, 4], &results)).unwrap();
        let list = |ids: &[i64]| bson::RawArrayBuf::from_iter(ids.iter().copied());
        let expected = rawdoc! {
            "cursorsKilled": list(&[1]), "cursorsAlive": list(&[3]), "cursorsUnknown": list(&[]),
            "cursorsNotFound": list(&[2, 4]), "ok": 1.0,
        };
        assert_eq!(merged, expected, "an id that no node names is not found");
    }
}
