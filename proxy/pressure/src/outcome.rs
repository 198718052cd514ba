//! Everything that came of it; the shape of `--json`.

use std::time::Duration;

use serde::Serialize;

use crate::args::Scenario;
use crate::cell::{Cell, Seen};
use crate::knee::{Point, knee};
use crate::plan::Plan;
use crate::{PressureArgs, Target};

/// Busier than this, the load itself was the limit.
const BUSY: f64 = 0.9;

/// The document.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Outcome {
    pub(super) version: &'static str,
    /// Whether everything that was planned was measured.
    pub(super) complete: bool,
    pub(super) target: Deployment,
    pub(super) scenario: Scenario,
    pub(super) write: bool,
    pub(super) seed: u64,
    /// How long each cell was measured.
    pub(super) duration_seconds: f64,
    /// Longest 99th percentile of waiting that is still good.
    pub(super) wait_bound_ms: f64,
    /// What clients did, in words.
    pub(super) reads: String,
    /// Of every pool, sockets that watch each node.
    pub(super) monitor_sockets: u32,
    /// One entry a pool and number of clients, in the order measured.
    pub(super) cells: Vec<Cell>,
    pub(super) compare: Option<Comparison>,
    /// One entry a number of clients that was tried on every pool.
    pub(super) knees: Vec<KneeOf>,
    pub(super) recommendation: Option<Recommendation>,
    /// What to know about these numbers.
    pub(super) remarks: Vec<String>,
    /// How many of the remarks were said before the measurement began.
    #[serde(skip)]
    pub(super) said: usize,
}

/// A deployment, in a few words.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Deployment {
    /// Its connection string, password masked.
    pub(super) uri: String,
    pub(super) kind: String,
    pub(super) version: Option<String>,
    /// The node under load.
    pub(super) node: String,
    /// Its connections before: open, and still accepted.
    pub(super) connections: Option<Room>,
}

/// A node's connections.
#[derive(Clone, Copy, Debug, Serialize)]
pub(super) struct Room {
    pub(super) current: u64,
    pub(super) available: u64,
}

/// What the same clients saw without a Weir of this process.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Comparison {
    pub(super) with: Deployment,
    /// One entry a number of clients.
    pub(super) cells: Vec<Seen>,
}

/// The knee of one number of clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct KneeOf {
    pub(super) clients: u32,
    pub(super) max_connections: u32,
    /// The wait was under the bound and nothing was lost.
    pub(super) calm: bool,
}

/// What to set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Recommendation {
    /// The value, monitors counted in.
    pub(super) max_connections: u32,
    /// The number of clients it is for.
    pub(super) clients: u32,
    /// See [`KneeOf::calm`].
    pub(super) calm: bool,
    /// No larger pool was tried: one might do better.
    pub(super) largest_tried: bool,
    /// No smaller pool was tried: one might do as well.
    pub(super) smallest_tried: bool,
}

impl Outcome {
    /// Nothing measured yet.
    pub(super) fn new(
        args: &PressureArgs,
        target: &Target,
        compare: Option<&Target>,
        plan: &Plan,
    ) -> Self {
        Self {
            version: env!("CARGO_PKG_VERSION"),
            complete: false,
            target: Deployment::of(target),
            scenario: args.scenario,
            write: args.write,
            seed: args.seed,
            duration_seconds: plan.duration.as_secs_f64(),
            wait_bound_ms: args.wait_bound.as_secs_f64() * 1_000.0,
            reads: String::new(),
            monitor_sockets: target.monitors(),
            cells: Vec::new(),
            compare: compare.map(|with| Comparison {
                with: Deployment::of(with),
                cells: Vec::new(),
            }),
            knees: Vec::new(),
            recommendation: None,
            remarks: plan.remarks.clone(),
            said: 0,
        }
    }

    /// Whether there is nothing to show.
    pub(super) fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// Numbers of clients measured so far, ascending.
    pub(super) fn clients(&self) -> Vec<u32> {
        let mut clients: Vec<_> = self.cells.iter().map(|cell| cell.seen.clients).collect();
        clients.sort_unstable();
        clients.dedup();
        clients
    }

    /// The knee of a number of clients.
    pub(super) fn knee_of(&self, clients: u32) -> Option<&KneeOf> {
        self.knees.iter().find(|knee| knee.clients == clients)
    }

    /// Draws the conclusions.
    pub(super) fn conclude(&mut self, bound: Duration, complete: bool) {
        self.complete = complete;
        let others = self
            .compare
            .iter()
            .flat_map(|compare| compare.cells.clone());
        for other in others.collect::<Vec<_>>() {
            let same = self
                .cells
                .iter_mut()
                .filter(|cell| cell.seen.clients == other.clients);
            same.for_each(|cell| cell.set_against(&other));
        }
        let pools = self.pools();
        self.knees.clear();
        for clients in self.clients() {
            let cells = self
                .cells
                .iter()
                .filter(|cell| cell.seen.clients == clients);
            let points: Vec<Point> = cells.map(Cell::point).collect();
            // Pools that were not reached might have been better.
            let whole = points.len() == pools.len();
            if let Some(knee) = knee(&points, bound).filter(|_| whole) {
                self.knees.push(KneeOf {
                    clients,
                    max_connections: knee.pool,
                    calm: knee.calm,
                });
            }
        }
        self.recommendation = self.knees.last().map(|knee| Recommendation {
            max_connections: knee.max_connections,
            clients: knee.clients,
            calm: knee.calm,
            largest_tried: pools.last() == Some(&knee.max_connections),
            smallest_tried: pools.first() == Some(&knee.max_connections),
        });
        self.remark_on_the_load();
    }

    fn pools(&self) -> Vec<u32> {
        let mut pools: Vec<_> = self.cells.iter().map(|cell| cell.max_connections).collect();
        pools.sort_unstable();
        pools.dedup();
        pools
    }

    fn remark_on_the_load(&mut self) {
        let busiest = self
            .cells
            .iter()
            .map(|cell| cell.seen.load_busy)
            .fold(0.0, f64::max);
        if busiest > BUSY {
            self.remarks.push(format!(
                "This machine was busy with the load and Weir ({:.0} % of its threads' time at \
                 most): where it was, it set the limit, not the deployment. Measure from a larger \
                 machine near the deployment for the true knee.",
                busiest * 100.0
            ));
        }
        let error = self
            .cells
            .iter()
            .find_map(|cell| cell.seen.first_error.clone());
        if let Some(error) = error {
            self.remarks.push(format!("First error: {error}"));
        }
        let others = self.compare.iter().flat_map(|compare| &compare.cells);
        if let Some(error) = others.filter_map(|seen| seen.first_error.as_ref()).next() {
            self.remarks
                .push(format!("First error of the comparison: {error}"));
        }
    }

    /// For machines.
    pub(super) fn to_json(&self) -> String {
        // None of these types can fail to serialize.
        serde_json::to_string_pretty(self).unwrap_or_default()
    }
}

impl Deployment {
    fn of(target: &Target) -> Self {
        Self {
            uri: target.shown.clone(),
            kind: target.kind.clone(),
            version: target.version.clone(),
            node: target.node.to_string(),
            connections: target
                .connections
                .map(|(current, available)| Room { current, available }),
        }
    }
}

#[cfg(test)]
pub(super) mod tests;
