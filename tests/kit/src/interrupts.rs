//! Signals that end a program that people started.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Ctrl-C, and what service managers and closing terminals send.
#[derive(Debug)]
pub struct Interrupts([Signal; 3]);

impl Interrupts {
    /// From here on these signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub fn listen() -> std::io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Waits for the next one.
    pub async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
