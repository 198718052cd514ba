//! Chooses the upstream, builds the configuration from the settings, and listens.

use std::collections::BTreeMap;
use std::time::Duration;

use weir::Controls;
use weir::config::settings::SETTINGS;
use weir::config::{
    Config, Credential, Flags, Freezing, ListenerConfig, Problem, Problems, Secret,
};
use weir::{Proxy, StartError};

use crate::connection_budget;
use crate::env::{Env, Kind};
use crate::settings::Settings;
use crate::upstream::{self, Chosen, UpstreamKind};

/// Longest time for the DNS look-up of an SRV name. Lambda limits the whole of init to ten seconds.
const LOOK_UP_TIME: Duration = Duration::from_secs(4);

/// Longest time that a hello waits for the first contact with the upstream. The function's init may
/// wait for that hello, and Lambda limits init to ten seconds.
const HELLO_WAIT: Duration = Duration::from_secs(3);

/// A Weir that listens but does not serve clients yet.
pub(crate) struct Serving {
    pub(crate) proxy: Proxy,
    pub(crate) controls: Controls,
    pub(crate) chosen: Chosen,
    /// There is a fallback upstream: the database itself.
    pub(crate) may_fall_back: bool,
}

/// Why the extension cannot serve the function, and what to do about it.
#[derive(Debug)]
pub(crate) struct Refused {
    pub(crate) why: String,
    /// Another program listens on the address. The shim takes it for the extension.
    pub(crate) taken: bool,
}

impl From<String> for Refused {
    fn from(why: String) -> Self {
        Self { why, taken: false }
    }
}

/// Chooses the upstream and starts to listen.
///
/// # Errors
/// Why the extension cannot serve the function, and what to do about it.
pub(crate) async fn start(env: &Env, settings: &Settings) -> Result<Serving, Refused> {
    let chosen = upstream::choose(env, &settings.listen)?;
    if let Some(warning) = &chosen.warning {
        tracing::warn!("{warning}");
    }
    let mut strings = settings.of_weir();
    for warning in
        connection_budget::settle(&mut strings, env, chosen.upstream_kind, settings.release)
    {
        tracing::warn!("{warning}");
    }
    strings.insert("WEIR_UPSTREAM".to_owned(), chosen.text.clone());
    // With this variable monitors poll. A stream would break at every freeze, and it needs one more
    // socket.
    strings.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), "here".to_owned());
    let asks = strings.contains_key("WEIR_ADMIN");
    let mut config = load(strings, &chosen.from).await?;
    for listener in &mut config.listeners {
        adapt(listener, Start::of(env), settings);
        listener.further_logins.extend(login_of(&chosen));
    }
    let may_fall_back = settings.fallback_share > 0.0
        && add_spare(&mut config.listeners, &chosen, env, settings).await;
    for warning in &config.warnings {
        tracing::info!("{warning}");
    }
    let bound = if asks {
        Proxy::bind(config).await
    } else {
        Proxy::embed(config).await
    };
    let proxy = bound.map_err(|error| Refused {
        why: explain(&error),
        taken: matches!(error, StartError::Bind { .. }),
    })?;
    Ok(Serving {
        controls: proxy.controls(),
        proxy,
        chosen,
        may_fall_back,
    })
}

/// The function's own login. The extension accepts it even if it uses another login upstream.
fn login_of(chosen: &Chosen) -> Option<Credential> {
    let (username, password) = chosen.user.clone()?;
    Some(Credential {
        username,
        password: Secret::new(password),
        session_token: None,
        source: "admin".to_owned(),
        mechanism: None,
    })
}

/// Adds the fallback upstream, if there is one: the database without the shared Weir. Whether this
/// environment belongs to the share that may use it is drawn at the first failure.
async fn add_spare(
    listeners: &mut [ListenerConfig],
    chosen: &Chosen,
    env: &Env,
    settings: &Settings,
) -> bool {
    let spare = match (&chosen.original, chosen.upstream_kind) {
        (Some(original), UpstreamKind::Service) => spare(env, settings, original).await,
        (None, UpstreamKind::Service) => {
            Err("no variable holds the function's own string".to_owned())
        }
        (_, UpstreamKind::Direct) => {
            Err("the extension already connects to the database directly".to_owned())
        }
    };
    match spare {
        Ok(Some(spare)) => {
            for listener in listeners {
                listener.spare = Some(spare.clone());
            }
            true
        }
        Ok(None) => false,
        Err(why) => {
            tracing::warn!("WEIR_FALLBACK_SHARE is set, but there is no fallback upstream: {why}");
            false
        }
    }
}

/// The listener of the fallback upstream, with the connections of the direct mode. It opens none.
async fn spare(
    env: &Env,
    settings: &Settings,
    original: &str,
) -> Result<Option<Box<ListenerConfig>>, String> {
    let mut strings = settings.of_weir();
    // The numbers in the settings are for the upstream that was chosen.
    connection_budget::unset(&mut strings);
    connection_budget::settle(&mut strings, env, UpstreamKind::Direct, settings.release);
    strings.insert("WEIR_UPSTREAM".to_owned(), upstream::without_pool(original));
    strings.insert("AWS_LAMBDA_RUNTIME_API".to_owned(), "here".to_owned());
    let config = load(strings, "the function's own string").await?;
    let listener = config.listeners.into_iter().next();
    Ok(listener.map(|mut listener| {
        adapt(&mut listener, Start::Unseen, settings);
        listener.name = "fallback".to_owned();
        Box::new(listener)
    }))
}

