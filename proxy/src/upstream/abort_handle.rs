//! Ends an exchange from outside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Context,
};

use futures_util::task::AtomicWaker;

/// Ends the wait of the task that uses a connection.
///
/// The socket itself stays as it is. If it were shut down for reading, its end of stream would
/// no longer tell when the server has let go of the connection. The slot would be given away
/// while the server still counts the connection.
#[derive(Clone, Debug, Default)]
pub struct AbortHandle(Arc<State>);

#[derive(Debug, Default)]
struct State {
    aborted: AtomicBool,
    waker: AtomicWaker,
}

impl AbortHandle {
    /// Every exchange on the connection fails from now on instead of waiting.
    pub fn abort(&self) {
        self.0.aborted.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// Whether the connection was aborted. If not, the task of `cx` is woken when it is.
    pub(super) fn is_aborted(&self, cx: &Context<'_>) -> bool {
        // In this order, so that an abort after the check wakes the task.
        self.0.waker.register(cx.waker());
        self.0.aborted.load(Ordering::Acquire)
    }
}
