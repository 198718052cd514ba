//! Looking after the idle connections of a pool.

use std::{
    sync::{Arc, Weak},
    task::{Context, Poll, Wake, Waker},
    time::Duration,
};

use tokio::{sync::Notify, time::timeout};

use crate::{pool::NodePool, socket::Socket};

/// Longest time between two looks.
const PAUSE: Duration = Duration::from_secs(1);

/// Wakes the pool's upkeep task.
#[derive(Debug)]
pub(super) struct Upkeep {
    bell: Arc<Bell>,
    /// The same bell, for sockets to ring.
    waker: Waker,
}

#[derive(Debug, Default)]
struct Bell(Notify);

impl Wake for Bell {
    fn wake(self: Arc<Self>) {
        self.0.notify_one();
    }
}

impl Default for Upkeep {
    fn default() -> Self {
        let bell = Arc::new(Bell::default());
        Self {
            waker: Waker::from(Arc::clone(&bell)),
            bell,
        }
    }
}

impl Upkeep {
    /// Has the task look at once.
    pub(super) fn look(&self) {
        self.bell.0.notify_one();
    }

    /// From here on the task looks as soon as something happens on this socket. `false`:
    /// something has happened already.
    pub(super) fn watch(&self, socket: &Socket) -> bool {
        let mut cx = Context::from_waker(&self.waker);
        // An event may turn out to be nothing, or to be over: then the look at it has used
        // up the request to be woken.
        for _ in 0..2 {
            match socket.watch(&mut cx) {
                Poll::Pending => return true,
                Poll::Ready(Ok(())) if !socket.is_disturbed() => {}
                Poll::Ready(_) => return false,
            }
        }
        self.look();
        true
    }
}

/// Runs until the pool is gone: once a second, as soon as the socket of an idle
/// connection stirs, and when a handshake that had to wait may begin.
pub(super) async fn keep_up(pool: Weak<NodePool>, upkeep: Arc<Upkeep>) {
    let mut pause = PAUSE;
    loop {
        let _ = timeout(pause, upkeep.bell.0.notified()).await;
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
