//! getMore and killCursors: commands that belong to a cursor rather than to a kind of
//! node.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::{
    command::{Facts, Treatment},
    error::{Class, Failure},
    pool::{ConnId, Lane, NodePool, Want},
    relay::{
        ClientSide, Relay, Request, Stop,
        attempt::{Answer, Attempt},
        awaiting::is_empty_batch,
        deadline::Deadline,
        retries::Retries,
    },
    route::pins::CursorPin,
    topology::{NodeAddress, NodeKind},
    wire::{op_msg, raw::find},
};

/// How long a getMore that waits for data is held for a node that is away. Its client can
/// go on elsewhere and loses nothing, but must hear of it to do so; a node that only lost
/// its connections is back by then.
pub(super) const AWAY: Duration = Duration::from_secs(2);

/// How long a getMore that waits for data waits at a node that may not have its cursor.
const GLANCE: Duration = Duration::from_millis(20);

impl Relay {
    /// Whether this getMore is for a change stream that was open at that moment.
    pub(crate) fn is_stream_opened_before(&self, facts: &Facts, moment: Instant) -> bool {
        let before = |pin: CursorPin| pin.is_stream() && self.epoch + pin.opened < moment;
        facts.treatment == Treatment::GetMore
            && self.pins.cursor(facts.cursor_id).is_some_and(before)
    }

    /// A getMore goes where its cursor is, and is never sent twice.
    pub(crate) async fn get_more<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        deadline: Deadline,
    ) -> Result<Answer, Stop> {
        match self.pins.cursor(request.facts.cursor_id) {
            Some(pin) if pin.awaits => {
                let patience = deadline.hold_at_most(AWAY);
                let pool = self.home(client, request, &pin, patience).await?;
                self.await_data(client, request, &pool, &pin).await
            }
            Some(pin) => {
                let want = wanted(&pin, Lane::Finishing);
                let mut retries = Retries::default();
                loop {
                    let pool = self.home(client, request, &pin, deadline).await?;
                    let tried = self.try_on(client, request, &pool, want, deadline, &mut retries);
                    match tried.await? {
                        Attempt::Done(answer) => return Ok(answer),
                        Attempt::Again => tokio::task::yield_now().await,
                    }
                }
            }
            None if self.settings.probe_cursors => self.probe(client, request, deadline).await,
            None => Err(self.refuse(Failure::CursorNotFound, Class::GetMore).into()),
        }
    }

    /// The pool of the node that holds a cursor, once the node is there. A cursor ends with
    /// the process that opened it: a node that has come back as another one is not asked
    /// (it may even be unable to say so, while it lacks the keys to check cluster times).
    pub(super) async fn home<C: ClientSide>(
        &self,
        client: &C,
        request: &Request,
        pin: &CursorPin,
        deadline: Deadline,
    ) -> Result<Arc<NodePool>, Stop> {
        let id = request.facts.cursor_id;
        loop {
            let table = arc_swap::Guard::into_inner(self.cluster.table());
            let nodes = table.snapshot.nodes.iter().zip(&table.pools);
            let found = nodes.into_iter().find(|(node, _)| node.address == pin.node);
            let Some((node, pool)) = found.filter(|(node, _)| pin.may_be_on(node)) else {
                self.unpin_cursor(id);
                return Err(self.refuse(Failure::CursorNotFound, Class::GetMore).into());
            };
            // It may have rolled back meanwhile, and then says something on which no driver
            // resumes. Who only waits for data loses nothing by resuming at once.
            if pin.awaits && pin.deaths != pool.deaths() {
                self.unpin_cursor(id);
                return Err(self.refuse(Failure::Interrupted, Class::GetMore).into());
            }
            if node.kind.holds_data() {
                return Ok(Arc::clone(pool));
            }
            let held = Box::pin(self.hold(client, request, &table, deadline)).await;
            if matches!(held, Err(Stop::Error(_))) {
                self.unpin_cursor(id);
            }
            held?;
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
            let tried = self.try_on(client, request, pool, want, deadline, &mut retries);
            match tried.await? {
                Attempt::Done(answer) => return Ok(answer),
                // The node has left, and what it held with it.
                Attempt::Again if pool.is_retired() => {
                    let class = request.facts.class;
                    return Err(self.refuse(Failure::CursorNotFound, class).into());
                }
                Attempt::Again => tokio::task::yield_now().await,
            }
        }
    }

    /// One try on a connection of `pool`.
    async fn try_on<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        pool: &Arc<NodePool>,
        want: Want,
        deadline: Deadline,
        retries: &mut Retries,
    ) -> Result<Attempt, Stop> {
        let leased = self.lease(client, request, pool, want, deadline, retries);
        match leased.await? {
            Some(lease) => {
                self.attempt(client, request, lease, deadline, retries)
                    .await
            }
            None => Ok(Attempt::Again),
        }
    }

    /// A cursor of another Weir: ask the primary, then the others, one at a time. A node
    /// that does not know it answers 43 and has done nothing; any other answer is final. A
    /// node that cannot be asked now may be the one: it is waited for a little.
    ///
    /// One that is to wait for data waits for a moment only, outside of the lane for such;
    /// once it is found it takes its turn with the others.
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
        let patience = deadline.hold_from_now(AWAY);
        // A server allows the field on no other getMore.
        let awaits = request.facts.max_time.is_some();
        if awaits {
            self.set_wait(request, GLANCE);
        }
        let mut asked: Vec<NodeAddress> = Vec::new();
        loop {
            let table = arc_swap::Guard::into_inner(self.cluster.table());
            let mut pools = table.data_pools().into_iter();
            let next = pools.find(|pool| !asked.contains(pool.node()));
            let Some(pool) = next else {
                let nodes = table.snapshot.nodes.iter();
                let all = all_asked(nodes.map(|node| (&node.address, node.kind)), &asked);
                let over = all || patience.is_over();
                if !over {
                    let held = Box::pin(self.hold(client, request, &table, patience)).await;
                    match held {
                        Err(Stop::Error(_)) if patience.is_over() && !deadline.is_over() => {}
                        held => {
                            held?;
                            continue;
                        }
                    }
                }
                return Err(self.refuse(Failure::CursorNotFound, Class::GetMore).into());
            };
            let asking = self.ask_node(client, request, &pool, want, deadline);
            let answer = asking.await?;
            let Answer::Message(message) = &answer else {
                return Ok(answer);
            };
            if request.is_spent() {
                return Ok(answer);
            }
            if !says_not_found(message) {
                let found = self.pins.cursor(request.facts.cursor_id);
                return match found.filter(|_| awaits && is_empty_batch(&answer)) {
                    Some(pin) => Box::pin(self.await_data(client, request, &pool, &pin)).await,
                    None => Ok(answer),
                };
            }
            asked.push(pool.node().clone());
        }
    }
}

