//! What one phase came to; everything the table and the verdict are made of.

use crate::outage::Away;
use crate::tally::{Latency, Op};

/// The numbers of one finished phase.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Report {
    /// Students who came.
    pub(super) students: u64,
    /// Students who could do everything they came for.
    pub(super) served: u64,
    /// Operations that reached the application as an error.
    pub(super) failed: u64,
    /// Operations that succeeded.
    pub(super) done: u64,
    /// Operations that all students together had before them.
    pub(super) planned: u64,
    /// Answers that the server acknowledged.
    pub(super) acknowledged: u64,
    /// Answers found in the database afterwards; none when it did not say.
    pub(super) stored: Option<u64>,
    /// Sockets that the server closed before the handshake was answered.
    pub(super) refused: u64,
    /// The first error that came in an answer, and so had nothing to do with
    /// connecting.
    pub(super) surprise: Option<String>,
    /// What it was to them that the database was away; none: it was not.
    pub(super) away: Option<Away>,
    /// What the server saw; none when it does not let us ask.
    pub(super) server: Option<Server>,
    /// Times of the successes, in the order of [`Op::ALL`].
    pub(super) waits: [Option<Latency>; Op::ALL.len()],
}

impl Report {
    /// Connections that this phase has caused, if that is known.
    pub(super) fn connections(&self) -> Option<Connections> {
        self.server?.ours
    }

    /// Students who gave up, or were still waiting when the phase ended.
    pub(super) fn turned_away(&self) -> u64 {
        self.students.saturating_sub(self.served)
    }
}

/// What the server said of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Server {
    /// Connections that this phase alone has caused; none when others use the
    /// server, too.
    pub(super) ours: Option<Connections>,
    /// Most resident memory in MiB.
    pub(super) memory: u64,
}

/// Connections that a phase has caused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Connections {
    /// Most of them at one moment.
    pub(super) peak: u64,
    /// All that were accepted.
    pub(super) opened: u64,
}
