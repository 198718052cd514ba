//! What all simulated environments of a phase share.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use weir_kit::messages::Messages;

use super::args::Monitoring;
use super::tally::Tally;

/// What all environments of a phase share.
#[derive(Debug)]
pub(super) struct World {
    /// The only address in the students' connection string.
    pub(super) address: SocketAddr,
    /// What they send.
    pub(super) messages: Messages,
    /// How they watch the server.
    pub(super) monitoring: Monitoring,
    /// How long a student waits for one answer.
    pub(super) patience: Duration,
    /// Makes session ids differ between phases and runs. A server remembers
    /// the last transaction number of a session: with the same ids, it would
    /// take every write of a second run for a retry and not execute it.
    pub(super) salt: [u8; 16],
    /// What they did.
    pub(super) tally: Arc<Tally>,
}
