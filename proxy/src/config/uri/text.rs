//! The text of a connection string, taken apart without judging its options.
//!
//! Follows the connection string specification: user information up to the last `@` before the
//! `?`, hosts up to the first `/`, then the database, then the options. Error sentences never
//! quote the text: a misplaced character may make any part of it a piece of the password.

use weir_shim::uri::strictly_decoded;

use crate::config::uri::Host;
use crate::config::{Problem, Secret};

/// MongoDB's port when a host names none.
pub(crate) const DEFAULT_PORT: u16 = 27017;

/// A connection string in its parts; raw parts are kept byte for byte.
#[derive(Debug)]
pub(crate) struct UriText<'a> {
    /// `mongodb+srv://`.
    pub(crate) srv: bool,
    /// Everything before the last `@`, as written.
    pub(crate) user_info: Option<Secret>,
    /// Decoded user name; `None` when empty.
    pub(crate) username: Option<String>,
    /// Decoded password; `None` without a `:`.
    pub(crate) password: Option<Secret>,
    /// One or more; for SRV exactly one, whose port is meaningless.
    pub(crate) hosts: Vec<Host>,
    /// The database as written.
    pub(crate) raw_database: Option<&'a str>,
    /// The database, decoded.
    pub(crate) database: Option<String>,
    /// The options in their order.
    pub(crate) options: Vec<OptionText<'a>>,
}

/// One `name=value` of the query.
#[derive(Clone)]
pub(crate) struct OptionText<'a> {
    /// As written.
    pub(crate) name: &'a str,
    /// As written.
    pub(crate) raw: &'a str,
    /// Percent-decoded.
    pub(crate) value: String,
}

impl std::fmt::Debug for OptionText<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name)
    }
}

impl<'a> UriText<'a> {
    /// Takes `text` apart.
    ///
    /// # Errors
    /// What is wrong with it. A mistake in the user information comes alone, because every other
    /// part may then be cut in the wrong place.
    pub(crate) fn parse(text: &'a str) -> Result<Self, Vec<Problem>> {
        let (srv, rest) = scheme(text).map_err(|problem| vec![problem])?;
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (user_info, place) = match before.rsplit_once('@') {
            Some((user_info, place)) => (Some(user_info), place),
            None => (None, before),
        };
        let (username, password) = login(user_info, query).map_err(|problem| vec![problem])?;
        let (host_list, raw_database) = match place.split_once('/') {
            Some((hosts, database)) => (hosts, Some(database).filter(|name| !name.is_empty())),
            None => (place, None),
        };

        let mut problems = Vec::new();
        let hosts = hosts(host_list, srv, &mut problems);
        let database = raw_database.and_then(|raw| database(raw, &mut problems));
        let options = options(query, &mut problems);
        if !problems.is_empty() {
            return Err(problems);
        }
        Ok(Self {
            srv,
            user_info: user_info.map(Secret::new),
            username,
            password,
            hosts,
            raw_database,
            database,
            options,
        })
    }
}

fn scheme(text: &str) -> Result<(bool, &str), Problem> {
    match (
        text.strip_prefix("mongodb://"),
        text.strip_prefix("mongodb+srv://"),
    ) {
        (Some(rest), _) => Ok((false, rest)),
        (_, Some(rest)) => Ok((true, rest)),
        _ => Err(problem(
            "does not begin with mongodb:// or mongodb+srv://",
            "paste the whole connection string, without quotes",
        )),
    }
}

/// Decodes the user information, and finds the mistakes that come from characters left as they are.
fn login(
    user_info: Option<&str>,
    query: &str,
) -> Result<(Option<String>, Option<Secret>), Problem> {
    // Azure's strings carry a bare `@` in appName; nobody else's options do.
    let stray = |pair: &str| {
        let name = pair.split('=').next().unwrap_or_default();
        pair.contains('@') && !name.eq_ignore_ascii_case("appName")
    };
    if query.split('&').any(stray) {
        return Err(problem(
            "an '@' stands behind the '?'",
            "if the password contains a '?', percent-encode it as %3F; \
             an '@' in an option is written %40",
        ));
    }
    let Some(user_info) = user_info else {
        return Ok((None, None));
    };
    let (username, password) = match user_info.split_once(':') {
        Some((username, password)) => (username, Some(password)),
        None => (user_info, None),
    };
    let username = credential("user name", username)?;
    let password = password
        .map(|raw| credential("password", raw))
        .transpose()?;
    if username.is_empty() && password.is_some() {
        return Err(problem(
            "a password stands there without a user name",
            "write user:password@ before the host",
        ));
    }
    Ok((
        Some(username).filter(|name| !name.is_empty()),
        password.map(Secret::new),
    ))
}

