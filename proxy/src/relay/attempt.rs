//! One try: check, edit, send, receive. What comes of the reply is `finish`'s.

use tokio::time::timeout;

use crate::{
    buffer,
    command::Treatment,
    error::{Class, Failure},
    pool::{Lease, NodePool},
    relay::{
        ClientSide, Relay, Request, Stop,
        abandon::{self, NEXT_TURN, PATIENCE},
        budget::Reserved,
        deadline::Deadline,
        liveness::{self, Liveness},
        retries::Retries,
    },
    upstream::{ReceiveError, Received},
    wire::{Header, header::opcode},
};

/// A reply up to this many bytes is read whole before any of it is passed on.
pub const WHOLE_REPLY: usize = 256 * 1024;

/// The end of a try.
#[derive(Debug)]
pub(crate) enum Attempt {
    /// This is the answer.
    Done(Answer),
    /// Nothing was executed; choose a node again.
    Again,
}

/// An answer from the upstream.
#[derive(Debug)]
pub(crate) enum Answer {
    /// The reply, ready for the client.
    Message(Vec<u8>),
    /// It was large and has been passed on already.
    Streamed,
}

impl Relay {
    /// Tries the operation once on this connection.
    pub(crate) async fn attempt<C: ClientSide>(
        &self,
        client: &mut C,
        request: &mut Request,
        mut lease: Lease,
        deadline: Deadline,
        retries: &mut Retries,
    ) -> Result<Attempt, Stop> {
        let class = request.facts.class;
        if liveness::is_in_doubt(&lease, &request.facts) {
            match Box::pin(self.assure(lease, class)).await {
                Some(alive) => lease = alive,
                None => return self.again(class, deadline),
            }
        }
        let id = self.prepare(request, &mut lease, deadline)?;
        if let Some(pins) = client.pins() {
            pins.before(&request.facts);
        }
        if let Err(sent) = self.send(client, request, &mut lease).await? {
            lease.destroy();
            // Then nothing of it was taken from the client either.
            if sent == 0 {
                return self.again(class, deadline);
            }
            return Err(self.refuse(Failure::Interrupted, class).into());
        }
        let mut reply = buffer::take();
        let received = self
            .receive(client, &mut lease, &mut reply, id, class, deadline)
            .await
            .inspect_err(|_| {
                // Its batch is lost, so the cursor is of no use to anybody.
                if request.facts.treatment == Treatment::GetMore {
                    self.unpin_cursor(request.facts.cursor_id);
                }
            })?;
        let mut _packed = None;
        match received {
            Received::Whole(_) => {}
            Received::Head(header) if must_be_whole(&header, class) => {
                let rest = self.receive_rest(&mut lease, &mut reply, &header, class);
                let bytes = rest.await?;
                _packed = (header.op_code == opcode::COMPRESSED).then_some(bytes);
            }
            Received::Head(header) => {
                let stream = self.stream_reply(client, request, lease, reply, header);
                return Box::pin(stream).await;
            }
        }
        self.finish(client, request, lease, reply, deadline, retries)
            .await
    }

    /// Asks a connection that may have died unseen for a sign of life. `None`: it gave none,
    /// or one that shows that this node is no longer the one to ask.
    async fn assure(&self, mut lease: Lease, class: Class) -> Option<Lease> {
        match liveness::ping(&mut lease, &self.cluster).await {
            Liveness::Alive { news } if !news || class == Class::GetMore => Some(lease),
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

    /// Nothing was sent: another try, unless the time for trying is over.
    pub(super) fn again(&self, class: Class, deadline: Deadline) -> Result<Attempt, Stop> {
        if !deadline.is_over() {
            return Ok(Attempt::Again);
        }
        let until = deadline.hold_until();
        let failure = deadline.failure(until, Failure::NoNode);
        Err(self.refuse(failure, class).into())
    }

    /// Waits for the reply, for the client's departure and for its deadline.
    async fn receive<C: ClientSide>(
        &self,
        client: &mut C,
        lease: &mut Lease,
        reply: &mut Vec<u8>,
        id: i32,
        class: Class,
        deadline: Deadline,
    ) -> Result<Received, Stop> {
        let connection = lease.id();
        let outcome = {
            let (conn, pool) = lease.connection_and_pool().ok_or(Stop::Abandoned)?;
            let receive = conn.receive(reply, id, WHOLE_REPLY);
            tokio::pin!(receive);
            tokio::select! {
                biased;
                received = &mut receive => Ok(received),
                () = client.departed() => {
                    let may_cut = abandon::may_cut(class, pool.bonds_on(connection));
                    Ok(after_departure(pool, may_cut, receive).await.ok_or(Stop::Abandoned)?)
                }
                failure = deadline.reply_over() => Err(failure),
            }
        };
        match outcome {
            Ok(Ok(received)) => Ok(received),
            Ok(Err(error)) => Err(self.broken(lease, class, &error)),
            Err(failure) => {
                lease.pool().failed();
                Err(self.refuse(failure, class).into())
            }
        }
    }

    /// Reads the rest of a reply that can only be read whole, within the budget.
    async fn receive_rest(
        &self,
        lease: &mut Lease,
        reply: &mut Vec<u8>,
        header: &Header,
        class: Class,
    ) -> Result<Reserved, Stop> {
        let Some(bytes) = self.budget.try_reserve(header.length) else {
            return Err(self.overloaded_after_sending(class));
        };
        let conn = lease.connection().ok_or(Stop::Abandoned)?;
        let rest = conn.receive_rest(reply, header).await;
        rest.map_err(|error| self.broken(lease, class, &error))?;
        Ok(bytes)
    }

    /// The connection broke with the operation on it.
    pub(crate) fn broken(&self, lease: &Lease, class: Class, error: &ReceiveError) -> Stop {
        let pool = lease.pool();
        pool.failed();
        match error {
            ReceiveError::Io(source) => {
                self.cluster
                    .on_network_error(pool, lease.generation(), source);
            }
            ReceiveError::Closed => {
                let closed = std::io::ErrorKind::UnexpectedEof.into();
                self.cluster
                    .on_network_error(pool, lease.generation(), &closed);
            }
            // The byte stream is not to be trusted, but the node lives.
            _ => tracing::error!(node = %pool.node(), %error, "destroyed an upstream connection"),
        }
        let dead = pool.is_dead();
        let failure = if dead {
            Failure::ReplyTimeout
        } else {
            Failure::Interrupted
        };
        self.refuse(failure, class).into()
    }
}

/// The client has left: the operation may go on for two seconds, or to its end if it is
/// not to be cut. `None`: cut it.
async fn after_departure<F: Future + Unpin>(
    pool: &NodePool,
    may_cut: bool,
    mut receive: F,
) -> Option<F::Output> {
    if !may_cut {
        return Some(receive.await);
    }
    let mut patience = PATIENCE;
    loop {
        if let Ok(received) = timeout(patience, &mut receive).await {
            return Some(received);
        }
        if pool.allows_cut() {
            return None;
        }
        patience = NEXT_TURN;
    }
}

/// Whether a reply is of no use in pieces: a compressed one cannot be looked at, and in that
/// of a write news of a change of role may stand behind any number of other errors.
const fn must_be_whole(header: &Header, class: Class) -> bool {
    let is_write = matches!(class, Class::Write | Class::RetryableWrite);
    header.op_code == opcode::COMPRESSED || is_write
}
