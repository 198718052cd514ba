//! Which clients and pools are tried, and how long that takes. Pure.

use std::time::Duration;

use crate::{PressureArgs, Target, Trouble};

/// Pools tried unless told otherwise.
const POOLS: [u32; 5] = [5, 10, 20, 40, 80];
/// What is taken, unless told otherwise, of a server that does not tell its limit.
const UNKNOWN_ROOM: u32 = 40;
/// Of what the server still accepts, one part in so many is taken unless told otherwise.
const SHARE: u64 = 4;
/// Data connections without which a Weir does not start.
const LEAST_DATA: u32 = 2;
/// Files that are not sockets of clients.
const OTHER_FILES: u64 = 200;

/// Longest wait for every client to have had its first answer.
pub(super) const WARM_LIMIT: Duration = Duration::from_secs(3);
/// What warming up usually takes.
const WARM: Duration = Duration::from_millis(400);
/// Longest wait for a Weir to reach the target.
pub(super) const START_LIMIT: Duration = Duration::from_secs(15);
/// What starting and stopping one usually takes.
const START: Duration = Duration::from_millis(600);

/// What will be measured.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Plan {
    /// Numbers of clients, ascending.
    pub(super) clients: Vec<u32>,
    /// Numbers of clients that connect without Weir, ascending.
    pub(super) compared: Vec<u32>,
    /// Values of `--max-connections`, ascending.
    pub(super) pools: Vec<u32>,
    /// How long a cell is measured.
    pub(super) duration: Duration,
    /// What was left out, and why.
    pub(super) remarks: Vec<String>,
}

impl Plan {
    /// Fits what was asked for to the deployment and to this machine.
    ///
    /// # Errors
    /// When the server has no room for what was asked for.
    pub(super) fn new(
        args: &PressureArgs,
        target: &Target,
        compare: Option<&Target>,
        open_files: u64,
    ) -> Result<Self, Trouble> {
        let mut remarks = Vec::new();
        // Both ends of every socket to Weir are in this process.
        let fit = open_files.saturating_sub(OTHER_FILES) / 2;
        let clients = fitting(&ascending(&args.clients), fit);
        if clients.len() < ascending(&args.clients).len() {
            remarks.push(format!(
                "This system lets a process open {open_files} files, enough for {fit} clients; \
                 larger numbers are left out (raise `ulimit -n`)."
            ));
        }
        if clients.is_empty() {
            return Err(Trouble(remarks.join(" ")));
        }
        let available = target.connections.map(|(_, available)| available);
        let pools = if args.pools.is_empty() {
            usual_pools(available, target.monitors() + LEAST_DATA)
        } else {
            ascending(&args.pools)
        };
        has_room(&pools, available)?;
        let mut compared = Vec::new();
        if let Some(compare) = compare {
            compared = fitting(&clients, room_for_direct(compare));
            if compared.len() < clients.len() {
                remarks.push(format!(
                    "Directly, at most {} clients are tried: half of the connections that {} \
                     still accepts.",
                    room_for_direct(compare),
                    compare.node,
                ));
            }
        }
        Ok(Self {
            clients,
            compared,
            pools,
            duration: args.duration,
            remarks,
        })
    }

    /// How many measurements that is.
    pub(super) fn cells(&self) -> usize {
        self.clients.len() * self.pools.len() + self.compared.len()
    }

    /// How long it usually takes.
    pub(super) fn usual(&self) -> Duration {
        self.time(self.duration + WARM, START)
    }

    /// How long it takes at most.
    pub(super) fn longest(&self) -> Duration {
        self.time(self.duration + WARM_LIMIT, START + START_LIMIT)
    }

    fn time(&self, cell: Duration, start: Duration) -> Duration {
        let times = |time: Duration, n: usize| time * u32::try_from(n).unwrap_or(u32::MAX);
        times(cell, self.cells()) + times(start, self.pools.len())
    }
}

fn ascending(numbers: &[u32]) -> Vec<u32> {
    let mut numbers = numbers.to_vec();
    numbers.sort_unstable();
    numbers.dedup();
    numbers
}

fn fitting(numbers: &[u32], limit: u64) -> Vec<u32> {
    let fits = |number: &&u32| u64::from(**number) <= limit;
    numbers.iter().filter(fits).copied().collect()
}

/// A server in use must not be emptied by a measurement.
fn room_for_direct(compare: &Target) -> u64 {
    compare
        .connections
        .map_or(u64::MAX, |(_, available)| available / 2)
}

fn usual_pools(available: Option<u64>, least: u32) -> Vec<u32> {
    let room = available.map_or(UNKNOWN_ROOM.into(), |available| available / SHARE);
    let pools = POOLS.into_iter().filter(|pool| *pool >= least);
    let pools = fitting(&pools.collect::<Vec<_>>(), room);
    if pools.is_empty() { vec![least] } else { pools }
}

fn has_room(pools: &[u32], available: Option<u64>) -> Result<(), Trouble> {
    let largest = pools.last().copied().unwrap_or(0);
    match available {
        Some(available) if u64::from(largest) > available => Err(Trouble(format!(
            "the server still accepts {available} connections, fewer than a pool of {largest}: \
             try smaller --pools, or end other connections"
        ))),
        _ => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usual_pools_leave_a_server_in_use_three_quarters_of_its_room() {
        assert_eq!(usual_pools(Some(50_000), 4), POOLS);
        assert_eq!(usual_pools(Some(480), 4), POOLS);
        assert_eq!(usual_pools(Some(100), 4), [5, 10, 20]);
        assert_eq!(usual_pools(Some(10), 4), [4]);
        assert_eq!(usual_pools(None, 4), [5, 10, 20, 40]);
        assert_eq!(usual_pools(None, 6), [10, 20, 40]);
    }

    #[test]
    fn a_pool_that_the_server_would_not_take_is_refused() {
        assert!(has_room(&[5, 500], Some(499)).is_err());
        assert!(has_room(&[5, 499], Some(499)).is_ok());
        assert!(has_room(&[5, 9_999], None).is_ok());
    }

    #[test]
    fn the_time_is_that_of_all_cells_and_all_starts() {
        let plan = Plan {
            clients: vec![16, 64],
            compared: vec![16],
            pools: vec![5, 10, 20],
            duration: Duration::from_secs(3),
            remarks: Vec::new(),
        };
        assert_eq!(plan.cells(), 7);
        assert_eq!(plan.usual(), Duration::from_millis(7 * 3_400 + 3 * 600));
        assert_eq!(
            plan.longest(),
            Duration::from_millis(7 * 6_000 + 3 * 15_600)
        );
    }

    #[test]
    fn numbers_are_tried_once_each_and_ascending() {
        assert_eq!(ascending(&[64, 16, 64]), [16, 64]);
        assert_eq!(fitting(&[16, 64, 256], 64), [16, 64]);
    }
}
