//! The options of a connection string: which stay, and how the client logs in.

use super::Refusal;
use crate::uri::{Parts, decoded};

/// Begins every option that is left out whatever follows.
const DROPPED_FAMILIES: [&str; 4] = ["tls", "ssl", "srv", "proxy"];

/// Options that are left out.
const DROPPED: [&str; 9] = [
    "compressors",
    // Of older drivers: `direct`, `replicaSet`.
    "connect",
    "directConnection",
    "heartbeatFrequencyMS",
    "loadBalanced",
    "localThresholdMS",
    "replicaSet",
    "serverMonitoringMode",
    "zlibCompressionLevel",
];

/// Whether an option of a driver's string is left out when the string is pointed at a Weir:
/// it describes the cluster or the connection to it.
#[must_use]
pub fn is_dropped(name: &str) -> bool {
    let lower = name.to_ascii_lowercase();
    DROPPED_FAMILIES
        .iter()
        .any(|family| lower.starts_with(family))
        || DROPPED.iter().any(|known| known.eq_ignore_ascii_case(name))
}

/// Options that carry a client certificate.
const CERTIFICATES: [&str; 6] = [
    "tlsCertificateKeyFile",
    "tlsCertificateFile",
    "sslClientCertificateKeyFile",
    "sslCertificateFile",
    "ssl_certfile",
    "ssl_keyfile",
];

/// Mechanisms that pass, for they are the client's with Weir.
const PASSING: [&str; 3] = ["DEFAULT", "SCRAM-SHA-1", "SCRAM-SHA-256"];

/// Mechanisms that do not, by the names of the servers' documentation.
const OTHERS: [&str; 5] = [
    "GSSAPI",
    "PLAIN",
    "MONGODB-OIDC",
    "MONGODB-CR",
    "SCRAM-SHA-512",
];

/// How the client logs in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Login {
    /// With a password, or not at all.
    Password,
    /// With a role of AWS.
    Aws,
    /// With a certificate.
    Certificate,
    /// In another way, which is called so.
    Other(&'static str),
}

/// Options, as they are written.
pub(super) struct Options<'a> {
    pub(super) login: Login,
    /// Whether one of the kept names the login's database.
    pub(super) has_source: bool,
    kept: Vec<&'a str>,
    dropped: Vec<&'a str>,
}

impl<'a> Options<'a> {
    pub(super) fn read(parts: &Parts<'a>) -> Result<Self, Refusal> {
        let named: Vec<_> = parts.options().map(named).collect::<Result<_, _>>()?;
        let mut options = Self {
            login: login(&named),
            has_source: false,
            kept: Vec::new(),
            dropped: Vec::new(),
        };
        for (name, _, option) in named {
            options.sort(name, option);
        }
        Ok(options)
    }

    fn sort(&mut self, name: &'a str, option: &'a str) {
        // A session token is among the properties of the mechanism.
        let of_role = self.login == Login::Aws && name.to_ascii_lowercase().starts_with("auth");
        if of_role || is_dropped(name) {
            self.dropped.push(name);
        } else {
            self.has_source |= name.eq_ignore_ascii_case("authSource");
            self.keep(option);
        }
    }

    pub(super) fn keep(&mut self, option: &'a str) {
        self.kept.push(option);
    }

    /// The string asked for TLS, one way or another.
    pub(super) fn drops_tls(&self) -> bool {
        let mut dropped = self.dropped.iter().map(|name| name.to_ascii_lowercase());
        dropped.any(|name| name.starts_with("tls") || name.starts_with("ssl"))
    }

    pub(super) fn query(&self) -> String {
        match self.kept.is_empty() {
            true => String::new(),
            false => format!("?{}", self.kept.join("&")),
        }
    }

    /// Names without values: an option may be a secret.
    pub(super) fn shown(&self) -> String {
        let name = |option: &&'a str| option.split('=').next().unwrap_or_default();
        let kept: Vec<&str> = self.kept.iter().map(name).collect();
        let said = [("with", &kept), ("without", &self.dropped)];
        let said = said.iter().filter(|(_, names)| !names.is_empty());
        let said: Vec<String> = said
            .map(|(what, names)| format!("{what} {}", names.join(", ")))
            .collect();
        match said.is_empty() {
            true => String::new(),
            false => format!(" ({})", said.join("; ")),
        }
    }
}

/// Name, value and the whole of an option.
fn named(option: &str) -> Result<(&str, &str, &str), Refusal> {
    // What has no name may be the rest of a password, and must not be shown as one.
    let (name, value) = option
        .split_once('=')
        .filter(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
        .ok_or(Refusal::Malformed("an option is not written name=value"))?;
    if value.contains('@') && !name.eq_ignore_ascii_case("appName") {
        // Then the '?' was in the password, and everything behind it is cut wrongly.
        return Err(Refusal::Malformed(
            "an '@' stands behind the '?'; a '?' in a password is written %3F",
        ));
    }
    Ok((name, value, option))
}

/// A certificate is the client's proof whatever the mechanism is called.
fn login(options: &[(&str, &str, &str)]) -> Login {
    let is_certificate = |name: &str| {
        let mut known = CERTIFICATES.iter();
        known.any(|known| known.eq_ignore_ascii_case(name))
    };
    if options.iter().any(|(name, ..)| is_certificate(name)) {
        return Login::Certificate;
    }
    let mechanisms = options
        .iter()
        .filter(|(name, ..)| name.eq_ignore_ascii_case("authMechanism"))
        .map(|(_, value, _)| of_mechanism(&decoded(value).to_ascii_uppercase()));
    // Given twice, the one that has a problem.
    let mut mechanisms = mechanisms.filter(|login| *login != Login::Password);
    mechanisms.next().unwrap_or(Login::Password)
}

fn of_mechanism(name: &str) -> Login {
    match name {
        "" => Login::Password,
        name if PASSING.contains(&name) => Login::Password,
        "MONGODB-AWS" => Login::Aws,
        "MONGODB-X509" => Login::Certificate,
        // What nobody knows is not repeated: it may be anything.
        name => Login::Other(
            OTHERS
                .into_iter()
                .find(|known| *known == name)
                .unwrap_or("authMechanism"),
        ),
    }
}
