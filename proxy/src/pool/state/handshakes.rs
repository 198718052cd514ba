//! How many handshakes are in progress, and when the next may begin.

use std::time::Duration;

/// Handshakes in progress and the pauses between them.
#[derive(Debug, Default)]
pub(super) struct Handshakes {
    /// All in progress: each holds a socket.
    in_progress: usize,
    /// Those whose connection will be of use: begun in the current generation.
    current: usize,
    /// No handshake before this, so that the rate is kept.
    spaced_until: Duration,
    /// No handshake before this, because the last one failed.
    failed_until: Duration,
    /// One is to begin as soon as there is room, whatever the last failure says.
    probe_due: bool,
}

impl Handshakes {
    /// One begins; no other before `spacing` has passed.
    pub(super) fn begin(&mut self, now: Duration, spacing: Duration) {
        self.in_progress += 1;
        self.current += 1;
        self.spaced_until = self.spaced_until.max(now + spacing);
        // Whatever it was opened for, its hello tells how the node is.
        self.probe_due = false;
    }

    /// One has ended, well or not; `current`: it was of the current generation.
    pub(super) const fn end(&mut self, current: bool) {
        self.in_progress = self.in_progress.saturating_sub(1);
        if current {
            self.current = self.current.saturating_sub(1);
        }
    }

    /// No other before `until`: one failed.
    pub(super) fn back_off(&mut self, until: Duration) {
        self.failed_until = self.failed_until.max(until);
    }

    /// The node has been heard: past failures count no more, and nobody need ask it.
    pub(super) const fn node_was_heard(&mut self) {
        self.failed_until = Duration::ZERO;
        self.probe_due = false;
    }

    /// What is in progress will be thrown away.
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

    /// When the next may begin. A probe does not wait out a failure, but the rate is the
    /// server's limit and holds for it too.
    pub(super) fn not_before(&self) -> Duration {
        if self.probe_due {
            self.spaced_until
        } else {
            self.spaced_until.max(self.failed_until)
        }
    }
}
