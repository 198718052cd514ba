//! Transactions and sessions.

use anyhow::Result;
use weir_tests::cluster::shared;

use crate::support::{before, passes, single};

#[tokio::test]
async fn commit_abort_conflict_and_retry() -> Result<()> {
    passes(&single().await?, "transactions.py").await
}

#[tokio::test]
async fn causal_sessions_read_their_writes_on_secondaries() -> Result<()> {
    passes(&before(shared::three().await?).await?, "causal.py").await
}