/// When the first connection to the upstream is opened.
#[derive(Clone, Copy)]
enum Start {
    /// Immediately.
    Now,
    /// When the first client says hello. Where the shim leaves some environments unchanged, those
    /// hold no unused connection.
    WithClients,
    /// When an operation needs it, or at the first invocation, because the environment will be
    /// copied.
    Unseen,
}

impl Start {
    fn of(env: &Env) -> Self {
        match env.kind() {
            Kind::SnapStart => Self::Unseen,
            _ if env.may_be_passed_by() => Self::WithClients,
            _ => Self::Now,
        }
    }
}

/// Adapts a listener to an environment that is frozen between invocations.
const fn adapt(listener: &mut ListenerConfig, start: Start, settings: &Settings) {
    // A stream would break at every freeze, and its backlog would arrive at every thaw.
    listener.streaming_hello = false;
    listener.freezing = Some(Freezing {
        doubt_after: settings.doubt_after,
        check_time: settings.check_time,
        asleep: !matches!(start, Start::Now),
        hello_wait: match start {
            Start::Unseen => Duration::ZERO,
            Start::Now | Start::WithClients => HELLO_WAIT,
        },
    });
}

/// Loads the configuration. A wrong setting is a warning, and its default applies.
async fn load(mut strings: BTreeMap<String, String>, from: &str) -> Result<Config, String> {
    loop {
        let flags = Flags::default();
        let loading = Config::load(&flags, &strings, false);
        let loaded = tokio::time::timeout(LOOK_UP_TIME, loading).await;
        let Problems(problems) = match loaded {
            Ok(Ok(config)) => return Ok(config),
            Ok(Err(problems)) => problems,
            Err(_) => {
                return Err(format!(
                    "DNS did not find the hosts of {from} within {LOOK_UP_TIME:?}: check whether \
                     the function's VPC resolves them"
                ));
            }
        };
        let given_up: Vec<&Problem> = problems
            .iter()
            .filter(|problem| give_up(&mut strings, problem))
            .collect();
        if given_up.is_empty() {
            let texts: Vec<String> = problems.iter().map(ToString::to_string).collect();
            return Err(texts.join("; ").replace("WEIR_UPSTREAM", from));
        }
        for problem in given_up {
            tracing::warn!("{problem}; the default is used");
        }
    }
}

/// Removes the setting that the problem names, if that setting has a default. Returns whether it
/// removed one.
fn give_up(strings: &mut BTreeMap<String, String>, problem: &Problem) -> bool {
    let names = SETTINGS.iter().map(|setting| setting.variable);
    let mut names = names.filter(|name| *name != "WEIR_UPSTREAM");
    let place = problem.place.as_str();
    let name = names.find(|name| place == *name || place.starts_with(&format!("{name}:")));
    name.is_some_and(|name| strings.remove(name).is_some())
}

fn explain(error: &StartError) -> String {
    let hint = match error {
        StartError::Bind { .. } => {
            "; set WEIR_LISTEN to a free address, as in 127.0.0.1:27027; the shim reads it too, \
             unless WEIR_SHIM_TARGET is set"
        }
        _ => "",
    };
    format!("{error}{hint}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn env(variables: &[(&str, &str)]) -> Env {
        let mut all = vec![("WEIR_LISTEN", "127.0.0.1:0")];
        all.extend(variables);
        Env::from_iter(all)
    }

    async fn started(variables: &[(&str, &str)]) -> Result<Serving, Refused> {
        let env = env(variables);
        start(&env, &Settings::read(&env)).await
    }

    #[tokio::test]
    async fn a_service_is_one_trunk_and_its_reserve() {
        let serving = started(&[("WEIR_SERVICE", "127.0.0.1:1")]).await.unwrap();
        assert_eq!(serving.proxy.addresses().len(), 1);
        assert_eq!(serving.proxy.admin_address(), None, "nobody asked for it");
    }

    #[tokio::test]
    async fn wrong_settings_are_given_up_and_the_rest_is_kept() {
        let strings = [
            ("WEIR_UPSTREAM", "mongodb://127.0.0.1:1/?loadBalanced=true"),
            ("WEIR_LISTEN", "nowhere"),
            ("WEIR_QUEUE_TIMEOUT", "soon"),
            ("WEIR_HOLD_TIMEOUT", "7s"),
        ];
        let strings = strings.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let config = load(strings.into(), "WEIR_SERVICE").await.unwrap();
        let listener = config.listeners.first().unwrap();
        assert_eq!(
            listener.queue_timeout,
            weir::config::defaults::QUEUE_TIMEOUT
        );
        assert_eq!(listener.hold_timeout, Duration::from_secs(7));
    }

    #[tokio::test]
    async fn what_cannot_be_served_is_said_with_the_functions_variable() {
        let uri = "mongodb://u:p@h/?authMechanism=GSSAPI";
        let error = started(&[("DB", uri)]).await.err().unwrap().why;
        assert!(error.contains("DB") && error.contains("GSSAPI"), "{error}");
        assert!(error.contains("SCRAM-SHA-256"), "what to do: {error}");
        assert!(!error.contains("u:p"), "{error}");
    }

    #[tokio::test]
    async fn a_taken_port_is_said_with_the_variable_to_set() {
        let other = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let taken = other.local_addr().unwrap().to_string();
        let variables = [
            ("WEIR_SERVICE", "127.0.0.1:1"),
            ("WEIR_LISTEN", taken.as_str()),
        ];
        let env = Env::from_iter(variables.to_vec());
        let error = start(&env, &Settings::read(&env)).await;
        let Refused { why: error, taken } = error.err().unwrap();
        assert!(taken);
        assert!(
            error.contains("WEIR_LISTEN") && error.contains("WEIR_SHIM_TARGET"),
            "{error}"
        );
    }
}
