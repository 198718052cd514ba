//! Which connection string the extension uses. Pure.
//!
//! The function's own variables still hold its original string: the shim changes them for the
//! function's process alone. So the extension finds there whom to log in as, and, where no
//! shared Weir is named, where to go.

use serde_json::Value;

use crate::surroundings::Surroundings;

/// Begins the names that are Weir's own.
const OWN: &str = "WEIR_";

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
    pub(crate) road: Road,
    /// The variable it comes from.
    pub(crate) from: String,
    /// The function's own string, if it is another one: for the fallback.
    pub(crate) original: Option<String>,
}

/// What the extension connects to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Road {
    /// A shared Weir, or another load-balanced service: one address, nothing to be watched.
    Service,
    /// The database itself.
    Direct,
}

/// Chooses. `listen` is the extension's own address: a string that leads there is no road.
///
/// # Errors
/// What is missing or contradictory, and what to do about it.
pub(crate) fn choose(surroundings: &Surroundings, listen: &str) -> Result<Chosen, String> {
    let original = original(surroundings, listen);
    if let Some(text) = surroundings.get("WEIR_UPSTREAM") {
        return Ok(Chosen {
            text: without_pool(text),
            road: road_of(text),
            from: "WEIR_UPSTREAM".to_owned(),
            original: original
                .ok()
                .map(|(_, text)| text)
                .filter(|own| own != text),
        });
    }
    if let Some(service) = surroundings.get("WEIR_SERVICE") {
        let original = original.ok().map(|(_, text)| text);
        let text = service_string(service, original.as_deref())?;
        return Ok(Chosen {
            road: road_of(&text),
            text,
            from: "WEIR_SERVICE".to_owned(),
            original,
        });
    }
    let (from, text) = original?;
    Ok(Chosen {
        text: without_pool(&text),
        road: road_of(&text),
        from,
        original: None,
    })
}

/// The function's own connection string, and the variable that holds it.
fn original(surroundings: &Surroundings, listen: &str) -> Result<(String, String), String> {
    let named = surroundings.get("WEIR_SHIM_VARS");
    let named: Option<Vec<&str>> = named.map(|names| {
        let names = names.split([',', ' ']);
        names.filter(|name| !name.is_empty()).collect()
    });
    let is_meant = |name: &str| match &named {
        Some(names) => names.contains(&name),
        None => !name.starts_with(OWN),
    };
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, value) in surroundings.all().filter(|(name, _)| is_meant(name)) {
        let Some(text) = connection_string(value) else {
            continue;
        };
        let hosts = Parts::of(&text).map(|parts| parts.hosts);
        let is_known = |known: &(String, String)| Parts::of(&known.1).map(|p| p.hosts) == hosts;
        if !is_own(&text, listen) && !found.iter().any(is_known) {
            found.push((name.to_owned(), text.clone()));
        }
    }
    match found.as_slice() {
        [only] => Ok(only.clone()),
        [] => Err(
            "no connection string was found: set WEIR_SERVICE to the shared Weir's host and \
             port, or name in WEIR_SHIM_VARS the variable with the function's own string; one \
             that the function fetches at run time must be given as WEIR_UPSTREAM"
                .to_owned(),
        ),
        several => {
            let names: Vec<&str> = several.iter().map(|(name, _)| name.as_str()).collect();
            Err(format!(
                "{} lead to different clusters, and one extension serves one: name its variable \
                 in WEIR_SHIM_VARS",
                names.join(", ")
            ))
        }
    }
}

/// The connection string that a variable holds: all of it, or the `uri` of a JSON secret.
fn connection_string(value: &str) -> Option<String> {
    let is_one = |text: &str| text.starts_with("mongodb://") || text.starts_with("mongodb+srv://");
    if is_one(value) {
        return Some(value.to_owned());
    }
    if !value.starts_with('{') {
        return None;
    }
    let secret: Value = serde_json::from_str(value).ok()?;
    let uri = secret.get("uri")?.as_str()?.trim();
    is_one(uri).then(|| uri.to_owned())
}

/// Whether a string leads to the extension itself.
fn is_own(text: &str, listen: &str) -> bool {
    let Some(parts) = Parts::of(text) else {
        return false;
    };
    let port = listen.rsplit_once(':').map_or(listen, |(_, port)| port);
    ["127.0.0.1", "localhost", "[::1]"].iter().any(|host| {
        parts.hosts == format!("{host}:{port}") || (port == "27017" && parts.hosts == *host)
    })
}

