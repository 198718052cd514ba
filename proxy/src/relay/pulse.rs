//! Whether a connection that was idle for long still works.

use std::time::Duration;

use tokio::time::timeout;

use crate::{command::Facts, error::Class, pool::Lease};

/// A connection idle for longer is asked for a sign of life before it carries what
/// could not be sent again.
const TRUSTED_IDLE: Duration = Duration::from_secs(30);

/// How long that sign of life may take.
const CHECK_TIME: Duration = Duration::from_secs(2);

/// Whether a connection that was idle for long is to carry something whose loss could not
/// be mended.
pub(super) fn is_in_doubt(lease: &Lease, facts: &Facts) -> bool {
    let precious = !matches!(facts.class, Class::Read | Class::RetryableWrite);
    precious && lease.idle_for() >= TRUSTED_IDLE
}

/// Asks a connection whether it still works.
pub(super) async fn beats(lease: &mut Lease) -> bool {
    let Some(conn) = lease.connection() else {
        return false;
    };
    let hello = bson::rawdoc! { "hello": 1, "$db": "admin" };
    matches!(timeout(CHECK_TIME, conn.ask(&hello)).await, Ok(Ok(_)))
}
