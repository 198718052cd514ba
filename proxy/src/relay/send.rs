//! Sending a request: the few edits that Weir makes, and the bytes on their way to the server.

use std::sync::Arc;

use tokio::time::timeout;

use crate::{
    error::{Class, Failure},
    pool::Lease,
    relay::{
        ClientSide,
        operation::Operation,
        outcome::Stop,
        stream::{CHUNK, STALL},
    },
    wire::{
        compressed::{WORTH_COMPRESSING, compress, is_compressible},
        edit,
        header::set_request_id,
        op_msg,
    },
};

impl<C: ClientSide> Operation<'_, C> {
    /// Makes the only edits of a request: ids, flag bits, `maxTimeMS`. Returns the id under
    /// which the server gets it.
    pub(super) fn prepare(&mut self, lease: &mut Lease) -> Result<i32, Stop> {
        let max_time = self.request.facts.max_time;
        let is_limit = |ms| ms > 0 && self.class() != Class::GetMore;
        if let Some(max) = max_time.filter(|max| is_limit(max.ms)) {
            let round_trip = self.relay.cluster.round_trip(lease.pool().node());
            let Some(left) = self.deadline.remaining_ms(max.ms, round_trip) else {
                return Err(self.refuse(Failure::DeadlinePassed));
            };
            edit::overwrite_number(&mut self.request.message, max.at, max.kind, left);
        }
        let id = lease.connection().ok_or(Stop::Abandoned)?.request_id();
        set_request_id(&mut self.request.message, id);
        op_msg::set_flags(&mut self.request.message, 0);
        Ok(id)
    }

    /// Sends the request. `Ok(Err(n))`: the stream broke after n bytes.
    pub(super) async fn send(&mut self, lease: &mut Lease) -> Result<Result<(), usize>, Stop> {
        let request = &*self.request;
        let is_worth_it = request.missing == 0
            && request.message.len() >= WORTH_COMPRESSING
            && is_compressible(request.facts.name.of(&request.message));
        let generation = lease.generation();
        let pool = Arc::clone(lease.pool());
        let conn = lease.connection().ok_or(Stop::Abandoned)?;
        let codec = conn.compressor().filter(|_| is_worth_it);
        let packed = codec.and_then(|codec| compress(&request.message, codec).ok());
        let message = packed.as_deref().unwrap_or(&request.message);
        if let Err(error) = conn.send(message).await {
            self.relay
                .cluster
                .on_network_error(&pool, generation, &error.source);
            return Ok(Err(error.sent));
        }
        if self.request.missing > 0 {
            return Box::pin(self.stream_request(lease)).await;
        }
        Ok(Ok(()))
    }

    /// Passes the rest of a large request on. `Ok(Err(n))`: after n bytes the server's stream
    /// broke, or the client stalled. `request.missing` counts the bytes that the client has not
    /// sent.
    async fn stream_request(&mut self, lease: &mut Lease) -> Result<Result<(), usize>, Stop> {
        let mut chunk = Vec::with_capacity(CHUNK);
        let mut sent = self.request.message.len();
        while self.request.missing > 0 {
            chunk.clear();
            let want = CHUNK.min(self.request.missing);
            match timeout(STALL, self.client.read_some(&mut chunk, want)).await {
                Ok(Ok(0) | Err(_)) => return Err(Stop::Abandoned),
                Ok(Ok(_)) => {}
                Err(_) => {
                    self.relay.metrics.stalled_client();
                    return Ok(Err(sent));
                }
            }
            self.request.missing = self.request.missing.saturating_sub(chunk.len());
            let conn = lease.connection().ok_or(Stop::Abandoned)?;
            if let Err(error) = conn.send(&chunk).await {
                let generation = lease.generation();
                self.relay
                    .cluster
                    .on_network_error(lease.pool(), generation, &error.source);
                return Ok(Err(sent + error.sent));
            }
            sent += chunk.len();
        }
        Ok(Ok(()))
    }
}