/// The string of a shared Weir, with the function's login where it has none of its own.
fn service_string(service: &str, original: Option<&str>) -> Result<String, String> {
    let bare = service.strip_prefix("mongodb://").unwrap_or(service);
    if bare.starts_with("mongodb+srv://") {
        return Err("WEIR_SERVICE names a host and a port, not an SRV record".to_owned());
    }
    let text = format!("mongodb://{bare}");
    let parts = Parts::of(&text).ok_or("WEIR_SERVICE must be host:port")?;
    if parts.hosts.contains(',') {
        return Err(
            "WEIR_SERVICE names one address, that of the balancer before all Weirs; use \
             WEIR_UPSTREAM for a list"
                .to_owned(),
        );
    }
    let mut options: Vec<String> = parts.options.iter().map(|o| (*o).to_owned()).collect();
    let has = |options: &[String], name: &str| options.iter().any(|o| is_named(o, name));
    if !has(&options, "loadbalanced") {
        options.insert(0, "loadBalanced=true".to_owned());
    }
    if !has(&options, "connecttimeoutms") {
        options.push(CONNECT_TIME.to_owned());
    }
    let own = original.and_then(Parts::of);
    let login = match (parts.login, own.as_ref().and_then(|own| own.login)) {
        (Some(login), _) => Some(login),
        (None, Some(login)) => {
            if let Some(own) = &own {
                options.extend(own.login_options()?);
            }
            Some(login)
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

fn road_of(text: &str) -> Road {
    let parts = Parts::of(text);
    let balanced = parts.is_some_and(|parts| {
        let mut options = parts.options.iter();
        options.any(|option| option.eq_ignore_ascii_case("loadbalanced=true"))
    });
    if balanced {
        Road::Service
    } else {
        Road::Direct
    }
}

/// The same without the options that size a driver's pool.
pub(crate) fn without_pool(text: &str) -> String {
    let Some((before, options)) = text.split_once('?') else {
        return text.to_owned();
    };
    let kept = options
        .split('&')
        .filter(|option| !POOL.iter().any(|name| is_named(option, name)));
    let kept: Vec<&str> = kept.collect();
    format!("{before}?{}", kept.join("&"))
}

fn is_named(option: &str, name: &str) -> bool {
    let (own, _) = option.split_once('=').unwrap_or((option, ""));
    own.eq_ignore_ascii_case(name)
}

/// The parts of a connection string, as written.
struct Parts<'a> {
    srv: bool,
    login: Option<&'a str>,
    hosts: &'a str,
    database: &'a str,
    options: Vec<&'a str>,
}

impl<'a> Parts<'a> {
    fn of(text: &'a str) -> Option<Self> {
        let (srv, rest) = match text.strip_prefix("mongodb+srv://") {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix("mongodb://")?),
        };
        let (before, query) = rest.split_once('?').unwrap_or((rest, ""));
        let (login, place) = match before.rsplit_once('@') {
            Some((login, place)) => (Some(login), place),
            None => (None, before),
        };
        let (hosts, database) = place.split_once('/').unwrap_or((place, ""));
        let options = query.split('&').filter(|option| !option.is_empty());
        Some(Self {
            srv,
            login,
            hosts,
            database,
            options: options.collect(),
        })
    }

    fn option(&self, name: &str) -> Option<&'a str> {
        let option = self.options.iter().find(|option| is_named(option, name))?;
        option.split_once('=').map(|(_, value)| value)
    }

    /// The options that say how its user logs in.
    fn login_options(&self) -> Result<Vec<String>, String> {
        let source = self.option("authsource").unwrap_or(match self.database {
            // What an SRV record's TXT may say otherwise, Atlas says too.
            _ if self.srv => "admin",
            "" => "admin",
            database => database,
        });
        let mut options = vec![format!("authSource={source}")];
        match self.option("authmechanism") {
            None => {}
            Some(scram) if scram.starts_with("SCRAM-") => {
                options.push(format!("authMechanism={scram}"));
            }
            Some(other) => {
                return Err(format!(
                    "the function's own string logs in by {other}, which the shared Weir does \
                     not take: write a user and a password into WEIR_SERVICE, as in \
                     mongodb://user:password@host:27017"
                ));
            }
        }
        Ok(options)
    }
}

impl std::fmt::Debug for Chosen {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Chosen")
            .field("road", &self.road)
            .field("from", &self.from)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ATLAS: &str =
        "mongodb+srv://user:p%40ss@cluster.x.mongodb.net/exam?retryWrites=true&maxPoolSize=1";
    const LISTEN: &str = "127.0.0.1:27017";

    fn chosen<const N: usize>(variables: [(&str, &str); N]) -> Result<Chosen, String> {
        choose(&Surroundings::from(variables), LISTEN)
    }

    #[test]
    fn without_a_service_the_functions_own_string_is_the_road() {
        let chosen = chosen([("MONGO_AUTH_CREDENTIALS", ATLAS), ("STAGE", "prod")]).unwrap();
        assert_eq!(chosen.road, Road::Direct);
        assert_eq!(chosen.from, "MONGO_AUTH_CREDENTIALS");
        let expected = "mongodb+srv://user:p%40ss@cluster.x.mongodb.net/exam?retryWrites=true";
        assert_eq!(chosen.text, expected, "the pool is the extension's own");
        assert_eq!(chosen.original, None, "there is nothing to fall back to");
    }

