//! Sending a request: the few edits it gets, and the way out.

use std::sync::Arc;

use tokio::time::timeout;

use crate::{
    error::{Class, Failure},
    pool::Lease,
    relay::{
        ClientSide, Relay, Request, Stop,
        deadline::Deadline,
        stream::{CHUNK, STALL},
    },
    wire::{
        compressed::{compress, is_compressible},
        edit,
        header::set_request_id,
        op_msg,
    },
};

/// Requests smaller than this are not worth compressing.
const WORTH_COMPRESSING: usize = 1024;

impl Relay {
    /// The only edits of a request: ids, flag bits, `maxTimeMS`.
    pub(super) fn prepare(
        &self,
        request: &mut Request,
        lease: &mut Lease,
        deadline: Deadline,
    ) -> Result<i32, Stop> {
        let facts = &request.facts;
        if let Some(max) = facts
            .max_time
            .filter(|max| max.ms > 0 && facts.class != Class::GetMore)
        {
            let round_trip = self.cluster.round_trip(lease.pool().node());
            let Some(left) = deadline.remaining_ms(max.ms, round_trip) else {
                return Err(self.refuse(Failure::DeadlinePassed, facts.class).into());
            };
            edit::overwrite_number(&mut request.message, max.at, max.kind, left);
        }
        let conn = lease.connection().ok_or(Stop::Abandoned)?;
        let id = conn.request_id();
        set_request_id(&mut request.message, id);
        op_msg::set_flags(&mut request.message, 0);
        Ok(id)
    }

    /// Sends the request. `Ok(Err(n))`: the stream broke after n bytes.
    pub(super) async fn send<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        lease: &mut Lease,
    ) -> Result<Result<(), usize>, Stop> {
        let name = request.facts.name.of(&request.message);
        let worth = request.missing == 0
            && request.message.len() >= WORTH_COMPRESSING
            && is_compressible(name);
        let generation = lease.generation();
        let pool = Arc::clone(lease.pool());
        let conn = lease.connection().ok_or(Stop::Abandoned)?;
        let packed = conn.compressor().filter(|_| worth);
        let packed = packed.and_then(|codec| compress(&request.message, codec).ok());
        let sent = conn
            .send(packed.as_deref().unwrap_or(&request.message))
            .await;
        if let Err(error) = sent {
            self.cluster
                .on_network_error(&pool, generation, &error.source);
            return Ok(Err(error.sent));
        }
        if request.missing > 0 {
            return Box::pin(self.stream_request(client, request, lease)).await;
        }
        Ok(Ok(()))
    }

    /// Passes the rest of a large request on. `Ok(Err(n))`: the server's stream broke, or
    /// the client stalled; `request.missing` says what it has yet to send.
    async fn stream_request<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        lease: &mut Lease,
    ) -> Result<Result<(), usize>, Stop> {
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut sent = request.message.len();
        while request.missing > 0 {
            chunk.clear();
            let want = CHUNK.min(request.missing);
            match timeout(STALL, client.read_some(&mut chunk, want)).await {
                Ok(Ok(0) | Err(_)) => return Err(Stop::Abandoned),
                Ok(Ok(_)) => {}
                Err(_) => {
                    self.metrics.stalled_client();
                    return Ok(Err(sent));
                }
            }
            request.missing = request.missing.saturating_sub(chunk.len());
            let conn = lease.connection().ok_or(Stop::Abandoned)?;
            if let Err(error) = conn.send(&chunk).await {
                let generation = lease.generation();
                self.cluster
                    .on_network_error(lease.pool(), generation, &error.source);
                return Ok(Err(sent + error.sent));
            }
            sent += chunk.len();
        }
        Ok(Ok(()))
    }
}
