//! One operation: what it carries through the relay, and the loop that every operation runs.
//!
//! [`Operation::complete`] selects a node, checks a connection out of its pool and makes an
//! attempt, until an attempt has the answer. A [`Target`] chooses the node and judges the answer.

use std::{future::Future, sync::Arc};

use tokio::{task::yield_now, time::Instant};

use crate::{
    cluster::{Cluster, Table},
    error::{Class, Failure},
    pool::{Lease, LeaseError, NodePool, Place, Want},
    relay::{
        ClientSide, Relay, Request,
        deadline::Deadline,
        decide::RetryCounts,
        outcome::{Answer, Attempt, Stop},
        pick,
    },
    topology::Snapshot,
};

/// One operation of one client.
pub(super) struct Operation<'a, C> {
    pub(super) relay: &'a Relay,
    pub(super) client: &'a mut C,
    pub(super) request: &'a mut Request,
    pub(super) deadline: Deadline,
    pub(super) retries: Retries,
}

/// What an operation keeps from one attempt to the next.
#[derive(Debug, Default)]
pub(super) struct Retries {
    /// How often the upstream executed nothing.
    pub(super) counts: RetryCounts,
    /// Its place in the queue of a pool that was cleared meanwhile. Without it an operation
    /// would go to the end of the queue at each clear, and could wait for ever.
    kept: Option<(Arc<NodePool>, Place)>,
    /// Its place among the operations that were held because no node suited them.
    held: Option<Place>,
}

impl Retries {
    /// The same wish, from the place that the operation keeps in this pool's queue.
    fn with_place(&self, pool: &Arc<NodePool>, want: Want) -> Want {
        let here = |(of, _): &&(Arc<NodePool>, Place)| Arc::ptr_eq(of, pool);
        let place = self.kept.as_ref().filter(here).map(|(_, place)| *place);
        Want {
            place: place.into_iter().chain(want.place).chain(self.held).min(),
            ..want
        }
    }
}

/// What a check-out came to.
pub(super) enum CheckOut {
    /// A connection.
    Lease(Lease),
    /// No connection. Select a server again.
    Again,
    /// No connection and no need for one: this is the answer.
    Done(Answer),
}

/// Chooses the nodes of an operation, and decides when its attempts end.
pub(super) trait Target {
    /// Selects a node's pool and the kind of connection to check out of it.
    async fn select<C: ClientSide>(
        &mut self,
        operation: &mut Operation<'_, C>,
    ) -> Result<(Arc<NodePool>, Want), Stop>;

    /// Checks a connection out of the pool.
    fn check_out<C: ClientSide>(
        &mut self,
        operation: &mut Operation<'_, C>,
        pool: &Arc<NodePool>,
        want: Want,
    ) -> impl Future<Output = Result<CheckOut, Stop>> {
        operation.check_out(pool, want)
    }

    /// Judges an answer. `None`: it does not end the operation, make another attempt.
    fn accept<C: ClientSide>(
        &mut self,
        _operation: &Operation<'_, C>,
        answer: Answer,
    ) -> Option<Answer> {
        Some(answer)
    }

    /// Called when the upstream executed nothing, before the next attempt.
    async fn before_retry<C: ClientSide>(
        &mut self,
        _operation: &Operation<'_, C>,
        _pool: &NodePool,
    ) -> Result<(), Stop> {
        yield_now().await;
        Ok(())
    }
}

/// Any node that suits the operation: an ordinary operation's target.
pub(super) struct AnyNode;

impl Target for AnyNode {
    async fn select<C: ClientSide>(
        &mut self,
        operation: &mut Operation<'_, C>,
    ) -> Result<(Arc<NodePool>, Want), Stop> {
        let relay = operation.relay;
        loop {
            let table = arc_swap::Guard::into_inner(relay.cluster.table());
            let request = &*operation.request;
            let route = pick::route(request, &table, &relay.pins, relay.settings.rules)?;
            if let Some(found) = pick::pick(&request.facts, route, &table) {
                found.0.chosen();
                return Ok(found);
            }
            operation
                .retries
                .held
                .get_or_insert_with(|| relay.cluster.place_among_held());
            Box::pin(operation.hold(&table, operation.deadline)).await?;
        }
    }

    async fn before_retry<C: ClientSide>(
        &mut self,
        _operation: &Operation<'_, C>,
        _pool: &NodePool,
    ) -> Result<(), Stop> {
        Ok(())
    }
}

/// One node and no other.
pub(super) struct OneNode<'a> {
    pub(super) pool: &'a Arc<NodePool>,
    pub(super) want: Want,
}

