//! A command for every node that holds data: fail points, which act where they are set.

use crate::{
    pool::Want,
    relay::{ClientSide, Relay, Reply, Request, Stop, attempt::Answer, deadline::Deadline},
    wire::{op_msg, raw::find},
};

impl Relay {
    /// Sends the request to every node that holds data, one after the other. The first
    /// refusal is the answer, else the last reply.
    pub async fn broadcast<C: ClientSide>(&self, client: &mut C, request: &mut Request) -> Reply {
        let deadline = Deadline::of(request, &self.settings);
        let outcome = self.ask_all(client, request, deadline).await;
        self.conclude(request, outcome)
    }

    async fn ask_all<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        deadline: Deadline,
    ) -> Result<Answer, Stop> {
        let mut last = None;
        let pools = self.cluster.table().data_pools();
        for pool in pools {
            let answer = self
                .ask_node(client, request, &pool, Want::default(), deadline)
                .await?;
            let refused = matches!(&answer, Answer::Message(message) if !says_ok(message));
            if refused {
                return Ok(answer);
            }
            last = Some(answer);
        }
        let class = request.facts.class;
        last.ok_or_else(|| self.refuse(crate::error::Failure::NoNode, class).into())
    }
}

fn says_ok(message: &[u8]) -> bool {
    op_msg::body(message).is_some_and(|body| find(body, b"ok").is_some_and(|ok| ok.as_truthy()))
}
