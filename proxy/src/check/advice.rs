//! Why a node could not be reached, in a sentence that says what to change. Pure.

use std::io;
use std::net::IpAddr;

use crate::config::{ListenAddr, ListenerConfig, Mechanism, Upstream, tls};
use crate::upstream::ConnectError;
use crate::upstream::auth::LoginError;

/// AuthenticationFailed.
const AUTHENTICATION_FAILED: i32 = 18;

/// What to do about this failure to connect. `seed` tells whether the connection string names
/// the node; otherwise the replica set's own configuration does.
pub(super) fn of_failure(error: &ConnectError, upstream: &Upstream, seed: bool) -> String {
    let mut sentence = match error {
        ConnectError::Network(error) => of_network(error),
        ConnectError::Tls { error } => of_tls(error),
        ConnectError::Handshake(reason) => of_handshake(reason, upstream.tls.is_some()),
        ConnectError::Login(error) => of_login(error, upstream),
        ConnectError::Credentials(unsaid) => format!(
            "{unsaid}; it must answer this process (on EC2, containers need a hop limit of 2)"
        ),
        ConnectError::TimedOut(limit) => format!(
            "no answer within {:.0} s: the server hangs, a firewall drops the packets (on Atlas: \
             add this machine to the IP access list), or the address is wrong",
            limit.as_secs_f64()
        ),
        other => other.to_string(),
    };
    let unreachable = matches!(error, ConnectError::Network(_) | ConnectError::TimedOut(_));
    if unreachable && !seed {
        sentence.push_str(
            "; this address is not from --upstream but from the replica set's own configuration \
             (rs.conf()), and must be reachable from this machine too",
        );
    }
    sentence
}

fn of_network(error: &io::Error) -> String {
    match error.kind() {
        io::ErrorKind::ConnectionRefused => "nothing listens there (connection refused); check \
            host and port, and that the database runs"
            .to_owned(),
        io::ErrorKind::NotFound => {
            format!("there is no such socket ({error}); check the path")
        }
        io::ErrorKind::HostUnreachable | io::ErrorKind::NetworkUnreachable => format!(
            "there is no way to it ({error}); check the address, and this machine's routes and \
             security groups"
        ),
        // The standard library has no kind of its own for this.
        _ if error.to_string().starts_with("failed to lookup address") => format!(
            "its name does not resolve ({error}); correct the host, or let this machine's DNS \
             know it"
        ),
        _ => format!("it cannot be reached: {error}"),
    }
}

fn of_tls(error: &io::Error) -> String {
    let cause: Option<&rustls::Error> = error.get_ref().and_then(|cause| cause.downcast_ref());
    let hint = match cause {
        Some(cause) if tls::advice(cause).is_some() => tls::advice(cause),
        // It speaks TLS and says no, most likely to a missing or strange client certificate.
        Some(rustls::Error::AlertReceived(_)) => Some(
            "the server refused it; if it demands a client certificate, name one with \
             tlsCertificateKeyFile",
        ),
        Some(rustls::Error::InvalidCertificate(_)) => Some("see to the server's certificate"),
        _ => None,
    };
    let hint = hint.unwrap_or(
        "the server may not speak TLS; if so, remove tls=true from --upstream (mongodb+srv:// \
         implies it: add tls=false)",
    );
    format!("TLS failed ({error}): {hint}")
}

fn of_handshake(reason: &str, tls: bool) -> String {
    if reason.contains("malformed") {
        return format!(
            "something answers there, but not a MongoDB server ({reason}); check host and port"
        );
    }
    let demand = if tls {
        "it may have no connection left to give"
    } else {
        "it may demand TLS (add tls=true to --upstream), or have no connection left to give"
    };
    format!("it ended the connection before it had said hello ({reason}); {demand}")
}

fn of_login(error: &LoginError, upstream: &Upstream) -> String {
    let Some(credential) = &upstream.credential else {
        return error.to_string();
    };
    let LoginError::Refused { code, message } = error else {
        return match credential.mechanism {
            Some(Mechanism::Aws) => format!("{error}; MONGODB-AWS is spoken by Atlas only"),
            _ => format!("{error}; check user and password in --upstream"),
        };
    };
    if credential.mechanism == Some(Mechanism::X509) {
        return format!(
            "the certificate in tlsCertificateKeyFile is refused as a login ({message}, code \
             {code}); its subject must be a user of $external"
        );
    }
    if credential.mechanism == Some(Mechanism::Aws) {
        return format!(
            "the role, or the user of AWS, is refused as a login ({message}, code {code}): its \
             ARN must be a user of $external, and its keys must be good now"
        );
    }
    let (user, source) = (&credential.username, &credential.source);
    let mut hint = format!(
        "correct user and password in --upstream (special characters percent-encoded), or name \
         the database that defines the user with authSource (now {source})"
    );
    if credential.mechanism.is_some() {
        hint.push_str(", or remove authMechanism");
    }
    match *code {
        AUTHENTICATION_FAILED => {
            format!("user {user} of database {source} or its password is wrong; {hint}")
        }
        code => format!("the login of user {user} is refused ({message}, code {code}); {hint}"),
    }
}

/// An upstream that is the listener itself: Weir would talk to itself, or could not listen.
pub(super) fn own_address(listener: &ListenerConfig) -> Option<String> {
    let is_own = |host: &str, port: u16, address: &ListenAddr| {
        let ip: Option<IpAddr> = host.parse().ok();
        let loopback = host == "localhost" || ip.is_some_and(|ip| ip.is_loopback());
        match address {
            ListenAddr::Unix(_) => false,
            ListenAddr::Name {
                host: name,
                port: own,
            } => {
                let same = name.eq_ignore_ascii_case(host) || (address.is_local() && loopback);
                *own == port && same
            }
            ListenAddr::Tcp(own) => {
                let any = own.ip().is_unspecified() && loopback;
                let named = own.ip().is_loopback() && host == "localhost";
                own.port() == port && (any || named || ip == Some(own.ip()))
            }
        }
    };
    let mut hosts = listener.upstream.hosts.iter();
    let own = hosts.find(|host| {
        let mut addresses = listener.listen.iter();
        addresses.any(|address| is_own(&host.host, host.port, address))
    });
    own.map(|host| {
        format!(
            "{host} is in --upstream and also an address that Weir itself listens on; give Weir \
             another one, as in --listen 127.0.0.1:27018, or name the database in --upstream"
        )
    })
}
