//! Which connection string the extension uses. Pure.
//!
//! The function's own variables still hold its original string: the shim changes them for the
//! function's process alone. So the extension finds there whom to log in as, and, where no
//! shared Weir is named, where to go.

use self::function_uri::NotFound;
use weir_shim::settings;
use weir_shim::uri::{Parts, is_named};

use self::parts::login_options;
use crate::env::Env;

mod function_uri;
mod parts;

/// Options that size a driver's pool. The extension's is sized by `WEIR_MAX_CONNECTIONS`: what
/// was right for a pool in each function would leave it no connection to work with.
const POOL: [&str; 3] = ["maxpoolsize", "minpoolsize", "maxidletimems"];

/// A shared Weir is near: what takes longer to connect will not succeed.
const CONNECT_TIME: &str = "connectTimeoutMS=2000";

/// Whom the extension connects to.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Chosen {
    /// The connection string, secrets included.
    pub(crate) text: String,
    /// What stands there.
    pub(crate) upstream_kind: UpstreamKind,
    /// The variable it comes from.
    pub(crate) from: String,
    /// The function's own string, if it is another one: for the fallback.
    pub(crate) original: Option<String>,
    /// The user and the password that the function's driver shows, secrets included.
    pub(crate) user: Option<(String, String)>,
    /// What is left as it is, and why.
    pub(crate) warning: Option<String>,
}

/// What the extension connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum UpstreamKind {
    /// A shared Weir, or another load-balanced service: one address, nothing to be watched.
    Service,
    /// The database itself.
    Direct,
}

/// Chooses. `listen` is the extension's own address: a string that leads there is no upstream_kind.
///
/// # Errors
/// What is missing or contradictory, and what to do about it.
pub(crate) fn choose(env: &Env, listen: &str) -> Result<Chosen, String> {
    let found = function_uri::find(env, listen);
    // The shim moves what is named, come what may: one cluster's work would go to the other.
    if let Err(NotFound::Several(why)) = &found
        && settings::named(env.all()).is_some()
    {
        return Err(why.clone());
    }
    let user = found.as_ref().ok().and_then(|found| found.user.clone());
    let warning = found.as_ref().ok().and_then(other_users);
    let original = found.map(|found| found.own);
    if let Some(text) = env.get("WEIR_UPSTREAM") {
        return Ok(Chosen {
            text: without_pool(text),
            upstream_kind: upstream_kind_of(text),
            from: "WEIR_UPSTREAM".to_owned(),
            original: original.ok().map(|own| own.text).filter(|own| own != text),
            user,
            warning,
        });
    }
    if let Some(service) = env.get("WEIR_SERVICE") {
        let original = match original {
            Ok(own) => Some(own.text),
            // The shim changes nothing where strings contradict each other. Who listened all the
            // same would have it wait for somebody whom it does not need.
            Err(NotFound::Several(why)) if !has_login(service) => return Err(why),
            Err(_) => None,
        };
        let here = match &original {
            Some(_) => None,
            None => function_uri::leading_here(env, listen),
        };
        let text = service_string(service, original.as_deref().or(here.as_deref()))?;
        return Ok(Chosen {
            upstream_kind: upstream_kind_of(&text),
            text,
            from: "WEIR_SERVICE".to_owned(),
            original,
            user,
            warning,
        });
    }
    let own = original.map_err(|not_found| not_found.to_string())?;
    Ok(Chosen {
        text: without_pool(&own.text),
        upstream_kind: upstream_kind_of(&own.text),
        from: own.name,
        original: None,
        user,
        warning,
    })
}

fn other_users(found: &function_uri::Found) -> Option<String> {
    let others: Vec<&str> = found.others.iter().map(String::as_str).collect();
    let name = &found.own.name;
    (!others.is_empty()).then(|| {
        format!(
            "{} logs in as another user than {name} and stays as it is, because one extension \
             works as one user: name the variables of one user in WEIR_SHIM_VARS",
            others.join(", ")
        )
    })
}

fn has_login(service: &str) -> bool {
    let bare = service.strip_prefix("mongodb://").unwrap_or(service);
    let before = bare.split_once('?').map_or(bare, |(before, _)| before);
    before.contains('@')
}

/// The string of a shared Weir, with the function's login where it has none of its own.
fn service_string(service: &str, original: Option<&str>) -> Result<String, String> {
    let bare = service.strip_prefix("mongodb://").unwrap_or(service);
    if bare.starts_with("mongodb+srv://") {
        return Err("WEIR_SERVICE names a host and a port, not an SRV record".to_owned());
    }
    let text = format!("mongodb://{bare}");
    let parts = Parts::parse(&text).map_err(|_| "WEIR_SERVICE must be host:port")?;
    if parts.hosts.contains(',') {
        return Err(
            "WEIR_SERVICE names one address, that of the balancer before all Weirs; use \
             WEIR_UPSTREAM for a list"
                .to_owned(),
        );
    }
    let options = parts.options();
    let options = options.filter(|option| !POOL.iter().any(|name| is_named(option, name)));
    let mut options: Vec<String> = options.map(str::to_owned).collect();
    let has = |options: &[String], name: &str| options.iter().any(|o| is_named(o, name));
    if !has(&options, "loadbalanced") {
        options.insert(0, "loadBalanced=true".to_owned());
    }
    if !has(&options, "connecttimeoutms") {
        options.push(CONNECT_TIME.to_owned());
    }
    let login = match (parts.user, original.and_then(|own| Parts::parse(own).ok())) {
        (Some(login), _) => Some(login),
        (None, Some(own)) => {
            // Asked without a user, too: a role has none, and the service takes no roles.
            let how = login_options(&own)?;
            if own.user.is_some() {
                options.extend(how);
            }
            own.user
        }
        (None, None) => None,
    };
    let login = login.map(|login| format!("{login}@")).unwrap_or_default();
    Ok(format!(
        "mongodb://{login}{}/?{}",
        parts.hosts,
        options.join("&")
    ))
}

fn upstream_kind_of(text: &str) -> UpstreamKind {
    let parts = Parts::parse(text);
    let balanced = parts.is_ok_and(|parts| {
        let mut options = parts.options();
        options.any(|option| option.eq_ignore_ascii_case("loadbalanced=true"))
    });
    if balanced {
        UpstreamKind::Service
    } else {
        UpstreamKind::Direct
    }
}

/// The same without the options that size a driver's pool.
pub(crate) fn without_pool(text: &str) -> String {
    let Some((before, options)) = text.split_once('?') else {
        return text.to_owned();
    };
    let kept = options
        .split(['&', ';'])
        .filter(|option| !POOL.iter().any(|name| is_named(option, name)));
    let kept: Vec<&str> = kept.collect();
    format!("{before}?{}", kept.join("&"))
}

impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chosen")
            .field("upstream_kind", &self.upstream_kind)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
