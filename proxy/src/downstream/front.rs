//! What all clients of one listener share.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicI32, Ordering},
};

use parking_lot::Mutex;
use tokio::{
    sync::watch,
    time::{Duration, Instant},
};

use crate::{
    downstream::{
        Peer, auth::authenticator::Authenticator, failpoint::FailPoints, inbox::InboxError,
        newcomers::Newcomers,
    },
    drain::Drain,
    metrics::Metrics,
    random,
    relay::Relay,
};

/// How a listener presents itself.
#[derive(Clone, Copy, Debug)]
pub struct Presentation {
    /// `topologyVersion` in hello, so that drivers may stream their monitoring.
    pub streaming: bool,
    /// Ceiling for `maxWireVersion`.
    pub max_wire_version: Option<i32>,
    /// `maxWireVersion` before the upstream was first reached.
    pub fallback_wire_version: i32,
    /// Refuse clients without `loadBalanced: true`.
    pub load_balanced_only: bool,
    /// Run `failCommand` here and let test commands through.
    pub test_commands: bool,
    /// Longest time that a hello waits for the first contact with the upstream.
    pub first_contact: Duration,
}

/// Longest time that a hello waits for the first contact with the upstream, as a rule.
pub const FIRST_CONTACT: Duration = Duration::from_secs(5);

/// A cached reply document of the upstream.
type Cached = Mutex<Option<(Instant, Vec<u8>)>>;

/// The shared part of one listener.
pub struct Front {
    /// Relays what is not answered here.
    pub relay: Arc<Relay>,
    /// Another way to the same cluster.
    spare: Option<Arc<Relay>>,
    /// That way is taken.
    diverted: AtomicBool,
    /// Checks logins.
    pub authenticator: Arc<Authenticator>,
    /// How hello is answered.
    pub presentation: Presentation,
    /// Counters.
    pub metrics: Arc<Metrics>,
    /// Whether Weir is leaving.
    pub drain: Drain,
    /// Identifies this process: `topologyVersion.processId` and `serviceId`.
    pub process_id: [u8; 12],
    /// `topologyVersion.counter`; a change wakes all monitors.
    pub version: watch::Sender<i64>,
    pub(crate) fail_points: FailPoints,
    pub(crate) newcomers: Newcomers,
    pub(crate) build_info: Cached,
    connection_ids: AtomicI32,
}

impl Front {
    /// The front of a listener that relays to `relay`.
    #[must_use]
    pub fn new(
        relay: Arc<Relay>,
        spare: Option<Arc<Relay>>,
        authenticator: Arc<Authenticator>,
        presentation: Presentation,
        metrics: Arc<Metrics>,
        drain: Drain,
        process_id: [u8; 12],
    ) -> Arc<Self> {
        Arc::new(Self {
            relay,
            spare,
            diverted: AtomicBool::new(false),
            authenticator,
            presentation,
            metrics,
            drain,
            process_id,
            version: watch::Sender::new(1),
            fail_points: FailPoints::default(),
            newcomers: Newcomers::default(),
            build_info: Mutex::new(None),
            connection_ids: AtomicI32::new(1),
        })
    }

    /// The way that operations go now.
    #[must_use]
    pub fn way(&self) -> &Arc<Relay> {
        match &self.spare {
            Some(spare) if self.diverted.load(Ordering::Relaxed) => spare,
            _ => &self.relay,
        }
    }

    /// Has operations go the other way, or the first one again.
    pub fn divert(&self, diverted: bool) {
        self.diverted.store(diverted, Ordering::Relaxed);
    }

    /// A `connectionId`, unique in this process until it wraps.
    pub(crate) fn next_connection_id(&self) -> i32 {
        self.connection_ids.fetch_add(1, Ordering::Relaxed) & i32::MAX
    }

    /// Says what was wrong with a client's bytes.
    pub(crate) fn log_malformed(&self, peer: &Peer, error: &InboxError) {
        if error.is_departure() {
            return;
        }
        self.metrics.malformed();
        tracing::warn!(peer = %peer.name, %error, "closed a client connection");
    }

    /// What `maxWireVersion` to tell a client now; waits a little for first contact with
    /// the upstream, if it may.
    pub(crate) async fn wire_version(&self, may_wait: bool) -> i32 {
        let way = self.way();
        let known = || way.cluster.snapshot().common_max_wire();
        let mut changes = way.cluster.watch();
        let patience = self.presentation.first_contact;
        // Somebody wants to be served: what slept for want of clients begins.
        let _wanted = (may_wait && !patience.is_zero()).then(|| way.cluster.wanted());
        let until = Instant::now() + patience;
        let mut version = known();
        while may_wait && version.is_none() {
            match tokio::time::timeout_at(until, changes.changed()).await {
                Ok(Ok(())) => version = known(),
                _ => break,
            }
        }
        let version = version.unwrap_or(self.presentation.fallback_wire_version);
        self.presentation
            .max_wire_version
            .map_or(version, |max| version.min(max))
    }
}

impl std::fmt::Debug for Front {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Front")
            .field("presentation", &self.presentation)
            .finish_non_exhaustive()
    }
}

/// An id for this process, in the form of an ObjectId.
#[must_use]
pub fn new_process_id() -> [u8; 12] {
    random::secret()
}
