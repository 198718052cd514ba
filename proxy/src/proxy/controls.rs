//! How a host program steers the Weir that runs inside it. The host knows what Weir cannot see:
//! when work begins and ends, when the process was frozen, when everything ends.

use std::{sync::Arc, time::Duration};

use futures_util::future::join_all;
use tokio::time::Instant;

use crate::{
    downstream::Frontend,
    proxy::{Service, watcher::Later},
    relay::HostDeadline,
};

/// Steers a running proxy from its host program. Clones steer the same proxy.
#[derive(Clone)]
pub struct Controls {
    parts: Vec<Part>,
}

#[derive(Clone)]
struct Part {
    front: Arc<Frontend>,
    later: Option<Arc<Later>>,
    /// It is the fallback upstream of the part before it.
    is_spare: bool,
}

/// What has been done so far, over all listeners.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// Operations that the upstream has answered.
    pub operations: usize,
    /// Errors of Weir's own, by cause.
    pub refused: Vec<(&'static str, usize)>,
    /// Upstream connections for operations, now.
    pub connections: usize,
}

impl Controls {
    pub(super) fn of(services: &[Service]) -> Self {
        let part = |service: &Service, is_spare| Part {
            front: Arc::clone(&service.front),
            later: service.watcher.later(),
            is_spare,
        };
        let parts = services.iter().flat_map(|service| {
            let spare = service.spare.iter().map(|spare| part(spare, true));
            std::iter::once(part(service, false)).chain(spare)
        });
        Self {
            parts: parts.collect(),
        }
    }

    /// The listeners' own upstreams.
    fn own(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| !part.is_spare)
    }

    fn spares(&self) -> impl Iterator<Item = &Part> {
        self.parts.iter().filter(|part| part.is_spare)
    }

    /// Sends operations to the fallback upstreams from now on. Cursors and transactions that are
    /// open on the listeners' own upstreams end for their clients.
    pub fn divert(&self) {
        self.spares().for_each(Part::wake);
        self.own().for_each(|part| part.front.divert(true));
    }

    /// Sends operations to the listeners' own upstreams again, and closes the connections to the
    /// fallback upstreams, for at most `limit`.
    pub async fn return_to_own(&self, limit: Duration) {
        self.own().for_each(|part| part.front.divert(false));
        for part in self.spares() {
            if let Some(later) = &part.later {
                later.rest();
            }
            part.front.cluster().rest();
            part.front.own_relay().release(limit).await;
        }
    }

    /// Why no fallback upstream can be used now. `None`: one can, or none has been tried.
    #[must_use]
    pub fn spare_trouble(&self) -> Option<String> {
        self.spares()
            .find_map(|part| part.front.cluster().trouble())
    }

    /// Work begins that the host's platform ends at `ends`. An operation that still waits
    /// `notice` before that gets an error, so that the application can report it.
    pub fn work_until(&self, ends: Instant, notice: Duration) {
        for part in &self.parts {
            if let Some(host_deadline) = part.front.own_relay().host_deadline() {
                host_deadline.set(ends, notice);
            }
        }
    }

    /// Work begins that has no known end.
    pub fn work_without_end(&self) {
        let deadlines = self
            .parts
            .iter()
            .filter_map(|part| part.front.own_relay().host_deadline());
        deadlines.for_each(HostDeadline::clear);
    }

    /// Begins to watch the upstreams that a waiting Weir does not watch yet.
    pub fn wake(&self) {
        self.own().for_each(Part::wake);
    }

    /// This process has been thawed: connections that lay idle for long are verified or
    /// replaced before they are used. An operation that needs one sooner verifies it itself.
    pub async fn verify(&self) {
        join_all(
            self.parts
                .iter()
                .map(|part| part.front.own_relay().verify()),
        )
        .await;
    }

    /// This process is a copy of another one: no connection is its own.
    pub fn renew(&self) {
        for part in &self.parts {
            part.front.own_relay().renew();
            if let Some(later) = &part.later {
                later.renew();
            }
        }
    }

    /// Watches again what [`Controls::release`] stopped to watch.
    pub fn resume(&self) {
        let watchers = self.parts.iter().filter_map(|part| part.later.as_ref());
        watchers.for_each(|later| later.resume());
    }

    /// Closes the connections, whose clients stay; the next operation opens another. Waits
    /// for the server to close its side, for at most `limit`. What is watched is watched again when an operation
    /// finds no node, or from [`Controls::resume`] on.
    pub async fn release(&self, limit: Duration) {
        let watchers = self.parts.iter().filter_map(|part| part.later.as_ref());
        watchers.for_each(|later| later.pause());
        join_all(
            self.parts
                .iter()
                .map(|part| part.front.own_relay().release(limit)),
        )
        .await;
    }

    /// Operations that wait for something.
    #[must_use]
    pub fn in_flight(&self) -> usize {
        self.parts
            .iter()
            .map(|part| part.front.own_relay().in_flight())
            .sum()
    }

    /// Ends the clients' sessions and closes every connection for operations, for good.
    pub async fn close(&self, limit: Duration) {
        join_all(
            self.parts
                .iter()
                .map(|part| part.front.own_relay().close(limit)),
        )
        .await;
    }

    /// What has been done so far.
    #[must_use]
    pub fn tally(&self) -> Tally {
        let mut tally = Tally::default();
        for part in &self.parts {
            let metrics = &part.front.metrics;
            tally.operations += metrics.operations();
            for (cause, count) in metrics.failures() {
                match tally.refused.iter_mut().find(|(known, _)| *known == cause) {
                    Some((_, sum)) => *sum += count,
                    None => tally.refused.push((cause, count)),
                }
            }
            let pools = part.front.cluster().pools();
            tally.connections += pools
                .iter()
                .map(|pool| pool.counts().sockets())
                .sum::<usize>();
        }
        tally
    }

    /// Why the upstream cannot be used now; `None`: it can, or nobody has tried.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        self.own().find_map(|part| part.front.cluster().trouble())
    }
}

impl Part {
    fn wake(&self) {
        if let Some(later) = &self.later {
            later.wake();
        }
        self.front.cluster().wake();
    }
}
