//! The function's own connection string, found as the shim finds it: what the one changes, the
//! other must serve. `tests/lambda/agreement.rs` holds them together.

use std::collections::BTreeSet;

use weir_shim::uri::Parts;
use weir_shim::{rewrite::can_be_moved, settings, strings, uri};

use super::parts::login_options;
use crate::env::Env;

/// A connection string of the function's.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Own {
    /// The variable it stands in.
    pub(super) name: String,
    /// Secrets included.
    pub(super) text: String,
}

/// What was found.
pub(super) struct Found {
    /// The string that is served.
    pub(super) own: Own,
    /// Who its driver logs in as.
    pub(super) user: Option<(String, String)>,
    /// Variables with strings of the same cluster and another user, which the shim leaves as
    /// they are: what runs over one upstream login has the rights of one user.
    pub(super) others: BTreeSet<String>,
}

/// Why nothing was.
#[derive(Debug)]
pub(super) enum NotFound {
    /// No variable holds a string; the shim has nothing to change.
    Nothing,
    /// Those there are contradict each other; the shim changes none.
    Several(String),
}

/// The function's own connection string. `listen` is the extension's own address.
///
/// # Errors
/// When there is none, or one for each of several clusters, and what to do about it.
pub(super) fn find(env: &Env, listen: &str) -> Result<Found, NotFound> {
    let mut found = all(env, listen);
    // What the shim leaves as it is need not be served, as long as there is anything else.
    if found.iter().any(|own| can_be_moved(&own.text)) {
        found.retain(|own| can_be_moved(&own.text));
    }
    let clusters: BTreeSet<_> = found.iter().filter_map(|own| cluster(&own.text)).collect();
    if clusters.len() > 1 {
        let names: BTreeSet<&str> = found.iter().map(|own| own.name.as_str()).collect();
        let names: Vec<&str> = names.into_iter().collect();
        return Err(NotFound::Several(format!(
            "{} lead to different clusters, and one extension serves one: name its variable in \
             WEIR_SHIM_VARS",
            names.join(", ")
        )));
    }
    // The shim takes the same one.
    found.sort_by(|a, b| (&a.name, &a.text).cmp(&(&b.name, &b.text)));
    let at = found.iter().position(|own| user_of(&own.text).is_some());
    let own = found.get(at.unwrap_or(0)).cloned();
    let own = own.ok_or(NotFound::Nothing)?;
    let user = user_of(&own.text);
    let differs = |other: &&Own| user_of(&other.text).is_some_and(|u| Some(u) != user);
    let others = found.iter().filter(differs);
    let others = others.map(|other| other.name.clone()).collect();
    Ok(Found { own, user, others })
}

/// The user whom the shim leaves in the string: a role's keys go.
fn user_of(text: &str) -> Option<(String, String)> {
    let parts = Parts::parse(text).ok()?;
    let mechanism = parts.option("authMechanism").unwrap_or_default();
    let is_role = mechanism.eq_ignore_ascii_case("MONGODB-AWS");
    parts.login().filter(|_| !is_role)
}

impl std::fmt::Display for NotFound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Nothing => {
                "no connection string was found: set WEIR_SERVICE to the shared Weir's host and \
                 port, or name in WEIR_SHIM_VARS the variable with the function's own string; one \
                 that the function fetches at run time must be given as WEIR_UPSTREAM"
            }
            Self::Several(why) => why,
        })
    }
}

/// The string that leads to the extension itself and says who logs in, where nothing else does:
/// a runtime without an exec wrapper has the address written into the function's configuration.
/// `None`: there is none, or they say different things.
pub(super) fn leading_here(env: &Env, listen: &str) -> Option<String> {
    let here = meant(env).into_iter();
    let mut here: Vec<Own> = here.filter(|own| is_own(&own.text, listen)).collect();
    here.retain(|own| can_be_moved(&own.text) && user_of(&own.text).is_some());
    let login = |own: &Own| {
        Some((
            user_of(&own.text)?,
            login_options(&Parts::parse(&own.text).ok()?).ok()?,
        ))
    };
    let first = here.first()?;
    let agree = here.iter().all(|own| login(own) == login(first));
    agree.then(|| first.text.clone())
}

/// Every string that does not lead to the extension itself.
fn all(env: &Env, listen: &str) -> Vec<Own> {
    let mut found = meant(env);
    found.retain(|own| !is_own(&own.text, listen));
    found
}

/// Every string of the function's, found as the shim finds it.
fn meant(env: &Env) -> Vec<Own> {
    let named = settings::named(env.all());
    let looked_at = strings::looked_at(env.all(), named.as_deref());
    let found = looked_at.flat_map(|(name, value)| {
        let texts = strings::in_value(value).into_iter();
        texts.map(|text| Own {
            name: name.to_owned(),
            text,
        })
    });
    found.collect()
}

/// The same for every way to write the same hosts.
fn cluster(text: &str) -> Option<String> {
    let parts = Parts::parse(text).ok()?;
    Some(uri::normalized(parts.hosts, parts.srv))
}

/// Whether a string leads to the extension itself.
fn is_own(text: &str, listen: &str) -> bool {
    let Ok(parts) = Parts::parse(text) else {
        return false;
    };
    let port = listen.rsplit_once(':').map_or(listen, |(_, port)| port);
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
        parts.hosts == format!("{host}:{port}") || (port == "27017" && parts.hosts == *host)
    })
}
