//! What an operation's error proves about a node; pure.
//!
//! The driver that watches the deployment cannot be told what Weir's own
//! connections meet, so Weir judges for itself, by the rules of *Server Discovery
//! and Monitoring*, "Error handling", and *CMAP* for generations. A verdict makes
//! its node `Unknown` until a hello proves it out of date: a later heartbeat of
//! the driver, or the hello of any connection Weir opens.
//!
//! | error | node | connections |
//! |---|---|---|
//! | from a stale generation, or with a stale `topologyVersion` | kept | kept |
//! | network, before the server's hello | kept (a sign of overload) | kept |
//! | network or timeout, while logging in | Unknown | cleared |
//! | network, later | Unknown | cleared |
//! | timeout, later | kept | kept |
//! | not primary, recovering | Unknown | kept (cleared before 4.2) |
//! | shutting down | Unknown | cleared |
//! | any of these behind a load balancer | kept | of that service: cleared on network errors after hello and on shutdown |

use std::sync::Arc;
use std::time::Instant;

use super::address::NodeAddress;
use super::sdam::{Deployment, State};
use super::snapshot::{TopologyKind, TopologyVersion};

/// The first wire version (4.2) whose connections survive a step-down.
const WIRE_SURVIVES_STEP_DOWN: i32 = 8;

/// How far a connection had come when its error struck.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Up to the server's first hello reply: TCP, TLS, hello.
    Connecting,
    /// After hello, until logged in.
    LoggingIn,
    /// Ready for operations.
    Ready,
}

/// What a state-change error says about its node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StateChangeKind {
    /// The node is not the primary (any more).
    NotPrimary,
    /// The node can serve nobody at the moment.
    Recovering,
    /// The node is going away.
    ShuttingDown,
}

impl StateChangeKind {
    /// Classifies an error document; `None` when it is no state-change error. The
    /// text counts only where there is no code.
    #[must_use]
    pub fn of(code: Option<i32>, message: &str) -> Option<Self> {
        match code.filter(|code| *code != 0) {
            Some(11600 | 91) => Some(Self::ShuttingDown),
            Some(11602 | 13436 | 189) => Some(Self::Recovering),
            Some(10107 | 13435 | 10058) => Some(Self::NotPrimary),
            Some(_) => None,
            None if message.contains("node is recovering") => Some(Self::Recovering),
            None if message.contains("not master or secondary") => Some(Self::Recovering),
            None if message.contains("not master") => Some(Self::NotPrimary),
            None => None,
        }
    }
}

/// What follows from an error.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StateChange {
    /// The node is `Unknown` because of this error.
    pub mark_unknown: bool,
    /// Connections older than `generation` are stale. Behind a load balancer only
    /// those of the error's own service are, and the pool counts for itself.
    pub clear_pool: bool,
    /// The node's generation after this error.
    pub generation: u64,
}

/// Why a node is under suspicion, and since when.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Verdict {
    /// When the error was met.
    pub(super) at: Instant,
    /// The state the server was in when it answered with the error.
    pub(super) topology_version: Option<TopologyVersion>,
    /// For people.
    pub(super) error: Arc<str>,
}

impl Verdict {
    /// Whether a hello proves this verdict out of date: by the server's own count
    /// if both come from one process, otherwise by having been asked for later.
    pub(super) fn is_ended_by(&self, hello: Option<TopologyVersion>, started: Instant) -> bool {
        match (self.topology_version, hello) {
            (Some(error), Some(hello)) if error.process_id == hello.process_id => {
                hello.counter >= error.counter
            }
            _ => started > self.at,
        }
    }
}

impl Deployment {
    /// A connection of this generation broke or timed out at `now`.
    pub fn on_network_error(
        &mut self,
        address: &NodeAddress,
        generation: u64,
        phase: Phase,
        timed_out: bool,
        error: &str,
        now: Instant,
    ) -> StateChange {
        if phase == Phase::Connecting || (timed_out && phase == Phase::Ready) {
            return self.nothing(address);
        }
        self.judge(
            address,
            generation,
            Verdict {
                at: now,
                topology_version: None,
                error: error.into(),
            },
            true,
        )
    }

    /// A connection of this generation was answered with a state-change error.
    pub fn on_state_change(
        &mut self,
        address: &NodeAddress,
        generation: u64,
        kind: StateChangeKind,
        topology_version: Option<TopologyVersion>,
        error: &str,
        now: Instant,
    ) -> StateChange {
        let Some(member) = self.member(address) else {
            return StateChange::default();
        };
        let is_news = match (member.topology_version, topology_version) {
            (Some(known), Some(new)) if known.process_id == new.process_id => {
                new.counter > known.counter
            }
            _ => true,
        };
        if !is_news {
            return self.nothing(address);
        }
        let is_old = member
            .hello
            .as_ref()
            .is_some_and(|hello| hello.wire.1 < WIRE_SURVIVES_STEP_DOWN);
        let clear_pool = kind == StateChangeKind::ShuttingDown || is_old;
        self.judge(
            address,
            generation,
            Verdict {
                at: now,
                topology_version,
                error: error.into(),
            },
            clear_pool,
        )
    }

    fn judge(
        &mut self,
        address: &NodeAddress,
        generation: u64,
        verdict: Verdict,
        clear_pool: bool,
    ) -> StateChange {
        let is_load_balanced = self.kind() == TopologyKind::LoadBalanced;
        let Some(member) = self.member_mut(address) else {
            return StateChange::default();
        };
        if is_load_balanced {
            return StateChange {
                mark_unknown: false,
                clear_pool,
                generation: member.generation,
            };
        }
        if generation < member.generation {
            return StateChange {
                generation: member.generation,
                ..StateChange::default()
            };
        }
        if clear_pool {
            member.generation += 1;
        }
        let generation = member.generation;
        member.topology_version = verdict.topology_version;
        member.state = State::Suspended(verdict);
        self.look_for_primary();
        StateChange {
            mark_unknown: true,
            clear_pool,
            generation,
        }
    }

    fn nothing(&self, address: &NodeAddress) -> StateChange {
        let generation = self.member(address).map_or(0, |member| member.generation);
        StateChange {
            generation,
            ..StateChange::default()
        }
    }
}

#[cfg(test)]
mod tests;
