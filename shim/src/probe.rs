//! Checks whether something listens on the address of Weir.

use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::time::{Duration, Instant};

use crate::target::{Place, Target};

/// Pause between two attempts. It is the most that the probe loses when a listener starts late.
const PAUSE: Duration = Duration::from_millis(2);

/// Whether one address of the target accepts a connection within `limit`. A target that contains a
/// host name always counts as reachable, because the shim does not use DNS.
pub fn is_there(target: &Target, limit: Duration) -> bool {
    let end = Instant::now() + limit;
    if target.places().contains(&Place::Name) {
        return true;
    }
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return false;
        }
        if target.places().iter().any(|place| connects(place, left)) {
            return true;
        }
        pause(left.min(PAUSE));
    }
}

fn connects(place: &Place, limit: Duration) -> bool {
    match place {
        Place::Tcp(address) => TcpStream::connect_timeout(address, limit).is_ok(),
        Place::Unix(path) => UnixStream::connect(path).is_ok(),
        Place::Name => true,
    }
}

#[expect(
    clippy::disallowed_methods,
    reason = "the step of a wait for a condition, with a deadline"
)]
fn pause(length: Duration) {
    std::thread::sleep(length);
}

#[cfg(test)]
mod tests {
    use std::net::TcpListener;
    use std::os::unix::net::UnixListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);
    const SHORT: Duration = Duration::from_millis(30);

    fn target(text: &str) -> Target {
        Target::parse(text).unwrap()
    }

    #[test]
    fn a_listener_is_found_at_once_and_none_is_given_up() {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let here = target(&listener.local_addr().unwrap().to_string());
        let start = Instant::now();
        assert!(is_there(&here, LONG));
        assert!(start.elapsed() < LONG / 2);
        drop(listener);
        let start = Instant::now();
        assert!(!is_there(&here, SHORT));
        assert!(start.elapsed() >= SHORT, "the time was not used");
        assert!(start.elapsed() < LONG, "the deadline did not hold");
    }

    #[test]
    fn a_listener_that_comes_late_is_found() {
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap();
        let late = target(&address.to_string());
        let opener = std::thread::spawn(move || {
            // The listener is late only after one connection has been refused.
            assert!(TcpStream::connect(address).is_err());
            TcpListener::bind(address)
        });
        assert!(is_there(&late, LONG));
        opener.join().unwrap().unwrap();
    }

    #[test]
    fn sockets_are_looked_at_and_names_believed() {
        let path = std::env::temp_dir().join(format!("weir-shim-{}.sock", std::process::id()));
        let _ = std::fs::remove_file(&path);
        let here = target(&format!("unix:{}", path.display()));
        assert!(!is_there(&here, SHORT));
        let listener = UnixListener::bind(&path).unwrap();
        assert!(is_there(&here, SHORT));
        drop(listener);
        std::fs::remove_file(&path).unwrap();
        assert!(is_there(&target("no-such-host.invalid:1"), SHORT));
        assert!(!is_there(&target("127.0.0.1:27017"), Duration::ZERO));
    }
}
