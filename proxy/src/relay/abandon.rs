//! Work whose client has left.
//!
//! Unsent, it is dropped. Sent, a read or getMore is given two seconds to end by
//! itself; then its connection is closed, which makes the server stop it. Such
//! closes are rationed, because each costs the node a new connection. Writes and
//! statements of a transaction run to their end.

use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::error::Class;

/// How long an abandoned read may go on.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// When no more connections may be closed, it is asked again after so long.
pub const NEXT_TURN: Duration = Duration::from_millis(100);

/// Connections closed for abandoned work, per second.
const CUTS_PER_SECOND: f64 = 15.0;

/// Rations the closing of connections whose client has left.
#[derive(Debug, Default)]
pub struct Cuts(Mutex<Option<(Instant, f64)>>);

impl Cuts {
    /// Whether one more connection may be closed now (a token bucket of one second).
    pub fn allow(&self) -> bool {
        let mut state = self.0.lock();
        let now = Instant::now();
        let (since, tokens) = state.unwrap_or((now, CUTS_PER_SECOND));
        let grown = (now - since).as_secs_f64().mul_add(CUTS_PER_SECOND, tokens);
        let tokens = grown.min(CUTS_PER_SECOND);
        let allowed = tokens >= 1.0;
        *state = Some((now, if allowed { tokens - 1.0 } else { tokens }));
        allowed
    }
}

/// Whether the server may be made to stop an operation of this class. With its connection so
/// many cursors and transactions would end: none but its own may.
#[must_use]
pub const fn may_cut(class: Class, bonds: u32) -> bool {
    match class {
        Class::Read => bonds == 0,
        Class::GetMore => bonds <= 1,
        _ => false,
    }
}
