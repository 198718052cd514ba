//! The connection string an application must use, for each placement to Weir.
//!
//! Made from the upstream's own string: user information byte for byte, database, and everything
//! that says how *this* application wants its commands. What describes the cluster is left out,
//! and each omission is explained.

use std::fmt;

use crate::config::uri::draft::redacted_option;
use crate::config::uri::table::{self, InClient};
use crate::config::uri::text::{OptionText, UriText};
use crate::config::{Credential, ListenAddr, Mechanism, Secret, Upstream};

/// How an application reaches Weir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Placement {
    /// One Weir at one address: a sidecar, or a single service.
    Address(String),
    /// Several Weirs, all listed in the string.
    List(Vec<String>),
    /// Several Weirs behind one network load balancer.
    Balancer(String),
    /// A unix socket on the same machine.
    Unix(String),
}

impl Placement {
    /// What the placement is called in reports.
    pub const fn name(&self) -> &'static str {
        match self {
            Self::Address(_) => "one Weir (sidecar or service)",
            Self::List(_) => "several Weirs, listed",
            Self::Balancer(_) => "several Weirs behind a balancer",
            Self::Unix(_) => "unix socket",
        }
    }

    /// The placements to a listener. Addresses that stand for "any" become a name to fill in.
    pub fn of(listen: &[ListenAddr]) -> Vec<Self> {
        let mut placements = Vec::new();
        for address in listen {
            match address {
                ListenAddr::Unix(path) => placements.push(Self::Unix(path.display().to_string())),
                ListenAddr::Name { host, port } => {
                    placements.push(Self::Address(format!("{host}:{port}")));
                }
                ListenAddr::Tcp(tcp) if tcp.ip().is_unspecified() => {
                    placements.push(Self::Address(format!("WEIR_HOST:{}", tcp.port())));
                }
                ListenAddr::Tcp(tcp) => placements.push(Self::Address(tcp.to_string())),
            }
        }
        let shared = listen
            .iter()
            .find(|address| !address.is_local())
            .and_then(|address| match address {
                ListenAddr::Tcp(tcp) => Some(tcp.port()),
                ListenAddr::Name { port, .. } => Some(*port),
                ListenAddr::Unix(_) => None,
            });
        if let Some(port) = shared {
            placements.push(Self::List(vec![
                format!("WEIR_HOST_1:{port}"),
                format!("WEIR_HOST_2:{port}"),
            ]));
            placements.push(Self::Balancer(format!("BALANCER_HOST:{port}")));
        }
        placements
    }

    /// The host part of the string.
    fn hosts(&self) -> String {
        match self {
            Self::Address(address) | Self::Balancer(address) => address.clone(),
            Self::List(addresses) => addresses.join(","),
            Self::Unix(path) => percent_encode(path),
        }
    }
}

/// A connection string for one placement. `Debug` and `Display` mask the password.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientString {
    /// The placement it is for.
    pub placement: Placement,
    /// Options of the upstream's string that are not in it, each with the reason.
    pub dropped: Vec<(String, String)>,
    /// What else the reader must know.
    pub notes: Vec<&'static str>,
    open: Secret,
    masked: String,
}

impl ClientString {
    /// The string with its password.
    pub fn reveal(&self) -> &str {
        self.open.reveal()
    }

    /// The string with `***` for its password.
    pub fn masked(&self) -> &str {
        &self.masked
    }
}

impl fmt::Display for ClientString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.masked)
    }
}

impl fmt::Debug for ClientString {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientString")
            .field("placement", &self.placement)
            .field("string", &self.masked)
            .field("dropped", &self.dropped)
            .field("notes", &self.notes)
            .finish()
    }
}

/// The strings for each of `placements`. `tls` tells whether the listener speaks TLS over TCP.
pub fn client_strings(
    upstream: &Upstream,
    placements: &[Placement],
    tls: bool,
) -> Vec<ClientString> {
    let text = upstream.text().reveal();
    placements
        .iter()
        .filter_map(|placement| client_string(text, upstream.credential.as_ref(), placement, tls))
        .collect()
}

