//! The Weir that is shown: a whole one, in this process.

use std::collections::BTreeMap;
use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::time::Duration;

use tokio::time::timeout;
use tokio_util::task::AbortOnDropHandle;

use super::error::DemoError;
use weir::config::{Config, Flags, settings::name};
use weir::drain::Drain;
use weir::proxy::{Proxy, StartError};

/// Longest wait for Weir to end once it was told twice.
const STOP_LIMIT: Duration = Duration::from_secs(5);

/// What is asked of it; everything else has its default.
#[derive(Clone, Debug)]
pub(super) struct WeirSettings<'a> {
    /// The connection string of the database.
    pub(super) upstream: &'a str,
    /// Where clients connect.
    pub(super) listen: SocketAddr,
    /// Where its status is.
    pub(super) admin: SocketAddr,
    /// The hard cap of connections to each node, monitoring included.
    pub(super) max_connections: u32,
}

/// A running Weir; ends hard when dropped.
#[derive(Debug)]
pub(super) struct Weir {
    /// Where clients connect.
    pub(super) address: SocketAddr,
    /// Where its status is.
    pub(super) admin: SocketAddr,
    /// What its configuration made it say.
    pub(super) warnings: Vec<String>,
    drain: Drain,
    task: AbortOnDropHandle<Result<(), StartError>>,
}

impl Weir {
    /// Starts it as `weir serve` would, but with the settings given here alone:
    /// the user's own `WEIR_` variables are not for the demo.
    ///
    /// # Errors
    /// When a setting is wrong or an address is taken.
    pub(super) async fn start(settings: WeirSettings<'_>) -> Result<Self, DemoError> {
        let flags = Flags::default()
            .with(name::UPSTREAM, settings.upstream)
            .with(name::LISTEN, settings.listen.to_string())
            .with(name::ADMIN, settings.admin.to_string())
            .with(name::MAX_CONNECTIONS, settings.max_connections.to_string());
        let config = Config::load(&flags, &BTreeMap::new(), false).await?;
        let warnings = config.warnings.clone();
        drop(weir::admin::recorder());
        let proxy = Proxy::bind(config).await?;
        Ok(Self {
            address: settings.listen,
            admin: proxy.admin_address().unwrap_or(settings.admin),
            warnings,
            drain: proxy.drain(),
            task: AbortOnDropHandle::new(tokio::spawn(proxy.run())),
        })
    }

    /// Ends it without waiting for clients.
    pub(super) async fn stop(self) {
        self.drain.begin();
        self.drain.begin();
        let _ = timeout(STOP_LIMIT, self.task).await;
    }
}

/// `preferred` on loopback if nothing listens there, else any free port.
pub(super) fn free_address(preferred: u16) -> io::Result<SocketAddr> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, preferred))
        .or_else(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))?;
    listener.local_addr()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_taken_port_is_stepped_around() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = taken.local_addr().unwrap();
        let found = free_address(address.port()).unwrap();
        assert_ne!(found, address);
        assert!(found.ip().is_loopback());
    }
}