fn credential(what: &str, raw: &str) -> Result<String, Problem> {
    let reserved = |c: char| matches!(c, ':' | '/' | '?' | '#' | '[' | ']' | '@');
    let found = raw.chars().find(|c| reserved(*c));
    let unescaped = |c: char| {
        problem(
            format!("the {what} contains an unescaped '{c}'"),
            format!("percent-encode it: write %{:02X} for '{c}'", u32::from(c)),
        )
    };
    match found {
        Some(c) => Err(unescaped(c)),
        None => strictly_decoded(raw).ok_or_else(|| unescaped('%')),
    }
}

fn hosts(list: &str, srv: bool, problems: &mut Vec<Problem>) -> Vec<Host> {
    let mut hosts = Vec::new();
    for (index, text) in list.split(',').enumerate() {
        match host(text, srv) {
            Ok(host) => hosts.push(host),
            Err((wrong, hint)) => {
                problems.push(problem(format!("host {} {wrong}", index + 1), hint));
            }
        }
    }
    if srv && hosts.len() > 1 {
        problems.push(problem(
            "mongodb+srv:// names more than one host",
            "give the one name whose SRV record lists the hosts",
        ));
    }
    hosts
}

fn host(text: &str, srv: bool) -> Result<Host, (&'static str, &'static str)> {
    if text.is_empty() {
        return Err(("is empty", "write host:port"));
    }
    if text.contains('%') || text.ends_with(".sock") {
        return Err((
            "is a unix socket",
            "Weir reaches its upstream by TCP: write host:port",
        ));
    }
    let (name, port) = match text.strip_prefix('[').map(|rest| rest.split_once(']')) {
        Some(Some((name, rest))) if name.parse::<std::net::Ipv6Addr>().is_ok() => {
            match rest.strip_prefix(':') {
                Some(port) => (name, Some(port)),
                None if rest.is_empty() => (name, None),
                None => return Err(("has text behind its ']'", "write [address]:port")),
            }
        }
        Some(_) => return Err(("is no IPv6 address", "write [address]:port")),
        None => match text.split_once(':') {
            Some((name, port)) => (name, Some(port)),
            None => (text, None),
        },
    };
    let known = |c: char| c.is_alphanumeric() || matches!(c, '.' | '-' | '_' | ':');
    if name.is_empty() || !name.chars().all(known) {
        return Err((
            "is no host name",
            "write host:port, several separated by commas",
        ));
    }
    let port = match port {
        Some(_) if srv => {
            return Err((
                "has a port",
                "leave it out: with mongodb+srv:// DNS names the ports",
            ));
        }
        Some(port) => port.parse().ok().filter(|port| *port != 0).ok_or((
            "has a port that is no number from 1 to 65535",
            "if what stands there is a user name and password, write user:password@host:port",
        ))?,
        None => DEFAULT_PORT,
    };
    let host = name.to_lowercase();
    Ok(Host { host, port })
}

fn database(raw: &str, problems: &mut Vec<Problem>) -> Option<String> {
    let illegal = |c: char| matches!(c, '/' | '\\' | ' ' | '"' | '$' | '\0');
    let name = strictly_decoded(raw).filter(|name| !name.contains(illegal));
    if name.is_none() {
        problems.push(problem(
            "the database behind the '/' is no database name",
            "a name has no '/', '\\', space, '\"' or '$', and its '%' are followed by two digits",
        ));
    }
    name
}

fn options<'a>(query: &'a str, problems: &mut Vec<Problem>) -> Vec<OptionText<'a>> {
    let mut options = Vec::new();
    for (index, pair) in query.split('&').filter(|pair| !pair.is_empty()).enumerate() {
        let name_like = |name: &&str| {
            !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_')
        };
        let decoded = pair
            .split_once('=')
            .filter(|(name, _)| name_like(name))
            .and_then(|(name, raw)| Some((name, raw, strictly_decoded(raw)?)));
        match decoded {
            Some((name, raw, value)) => options.push(OptionText { name, raw, value }),
            None => problems.push(problem(
                format!("option {} is not a name=value pair", index + 1),
                "write name=value, pairs separated by '&', special characters percent-encoded",
            )),
        }
    }
    options
}

fn problem(wrong: impl Into<String>, hint: impl Into<String>) -> Problem {
    Problem::new("", wrong, hint)
}
