//! The string of a driver becomes the string for a Weir: same login, same database, same wishes,
//! another address. Pure.
//!
//! User information, database and kept options stay byte for byte. Left out is what describes the
//! cluster or the way to it; Weir answers as one plain mongos.

use std::fmt;

pub use self::options::is_dropped;
use self::options::{Login, Options};
pub use self::refusal::Refusal;
use crate::{
    target::Target,
    uri::{Parts, decoded, normalized},
};

mod options;
mod refusal;

/// What became of a string.
#[derive(Clone, PartialEq, Eq)]
pub struct Rewritten {
    /// The new string.
    pub uri: String,
    /// The cluster that the old one named.
    pub cluster: String,
    /// User and password of the new one, decoded.
    pub login: Option<String>,
    /// The new one, without login and option values, and what was left out of it.
    pub shown: String,
    /// The way to the cluster was encrypted, that to a Weir elsewhere is not.
    pub loses_tls: bool,
    /// There was nothing to do.
    pub was_done: bool,
}

/// The strings hold passwords.
impl fmt::Debug for Rewritten {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.shown)
    }
}

/// Points `old` at `target`.
///
/// # Errors
/// [`Refusal`], when the result would not work.
pub fn rewrite(old: &str, target: &Target) -> Result<Rewritten, Refusal> {
    let parts = Parts::parse(old)?;
    let mut options = Options::read(&parts)?;
    check_login(&parts, &options, target)?;
    let by_role = options.login == Login::Aws;
    let user = parts.user.filter(|_| !by_role);
    // What a driver takes from the SRV's TXT record, and every Atlas cluster has there.
    if parts.srv && user.is_some() && !options.has_source {
        options.keep("authSource=admin");
    }
    let hosts = target.hosts();
    let user_info = user.map_or_else(String::new, |user| format!("{user}@"));
    let (database, query) = (parts.database, options.query());
    let new = format!("mongodb://{user_info}{hosts}/{database}{query}");
    let masked = if user.is_some() { "***@" } else { "" };
    let shown_database = parts.shown_database();
    let shown = format!(
        "mongodb://{masked}{hosts}/{shown_database}{}",
        options.shown()
    );
    Ok(Rewritten {
        cluster: normalized(parts.hosts, parts.srv),
        loses_tls: !target.is_local() && (parts.srv || options.drops_tls()),
        login: user.filter(|user| user.contains(':')).map(decoded),
        shown,
        was_done: new == old,
        uri: new,
    })
}

/// Whether a driver's string can be pointed at a Weir on the same machine.
#[must_use]
pub fn can_be_moved(old: &str) -> bool {
    Target::parse("127.0.0.1").is_some_and(|here| rewrite(old, &here).is_ok())
}

/// Refuses a login that does not reach the server through Weir.
fn check_login(parts: &Parts<'_>, options: &Options<'_>, target: &Target) -> Result<(), Refusal> {
    let (hosts, database) = (target.hosts(), parts.shown_database());
    let password = || format!("mongodb://USER:PASSWORD@{hosts}/{database}?authSource=admin");
    match options.login {
        Login::Password => Ok(()),
        Login::Aws if target.is_local() => Ok(()),
        Login::Aws => Err(Refusal::RoleElsewhere {
            instead: password(),
        }),
        // Only there are clients served without a login.
        Login::Certificate if target.is_local() => Err(Refusal::Certificate {
            instead: format!("mongodb://{hosts}/{database}"),
        }),
        Login::Certificate => Err(Refusal::Login {
            what: "client certificate",
            instead: password(),
        }),
        Login::Other(what) => Err(Refusal::Login {
            what,
            instead: password(),
        }),
    }
}

#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;
