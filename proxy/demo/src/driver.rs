//! What a MongoDB driver does around one operation: wait for a known server,
//! check a connection out, send, and try once more where that is safe.
//!
//! The rules are those of `server-discovery-and-monitoring.md`,
//! `retryable-reads.md` and `retryable-writes.md` as PyMongo and the Node
//! driver implement them, for a pool that needs a single connection, as in a
//! Lambda environment, which serves one request at a time.

use std::sync::Arc;
use std::time::Duration;

use tokio::time::timeout;

use crate::link::{Failure, Link, Seen};
use crate::world::World;
use weir_kit::client::{Connection, Reply};

/// `serverSelectionTimeoutMS` of all drivers.
const SERVER_SELECTION_TIMEOUT: Duration = Duration::from_secs(30);

/// The driver of one environment.
#[derive(Debug)]
pub(super) struct Driver {
    world: Arc<World>,
    link: Arc<Link>,
    pooled: Option<Connection>,
}

impl Driver {
    /// A driver that has connected to nothing yet.
    pub(super) fn new(world: Arc<World>, link: Arc<Link>) -> Self {
        Self {
            world,
            link,
            pooled: None,
        }
    }

    /// Has a connection ready, as the first operation of an application does.
    ///
    /// # Errors
    /// [`Failure`] after the second attempt.
    pub(super) async fn connect(&mut self) -> Result<(), Failure> {
        match self.check_out().await {
            Err(error) if error.is_retryable() => self.check_out().await,
            other => other,
        }
        .map(|connection| self.pooled = Some(connection))
    }

    /// Runs one retryable operation. `message` is sent as it is in both
    /// attempts: session and transaction number tell the server that they are
    /// the same write.
    ///
    /// # Errors
    /// [`Failure`] of the second attempt, or of the first when a driver would
    /// not make another.
    pub(super) async fn run(&mut self, message: &[u8]) -> Result<(), Failure> {
        match self.attempt(message).await {
            Err(error) if error.is_retryable() => self.attempt(message).await,
            other => other,
        }
        .map(drop)
    }

    async fn attempt(&mut self, message: &[u8]) -> Result<Reply, Failure> {
        // Out of the pool while in use: an attempt that is cancelled or broken
        // takes its connection with it.
        let mut connection = self.check_out().await?;
        let answer = connection.exchange(message.to_vec()).await;
        match &answer {
            Err(error) if error.is_network() => self.link.server_lost(),
            _ => self.pooled = Some(connection),
        }
        Ok(answer?)
    }

    async fn check_out(&mut self) -> Result<Connection, Failure> {
        self.select_server().await?;
        if let Some(connection) = self.pooled.take() {
            return Ok(connection);
        }
        let opened = Connection::open(self.world.address, &self.world.messages).await;
        if let Err(error) = &opened {
            self.world.tally.note_refusal(error);
            self.link.server_lost();
        }
        Ok(opened?.0)
    }

    async fn select_server(&self) -> Result<(), Failure> {
        let mut server = self.link.server.subscribe();
        if *server.borrow_and_update() != Seen::Nothing {
            return Ok(());
        }
        self.link.wanted.send_replace(true);
        let found = timeout(
            SERVER_SELECTION_TIMEOUT,
            server.wait_for(|seen| *seen != Seen::Nothing),
        )
        .await;
        self.link.wanted.send_replace(false);
        match found {
            Ok(Ok(_)) => Ok(()),
            _ => Err(Failure::NoServer),
        }
    }
}
