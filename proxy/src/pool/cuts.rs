//! How many connections to a node may be closed in the middle of abandoned work.

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::pool::NodePool;

/// Connections closed for abandoned work, per second.
const CUTS_PER_SECOND: f64 = 15.0;

/// Rations the closing of connections to one node whose client has left: each costs that
/// node a new connection.
#[derive(Debug, Default)]
pub(super) struct Cuts(Mutex<Option<(Instant, f64)>>);

impl Cuts {
    /// A token bucket of one second.
    fn allow(&self) -> bool {
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

impl NodePool {
    /// Whether one more connection to this node may be closed now because its client has left.
    #[must_use]
    pub fn allows_cut(&self) -> bool {
        self.cuts.allow()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn fifteen_at_once_and_fifteen_in_a_second() {
        let cuts = Cuts::default();
        let allowed = || (0..40).filter(|_| cuts.allow()).count();
        assert_eq!(allowed(), 15);
        tokio::time::advance(Duration::from_millis(200)).await;
        assert_eq!(allowed(), 3);
        tokio::time::advance(Duration::from_secs(60)).await;
        assert_eq!(allowed(), 15, "none are saved up");
    }
}