/// The string for one placement. `None` when `text` is no connection string.
///
/// `credential` is the upstream's, after SRV: its source is written out where the host list no
/// longer implies it.
pub(crate) fn client_string(
    text: &str,
    credential: Option<&Credential>,
    placement: &Placement,
    tls: bool,
) -> Option<ClientString> {
    let uri = UriText::parse(text).ok()?;
    let external = credential.and_then(|known| known.mechanism);
    let external = external.filter(|mechanism| mechanism.is_external());
    let mut maker = Maker::default();
    for option in &uri.options {
        maker.option(option, external);
    }
    if let Some(mechanism) = external {
        maker.drop_option(
            "user name",
            match mechanism {
                Mechanism::Aws => {
                    "the role proves Weir, not the application; clients of this listener do not \
                     log in"
                }
                _ => {
                    "the certificate proves Weir, not the application; clients of this listener \
                     do not log in"
                }
            },
        );
    }
    if uri.srv {
        maker.drop_option("mongodb+srv://", "Weir resolves the SRV record");
    }
    let source = credential.filter(|_| uri.srv && external.is_none() && !maker.has_source);
    if let Some(credential) = source {
        maker.keep(format!("authSource={}", percent_encode(&credential.source)));
    }
    if tls && !matches!(placement, Placement::Unix(_)) {
        maker.keep("tls=true".to_owned());
        maker.notes.push(
            "the application must trust the authority of Weir's certificate: add tlsCAFile \
             unless the machine trusts it already",
        );
    }
    if matches!(placement, Placement::Balancer(_)) {
        maker.keep("loadBalanced=true".to_owned());
    }
    if matches!(placement, Placement::Unix(path) if !path.ends_with(".sock")) {
        maker
            .notes
            .push("drivers take a path for a unix socket only if it ends in .sock: rename it");
    }
    let user_info = uri.user_info.as_ref().filter(|_| external.is_none());
    Some(maker.finish(&uri, user_info, placement))
}

/// Collects what stays and what goes.
#[derive(Default)]
struct Maker {
    kept: Vec<String>,
    /// The same, secrets masked.
    masked: Vec<String>,
    dropped: Vec<(String, String)>,
    notes: Vec<&'static str>,
    has_source: bool,
}

impl Maker {
    /// `external`: how Weir logs in, if clients cannot do the same.
    fn option(&mut self, option: &OptionText<'_>, external: Option<Mechanism>) {
        let known = table::find(option.name);
        let name = known.map_or(option.name, |known| known.name);
        if let Some(mechanism) = external
            && name.starts_with("auth")
        {
            let why = match mechanism {
                Mechanism::Aws => "clients do not log in by a role",
                _ => "clients do not log in by certificate",
            };
            self.drop_option(name, why);
            return;
        }
        match table::in_client(option.name) {
            InClient::Dropped(why) => self.drop_option(name, why),
            InClient::Kept => {
                self.has_source |= name == "authSource";
                self.kept.push(format!("{}={}", option.name, option.raw));
                self.masked.push(redacted_option(option));
            }
        }
    }

    /// Adds an option that is no secret.
    fn keep(&mut self, option: String) {
        self.masked.push(option.clone());
        self.kept.push(option);
    }

    fn drop_option(&mut self, name: &str, why: &str) {
        if self.dropped.iter().all(|(dropped, _)| dropped != name) {
            self.dropped.push((name.to_owned(), why.to_owned()));
        }
    }

    fn finish(
        self,
        uri: &UriText<'_>,
        user_info: Option<&Secret>,
        placement: &Placement,
    ) -> ClientString {
        let login = |shown: &str| format!("{shown}@");
        let open = user_info.map_or_else(String::new, |info| login(info.reveal()));
        let masked =
            user_info.map_or_else(String::new, |info| match info.reveal().split_once(':') {
                Some((user, _)) => login(&format!("{user}:***")),
                None => login(info.reveal()),
            });
        let rest = |options: &[String]| {
            format!(
                "{}/{}{}{}",
                placement.hosts(),
                uri.raw_database.unwrap_or_default(),
                if options.is_empty() { "" } else { "?" },
                options.join("&"),
            )
        };
        ClientString {
            placement: placement.clone(),
            dropped: self.dropped,
            notes: self.notes,
            open: Secret::new(format!("mongodb://{open}{}", rest(&self.kept))),
            masked: format!("mongodb://{masked}{}", rest(&self.masked)),
        }
    }
}

/// Escapes everything but letters, digits, `-`, `.`, `_` and `~` (RFC 3986, section 2.3), and
/// leaves `$`, which drivers take as it is.
fn percent_encode(text: &str) -> String {
    let mut encoded = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'-' | b'.' | b'_' | b'~' | b'$' => encoded.push(char::from(byte)),
            _ if byte.is_ascii_alphanumeric() => encoded.push(char::from(byte)),
            _ => encoded.push_str(&format!("%{byte:02X}")),
        }
    }
    encoded
}

#[cfg(test)]
mod tests;
