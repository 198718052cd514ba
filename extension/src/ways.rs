//! Looks after the ways to the database: through the shared Weir, and without it.

use std::time::Duration;

use tokio::time::{Instant, sleep};
use weir::proxy::Controls;

use crate::afterwards::RELEASE_TIME;
use crate::fallback::{Fallback, Turn};

/// Between two looks at both.
const LOOK_EVERY: Duration = Duration::from_millis(100);

/// Looks after both ways to the database for as long as the environment lives.
pub(crate) async fn look_after(controls: Controls, after: Duration) {
    let mut fallback = Fallback::new(after, weir::random::fraction());
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
