//! What the operations and the monitor of one environment share, and how an operation fails.

use tokio::sync::{Notify, watch};
use weir_kit::client::ClientError;

/// What the operations and the monitor of one environment tell each other.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// What the monitor's last check found.
    pub(super) server: watch::Sender<Seen>,
    /// Whether an operation is waiting for a server: the monitor then checks
    /// every half second instead of every ten.
    pub(super) wanted: watch::Sender<bool>,
    /// An operation met a network error: the monitor drops what it has.
    pub(super) reset: Notify,
}

impl Link {
    /// Marks the server unknown after a network error.
    pub(super) fn server_lost(&self) {
        self.server.send_replace(Seen::Nothing);
        self.reset.notify_one();
    }
}

/// What a monitor's last check found.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seen {
    /// No check yet, or an error since.
    #[default]
    Nothing,
    /// A server that must be asked again and again.
    Polled,
    /// A server that reports changes by itself.
    Streaming,
}

/// Why an operation failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum Failure {
    /// No server was known for the whole selection timeout.
    #[error("no server became available in time")]
    NoServer,
    /// The attempt, or both, failed.
    #[error(transparent)]
    Client(#[from] ClientError),
}

impl Failure {
    /// Whether a driver tries once more.
    pub(super) fn is_retryable(&self) -> bool {
        matches!(self, Self::Client(error) if error.is_retryable())
    }

    /// Whether the server says the document is there already.
    pub(super) fn is_duplicate_key(&self) -> bool {
        matches!(
            self,
            Self::Client(ClientError::Command { code: 11_000, .. })
        )
    }
}
