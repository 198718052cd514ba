//! The string of a driver becomes the string for a Weir: same login, same database, same wishes,
//! another address. Pure.
//!
//! User information, database and kept options stay byte for byte. Left out is what describes the
//! cluster or the way to it; Weir answers as one plain mongos.

use std::fmt;

/// Begins every option that is left out whatever follows.
const DROPPED_FAMILIES: [&str; 4] = ["tls", "ssl", "srv", "proxy"];

/// Options that are left out.
const DROPPED: [&str; 8] = [
    "compressors",
    "directConnection",
    "heartbeatFrequencyMS",
    "loadBalanced",
    "localThresholdMS",
    "replicaSet",
    "serverMonitoringMode",
    "zlibCompressionLevel",
];

/// Options that carry a client certificate.
const CERTIFICATES: [&str; 5] = [
    "tlsCertificateKeyFile",
    "tlsCertificateFile",
    "sslClientCertificateKeyFile",
    "sslCertificateFile",
    "ssl_certfile",
];

/// Logins that Weir's clients can make.
const MECHANISMS: [&str; 3] = ["DEFAULT", "SCRAM-SHA-1", "SCRAM-SHA-256"];

/// What became of a string.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Rewritten {
    /// The new string.
    pub(crate) uri: String,
    /// The hosts that the old one named.
    pub(crate) hosts: String,
    /// The new one, without login and option values, and what was left out of it.
    pub(crate) shown: String,
    /// It named the target already.
    pub(crate) was_done: bool,
}

/// The strings hold passwords.
impl fmt::Debug for Rewritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Why a string stays as it is. Never quotes it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Refusal {
    /// It is not understood.
    Malformed(&'static str),
    /// The login cannot be made through Weir.
    Mechanism(String),
    /// The client proves itself with a certificate.
    Certificate,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "it is not understood: {why}"),
            Self::Mechanism(name) => write!(
                f,
                "its authMechanism {name} cannot pass through Weir; clients of Weir log in with \
                 user and password (SCRAM)"
            ),
            Self::Certificate => f.write_str(
                "it presents a client certificate, which cannot pass through Weir; clients of \
                 Weir log in with user and password (SCRAM)",
            ),
        }
    }
}

/// Whether this is the string of a driver.
pub(crate) fn is_connection_string(text: &str) -> bool {
    text.starts_with("mongodb://") || text.starts_with("mongodb+srv://")
}

/// Points `uri` at `target`, a list of host:port.
///
/// # Errors
/// [`Refusal`], when the result would not work.
pub(crate) fn rewrite(uri: &str, target: &str) -> Result<Rewritten, Refusal> {
    let parts = Parts::parse(uri)?;
    let mut options = Options::default();
    for option in parts.options() {
        options.add(option)?;
    }
    // What a driver takes from the SRV's TXT record, and every Atlas cluster has there.
    if parts.srv && parts.login.is_some() && !options.has_source {
        options.keep("authSource=admin");
    }
    let was_done = !parts.srv && parts.hosts.eq_ignore_ascii_case(target);
    let login = parts
        .login
        .map_or_else(String::new, |login| format!("{login}@"));
    let uri = format!(
        "mongodb://{login}{target}/{}{}",
        parts.database,
        options.query()
    );
    let shown = format!(
        "mongodb://{}{target}/{}{}",
        if parts.login.is_some() { "***@" } else { "" },
        parts.database,
        options.shown(),
    );
    Ok(Rewritten {
        uri,
        hosts: parts.hosts.to_ascii_lowercase(),
        shown,
        was_done,
    })
}

struct Parts<'a> {
    srv: bool,
    login: Option<&'a str>,
    hosts: &'a str,
    database: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    fn parse(uri: &'a str) -> Result<Self, Refusal> {
        let (srv, rest) = match (
            uri.strip_prefix("mongodb://"),
            uri.strip_prefix("mongodb+srv://"),
        ) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(Refusal::Malformed("it does not begin with mongodb://")),
        };
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Refusal::Malformed("there is white space in it"));
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = match before.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, before),
        };
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        if hosts.is_empty() {
            return Err(Refusal::Malformed("it names no host"));
        }
        // The host of a unix socket is percent-encoded: a slash in the database is a stray one.
        if database.contains('/') {
            return Err(Refusal::Malformed("there is a '/' too many in it"));
        }
        Ok(Self {
            srv,
            login,
            hosts,
            database,
            query,
        })
    }

    fn options(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let options = self.query.split(['&', ';']);
        options.filter(|option| !option.is_empty())
    }
}

#[derive(Default)]
struct Options<'a> {
    kept: Vec<&'a str>,
    dropped: Vec<&'a str>,
    has_source: bool,
}

impl<'a> Options<'a> {
    fn add(&mut self, option: &'a str) -> Result<(), Refusal> {
        // What has no name may be the rest of a password, and must not be shown as one.
        let (name, value) = option
            .split_once('=')
            .filter(|(name, _)| name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_'))
            .ok_or(Refusal::Malformed("an option is not written name=value"))?;
        let is = |known: &&str| known.eq_ignore_ascii_case(name);
        if value.contains('@') && !is(&"appName") {
            // Then the '?' was in the password, and everything behind it is cut wrongly.
            return Err(Refusal::Malformed(
                "an '@' stands behind the '?'; a '?' in a password is written %3F",
            ));
        }
        if is(&"authMechanism") {
            let mechanism = decoded(value).to_ascii_uppercase();
            if !MECHANISMS.contains(&mechanism.as_str()) {
                return Err(Refusal::Mechanism(mechanism));
            }
        }
        if CERTIFICATES.iter().any(is) {
            return Err(Refusal::Certificate);
        }
        self.has_source |= is(&"authSource");
        let lower = name.to_ascii_lowercase();
        let of_family = |family: &&str| lower.starts_with(family);
        if DROPPED.iter().any(is) || DROPPED_FAMILIES.iter().any(of_family) {
            self.dropped.push(name);
        } else {
            self.keep(option);
        }
        Ok(())
    }

    fn keep(&mut self, option: &'a str) {
        self.kept.push(option);
    }

    fn query(&self) -> String {
        match self.kept.is_empty() {
            true => String::new(),
            false => format!("?{}", self.kept.join("&")),
        }
    }

    /// Names without values: an option may be a secret.
    fn shown(&self) -> String {
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

/// Percent-decoded, as far as that gives ASCII; a mechanism's name is nothing else.
fn decoded(text: &str) -> String {
    let mut decoded = String::with_capacity(text.len());
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('%') {
        decoded.push_str(before);
        let code = after
            .get(..2)
            .and_then(|hex| u8::from_str_radix(hex, 16).ok());
        match (code, after.get(2..)) {
            (Some(code), Some(behind)) => {
                decoded.push(char::from(code));
                rest = behind;
            }
            _ => {
                decoded.push('%');
                rest = after;
            }
        }
    }
    decoded.push_str(rest);
    decoded
}

#[cfg(test)]
mod tests;
