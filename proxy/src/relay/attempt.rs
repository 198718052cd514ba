//! One attempt: check the connection, edit the request, send it, receive the reply.
//! `finish` decides what follows from a whole reply.

use crate::{
    buffer,
    command::Treatment,
    error::{Class, Failure},
    pool::Lease,
    relay::{
        ClientSide,
        budget::Reserved,
        cancel,
        liveness::{self, Liveness},
        operation::Operation,
        outcome::{Attempt, Stop},
        stream,
    },
    upstream::{ReceiveError, Received},
    wire::{Header, header::opcode},
};

/// A reply up to this many bytes is read whole before the client gets any of it.
pub const WHOLE_REPLY: usize = 256 * 1024;

impl<C: ClientSide> Operation<'_, C> {
    /// Tries the operation once on this connection.
    pub(super) async fn attempt(&mut self, mut lease: Lease) -> Result<Attempt, Stop> {
        if liveness::is_in_doubt(&lease, &self.request.facts) {
            match Box::pin(self.verify(lease)).await {
                Some(alive) => lease = alive,
                None => {
                    self.check_time()?;
                    return Ok(Attempt::Again);
                }
            }
        }
        let id = self.prepare(&mut lease)?;
        if let Some(pins) = self.client.pins() {
            pins.before(&self.request.facts);
        }
        if let Err(sent) = self.send(&mut lease).await? {
            lease.destroy();
            // The client has not given up any of its bytes either, so another attempt can
            // send them all.
            if sent == 0 {
                self.check_time()?;
                return Ok(Attempt::Again);
            }
            return Err(self.refuse(Failure::Interrupted));
        }
        let mut reply = buffer::take();
        let received = match self.receive(&mut lease, &mut reply, id).await {
            Ok(received) => received,
            Err(stop) => {
                // The batch is lost, so the cursor is of no more use.
                if self.request.facts.treatment == Treatment::GetMore {
                    self.relay.unpin_cursor(self.request.facts.cursor_id);
                }
                return Err(stop);
            }
        };
        let mut _packed = None;
        match received {
            Received::Whole(_) => {}
            Received::Head(header) if must_be_whole(&header, self.class()) => {
                let bytes = self.receive_rest(&mut lease, &mut reply, &header).await?;
                _packed = (header.op_code == opcode::COMPRESSED).then_some(bytes);
            }
            Received::Head(header) => {
                return Box::pin(stream::pass_on(self, lease, reply, header)).await;
            }
        }
        self.finish(lease, reply).await
    }

    /// Pings a connection that may have died unnoticed. `None`: it did not answer, or its
    /// answer shows that another node must be selected.
    async fn verify(&self, mut lease: Lease) -> Option<Lease> {
        match liveness::ping(&mut lease, &self.relay.cluster).await {
            Liveness::Alive { changed } if !changed || self.class() == Class::GetMore => {
                Some(lease)
            }
            Liveness::Alive { .. } => {
                lease.give_back_greeted();
                None
            }
            dead => {
                liveness::give_up(lease, dead);
                None
            }
        }
    }

    /// Waits for the reply, for the client's departure and for the deadline.
    async fn receive(
        &mut self,
        lease: &mut Lease,
        reply: &mut Vec<u8>,
        id: i32,
    ) -> Result<Received, Stop> {
        let class = self.class();
        let connection = lease.id();
        let outcome = {
            let (conn, pool) = lease.connection_and_pool().ok_or(Stop::Abandoned)?;
            let receive = conn.receive(reply, id, WHOLE_REPLY);
            tokio::pin!(receive);
            tokio::select! {
                biased;
                received = &mut receive => Ok(received),
                () = self.client.departed() => {
                    let may_cancel = cancel::may_cancel(class, pool.pins_on(connection));
                    let allows = || pool.may_abort();
                    let received = cancel::after_departure(may_cancel, allows, receive).await;
                    Ok(received.ok_or(Stop::Abandoned)?)
                }
                failure = self.deadline.reply_over() => Err(failure),
            }
        };
        match outcome {
            Ok(Ok(received)) => Ok(received),
            Ok(Err(error)) => Err(self.broken(lease, &error)),
            Err(failure) => {
                lease.pool().failed();
                Err(self.refuse(failure))
            }
        }
    }

    /// Reads the rest of a reply that can only be read whole, within the budget.
    async fn receive_rest(
        &self,
        lease: &mut Lease,
        reply: &mut Vec<u8>,
        header: &Header,
    ) -> Result<Reserved, Stop> {
        let Some(bytes) = self.relay.budget.try_reserve(header.length) else {
            return Err(self.overloaded_after_sending());
        };
        let conn = lease.connection().ok_or(Stop::Abandoned)?;
        let rest = conn.receive_rest(reply, header).await;
        rest.map_err(|error| self.broken(lease, &error))?;
        Ok(bytes)
    }

    /// The connection broke with the operation on it.
    pub(super) fn broken(&self, lease: &Lease, error: &ReceiveError) -> Stop {
        let (pool, cluster) = (lease.pool(), &self.relay.cluster);
        pool.failed();
        match error {
            ReceiveError::Io(source) => cluster.on_network_error(pool, lease.generation(), source),
            ReceiveError::Closed => {
                let closed = std::io::ErrorKind::UnexpectedEof.into();
                cluster.on_network_error(pool, lease.generation(), &closed);
            }
            // The byte stream cannot be trusted, but the node is alive.
            _ => tracing::error!(node = %pool.node(), %error, "destroyed an upstream connection"),
        }
        self.refuse(if pool.is_dead() {
            Failure::ReplyTimeout
        } else {
            Failure::Interrupted
        })
    }
}

/// Whether a reply must be read whole before the client gets any of it.
///
/// A compressed reply cannot be examined in pieces. In the reply of a write, a change of role
/// may stand behind any number of other errors.
const fn must_be_whole(header: &Header, class: Class) -> bool {
    let is_write = matches!(class, Class::Write | Class::RetryableWrite);
    header.op_code == opcode::COMPRESSED || is_write
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn replies_of_writes_and_compressed_replies_are_read_whole() {
        let header = |op_code| Header {
            length: 1_000_000,
            request_id: 1,
            response_to: 2,
            op_code,
        };
        for (class, whole) in [
            (Class::Read, false),
            (Class::GetMore, false),
            (Class::InTransaction, false),
            (Class::Commit, false),
            (Class::Abort, false),
            (Class::Write, true),
            (Class::RetryableWrite, true),
        ] {
            assert_eq!(
                must_be_whole(&header(opcode::MSG), class),
                whole,
                "{class:?}"
            );
            assert!(
                must_be_whole(&header(opcode::COMPRESSED), class),
                "{class:?}"
            );
        }
    }
}
