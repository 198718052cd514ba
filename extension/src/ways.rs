//! Looks after the ways to the database: through the shared Weir, and without it.

use std::time::Duration;

use tokio::task::JoinHandle;
use tokio::time::{Instant, sleep};
use weir::proxy::Controls;

use crate::afterwards::RELEASE_TIME;
use crate::fallback::{Fallback, Turn};

/// Between two looks at both.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks after both ways to the database for as long as the environment lives.
pub(crate) struct Ways {
    controls: Controls,
    after: Duration,
    share: f64,
    task: JoinHandle<()>,
}

impl Ways {
    /// The other way is open to a share of the environments, so long after the first one is gone.
    pub(crate) fn look_after(controls: Controls, after: Duration, share: f64) -> Self {
        Self {
            task: tokio::spawn(look_after(controls.clone(), after, share)),
            controls,
            after,
            share,
        }
    }

    /// This process is a copy of another one: what that one drew does not count, nor where it went.
    pub(crate) async fn renew(&mut self) {
        self.task.abort();
        self.controls.return_to_own(Duration::ZERO).await;
        *self = Self::look_after(self.controls.clone(), self.after, self.share);
    }
}

/// From 0 up to 1, from the operating system: a generator of our own would be copied with the
/// environment.
pub(crate) fn draw() -> f64 {
    f64::from(u32::from_le_bytes(weir::random::secret())) / (f64::from(u32::MAX) + 1.0)
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
                    "the shared Weir cannot be reached ({trouble}); going to the database itself"
                );
                controls.divert();
            }
            Turn::Return => {
                tracing::info!(trouble = spare_trouble, "back to the shared Weir");
                controls.return_to_own(RELEASE_TIME).await;
            }
        }
    }
}
