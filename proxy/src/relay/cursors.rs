//! getMore and killCursors: commands that belong to a cursor rather than to a kind of
//! node.

use std::sync::Arc;

use crate::{
    error::{Class, Failure},
    pool::{ConnId, Lane, NodePool, Want},
    relay::{
        ClientSide, Relay, Request, Stop,
        attempt::{Answer, Attempt},
        deadline::Deadline,
        retries::Retries,
    },
    route::pins::CursorPin,
    wire::{op_msg, raw::find},
};

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
            let leased = self.lease(client, request, pool, want, deadline, &mut retries);
            if let Some(lease) = leased.await? {
                let tried = self.attempt(client, request, lease, deadline, &mut retries);
                if let Attempt::Done(answer) = tried.await? {
                    return Ok(answer);
                }
            }
            if pool.is_retired() {
                // The node has left, and what it held with it.
                let class = request.facts.class;
                return Err(self.refuse(Failure::CursorNotFound, class).into());
            }
            tokio::task::yield_now().await;
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
