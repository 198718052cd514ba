//! What an operation keeps from one try to the next.

use std::sync::Arc;

use crate::pool::{NodePool, Place, Want};

/// How often an operation that the upstream did not execute was tried again, and what it
/// keeps from one try to the next.
#[derive(Debug, Default)]
pub(crate) struct Retries {
    /// After a state-change code to a plain read: once.
    pub(crate) rerouted: bool,
    /// After the upstream's own overload error: twice.
    pub(crate) overloads: u8,
    /// After the upstream forgot our login: once.
    pub(crate) logged_in_again: bool,
    /// Its place in the queue of a pool that was cleared meanwhile: where connections break
    /// again and again, who went back to the end each time would wait for ever.
    pub(super) kept: Option<(Arc<NodePool>, Place)>,
    /// Its place among those that were held because no node suited them.
    pub(super) held: Option<Place>,
}

impl Retries {
    /// What to ask of `pool`: the same, from the place kept in its queue.
    pub(super) fn with_place(&self, pool: &Arc<NodePool>, want: Want) -> Want {
        let here = |(of, _): &&(Arc<NodePool>, Place)| Arc::ptr_eq(of, pool);
        let place = self.kept.as_ref().filter(here).map(|(_, place)| *place);
        Want {
            place: place.into_iter().chain(want.place).chain(self.held).min(),
            ..want
        }
    }
}
