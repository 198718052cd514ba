//! Waiting for a condition with a deadline.

use std::future::Future;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep};

/// Between two looks.
const EVERY: Duration = Duration::from_millis(10);

/// Long enough for anything that works at all on a busy machine.
pub const LIMIT: Duration = Duration::from_secs(30);

/// Looks again and again until `look` has something.
///
/// # Errors
/// After `limit`, naming `what`. The condition is looked at once more after it.
pub async fn until<T, F, L>(what: &str, limit: Duration, mut look: L) -> Result<T>
where
    F: Future<Output = Option<T>>,
    L: FnMut() -> F,
{
    let end = Instant::now() + limit;
    loop {
        let late = Instant::now() >= end;
        if let Some(found) = look().await {
            return Ok(found);
        }
        if late {
            return Err(anyhow!("waited {limit:?} for {what}"));
        }
        sleep(EVERY).await;
    }
}

/// Waits until `holds` is true.
///
/// # Errors
/// As [`until`].
pub async fn until_true(
    what: &str,
    limit: Duration,
    mut holds: impl FnMut() -> bool,
) -> Result<()> {
    until(what, limit, || {
        let now = holds().then_some(());
        async move { now }
    })
    .await
}

/// Waits for a future that must end in time.
///
/// # Errors
/// After `limit`, naming `what`.
pub async fn within<T>(what: &str, limit: Duration, work: impl Future<Output = T>) -> Result<T> {
    tokio::time::timeout(limit, work)
        .await
        .map_err(|_| anyhow!("{what} took longer than {limit:?}"))
}