    #[test]
    fn a_service_gets_the_functions_login() {
        for service in ["weir.internal:27017", "mongodb://weir.internal:27017"] {
            let chosen = chosen([("WEIR_SERVICE", service), ("DB", ATLAS)]).unwrap();
            assert_eq!(chosen.road, Road::Service);
            assert_eq!(
                chosen.text,
                "mongodb://user:p%40ss@weir.internal:27017/?loadBalanced=true&connectTimeoutMS=2000\
                 &authSource=admin"
            );
            assert_eq!(chosen.original.as_deref(), Some(ATLAS));
        }
    }

    #[test]
    fn a_service_may_have_its_own_login_and_options() {
        let service = "mongodb://a:b@weir:1/?tls=true&connectTimeoutMS=9";
        let one = chosen([("WEIR_SERVICE", service), ("DB", ATLAS)]).unwrap();
        assert_eq!(
            one.text,
            "mongodb://a:b@weir:1/?loadBalanced=true&tls=true&connectTimeoutMS=9"
        );
        let none = chosen([("WEIR_SERVICE", "weir:1")]).unwrap();
        assert_eq!(
            none.text,
            "mongodb://weir:1/?loadBalanced=true&connectTimeoutMS=2000"
        );
        let plain = "mongodb://weir:1/?loadBalanced=false";
        let plain = chosen([("WEIR_SERVICE", plain)]).unwrap();
        assert_eq!(plain.road, Road::Direct);
    }

    #[test]
    fn where_a_user_is_defined_goes_with_him() {
        let auth = |own: &str| {
            let chosen = chosen([("WEIR_SERVICE", "weir:1"), ("DB", own)]).unwrap();
            let (_, options) = chosen.text.split_once("connectTimeoutMS=2000").unwrap();
            options.to_owned()
        };
        assert_eq!(auth("mongodb://u:p@h/"), "&authSource=admin");
        assert_eq!(auth("mongodb://u:p@h/shop"), "&authSource=shop");
        assert_eq!(auth("mongodb+srv://u:p@h/shop"), "&authSource=admin");
        assert_eq!(
            auth("mongodb://u:p@h/shop?authSource=x&authMechanism=SCRAM-SHA-1"),
            "&authSource=x&authMechanism=SCRAM-SHA-1"
        );
    }

    #[test]
    fn a_login_that_no_service_takes_is_refused_with_the_change_to_make() {
        let own = "mongodb://key:secret@h/?authMechanism=MONGODB-AWS";
        let error = chosen([("WEIR_SERVICE", "weir:1"), ("DB", own)]).unwrap_err();
        assert!(
            error.contains("MONGODB-AWS") && error.contains("user:password"),
            "{error}"
        );
        assert!(!error.contains("secret"), "{error}");
    }

    #[test]
    fn a_complete_upstream_is_used_as_it_is_written() {
        let upstream = "mongodb://a:b@one,two/?replicaSet=rs0";
        let chosen = chosen([("WEIR_UPSTREAM", upstream), ("DB", ATLAS)]).unwrap();
        assert_eq!(
            (chosen.text.as_str(), chosen.road),
            (upstream, Road::Direct)
        );
        assert_eq!(chosen.original.as_deref(), Some(ATLAS));
    }

    #[test]
    fn secrets_in_json_are_found() {
        let secret = r#"{"username":"u","uri":"mongodb://u:p@h/x"}"#;
        let found = chosen([("SECRET", secret), ("OTHER", "{broken")]).unwrap();
        assert_eq!(found.from, "SECRET");
        assert_eq!(found.text, "mongodb://u:p@h/x");
    }

    #[test]
    fn what_leads_to_the_extension_itself_is_no_road() {
        for own in [
            "mongodb://u:p@127.0.0.1:27017/",
            "mongodb://localhost/",
            "mongodb://127.0.0.1",
        ] {
            assert!(chosen([("DB", own)]).is_err(), "{own}");
        }
        let other = "mongodb://127.0.0.1:27018/";
        assert_eq!(chosen([("DB", other)]).unwrap().text, other);
    }

    #[test]
    fn several_clusters_are_no_guess() {
        let two = [("ONE", "mongodb://one/"), ("TWO", "mongodb://two/")];
        let error = chosen(two).unwrap_err();
        assert!(
            error.contains("ONE, TWO") && error.contains("WEIR_SHIM_VARS"),
            "{error}"
        );
        let [one, two] = two;
        let named = chosen([one, two, ("WEIR_SHIM_VARS", "TWO")]).unwrap();
        assert_eq!(named.from, "TWO");
        let same = chosen([one, ("SAME", "mongodb://one/shop")]).unwrap();
        assert_eq!(same.from, "ONE");
    }

    #[test]
    fn what_is_missing_is_said_with_what_to_do() {
        let error = chosen([("STAGE", "prod")]).unwrap_err();
        assert!(error.contains("WEIR_SERVICE"), "{error}");
        let srv = chosen([("WEIR_SERVICE", "mongodb+srv://x/")]).unwrap_err();
        assert!(srv.contains("SRV"), "{srv}");
        let list = chosen([("WEIR_SERVICE", "a:1,b:1")]).unwrap_err();
        assert!(list.contains("one address"), "{list}");
    }
}
