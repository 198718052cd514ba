//! killCursors: split by the nodes that hold the cursors, results merged.

use std::{collections::BTreeMap, time::Duration};

use crate::{
    command::Facts,
    pool::{ConnId, Lane, Want},
    relay::{ClientSide, Relay, Request, Stop, attempt::Answer, deadline::Deadline, fresh_id},
    topology::NodeAddress,
    wire::{
        build::DocumentBuilder,
        header::set_response_to,
        op_msg,
        raw::{elements, find},
        reply,
    },
};

/// How long a node is waited for: one that only lost a connection is back by then, and its
/// cursors with it.
const AWAY: Duration = Duration::from_secs(1);

/// The four result lists of killCursors.
const KILL_LISTS: [&str; 4] = [
    "cursorsKilled",
    "cursorsNotFound",
    "cursorsAlive",
    "cursorsUnknown",
];

/// Where a cursor lives: a node, and the one connection of it that can see it, if only one can.
type Home = (NodeAddress, Option<u64>);

impl Relay {
    /// killCursors, split by the nodes that hold the cursors, results merged.
    pub(crate) async fn kill_cursors<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        deadline: Deadline,
    ) -> Result<Answer, Stop> {
        let ids = cursor_ids(request);
        let homes = self.homes(&ids);
        for id in &ids {
            self.unpin_cursor(*id);
        }
        if let Some(pins) = client.pins() {
            pins.killed(&ids);
        }
        let mut merged: BTreeMap<&str, Vec<i64>> = BTreeMap::new();
        let mut last = None;
        let single = homes.len() == 1;
        for (home, ids) in homes {
            let node = home.0.clone();
            let answer = match self.kill_at(client, request, home, &ids, deadline).await {
                Ok(Some(answer)) => answer,
                Ok(None) => continue,
                // Best effort: one unreachable node must not hide the others' results.
                Err(Stop::Error(error)) if !single => {
                    tracing::debug!(%node, code = error.code, "killCursors failed on one node");
                    continue;
                }
                Err(stop) => return Err(stop),
            };
            // Too large for the memory there is, it went to the client: one reply is all it may get.
            let Answer::Message(message) = &answer else {
                return Ok(answer);
            };
            collect(message, &mut merged);
            last = Some(answer);
        }
        match last {
            Some(Answer::Message(mut message)) if single => {
                set_response_to(&mut message, request.id);
                Ok(Answer::Message(message))
            }
            _ => Ok(Answer::Message(merged_reply(request, &ids, merged))),
        }
    }

    /// What the node says to its part; `None` if it is away.
    async fn kill_at<C: ClientSide>(
        &self,
        client: &mut C,
        request: &Request,
        (node, connection): Home,
        ids: &[i64],
        deadline: Deadline,
    ) -> Result<Option<Answer>, Stop> {
        // One that is away has lost its cursors or will end them by itself: not worth a
        // long wait, which a driver would pass on before it resumes elsewhere.
        let patience = deadline.hold_at_most(AWAY);
        let there = self.comes_back(client, request, &node, patience).await;
        let Some(pool) = self.cluster.pool_of(&node).filter(|_| there) else {
            return Ok(None);
        };
        let want = Want {
            lane: Lane::Finishing,
            only: connection.map(ConnId),
            opens_transaction: false,
            place: None,
        };
        let mut part = part_of(request, ids)?;
        let answer = self.ask_node(client, &mut part, &pool, want, deadline);
        answer.await.map(Some)
    }

    /// Whether the node is there, or comes back in time.
    async fn comes_back<C: ClientSide>(
        &self,
        client: &C,
        request: &Request,
        node: &NodeAddress,
        patience: Deadline,
    ) -> bool {
        loop {
            let table = arc_swap::Guard::into_inner(self.cluster.table());
            if self.cluster.serves(node) {
                return true;
            }
            if self.hold(client, request, &table, patience).await.is_err() {
                return false;
            }
        }
    }

    /// Cursor ids by node and connection; unknown ones go to every node.
    fn homes(&self, ids: &[i64]) -> BTreeMap<Home, Vec<i64>> {
        let mut homes: BTreeMap<_, Vec<i64>> = BTreeMap::new();
        for id in ids {
            if let Some(pin) = self.pins.cursor(*id) {
                homes
                    .entry((pin.node, pin.connection))
                    .or_default()
                    .push(*id);
                continue;
            }
            for pool in self.cluster.table().data_pools() {
                homes
                    .entry((pool.node().clone(), None))
                    .or_default()
                    .push(*id);
            }
        }
        homes
    }
}

fn cursor_ids(request: &Request) -> Vec<i64> {
    let body = request.facts.body.of(&request.message);
    let list = find(body, b"cursors");
    let list = list
        .as_ref()
        .and_then(|list| list.as_array())
        .unwrap_or_default();
    elements(list)
        .map_while(Result::ok)
        .filter_map(|id| id.as_number_i64())
        .collect()
}

/// The same command for some of its cursors only.
fn part_of(request: &Request, ids: &[i64]) -> Result<Request, Stop> {
    let mut list = DocumentBuilder::new();
    for (index, id) in ids.iter().enumerate() {
        list.i64(&index.to_string(), *id);
    }
    let list = list.finish();
    let mut body = DocumentBuilder::new();
    for field in elements(request.facts.body.of(&request.message)).map_while(Result::ok) {
        match field.key {
            b"cursors" => drop(body.array("cursors", &list)),
            _ => drop(body.element(&field)),
        }
    }
    let message = reply::op_msg(request.id, 0, 0, &body.finish());
    let facts = Facts::of(&message).map_err(|_| Stop::Abandoned)?;
    Ok(Request {
        facts,
        message,
        missing: 0,
        id: request.id,
        started: request.started,
    })
}

fn collect(message: &[u8], merged: &mut BTreeMap<&str, Vec<i64>>) {
    for name in KILL_LISTS {
        let list = op_msg::body(message).and_then(|body| find(body, name.as_bytes()));
        let list = list
            .as_ref()
            .and_then(|list| list.as_array())
            .unwrap_or_default();
        let ids = elements(list)
            .map_while(Result::ok)
            .filter_map(|id| id.as_i64());
        merged.entry(name).or_default().extend(ids);
    }
}

/// An id that any node killed counts as killed; one that no node knew as not found.
fn merged_reply(request: &Request, ids: &[i64], merged: BTreeMap<&str, Vec<i64>>) -> Vec<u8> {
    let mut out = DocumentBuilder::new();
    let mut left: Vec<i64> = ids.to_vec();
    for name in [
        "cursorsKilled",
        "cursorsAlive",
        "cursorsUnknown",
        "cursorsNotFound",
    ] {
        let named = merged.get(name).cloned().unwrap_or_default();
        let last = name == "cursorsNotFound";
        let (these, rest): (Vec<i64>, Vec<i64>) =
            left.into_iter().partition(|id| last || named.contains(id));
        left = rest;
        let mut list = DocumentBuilder::new();
        for (index, id) in these.iter().enumerate() {
            list.i64(&index.to_string(), *id);
        }
        out.array(name, &list.finish());
    }
    out.f64("ok", 1.0);
    reply::op_msg(fresh_id(), request.id, 0, &out.finish())
}
