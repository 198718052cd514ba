//! Watches the sockets of a pool's idle connections.

use std::{
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use crate::{pool::NodePool, socket::Socket};

/// Longest time between two ticks of the machine.
const PAUSE: Duration = Duration::from_secs(1);

/// Wakes the pool's upkeep task.
#[derive(Debug)]
pub(super) struct Upkeep {
    wakeup: Arc<Wakeup>,
    /// The same, in the form that sockets take.
    waker: Waker,
}

#[derive(Debug, Default)]
struct Wakeup(Notify);

impl Wake for Wakeup {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Default for Upkeep {
    fn default() -> Self {
        let wakeup = Arc::new(Wakeup::default());
        Self {
            waker: Waker::from(Arc::clone(&wakeup)),
            wakeup,
        }
    }
}

impl Upkeep {
    /// Wakes the task now.
    pub(super) fn wake(&self) {
        self.wakeup.0.notify_one();
    }

    /// Wakes the task when something happens on this socket. `false`: something has happened
    /// already.
    pub(super) fn watch(&self, socket: &Socket) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        // An event may be spurious or over. Polling it has then used up the request to be
        // woken, so it is made once more.
        for _ in 0..2 {
            match socket.watch(&mut cx) {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) if !socket.is_disturbed() => {}
                Poll::Ready(_) => return false,
            }
        }
        self.wake();
        true
    }
}

/// Ticks the machine until the pool is dropped: once a second, when something happens on the
/// socket of an idle connection, and when a handshake that had to wait may begin.
pub(super) async fn keep_up(pool: Weak<NodePool>, upkeep: Arc<Upkeep>) {
    let mut pause = PAUSE;
    loop {
        let _ = timeout(pause, upkeep.wakeup.0.notified()).await;
        let Some(pool) = pool.upgrade() else { return };
        pause = pool.with_machine(|machine, now, effects| {
            machine.tick(
                now,
                |connection| !upkeep.watch(connection.socket()),
                effects,
            );
            machine
                .tick_at()
                .map_or(PAUSE, |at| at.saturating_sub(now).min(PAUSE))
        });
    }
}
