//! What follows from the errors that Weir's own connections meet.
//!
//! The driver that monitors the deployment cannot be told about these errors. Therefore Weir
//! applies the rules itself: *Server Discovery and Monitoring*, "Error handling", and *CMAP* for
//! generations. An error makes its node `Unknown` until a hello proves that the error is out of
//! date. That may be a later heartbeat of the driver, or the hello of any connection that Weir
//! opens.
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

use std::time::Instant;

use super::member::{MemberState, Suspicion};
use super::{Deployment, NodeAddress, TopologyKind};
use crate::topology::snapshot::TopologyVersion;
use crate::topology::verdict::{Phase, StateChange, StateChangeKind};

/// The first wire version (4.2) whose connections survive a step-down.
const WIRE_SURVIVES_STEP_DOWN: i32 = 8;

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
            return self.unchanged(address);
        }
        self.judge(
            address,
            generation,
            Suspicion {
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
        let is_new = match (member.topology_version, topology_version) {
            (Some(known), Some(new)) if known.process_id == new.process_id => {
                new.counter > known.counter
            }
            _ => true,
        };
        if !is_new {
            return self.unchanged(address);
        }
        let is_old = member
            .hello
            .as_ref()
            .is_some_and(|hello| hello.wire.1 < WIRE_SURVIVES_STEP_DOWN);
        let clear_pool = kind == StateChangeKind::ShuttingDown || is_old;
        self.judge(
            address,
            generation,
            Suspicion {
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
        suspicion: Suspicion,
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
        member.topology_version = suspicion.topology_version;
        member.state = MemberState::Suspended(suspicion);
        self.look_for_primary();
        StateChange {
            mark_unknown: true,
            clear_pool,
            generation,
        }
    }

    fn unchanged(&self, address: &NodeAddress) -> StateChange {
        let generation = self.member(address).map_or(0, |member| member.generation);
        StateChange {
            generation,
            ..StateChange::default()
        }
    }
}

#[cfg(test)]
mod tests;
