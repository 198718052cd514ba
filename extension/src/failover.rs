//! Watches the shared Weir and the fallback upstream, and switches between them.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use weir::Controls;

use crate::fallback::{Fallback, Turn};
use crate::post_invoke::RELEASE_TIME;

/// Time between two checks of both upstreams.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Watches both upstreams until the environment ends.
pub(crate) struct Failover {
    controls: Controls,
    after: Duration,
    share: f64,
    task: JoinHandle<()>,
}

impl Failover {
    /// Starts to watch. A `share` of the environments uses the fallback upstream once the shared
    /// Weir has been unreachable for the time `after`.
    pub(crate) fn look_after(controls: Controls, after: Duration, share: f64) -> Self {
        Self {
            task: tokio::spawn(look_after(controls.clone(), after, share)),
            controls,
            after,
            share,
        }
    }

    /// Starts again, because this process is a copy of another one. A copy draws its own share, and
    /// begins with the shared Weir.
    pub(crate) async fn renew(&mut self) {
        self.task.abort();
        self.controls.return_to_own(Duration::ZERO).await;
        *self = Self::look_after(self.controls.clone(), self.after, self.share);
    }
}

/// A random number from 0 up to 1. It comes from the operating system: the state of a generator
/// inside the process would be copied with the environment.
pub(crate) fn draw() -> f64 {
    f64::from(u32::from_le_bytes(weir::secret())) / (f64::from(u32::MAX) + 1.0)
}

async fn look_after(controls: Controls, after: Duration, share: f64) {
    let mut fallback = Fallback::new(after, share, draw);
    let epoch = Instant::now();
    loop {
        sleep(LOOK_EVERY).await;
        let trouble = controls.trouble();
        let spare_trouble = controls.spare_trouble();
        match fallback.look(trouble.is_some(), spare_trouble.is_some(), epoch.elapsed()) {
            Turn::Stay => {}
            Turn::Divert => {
                let trouble = trouble.unwrap_or_default();
                tracing::warn!(
                    "the shared Weir cannot be reached ({trouble}); connecting to the database \
                     directly"
                );
                controls.divert();
            }
            Turn::Return => {
                tracing::info!(trouble = spare_trouble, "using the shared Weir again");
                controls.return_to_own(RELEASE_TIME).await;
            }
        }
    }
}
