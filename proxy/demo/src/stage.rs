//! What the demo has started, so that it can be taken down from any point.

use std::net::SocketAddr;
use std::path::Path;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::timeout;

use crate::endpoint::Weir;
use crate::error::DemoError;
use crate::outage::Keeper;
use crate::seed;
use crate::sidecar::Sidecar;
use weir_kit::client::{ClientError, Connection};
use weir_kit::messages::Messages;
use weir_kit::mongod::{Binary, ReplicaSet, ServerOptions, SetOptions};
use weir_kit::screen::Screen;

/// Longest wait for a borrowed server to drop the demo's database.
const DROP_LIMIT: Duration = Duration::from_secs(15);

/// Everything that must not outlive the demo.
#[derive(Default)]
pub(super) struct Stage {
    /// The server of our own.
    pub(super) keeper: Option<Keeper>,
    /// The running Weir.
    pub(super) weir: Option<Weir>,
    /// The running sidecars, each with a process of its own.
    pub(super) sidecars: Vec<Sidecar>,
    /// The database to drop, on a server that is not ours.
    pub(super) borrowed: Option<&'static str>,
}

impl Stage {
    /// Replaces the server of our own, if any, by a fresh and empty one that
    /// takes `limit` connections. Returns its address and connection string.
    ///
    /// # Errors
    /// When it does not start.
    pub(super) async fn fresh_server(
        &mut self,
        binary: &Binary,
        temporary: &Path,
        limit: u32,
    ) -> Result<(SocketAddr, String), DemoError> {
        if let Some(old) = self.keeper.take() {
            old.end().await;
        }
        let (binary, temporary) = (binary.clone(), temporary.to_owned());
        let options = SetOptions {
            server: ServerOptions {
                max_connections: Some(limit),
                ..ServerOptions::default()
            },
            ..SetOptions::default()
        };
        let started = spawn_blocking(move || ReplicaSet::start(&binary, &temporary, &options));
        let keeper = Keeper::of(started.await.map_err(std::io::Error::other)??);
        let (address, uri) = (keeper.address(), keeper.uri());
        self.keeper = Some(keeper);
        Ok((address?, uri))
    }

    /// Takes everything down; what cannot be is named.
    pub(super) async fn clear(mut self, screen: &Screen) {
        let weir = self.weir.as_ref().map(|weir| weir.address);
        let sidecar = self.sidecars.first().map(|sidecar| sidecar.address);
        if let (Some(database), Some(address)) = (self.borrowed, weir.or(sidecar)) {
            let dropped = timeout(DROP_LIMIT, drop_database(address, database)).await;
            match dropped {
                Ok(Ok(())) => screen.remark(&format!("Dropped the database {database}.")),
                _ => screen.remark(&format!(
                    "Could not drop the database {database}: please drop it yourself."
                )),
            }
        }
        if let Some(weir) = self.weir.take() {
            weir.stop().await;
        }
        let sidecars = std::mem::take(&mut self.sidecars);
        let _ = spawn_blocking(|| sidecars.into_iter().for_each(Sidecar::stop)).await;
        if let Some(keeper) = self.keeper.take() {
            keeper.end().await;
        }
    }
}

async fn drop_database(address: SocketAddr, database: &str) -> Result<(), ClientError> {
    let messages = Messages::new(database);
    let (mut connection, _) = Connection::open(address, &messages).await?;
    seed::remove(&mut connection, database).await
}
