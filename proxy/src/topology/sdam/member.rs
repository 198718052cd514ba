//! One node: what it said last, and whether that still counts.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::{Heard, Source};
use crate::topology::address::NodeAddress;
use crate::topology::hello::Hello;
use crate::topology::snapshot::{Node, NodeKind, Tags, TopologyVersion};
use crate::topology::verdict::Verdict;

/// What is known about one node.
#[derive(Clone, Debug, Default)]
pub(in crate::topology) struct Member {
    pub(in crate::topology) state: State,
    /// The last hello that was believed; outlives the state, so that limits and
    /// wire versions stay known while the node is down.
    pub(in crate::topology) hello: Option<Hello>,
    /// What the current state rests on; `None` where nothing can order it.
    pub(in crate::topology) topology_version: Option<TopologyVersion>,
    pub(in crate::topology) generation: u64,
    /// When the last believed hello was asked for.
    pub(super) heard: Option<Heard>,
    pub(super) round_trips: RoundTrips,
}

/// Round trips of late, by the driver's moving average.
#[derive(Clone, Debug, Default)]
pub(super) struct RoundTrips {
    average: Option<Duration>,
    /// What made the averages, the latest last.
    samples: VecDeque<Duration>,
}

impl RoundTrips {
    /// By `client-side-operations-timeout.md` the least one is that of the last ten, and unknown
    /// with fewer than two: the first one is that of a connection that is made.
    const KEPT: usize = 10;
    const FEWEST: usize = 2;

    pub(super) fn add(&mut self, average: Duration) {
        let Some(before) = self.average.replace(average) else {
            self.samples.push_back(average);
            return;
        };
        // News of the topology repeat it.
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
pub(in crate::topology) enum State {
    /// Nobody asked it yet.
    #[default]
    Unheard,
    /// It is what its last hello says.
    Up,
    /// Its hello is not believed: an old primary, or the wrong replica set.
    Disowned(Arc<str>),
    /// Its monitor failed.
    Down {
        since: Instant,
        timed_out: bool,
        error: Arc<str>,
    },
    /// An operation met an error that speaks against it.
    Suspended(Verdict),
}

impl Member {
    pub(super) fn usable_hello(&self) -> Option<&Hello> {
        self.hello
            .as_ref()
            .filter(|_| matches!(self.state, State::Up))
    }

    pub(super) fn kind(&self) -> NodeKind {
        self.usable_hello()
            .map_or(NodeKind::Unknown, |hello| hello.kind)
    }

    pub(super) fn disown(&mut self, error: Arc<str>) {
        self.state = State::Disowned(error);
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
            State::Suspended(verdict) => verdict.is_ended_by(hello.topology_version, heard.started),
            State::Down { since, .. } => heard.source == Source::Monitor || heard.started > *since,
            State::Unheard | State::Up | State::Disowned(_) => {
                self.heard.is_none_or(|last| heard.started >= last.started)
            }
        }
    }

    pub(super) fn node(&self, address: &NodeAddress, is_load_balanced: bool) -> Node {
        let hello = self.hello.as_ref();
        let error = match &self.state {
            State::Unheard | State::Up => None,
            State::Disowned(error) | State::Down { error, .. } => Some(error.clone()),
            State::Suspended(verdict) => Some(verdict.error.clone()),
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
            suspended: matches!(self.state, State::Suspended(_)),
            generation: self.generation,
        }
    }
}
