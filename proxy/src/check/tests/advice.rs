//! Every failure says what to change.

use std::io;
use std::time::Duration;

use super::config;
use crate::check::advice::{of_failure, own_address};
use crate::upstream::ConnectError;
use crate::upstream::auth::LoginError;

async fn advice_for(upstream: &str, error: &ConnectError, seed: bool) -> String {
    let config = config(upstream, "127.0.0.1:27099").await;
    of_failure(error, &config.listeners[0].upstream, seed)
}

fn certificate(error: rustls::CertificateError) -> ConnectError {
    let error = rustls::Error::InvalidCertificate(error);
    ConnectError::Tls {
        error: io::Error::new(io::ErrorKind::InvalidData, error),
    }
}

#[tokio::test]
async fn the_mend_fits_the_failure() {
    use rustls::CertificateError::{NotValidForName, UnknownIssuer};
    let plain = "mongodb://app:pw@a/?authMechanism=SCRAM-SHA-256";
    let refused = |code| {
        ConnectError::Login(LoginError::Refused {
            code,
            message: "no".to_owned(),
        })
    };
    let network = |kind: io::ErrorKind| ConnectError::Network(kind.into());
    let lookup = io::Error::other("failed to lookup address information: unknown");
    let eof = ConnectError::Tls {
        error: io::ErrorKind::UnexpectedEof.into(),
    };
    let closed = "the database closed the connection".to_owned();
    let noise = "the database sent a malformed message: x".to_owned();
    for (error, words) in [
        (
            network(io::ErrorKind::ConnectionRefused),
            "that the database runs",
        ),
        (network(io::ErrorKind::NetworkUnreachable), "routes"),
        (network(io::ErrorKind::NotFound), "path"),
        (ConnectError::Network(lookup), "its name does not resolve"),
        (certificate(UnknownIssuer), "tlsCAFile"),
        (certificate(NotValidForName), "another host name"),
        (eof, "remove tls=true"),
        (ConnectError::Handshake(closed), "add tls=true"),
        (ConnectError::Handshake(noise), "check host and port"),
        (
            refused(18),
            "user app of database admin or its password is wrong",
        ),
        (
            refused(18),
            "authSource (now admin), or remove authMechanism",
        ),
        (refused(334), "is refused (no, code 334)"),
        (
            ConnectError::TimedOut(Duration::from_secs(10)),
            "IP access list",
        ),
        (ConnectError::NotLoadBalanced, "remove loadBalanced=true"),
        (ConnectError::Itself, "--upstream must name the database"),
    ] {
        let sentence = advice_for(plain, &error, true).await;
        assert!(sentence.contains(words), "{sentence}");
        assert!(!sentence.contains("pw"), "{sentence}");
    }
}

#[tokio::test]
async fn an_unreachable_member_is_traced_to_the_set_s_configuration() {
    let error = ConnectError::Network(io::ErrorKind::ConnectionRefused.into());
    let seed = advice_for("mongodb://a", &error, true).await;
    let member = advice_for("mongodb://a", &error, false).await;
    assert!(!seed.contains("rs.conf()"), "{seed}");
    assert!(member.contains("rs.conf()"), "{member}");
}

#[tokio::test]
async fn an_upstream_that_is_the_listener_is_noticed() {
    for (upstream, listen, own) in [
        ("mongodb://127.0.0.1:5", "127.0.0.1:5", true),
        ("mongodb://localhost:5", "127.0.0.1:5", true),
        ("mongodb://localhost:5", "localhost:5", true),
        ("mongodb://127.0.0.1:5", "localhost:5", true),
        ("mongodb://u:p@a:1,127.0.0.1:5", "0.0.0.0:5", true),
        ("mongodb://[::1]:5", "[::1]:5", true),
        ("mongodb://127.0.0.1:6", "127.0.0.1:5", false),
        ("mongodb://u:p@db:5", "0.0.0.0:5", false),
        ("mongodb://127.0.0.2:5", "127.0.0.1:5", false),
        ("mongodb://127.0.0.1:5", "unix:/tmp/5.sock", false),
    ] {
        let config = config(upstream, listen).await;
        let found = own_address(&config.listeners[0]);
        assert_eq!(found.is_some(), own, "{upstream} {listen}: {found:?}");
    }
}
