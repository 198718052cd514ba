//! Operations whose client has left.
//!
//! An operation that was not sent is dropped. A read or getMore that was sent may run for two
//! more seconds. Then its connection is closed, which makes the server stop the operation.
//! Each such close costs the node a new connection, so the pool limits their rate. Writes and
//! statements of a transaction run to their end.

use std::time::Duration;

use tokio::time::timeout;

use crate::error::Class;

/// How long a read may go on after its client has left.
const PATIENCE: Duration = Duration::from_secs(2);

/// Time between two questions to a pool that allows no close now.
const ASK_AGAIN: Duration = Duration::from_millis(100);

/// Whether the server may be made to stop an operation of this class by closing its connection.
///
/// `pinned` counts the cursors and transactions that end with the connection. Only the
/// operation's own cursor may end.
#[must_use]
pub(super) const fn may_cancel(class: Class, pinned: u32) -> bool {
    match class {
        Class::Read => pinned == 0,
        Class::GetMore => pinned <= 1,
        _ => false,
    }
}

/// Waits for the reply after the client has left. `None`: close the connection.
///
/// Without `may_cancel` the operation runs to its end. `allows_close` says whether the pool
/// can spare a connection now.
pub(super) async fn after_departure<F: Future + Unpin>(
    may_cancel: bool,
    allows_close: impl Fn() -> bool,
    mut receive: F,
) -> Option<F::Output> {
    if !may_cancel {
        return Some(receive.await);
    }
    let mut patience = PATIENCE;
    loop {
        if let Ok(received) = timeout(patience, &mut receive).await {
            return Some(received);
        }
        if allows_close() {
            return None;
        }
        patience = ASK_AGAIN;
    }
}

#[cfg(test)]
mod tests {
    use std::{cell::Cell, future::pending, pin::pin};

    use tokio::time::{Instant, sleep};

    use super::*;

    #[test]
    fn only_reads_are_cancelled_and_only_with_what_is_their_own() {
        assert!(may_cancel(Class::Read, 0));
        assert!(
            !may_cancel(Class::Read, 1),
            "another client's cursor would end"
        );
        assert!(may_cancel(Class::GetMore, 1), "its own cursor");
        assert!(!may_cancel(Class::GetMore, 2));
        for class in [
            Class::Write,
            Class::RetryableWrite,
            Class::InTransaction,
            Class::Commit,
            Class::Abort,
        ] {
            assert!(!may_cancel(class, 0), "{class:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_read_has_two_seconds_and_then_waits_for_its_turn() {
        let start = Instant::now();
        let asked = Cell::new(0);
        let allows = || asked.replace(asked.get() + 1) == 3;
        let received: Option<()> = after_departure(true, allows, pin!(pending())).await;
        assert_eq!(received, None);
        assert_eq!(start.elapsed(), PATIENCE + ASK_AGAIN * 3);
    }

    #[tokio::test(start_paused = true)]
    async fn a_reply_in_time_is_received() {
        let reply = pin!(sleep(Duration::from_millis(1_900)));
        assert_eq!(after_departure(true, || true, reply).await, Some(()));
        let late = pin!(sleep(Duration::from_secs(3_600)));
        assert_eq!(
            after_departure(false, || true, late).await,
            Some(()),
            "a write runs to its end"
        );
    }
}
