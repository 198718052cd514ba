//! How many handshakes are in progress, and when the next may begin.

use std::time::Duration;

/// Handshakes in progress and the pauses between them.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// All handshakes in progress. Each holds a socket.
    in_progress: usize,
    /// Handshakes that began in the current generation. The others will be thrown away.
    current: usize,
    /// No handshake begins before this, so that the rate is kept.
    spaced_until: Duration,
    /// No handshake begins before this, because the last one failed.
    failed_until: Duration,
    /// One is to begin as soon as there is room, even after a failure.
    probe_due: bool,
}

impl Handshakes {
    /// One begins. No other begins before `spacing` has passed.
    pub(super) fn begin(&mut self, now: Duration, spacing: Duration) {
        self.in_progress += 1;
        self.current += 1;
        self.spaced_until = self.spaced_until.max(now + spacing);
        // Its hello tells how the node is, even if it was opened for another reason.
        self.probe_due = false;
    }

    /// One has ended, in success or failure. `current`: it began in the current generation.
    pub(super) const fn end(&mut self, current: bool) {
        self.in_progress = self.in_progress.saturating_sub(1);
        if current {
            self.current = self.current.saturating_sub(1);
        }
    }

    /// One failed. No other begins before `until`.
    pub(super) fn back_off(&mut self, until: Duration) {
        self.failed_until = self.failed_until.max(until);
    }

    /// The node was heard: past failures do not count any more, and no probe is needed.
    pub(super) const fn node_was_heard(&mut self) {
        self.failed_until = Duration::ZERO;
        self.probe_due = false;
    }

    /// The connections in progress will be thrown away.
    pub(super) const fn generation_changed(&mut self) {
        self.current = 0;
    }

    pub(super) const fn want_probe(&mut self) {
        self.probe_due = true;
    }

    pub(super) const fn probe_due(&self) -> bool {
        self.probe_due
    }

    pub(super) const fn in_progress(&self) -> usize {
        self.in_progress
    }

    pub(super) const fn current(&self) -> usize {
        self.current
    }

    /// When the next may begin. A probe does not wait after a failure. It does keep the rate,
    /// which is the server's limit.
    pub(super) fn not_before(&self) -> Duration {
        if self.probe_due {
            self.spaced_until
        } else {
            self.spaced_until.max(self.failed_until)
        }
    }
}
