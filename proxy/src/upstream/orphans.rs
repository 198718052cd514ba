//! Counts the connections that a killed process left behind.
//!
//! When Weir is killed, the kernel closes its sockets, but a server counts a connection until the
//! command on it has ended. Until then the socket stands in the kernel's table and belongs to no
//! process. A successor in the same network namespace counts these sockets against the cap. It may
//! be a restarted sidecar container, or a service on the same machine. In another namespace, and
//! on systems without such a table, the count is zero.

use std::{fs, net::SocketAddr, time::Duration};

use tokio::time::{Instant, sleep};

use crate::topology::NodeAddress;

/// The pause between two counts.
pub(crate) const COUNT_EVERY: Duration = Duration::from_millis(50);

/// The longest time for which orphans delay the start of monitors.
const LONGEST: Duration = Duration::from_secs(10);

/// The state of connections that both ends have closed (`TIME_WAIT`). The server does not count
/// them.
const TIME_WAIT: &str = "06";

/// Returns how many orphaned connections to `node` there are.
pub async fn to(node: &NodeAddress) -> usize {
    let Some(port) = node.port() else {
        return 0;
    };
    let addresses: Vec<_> = match tokio::net::lookup_host((node.host(), port)).await {
        Ok(addresses) => addresses.collect(),
        Err(_) => return 0,
    };
    let counted = tokio::task::spawn_blocking(move || {
        let tables = ["/proc/net/tcp", "/proc/net/tcp6"];
        let text = |table| fs::read_to_string(table).unwrap_or_default();
        tables
            .into_iter()
            .map(|table| count(&text(table), &addresses))
            .sum()
    });
    counted.await.unwrap_or(0)
}

/// Waits until at most `slots` orphaned connections to `node` are left, so that there is room for
/// the sockets that monitor it. Waits 10 s at most. The pool waits for its own slots itself.
pub async fn make_room(node: &NodeAddress, slots: usize) {
    let until = Instant::now() + LONGEST;
    while to(node).await > slots && Instant::now() < until {
        sleep(COUNT_EVERY).await;
    }
}

fn count(table: &str, addresses: &[SocketAddr]) -> usize {
    let orphans = table.lines().skip(1).filter_map(remote_of_orphan);
    orphans.filter(|remote| addresses.contains(remote)).count()
}

/// The remote address of a row, if its socket belongs to no process.
fn remote_of_orphan(row: &str) -> Option<SocketAddr> {
    let mut fields = row.split_ascii_whitespace();
    let remote = fields.nth(2)?;
    let state = fields.next()?;
    let inode = fields.nth(5)?;
    (inode == "0" && state != TIME_WAIT)
        .then(|| address(remote))
        .flatten()
}

/// Parses an address as in `0100007F:6989`: 32-bit words in the machine's byte order, then the
/// port.
fn address(text: &str) -> Option<SocketAddr> {
    let (ip, port) = text.split_once(':')?;
    let port = u16::from_str_radix(port, 16).ok()?;
    let mut bytes = Vec::with_capacity(16);
    for at in (0..ip.len()).step_by(8) {
        let word = u32::from_str_radix(ip.get(at..at + 8)?, 16).ok()?;
        bytes.extend_from_slice(&word.to_ne_bytes());
    }
    let ip = match <[u8; 4]>::try_from(bytes.as_slice()) {
        Ok(v4) => v4.into(),
        Err(_) => std::net::Ipv6Addr::from(<[u8; 16]>::try_from(bytes).ok()?).to_canonical(),
    };
    Some(SocketAddr::new(ip, port))
}

#[cfg(all(test, target_endian = "little"))]
mod tests {
    use super::*;

    const V4: &str = "\
  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:6989 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 5221 1 0 100 0 0 10 0
   1: 0100007F:C001 0100007F:6989 01 00000000:00000000 00:00000000 00000000     0        0 5222 1 0 20 4 30 10 -1
   2: 0100007F:C002 0100007F:6989 05 00000000:00000000 00:00000000 00000000     0        0 0 1 0
   3: 0100007F:C003 0100007F:6989 06 00000000:00000000 03:00000A12 00000000     0        0 0 3 0
   4: 0100007F:C004 0200007F:6989 04 00000000:00000000 00:00000000 00000000     0        0 0 1 0
   5: 0100007F:6989 0100007F:C002 08 00000000:00000000 00:00000000 00000000     0        0 5230 1 0 20 4 30 10 -1
";

    #[test]
    fn only_what_belongs_to_nobody_is_counted() {
        let to = |text: &str| count(V4, &[text.parse().unwrap()]);
        assert_eq!(to("127.0.0.1:27017"), 1);
        assert_eq!(to("127.0.0.2:27017"), 1);
        assert_eq!(to("127.0.0.1:27018"), 0);
    }

    #[test]
    fn addresses_are_read_in_both_families() {
        let read = |text: &str| address(text).map(|a| a.to_string());
        assert_eq!(read("0100007F:6989").unwrap(), "127.0.0.1:27017");
        let mapped = "0000000000000000FFFF00000100007F:6989";
        assert_eq!(read(mapped).unwrap(), "127.0.0.1:27017");
        let loopback = "00000000000000000000000001000000:6989";
        assert_eq!(read(loopback).unwrap(), "[::1]:27017");
        assert_eq!(read("0100:6989"), None);
        assert_eq!(read("zz"), None);
    }
}
