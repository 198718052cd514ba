//! The official Go driver's own integration tests, run directly and through Weir.
//!
//! | module | does |
//! |---|---|
//! | [`edition`] | fetches a generation of the driver and compiles its tests |
//! | [`stage`] | the replica set, two Weirs, and a balancer in front of them |
//! | [`verbose`] | reads what a Go test program says |
//! | [`execute`] | runs the programs of an edition along one endpoint |
//! | [`judge`] | compares two endpoints test by test |
//! | [`known`] | losses with their reasons |
//! | [`report`] | counts for people, and `docs/results/suites.md` |
//!
//! A test that passes directly and fails through Weir is lost. So is one that only runs
//! through Weir, because it asks for a router or a balancer, and fails there.

pub mod edition;
pub mod execute;
pub mod judge;
pub mod known;
pub mod report;
pub mod stage;
pub mod verbose;

/// How the driver reaches the servers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint {
    /// The replica set itself.
    Direct,
    /// Weir as a mongos.
    Mongos,
    /// Weir as a load-balanced service.
    LoadBalanced,
}

impl Endpoint {
    /// Those through Weir.
    pub const FACES: [Self; 2] = [Self::Mongos, Self::LoadBalanced];

    /// As the command and the documents name it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Mongos => "mongos",
            Self::LoadBalanced => "load-balanced",
        }
    }
}
