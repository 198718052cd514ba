//! The text of a connection string: its parts as they are written, percent-decoding, and hosts in
//! one form. Pure. The shim, the extension and the proxy use this one reading.

use std::fmt;

/// The port of a host that is written without one.
pub const PORT: u16 = 27017;

/// Why a text is no connection string. Never quotes the text: it holds a password.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed(pub &'static str);

impl fmt::Display for Malformed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

/// Whether this is the string of a driver.
pub fn is_connection_string(text: &str) -> bool {
    text.starts_with("mongodb://") || text.starts_with("mongodb+srv://")
}

/// `scheme://user@hosts/database?query`, each part as it is written.
#[derive(Clone, Copy)]
pub struct Parts<'a> {
    /// The scheme is `mongodb+srv`.
    pub srv: bool,
    /// User name, and password if there is one.
    pub user: Option<&'a str>,
    /// One host or several, with commas between.
    pub hosts: &'a str,
    /// The default database; may be empty.
    pub database: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    /// Takes `uri` apart.
    ///
    /// # Errors
    /// [`Malformed`], when a driver would not understand it either.
    pub fn parse(uri: &'a str) -> Result<Self, Malformed> {
        let (srv, rest) = match (
            uri.strip_prefix("mongodb://"),
            uri.strip_prefix("mongodb+srv://"),
        ) {
            (Some(rest), _) => (false, rest),
            (_, Some(rest)) => (true, rest),
            _ => return Err(Malformed("it does not begin with mongodb://")),
        };
        if rest.chars().any(|c| c.is_whitespace() || c.is_control()) {
            return Err(Malformed("there is white space in it"));
        }
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user, place) = match before.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, before),
        };
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        if hosts.is_empty() {
            return Err(Malformed("it names no host"));
        }
        if !hosts.split(',').all(is_host) {
            return Err(Malformed("a host is not written host:port"));
        }
        // The host of a unix socket is percent-encoded: a slash in the database is a stray one.
        if database.contains('/') {
            return Err(Malformed("there is a '/' too many in it"));
        }
        Ok(Self {
            srv,
            user,
            hosts,
            database,
            query,
        })
    }

    /// The database, for people to read. Where a string is written in the wrong order, what
    /// stands in this place may be a user and a password.
    pub fn shown_database(&self) -> &'a str {
        if self.database.contains(':') {
            "DATABASE"
        } else {
            self.database
        }
    }

    /// The options, as they are written.
    pub fn options(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let options = self.query.split(['&', ';']);
        options.filter(|option| !option.is_empty())
    }

    /// The value of the first option of this name, in any case, as it is written.
    #[must_use]
    pub fn option(&self, name: &str) -> Option<&'a str> {
        let option = self.options().find(|option| is_named(option, name))?;
        option.split_once('=').map(|(_, value)| value)
    }

    /// User name and password, decoded; `None` without a password.
    #[must_use]
    pub fn login(&self) -> Option<(String, String)> {
        let (name, password) = self.user?.split_once(':')?;
        Some((decoded(name), decoded(password)))
    }
}

/// The parts hold a password.
impl fmt::Debug for Parts<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Parts").finish_non_exhaustive()
    }
}

/// Whether an option has this name, in any case.
#[must_use]
pub fn is_named(option: &str, name: &str) -> bool {
    let (own, _) = option.split_once('=').unwrap_or((option, ""));
    own.eq_ignore_ascii_case(name)
}

/// Percent-decoded; an escape that is none stays as it is written, and so does a text whose
/// bytes are no UTF-8 afterwards.
#[must_use]
pub fn decoded(text: &str) -> String {
    let (bytes, _) = decode(text);
    String::from_utf8(bytes).unwrap_or_else(|_| text.to_owned())
}

/// Percent-decoded. `None`: a `%` has no two hexadecimal digits behind it, or the bytes are no
/// UTF-8 afterwards.
#[must_use]
pub fn strictly_decoded(text: &str) -> Option<String> {
    let (bytes, is_whole) = decode(text);
    String::from_utf8(bytes).ok().filter(|_| is_whole)
}

/// The bytes, and whether every `%` began an escape.
fn decode(text: &str) -> (Vec<u8>, bool) {
    let mut bytes = Vec::with_capacity(text.len());
    let mut is_whole = true;
    let mut rest = text.as_bytes();
    while let Some((&first, behind)) = rest.split_first() {
        if first == b'%' {
            if let [high, low, tail @ ..] = behind
                && let Some(byte) = hexadecimal(*high, *low)
            {
                bytes.push(byte);
                rest = tail;
                continue;
            }
            is_whole = false;
        }
        bytes.push(first);
        rest = behind;
    }
    (bytes, is_whole)
}

fn hexadecimal(high: u8, low: u8) -> Option<u8> {
    let digit = |byte: u8| char::from(byte).to_digit(16);
    u8::try_from(digit(high)? * 16 + digit(low)?).ok()
}

/// Whether this can be a host of a connection string: a name or address, and a port if any.
#[must_use]
pub fn is_host(host: &str) -> bool {
    let (name, port) = split_port(host);
    let port_fits = |port: &str| {
        port.bytes().all(|b| b.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|port| port > 0)
    };
    let bracketed = name.starts_with('[') && name.ends_with(']') && name.len() > 2;
    !name.is_empty() && (bracketed || !name.contains([':', '[', ']'])) && port.is_none_or(port_fits)
}

/// The same for every way to write the same hosts.
#[must_use]
pub fn normalized(hosts: &str, srv: bool) -> String {
    let host = |host: &str| {
        let (name, port) = split_port(host);
        let name = name.to_ascii_lowercase();
        let port = port.map_or(PORT.to_string(), str::to_owned);
        if srv { name } else { format!("{name}:{port}") }
    };
    let mut hosts: Vec<String> = hosts.split(',').map(host).collect();
    hosts.sort();
    hosts.dedup();
    hosts.join(",")
}

/// `name:port`, where an IPv6 address stands in brackets.
pub(crate) fn split_port(host: &str) -> (&str, Option<&str>) {
    match host.rsplit_once(':') {
        Some((name, port)) if !port.contains(']') => (name, Some(port)),
        _ => (host, None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn escapes_are_decoded_in_two_ways() {
        for (text, lenient, strict) in [
            ("p%40ss%2Fw%c3%a9", "p@ss/wé", Some("p@ss/wé")),
            ("100%", "100%", None),
            ("%4", "%4", None),
            ("%zz%41", "%zzA", None),
            ("%ff", "%ff", None),
            ("é", "é", Some("é")),
            ("", "", Some("")),
        ] {
            assert_eq!(decoded(text), lenient, "{text}");
            assert_eq!(strictly_decoded(text).as_deref(), strict, "{text}");
        }
    }

    #[test]
    fn one_cluster_has_one_name() {
        assert_eq!(normalized("B,a:27017,a", false), "a:27017,b:27017");
        assert_eq!(normalized("[::1]", false), "[::1]:27017");
        assert_eq!(normalized("C.Example.net", true), "c.example.net");
    }
}