impl Target for OneNode<'_> {
    async fn select<C: ClientSide>(
        &mut self,
        _operation: &mut Operation<'_, C>,
    ) -> Result<(Arc<NodePool>, Want), Stop> {
        Ok((Arc::clone(self.pool), self.want))
    }

    async fn before_retry<C: ClientSide>(
        &mut self,
        operation: &Operation<'_, C>,
        pool: &NodePool,
    ) -> Result<(), Stop> {
        // The node has left the deployment, and its cursors with it.
        if pool.is_retired() {
            return Err(operation.refuse(Failure::CursorNotFound));
        }
        yield_now().await;
        Ok(())
    }
}

impl<'a, C: ClientSide> Operation<'a, C> {
    /// The operation that `client` asks for with `request`.
    pub(super) fn new(relay: &'a Relay, client: &'a mut C, request: &'a mut Request) -> Self {
        Self {
            relay,
            deadline: Deadline::of(request, &relay.settings),
            client,
            request,
            retries: Retries::default(),
        }
    }

    /// The same client's operation with another request and the same deadline.
    pub(super) fn with_request<'b>(&'b mut self, request: &'b mut Request) -> Operation<'b, C> {
        Operation {
            relay: self.relay,
            client: self.client,
            request,
            deadline: self.deadline,
            retries: Retries::default(),
        }
    }

    /// The class that selects the labels of errors.
    pub(super) const fn class(&self) -> Class {
        self.request.facts.class
    }

    /// Counts a failure and words it for the client.
    pub(super) fn refuse(&self, failure: Failure) -> Stop {
        self.relay.refuse(failure, self.class()).into()
    }

    /// The same for a getMore, which has its own labels in a transaction too.
    pub(super) fn refuse_get_more(&self, failure: Failure) -> Stop {
        self.relay.refuse(failure, Class::GetMore).into()
    }

    /// Selects a node, checks out a connection and makes an attempt, until `target` accepts an
    /// answer. The retries start anew with each call.
    pub(super) async fn complete<T: Target>(&mut self, mut target: T) -> Result<Answer, Stop> {
        self.retries = Retries::default();
        loop {
            let (pool, want) = target.select(self).await?;
            let attempt = match target.check_out(self, &pool, want).await? {
                CheckOut::Lease(lease) => self.attempt(lease).await?,
                CheckOut::Again => Attempt::Again,
                CheckOut::Done(answer) => return Ok(answer),
            };
            match attempt {
                Attempt::Done(answer) => {
                    if let Some(answer) = target.accept(self, answer) {
                        return Ok(answer);
                    }
                }
                Attempt::Again => target.before_retry(self, &pool).await?,
            }
        }
    }

    /// Waits for the topology to change, because no node of `seen` suits the operation. The
    /// wait ends with the hold of `patience`.
    pub(super) async fn hold(&self, seen: &Table, patience: Deadline) -> Result<(), Stop> {
        let relay = self.relay;
        let Some(_bytes) = relay.budget.try_reserve(self.request.message.len()) else {
            return Err(self.overloaded());
        };
        let _held = relay.metrics.hold();
        let until = patience.hold_until();
        tokio::select! {
            biased;
            () = relay.cluster.changed_since(seen) => Ok(()),
            () = self.client.departed(), if self.request.is_dropped_on_departure() => {
                Err(Stop::Abandoned)
            }
            () = patience.changed() => Ok(()),
            () = tokio::time::sleep_until(until) => {
                Err(self.refuse(patience.failure(until, Failure::NoNode)))
            }
        }
    }

    /// Checks a connection out of `pool`.
    pub(super) async fn check_out(
        &mut self,
        pool: &Arc<NodePool>,
        want: Want,
    ) -> Result<CheckOut, Stop> {
        let want = self.retries.with_place(pool, want);
        let before = self.relay.cluster.snapshot();
        let waiting_since = Instant::now();
        let (until, leased) = loop {
            let until = self.deadline.queue_until(waiting_since);
            tokio::select! {
                biased;
                leased = pool.lease(want, until) => break (until, leased),
                () = self.client.departed(), if self.request.is_dropped_on_departure() => {
                    return Err(Stop::Abandoned);
                }
                () = self.deadline.changed() => {}
            }
        };
        self.relay.metrics.waited(want.lane, waiting_since);
        let error = match leased {
            // The node may have changed its role during the wait. Other changes of the topology
            // do not matter: an operation that went back to the queue for each of them could
            // wait for ever.
            Ok(lease) => {
                let is_outdated = || changed_role(&self.relay.cluster, pool, &before);
                if may_reselect(want, self.class()) && is_outdated() {
                    drop(lease);
                    return self.check_out_again();
                }
                return Ok(CheckOut::Lease(lease));
            }
            Err(error) => error,
        };
        self.no_connection(pool, error, until)
    }

