//! One node: its last hello, and whether that still counts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::topology::address::NodeAddress;
use crate::topology::hello::Hello;
use crate::topology::snapshot::{Node, NodeKind, Tags, TopologyVersion};

/// The sender of the request for a hello.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HelloSource {
    /// The node's monitor, whose successes and failures come in order.
    Monitor,
    /// A connection that Weir opened.
    Connection,
}

/// When a hello was asked for and answered.
#[derive(Clone, Copy, Debug)]
pub struct Heard {
    /// The sender of the request.
    pub source: HelloSource,
    /// When it was sent, on the monotonic clock.
    pub started: Instant,
    /// When it was answered, in milliseconds since 1970.
    pub at_ms: i64,
}

/// The error for which an operation made a node `Unknown`.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Suspicion {
    /// When the error occurred.
    pub(super) at: Instant,
    /// The `topologyVersion` of the server when it answered with the error.
    pub(super) topology_version: Option<TopologyVersion>,
    /// The error's text.
    pub(super) error: Arc<str>,
}

impl Suspicion {
    /// Whether a hello proves that the error is out of date. If both come from one process, the
    /// server's own count decides. Otherwise the hello must have been asked for later.
    fn is_ended_by(&self, hello: Option<TopologyVersion>, started: Instant) -> bool {
        match (self.topology_version, hello) {
            (Some(error), Some(hello)) if error.process_id == hello.process_id => {
                hello.counter >= error.counter
            }
            _ => started > self.at,
        }
    }
}

/// What is known about one node.
#[derive(Clone, Debug, Default)]
pub(super) struct Member {
    /// Whether the node can be used.
    pub(super) state: MemberState,
    /// The last hello that was believed. It is kept when the state changes, so that limits and
    /// wire versions stay known while the node is down.
    pub(super) hello: Option<Hello>,
    /// The `topologyVersion` of the current state; `None`: it has none.
    pub(super) topology_version: Option<TopologyVersion>,
    /// The generation of connections to this node.
    pub(super) generation: u64,
    /// When the last believed hello was asked for.
    pub(super) heard: Option<Heard>,
    /// The round trips that the monitor measured.
    pub(super) round_trips: RoundTrips,
}

/// The latest round trips, computed from the driver's moving average.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrips {
    average: Option<Duration>,
    /// The samples that led to the averages, the latest last.
    samples: VecDeque<Duration>,
}

impl RoundTrips {
    /// By `client-side-operations-timeout.md` the minimum is that of the last ten samples. It is
    /// unknown with fewer than two, because the first sample includes making the connection.
    const KEPT: usize = 10;
    const FEWEST: usize = 2;

    pub(super) fn add(&mut self, average: Duration) {
        let Some(before) = self.average.replace(average) else {
            self.samples.push_back(average);
            return;
        };
        // A change of the topology repeats the last average.
        if before == average {
            return;
        }
        // A sample moves the average by a fifth of their distance.
        let sample = (average * 5).saturating_sub(before * 4);
        if self.samples.len() >= Self::KEPT {
            self.samples.pop_front();
        }
        self.samples.push_back(sample);
    }

    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }

    const fn average(&self) -> Option<Duration> {
        self.average
    }

    fn least(&self) -> Option<Duration> {
        let known = self.samples.len() >= Self::FEWEST;
        self.samples.iter().min().copied().filter(|_| known)
    }
}

/// Whether a node can be used.
#[derive(Clone, Debug, Default)]
pub(super) enum MemberState {
    /// No hello was answered yet.
    #[default]
    Unheard,
    /// The last hello says what the node is.
    Up,
    /// The last hello does not count: an old primary, or the wrong replica set. The text says why.
    Disowned(Arc<str>),
    /// The monitor failed.
    Down {
        since: Instant,
        timed_out: bool,
        error: Arc<str>,
    },
    /// An operation met an error that makes the node `Unknown`.
    Suspended(Suspicion),
}

impl Member {
    pub(super) fn usable_hello(&self) -> Option<&Hello> {
        self.hello
            .as_ref()
            .filter(|_| matches!(self.state, MemberState::Up))
    }

    pub(super) fn kind(&self) -> NodeKind {
        self.usable_hello()
            .map_or(NodeKind::Unknown, |hello| hello.kind)
    }

    pub(super) fn disown(&mut self, error: Arc<str>) {
        self.state = MemberState::Disowned(error);
        self.topology_version = None;
    }

    /// Whether a hello is newer than what is known.
    pub(super) fn believes(&self, hello: &Hello, heard: Heard) -> bool {
        if let (Some(known), Some(new)) = (self.topology_version, hello.topology_version)
            && known.process_id == new.process_id
        {
            return new.counter >= known.counter;
        }
        match &self.state {
            MemberState::Suspended(suspicion) => {
                suspicion.is_ended_by(hello.topology_version, heard.started)
            }
            MemberState::Down { since, .. } => {
                heard.source == HelloSource::Monitor || heard.started > *since
            }
            MemberState::Unheard | MemberState::Up | MemberState::Disowned(_) => {
                self.heard.is_none_or(|last| heard.started >= last.started)
            }
        }
    }

    pub(super) fn node(&self, address: &NodeAddress, is_load_balanced: bool) -> Node {
        let hello = self.hello.as_ref();
        let error = match &self.state {
            MemberState::Unheard | MemberState::Up => None,
            MemberState::Disowned(error) | MemberState::Down { error, .. } => Some(error.clone()),
            MemberState::Suspended(suspicion) => Some(suspicion.error.clone()),
        };
        Node {
            address: address.clone(),
            kind: if is_load_balanced {
                NodeKind::LoadBalancer
            } else {
                self.kind()
            },
            rtt: self.round_trips.average(),
            least_rtt: self.round_trips.least(),
            tags: hello.map_or_else(Tags::default, |hello| hello.tags.clone()),
            last_write: hello.and_then(|hello| hello.last_write),
            last_update: self.heard.map(|heard| heard.at_ms),
            wire: hello.map(|hello| hello.wire),
            limits: hello.map(|hello| hello.limits),
            session_timeout_minutes: hello.and_then(|hello| hello.session_timeout_minutes),
            topology_version: self.topology_version,
            error,
            suspended: matches!(self.state, MemberState::Suspended(_)),
            generation: self.generation,
        }
    }
}
