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
    cluster::Cluster,
    downstream::{
        Peer, auth::authenticator::Authenticator, failpoint::FailPoints,
        hello_only::HelloOnlySources, read::ReadError,
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

/// The default of [`Presentation::first_contact`].
pub const FIRST_CONTACT: Duration = Duration::from_secs(5);

/// A cached reply document of the upstream.
type Cached = Mutex<Option<(Instant, Vec<u8>)>>;

/// The state that all clients of one listener share.
pub struct Frontend {
    /// Relays what Weir does not answer itself.
    own: Arc<Relay>,
    /// A second relay to the same cluster.
    fallback: Option<Arc<Relay>>,
    /// Operations use the fallback.
    diverted: AtomicBool,
    /// Checks the clients' logins.
    pub authenticator: Arc<Authenticator>,
    /// How Weir answers hello.
    pub presentation: Presentation,
    /// The listener's counters.
    pub metrics: Arc<Metrics>,
    /// Whether Weir is draining, and how far it is.
    pub drain: Drain,
    /// Identifies this process: `topologyVersion.processId` and `serviceId`.
    pub process_id: [u8; 12],
    /// `topologyVersion.counter`. A change wakes all monitors.
    pub version: watch::Sender<i64>,
    pub(crate) fail_points: FailPoints,
    pub(crate) hello_only_sources: HelloOnlySources,
    pub(crate) build_info: Cached,
    connection_ids: AtomicI32,
}

impl Frontend {
    /// The frontend of a listener whose operations go to `own`, or to `fallback` while
    /// [`Frontend::divert`] says so.
    #[must_use]
    pub fn new(
        own: Arc<Relay>,
        fallback: Option<Arc<Relay>>,
        authenticator: Arc<Authenticator>,
        presentation: Presentation,
        metrics: Arc<Metrics>,
        drain: Drain,
        process_id: [u8; 12],
    ) -> Arc<Self> {
        Arc::new(Self {
            own,
            fallback,
            diverted: AtomicBool::new(false),
            authenticator,
            presentation,
            metrics,
            drain,
            process_id,
            version: watch::Sender::new(1),
            fail_points: FailPoints::default(),
            hello_only_sources: HelloOnlySources::default(),
            build_info: Mutex::new(None),
            connection_ids: AtomicI32::new(1),
        })
    }

    /// The relay that operations use now: the listener's own, or its fallback.
    #[must_use]
    pub fn relay(&self) -> &Arc<Relay> {
        match &self.fallback {
            Some(fallback) if self.diverted.load(Ordering::Relaxed) => fallback,
            _ => &self.own,
        }
    }

    /// The listener's own relay, whether operations use it now or not.
    #[must_use]
    pub const fn own_relay(&self) -> &Arc<Relay> {
        &self.own
    }

    /// The cluster behind the listener's own relay.
    #[must_use]
    pub fn cluster(&self) -> &Cluster {
        self.own.cluster()
    }

    /// Sends operations to the fallback (`true`) or to the listener's own relay (`false`).
    pub fn divert(&self, diverted: bool) {
        self.diverted.store(diverted, Ordering::Relaxed);
    }

    /// A `connectionId`, unique in this process until it wraps.
    pub(crate) fn next_connection_id(&self) -> i32 {
        self.connection_ids.fetch_add(1, Ordering::Relaxed) & i32::MAX
    }

    /// Logs what was wrong with a client's bytes.
    pub(crate) fn log_malformed(&self, peer: &Peer, error: &ReadError) {
        if error.is_departure() {
            return;
        }
        self.metrics.malformed();
        tracing::warn!(peer = %peer.name, %error, "closed a client connection");
    }

    /// The `maxWireVersion` to tell a client now.
    ///
    /// With `may_wait` it waits for the first contact with the upstream, for at most
    /// [`Presentation::first_contact`].
    pub(crate) async fn wire_version(&self, may_wait: bool) -> i32 {
        let cluster = self.relay().cluster();
        let known = || cluster.snapshot().common_max_wire();
        let mut changes = cluster.watch();
        let patience = self.presentation.first_contact;
        // A Weir that has slept because it had no clients wakes up.
        let _wanted = (may_wait && !patience.is_zero()).then(|| cluster.wanted());
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

impl std::fmt::Debug for Frontend {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Frontend")
            .field("presentation", &self.presentation)
            .finish_non_exhaustive()
    }
}

/// An id for this process, in the form of an ObjectId.
#[must_use]
pub fn new_process_id() -> [u8; 12] {
    random::secret()
}
