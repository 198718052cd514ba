//! The parts of a connection string, each as it is written.

use super::Refusal;
use crate::target::is_host;

/// Whether this is the string of a driver.
pub(crate) fn is_connection_string(text: &str) -> bool {
    text.starts_with("mongodb://") || text.starts_with("mongodb+srv://")
}

/// `scheme://user@hosts/database?query`
pub(super) struct Parts<'a> {
    pub(super) srv: bool,
    /// User name, and password if there is one.
    pub(super) user: Option<&'a str>,
    pub(super) hosts: &'a str,
    pub(super) database: &'a str,
    query: &'a str,
}

impl<'a> Parts<'a> {
    pub(super) fn parse(uri: &'a str) -> Result<Self, Refusal> {
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
        let (user, place) = match before.rsplit_once('@') {
            Some((user, place)) => (Some(user), place),
            None => (None, before),
        };
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        if hosts.is_empty() {
            return Err(Refusal::Malformed("it names no host"));
        }
        if !hosts.split(',').all(is_host) {
            return Err(Refusal::Malformed("a host is not written host:port"));
        }
        // The host of a unix socket is percent-encoded: a slash in the database is a stray one.
        if database.contains('/') {
            return Err(Refusal::Malformed("there is a '/' too many in it"));
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
    pub(super) fn shown_database(&self) -> &'a str {
        if self.database.contains(':') {
            "DATABASE"
        } else {
            self.database
        }
    }

    pub(super) fn options(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        let options = self.query.split(['&', ';']);
        options.filter(|option| !option.is_empty())
    }
}

/// Percent-decoded, byte by byte into characters: exact for ASCII, which is all that is looked at.
pub(crate) fn decoded(text: &str) -> String {
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
