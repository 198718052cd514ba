//! A server's own count of its connections.

use anyhow::{Context, Result};
use bson::doc;
use mongodb::Client;

/// Asks `serverStatus` over a connection that was there at the start.
pub struct Counter {
    client: Client,
    baseline: i64,
}

impl Counter {
    pub(super) async fn start(client: Client) -> Result<Self> {
        let mut counter = Self {
            client,
            baseline: 0,
        };
        // The first question opens the sockets that the second one counts.
        counter.total().await?;
        counter.baseline = counter.total().await?;
        Ok(counter)
    }

    /// Connections now, less those that were there at the start. A set's
    /// members open and close some among themselves.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn above_baseline(&self) -> Result<i64> {
        Ok(self.total().await? - self.baseline)
    }

    /// Connections now.
    ///
    /// # Errors
    /// When the server does not answer.
    pub async fn total(&self) -> Result<i64> {
        let command = doc! { "serverStatus": 1 };
        let status = self.client.database("admin").run_command(command).await?;
        let current = status.get_document("connections")?.get("current");
        let current = current.and_then(|count| {
            let wide = count.as_i32().map(i64::from);
            wide.or_else(|| count.as_i64())
        });
        current.context("serverStatus without connections.current")
    }
}
