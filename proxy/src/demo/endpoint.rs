//! The seam between the demo and the proxy it shows.

use std::error::Error;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};

/// An error of whatever kind the proxy has.
pub type BoxError = Box<dyn Error + Send + Sync>;

/// What the demo asks of Weir.
#[derive(Clone, Debug)]
pub struct WeirSettings {
    /// The connection string of the database.
    pub upstream: String,
    /// Where clients connect.
    pub listen: SocketAddr,
    /// Where status, metrics and the web page are.
    pub admin: SocketAddr,
    /// The hard cap of connections to each node, monitoring included.
    pub max_connections: u32,
}

/// A running Weir.
pub trait Endpoint: Send + 'static {
    /// Where it really listens.
    fn address(&self) -> SocketAddr;

    /// Where its status is, if it has that.
    fn admin(&self) -> Option<SocketAddr>;

    /// Ends it; clients need not be waited for.
    fn stop(self) -> impl Future<Output = ()> + Send;
}

/// `preferred` on loopback if nothing listens there, else any free port.
pub(super) fn free_address(preferred: u16) -> std::io::Result<SocketAddr> {
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
        let taken = taken.local_addr().map(|address| (taken, address)).unwrap();
        let found = free_address(taken.1.port()).unwrap();
        assert_ne!(found, taken.1);
        drop(taken);
    }
}
