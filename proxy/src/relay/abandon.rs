//! Work whose client has left.
//!
//! Unsent, it is dropped. Sent, a read or getMore is given two seconds to end by
//! itself; then its connection is closed, which makes the server stop it. Such
//! closes are rationed for each node (`pool/cuts.rs`), because each costs it a new
//! connection. Writes and statements of a transaction run to their end.

use std::time::Duration;

use crate::error::Class;

/// How long an abandoned read may go on.
pub const PATIENCE: Duration = Duration::from_secs(2);

/// When no more connections may be closed, it is asked again after so long.
pub const NEXT_TURN: Duration = Duration::from_millis(100);

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
