//! A deployment as it was found before anything is measured.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::Semaphore;

use crate::Trouble;
use crate::connection::Direct;
use weir::config::settings::name;
use weir::config::{Config, Flags, Problems};
use weir::downstream::frontend::new_process_id;
use weir::topology::NodeAddress;
use weir::upstream::Connector;

/// Logins in progress at a time. Each costs a server some milliseconds of hashing.
const LOGINS: usize = 16;

/// One deployment that the command line named.
pub(super) struct Target {
    /// Its connection string, as given.
    pub(super) uri: String,
    /// The same with its password masked.
    pub(super) shown: String,
    /// What it is, as in `replica set`.
    pub(super) kind: String,
    /// The server's version, as in `MongoDB 7.0.28`, if it tells.
    pub(super) version: Option<String>,
    /// The node that takes writes; the load goes there.
    pub(super) node: NodeAddress,
    /// Connections of that node, open now and still accepted, if this user may ask.
    pub(super) connections: Option<(u64, u64)>,
    /// Its configuration with the default pool.
    pub(super) config: Config,
}

impl Target {
    /// What a Weir with this pool would be told.
    ///
    /// # Errors
    /// [`Problems`] when the pool is too small for its monitors, and the like.
    pub(super) async fn load(uri: &str, pool: Option<u32>) -> Result<Config, Problems> {
        let mut flags = Flags::default()
            .with(name::UPSTREAM, uri)
            .with(name::LISTEN, "127.0.0.1:0")
            .with(name::ADMIN, "127.0.0.1:0");
        if let Some(pool) = pool {
            flags = flags.with(name::MAX_CONNECTIONS, pool.to_string());
        }
        Config::load(&flags, &BTreeMap::new(), false).await
    }

    /// Sockets that watch each node, of every pool.
    pub(super) fn monitors(&self) -> u32 {
        let listener = self.config.listeners.first();
        let monitors = listener.map_or(0, |listener| listener.upstream.monitor_sockets());
        u32::try_from(monitors).unwrap_or(u32::MAX)
    }

    /// A way to its node without a Weir.
    ///
    /// # Errors
    /// When the files that the connection string names cannot be used.
    pub(super) fn direct(&self) -> Result<Arc<Direct>, Trouble> {
        let listener = self.config.listeners.first();
        let upstream = &listener
            .ok_or_else(|| Trouble("no upstream".to_owned()))?
            .upstream;
        let mut connector = Connector::new(upstream, new_process_id())
            .map_err(|error| Trouble(format!("{}: {error}", self.shown)))?;
        // What is measured is the wait, not the codec.
        connector.compressors = Vec::new();
        Ok(Arc::new(Direct {
            connector,
            node: self.node.clone(),
            logins: Semaphore::new(LOGINS),
        }))
    }
}
