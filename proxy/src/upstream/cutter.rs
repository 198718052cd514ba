//! Ending an exchange from outside.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::Context,
};

use futures_util::task::AtomicWaker;

/// Ends the waiting of whoever uses a connection.
///
/// The socket itself is left alone. Were it shut down for reading, its end of stream
/// would no longer tell when the server has let go of the connection, and its slot
/// would be given away while the server still counts it.
#[derive(Clone, Debug, Default)]
pub struct Cutter(Arc<State>);

#[derive(Debug, Default)]
struct State {
    cut: AtomicBool,
    waker: AtomicWaker,
}

impl Cutter {
    /// From now on the connection waits for nothing.
    pub fn cut(&self) {
        self.0.cut.store(true, Ordering::Release);
        self.0.waker.wake();
    }

    /// Whether the connection was cut; if not, the task is woken when it is.
    pub(super) fn is_cut(&self, cx: &Context<'_>) -> bool {
        // In this order: a cut after the look wakes the task.
        self.0.waker.register(cx.waker());
        self.0.cut.load(Ordering::Acquire)
    }
}
