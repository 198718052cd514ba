//! How many connections to a node may be closed while abandoned work runs on them.

use parking_lot::Mutex;
use tokio::time::Instant;

/// Connections closed under abandoned work, per second.
const PER_SECOND: f64 = 15.0;

/// Limits how often a connection is closed because the client of its operation has left. Each
/// such close costs the node a new connection.
///
/// A token bucket that holds one second's worth: the time of the last call and the tokens left.
#[derive(Debug, Default)]
pub(super) struct AbortBudget(Mutex<Option<(Instant, f64)>>);

impl AbortBudget {
    /// Takes one token. `false`: there is none now.
    pub(super) fn take(&self) -> bool {
        let mut state = self.0.lock();
        let now = Instant::now();
        let (since, tokens) = state.unwrap_or((now, PER_SECOND));
        let grown = (now - since).as_secs_f64().mul_add(PER_SECOND, tokens);
        let tokens = grown.min(PER_SECOND);
        let allowed = tokens >= 1.0;
        *state = Some((now, if allowed { tokens - 1.0 } else { tokens }));
        allowed
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fifteen_at_once_and_fifteen_in_a_second() {
        let budget = AbortBudget::default();
        let allowed = || (0..40).filter(|_| budget.take()).count();
        assert_eq!(allowed(), 15);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(allowed(), 3);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(allowed(), 15, "unused tokens are not saved up");
    }
}
