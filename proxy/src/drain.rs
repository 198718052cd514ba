//! Leaving in good order.
//!
//! After a termination signal Weir goes on serving until its last client has left or
//! its time is up. What stands before it (`--behind`) decides whether it still accepts
//! new ones: a sidecar does, because its application may work on for a while.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use tokio_util::{sync::CancellationToken, task::TaskTracker};

use crate::config::{Behind, Config};

/// Starts and observes the end of the proxy. Clones share one state.
#[derive(Clone, Debug, Default)]
pub struct Drain {
    begun: CancellationToken,
    hurried: CancellationToken,
    closed: CancellationToken,
    listening: Arc<AtomicBool>,
}

impl Drain {
    /// Begins to drain; a second call ends it at once.
    pub fn begin(&self) {
        if self.begun.is_cancelled() {
            self.hurried.cancel();
        }
        self.begun.cancel();
    }

    /// Whether draining has begun.
    #[must_use]
    pub fn has_begun(&self) -> bool {
        self.begun.is_cancelled()
    }

    /// Waits for the drain to begin.
    pub async fn begun(&self) {
        self.begun.cancelled().await;
    }

    /// The token by which listeners are closed.
    #[must_use]
    pub fn stop_accepting(&self) -> CancellationToken {
        self.listening.store(true, Ordering::Relaxed);
        self.closed.clone()
    }

    /// Ends when the drain is over: the last client has left, or the time is up.
    pub async fn done(&self, clients: &TaskTracker, config: &Config) {
        self.begun.cancelled().await;
        tracing::info!(clients = clients.len(), "draining");
        if config.behind == Behind::List {
            self.closed.cancel();
        }
        clients.close();
        tokio::select! {
            () = clients.wait() => tracing::info!("the last client has left"),
            () = tokio::time::sleep(config.drain_timeout) => {
                tracing::warn!(clients = clients.len(), "the drain timeout is over");
            }
            () = self.hurried.cancelled() => tracing::warn!("told twice to stop"),
        }
        self.closed.cancel();
    }
}
