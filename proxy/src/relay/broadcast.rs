//! A command for every node that holds data: fail points, which act where they are set.

use crate::{
    error::Failure,
    pool::Want,
    relay::{
        ClientSide,
        operation::{OneNode, Operation},
        outcome::{Answer, Stop},
    },
};

/// Sends the request to every node that holds data, one after the other. The first refusal is
/// the answer, or else the last reply.
pub(super) async fn broadcast<C: ClientSide>(
    operation: &mut Operation<'_, C>,
) -> Result<Answer, Stop> {
    let mut last = None;
    let pools = operation.relay.cluster.table().data_pools();
    for pool in &pools {
        let want = Want::default();
        let answer = operation.complete(OneNode { pool, want }).await?;
        if answer.is_refusal() {
            return Ok(answer);
        }
        last = Some(answer);
    }
    last.ok_or_else(|| operation.refuse(Failure::NoNode))
}