    /// The pool has no connection for the operation.
    fn no_connection(
        &mut self,
        pool: &Arc<NodePool>,
        error: LeaseError,
        until: Instant,
    ) -> Result<CheckOut, Stop> {
        match error {
            LeaseError::Cleared(place) => self.retries.kept = Some((Arc::clone(pool), place)),
            LeaseError::Gone => self.relay.forget_transaction(&self.request.facts),
            _ => {}
        }
        match NoConnection::of(error, self.class()) {
            NoConnection::SelectAgain => self.check_out_again(),
            NoConnection::TimedOut => {
                let own = self.relay.overload(self.client.traits());
                Err(self.refuse(self.deadline.failure(until, own)))
            }
            NoConnection::Overloaded => Err(self.overloaded()),
            NoConnection::Refused(failure) => Err(self.refuse(failure)),
        }
    }

    fn check_out_again(&self) -> Result<CheckOut, Stop> {
        self.check_time()?;
        Ok(CheckOut::Again)
    }

    /// Nothing was sent. Whether there is time for another attempt.
    ///
    /// # Errors
    /// The hold is over.
    pub(super) fn check_time(&self) -> Result<(), Stop> {
        if !self.deadline.is_over() {
            return Ok(());
        }
        let until = self.deadline.hold_until();
        Err(self.refuse(self.deadline.failure(until, Failure::NoNode)))
    }

    /// The error for a full queue, in the form that this client understands.
    pub(super) fn overloaded(&self) -> Stop {
        let traits = self.client.traits();
        self.relay.overloaded(traits, self.class()).into()
    }
}

/// Whether the pool's node has another role than in the snapshot `before`.
fn changed_role(cluster: &Cluster, pool: &NodePool, before: &Snapshot) -> bool {
    let now = &cluster.table().snapshot;
    let role = |of: &Snapshot| of.node(pool.node()).map(|node| node.kind);
    now.revision != before.revision && role(now) != role(before)
}

/// Whether another node or connection would serve an operation of `class` as well.
fn may_reselect(want: Want, class: Class) -> bool {
    want.only.is_none() && class != Class::GetMore
}

/// What follows when a pool has no connection for an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum NoConnection {
    /// Select a server again.
    SelectAgain,
    /// The wait is over: the client's limit, the host's deadline or the queue timeout.
    TimedOut,
    /// The queue is full.
    Overloaded,
    /// The client gets this error.
    Refused(Failure),
}

impl NoConnection {
    const fn of(error: LeaseError, class: Class) -> Self {
        match error {
            LeaseError::Cleared(_) | LeaseError::Retired => Self::SelectAgain,
            LeaseError::TimedOut => Self::TimedOut,
            LeaseError::Shed => Self::Overloaded,
            LeaseError::LoginRefused => Self::Refused(Failure::LoginRefused),
            LeaseError::Gone => match class {
                // The driver repeats a commit only once, so Weir looks for its outcome on another
                // connection immediately.
                Class::Commit | Class::Abort => Self::SelectAgain,
                Class::GetMore => Self::Refused(Failure::CursorNotFound),
                _ => Self::Refused(Failure::Interrupted),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pool::ConnId;

    #[test]
    fn an_operation_selects_again_when_nothing_is_lost() {
        for class in Class::ALL {
            for error in [LeaseError::Cleared(Place(3)), LeaseError::Retired] {
                let next = NoConnection::of(error, class);
                assert_eq!(next, NoConnection::SelectAgain, "{class:?}");
            }
            let next = |error| NoConnection::of(error, class);
            assert_eq!(next(LeaseError::TimedOut), NoConnection::TimedOut);
            assert_eq!(next(LeaseError::Shed), NoConnection::Overloaded);
            let refused = NoConnection::Refused(Failure::LoginRefused);
            assert_eq!(next(LeaseError::LoginRefused), refused);
        }
    }

    #[test]
    fn only_commit_and_abort_outlive_their_connection() {
        for class in Class::ALL {
            let expected = match class {
                Class::Commit | Class::Abort => NoConnection::SelectAgain,
                Class::GetMore => NoConnection::Refused(Failure::CursorNotFound),
                _ => NoConnection::Refused(Failure::Interrupted),
            };
            assert_eq!(NoConnection::of(LeaseError::Gone, class), expected);
        }
    }

    #[test]
    fn what_is_bound_to_a_connection_or_cursor_selects_no_other_node() {
        let free = Want::default();
        let bound = Want {
            only: Some(ConnId(1)),
            ..free
        };
        assert!(may_reselect(free, Class::Read));
        assert!(!may_reselect(free, Class::GetMore));
        assert!(!may_reselect(bound, Class::Read));
    }
}