/// Whether everybody who may hold the cursor was asked.
fn all_asked<'a>(
    mut nodes: impl Iterator<Item = (&'a NodeAddress, NodeKind)>,
    asked: &[NodeAddress],
) -> bool {
    let may_hold = |kind: NodeKind| kind == NodeKind::Unknown || kind.holds_data();
    nodes.all(|(address, kind)| asked.contains(address) || !may_hold(kind))
}

pub(super) fn wanted(pin: &CursorPin, lane: Lane) -> Want {
    Want {
        lane,
        only: pin.connection.map(ConnId),
        opens_transaction: false,
        place: None,
    }
}

fn says_not_found(message: &[u8]) -> bool {
    let code = op_msg::body(message).and_then(|body| find(body, b"code")?.as_number_i64());
    code == Some(43)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn who_cannot_be_asked_now_may_have_the_cursor() {
        let [a, b] = ["a", "b"].map(|name| NodeAddress::tcp(name, None));
        let asked = [a.clone()];
        let of = |kind| [(&a, NodeKind::Secondary), (&b, kind)].into_iter();
        assert!(!all_asked(of(NodeKind::Unknown), &asked));
        assert!(!all_asked(of(NodeKind::Primary), &asked));
        assert!(all_asked(of(NodeKind::Arbiter), &asked));
        assert!(all_asked(of(NodeKind::Unknown), &[a.clone(), b.clone()]));
    }
}
