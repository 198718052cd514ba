//! The table of settings: one entry gives a flag, its variable, its file key, its default and
//! its help. The command line, the environment, the file and the reference all come from here.

use crate::config::defaults;
use crate::config::units::{show_duration, show_size};

/// One setting.
#[derive(Debug)]
pub struct Setting {
    /// The flag without its dashes; also the identity of the setting.
    pub flag: &'static str,
    /// The environment variable.
    pub variable: &'static str,
    /// The key in the configuration file; `None` for the file's own name.
    pub key: Option<&'static str>,
    /// Whether each `[[listener]]` has its own.
    pub scope: Scope,
    /// What a value looks like.
    pub form: Form,
    /// What holds when nobody says anything.
    pub default: DefaultValue,
    /// One or more sentences for `--help` and the reference.
    pub help: &'static str,
}

/// Whom a setting belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// The whole process; a top-level key of the file.
    Process,
    /// Each listener; a key of `[[listener]]`, or a top-level one meant for all of them.
    Listener,
    /// One listener only: with several `[[listener]]`s in the file, neither a flag nor a variable
    /// can say which is meant.
    OneListener,
}

/// What a value looks like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Free text; the placeholder shown in `--help`.
    Text(&'static str),
    /// Text that may hold a password.
    Secret(&'static str),
    /// Several texts: a repeated flag, a comma-separated variable, an array in the file.
    List(&'static str),
    /// A number and a unit: `5s`.
    Duration,
    /// A number of bytes and a unit: `64MiB`.
    Size,
    /// A whole number.
    Count,
    /// A number per second.
    Rate,
    /// `true` or `false`; as a flag, its presence is enough.
    Switch,
    /// One of these words; the placeholder shown in `--help`.
    Choice(&'static [&'static str], &'static str),
}

/// A default in its type.
#[derive(Clone, Copy, Debug)]
pub enum DefaultValue {
    /// There is none: the setting must be given.
    Required,
    /// A sentence, because it depends on something else.
    Depends(&'static str),
    /// A text.
    Text(&'static str),
    /// A duration.
    Duration(std::time::Duration),
    /// A number of bytes.
    Size(usize),
    /// A number.
    Count(usize),
    /// Off.
    Off,
}

impl DefaultValue {
    /// As shown in `--help` and the reference.
    pub fn show(&self) -> String {
        match self {
            Self::Required => "required".to_owned(),
            Self::Depends(text) | Self::Text(text) => (*text).to_owned(),
            Self::Duration(duration) => show_duration(*duration),
            Self::Size(bytes) => show_size(*bytes),
            Self::Count(count) => count.to_string(),
            Self::Off => "off".to_owned(),
        }
    }
}

impl Setting {
    /// Whether each `[[listener]]` may have its own value.
    pub fn is_per_listener(&self) -> bool {
        self.scope != Scope::Process
    }

    /// The placeholder of its value.
    pub const fn placeholder(&self) -> &'static str {
        match self.form {
            Form::Text(shown) | Form::Secret(shown) | Form::List(shown) => shown,
            Form::Choice(_, shown) => shown,
            Form::Duration => "DURATION",
            Form::Size => "SIZE",
            Form::Count => "N",
            Form::Rate => "PER_SECOND",
            Form::Switch => "true|false",
        }
    }
}

/// Finds a setting by its key in the file.
pub fn by_key(key: &str) -> Option<&'static Setting> {
    SETTINGS.iter().find(|setting| setting.key == Some(key))
}

/// Names used by code; each is the flag of one entry.
pub mod name {
    #![allow(missing_docs, reason = "each constant is the flag it is named after")]
    pub const ADMIN: &str = "admin";
    pub const ALLOW_ANONYMOUS: &str = "allow-anonymous";
    pub const BEHIND: &str = "behind";
    pub const CLIENT_DEAD_AFTER: &str = "client-dead-after";
    pub const CLIENT_KEEPALIVE: &str = "client-keepalive";
    pub const CONFIG: &str = "config";
    pub const CONNECTION_LIFETIME: &str = "connection-lifetime";
    pub const CONNECT_RATE: &str = "connect-rate";
    pub const DRAIN_TIMEOUT: &str = "drain-timeout";
    pub const ENABLE_TEST_COMMANDS: &str = "enable-test-commands";
    pub const HELLO_STREAMING: &str = "hello-streaming";
    pub const HOLD_TIMEOUT: &str = "hold-timeout";
    pub const LISTEN: &str = "listen";
    pub const LOAD_BALANCED_ONLY: &str = "load-balanced-only";
    pub const LOG_FILTER: &str = "log-filter";
    pub const LOG_FORMAT: &str = "log-format";
    pub const MAX_CLIENTS: &str = "max-clients";
    pub const MAX_CONNECTING: &str = "max-connecting";
    pub const MAX_CONNECTIONS: &str = "max-connections";
    pub const MAX_IDLE_TIME: &str = "max-idle-time";
    pub const MAX_IN_FLIGHT: &str = "max-in-flight";
    pub const MAX_WIRE_VERSION: &str = "max-wire-version";
    pub const MIN_CONNECTIONS: &str = "min-connections";
    pub const NO_PROBE: &str = "no-probe";
    pub const QUEUE_DEPTH: &str = "queue-depth";
    pub const QUEUE_TIMEOUT: &str = "queue-timeout";
    pub const TLS_CERTIFICATE: &str = "tls-certificate";
    pub const TLS_CLIENT_CA: &str = "tls-client-ca";
    pub const TLS_KEY: &str = "tls-key";
    pub const UPSTREAM: &str = "upstream";
    pub const WIRE_VERSION: &str = "wire-version";
    pub const WORKERS: &str = "workers";
}

const EACH: Scope = Scope::Listener;
const ONE: Scope = Scope::OneListener;
const ALL: Scope = Scope::Process;

/// Writes one entry; the three names are spelled out so that each can be searched for.
macro_rules! setting {
    ($flag:expr, $variable:literal, $key:expr, $scope:expr, $form:expr, $default:expr, $help:expr) => {
        Setting {
            flag: $flag,
            variable: $variable,
            key: $key,
            scope: $scope,
            form: $form,
            default: $default,
            help: $help,
        }
    };
}

/// The table, in the order of the reference. Flat on purpose.
#[rustfmt::skip]
pub const SETTINGS: &[Setting] = &[
    setting!(name::UPSTREAM, "WEIR_UPSTREAM", Some("upstream"), ONE, Form::Secret("URI"), DefaultValue::Required,
        "The connection string a driver would get for the cluster, mongodb+srv:// too. Prefer the variable: flags are visible to every user of the machine."),
    setting!(name::LISTEN, "WEIR_LISTEN", Some("listen"), ONE, Form::List("ADDRESS"), DefaultValue::Text(defaults::LISTEN),
        "Address to listen on, host:port or unix:/path. May be repeated; the variable takes a comma-separated list."),
    setting!(name::MAX_CONNECTIONS, "WEIR_MAX_CONNECTIONS", Some("max_connections"), EACH, Form::Count, DefaultValue::Count(defaults::MAX_CONNECTIONS),
        "Hard ceiling of sockets to each upstream node, monitoring included, at every instant, for this process. maxPoolSize in the upstream string may lower it."),
    setting!(name::MIN_CONNECTIONS, "WEIR_MIN_CONNECTIONS", Some("min_connections"), EACH, Form::Count, DefaultValue::Count(defaults::MIN_CONNECTIONS),
        "Connections kept warm to each node in use. minPoolSize in the upstream string sets it when nothing else does."),
    setting!(name::QUEUE_TIMEOUT, "WEIR_QUEUE_TIMEOUT", Some("queue_timeout"), EACH, Form::Duration, DefaultValue::Duration(defaults::QUEUE_TIMEOUT),
        "Longest wait for a connection when the client gave no nearer deadline. waitQueueTimeoutMS in the upstream string sets it when nothing else does."),
    setting!(name::QUEUE_DEPTH, "WEIR_QUEUE_DEPTH", Some("queue_depth"), EACH, Form::Count, DefaultValue::Count(defaults::QUEUE_DEPTH),
        "Operations that may wait for a connection; above it, operations are shed at once, but for those that end a transaction or fetch from a cursor."),
    setting!(name::HOLD_TIMEOUT, "WEIR_HOLD_TIMEOUT", Some("hold_timeout"), EACH, Form::Duration, DefaultValue::Duration(defaults::HOLD_TIMEOUT),
        "Longest an operation is held while no suitable node exists, as in an election. serverSelectionTimeoutMS in the upstream string sets it when nothing else does."),
    setting!(name::MAX_CONNECTING, "WEIR_MAX_CONNECTING", Some("max_connecting"), EACH, Form::Count, DefaultValue::Count(defaults::MAX_CONNECTING),
        "Handshakes in progress to one node at once. maxConnecting in the upstream string sets it when nothing else does."),
    setting!(name::CONNECT_RATE, "WEIR_CONNECT_RATE", Some("connect_rate"), EACH, Form::Rate, DefaultValue::Depends("no limit"),
        "New connections per second to one node. Small Atlas tiers accept about 15 per second."),
    setting!(name::MAX_IDLE_TIME, "WEIR_MAX_IDLE_TIME", Some("max_idle_time"), EACH, Form::Duration, DefaultValue::Depends("no limit"),
        "An upstream connection above the minimum that was idle this long is closed. maxIdleTimeMS in the upstream string sets it when nothing else does."),
    setting!(name::CONNECTION_LIFETIME, "WEIR_CONNECTION_LIFETIME", Some("connection_lifetime"), EACH, Form::Duration, DefaultValue::Duration(defaults::CONNECTION_LIFETIME),
        "Age at which an upstream connection is replaced, jittered so that connections of one start do not end together."),
    setting!(name::ALLOW_ANONYMOUS, "WEIR_ALLOW_ANONYMOUS", Some("allow_anonymous"), EACH, Form::Switch, DefaultValue::Off,
        "Serve clients without credentials on addresses other than loopback and unix sockets. Every client that reaches the port then acts as the upstream user."),
    setting!(name::TLS_CERTIFICATE, "WEIR_TLS_CERTIFICATE", Some("tls_certificate"), ONE, Form::Text("FILE"), DefaultValue::Depends("plain TCP"),
        "PEM file with the certificate chain shown to clients; switches TLS on. Unix sockets stay without."),
    setting!(name::TLS_KEY, "WEIR_TLS_KEY", Some("tls_key"), ONE, Form::Text("FILE"), DefaultValue::Depends("the certificate's file"),
        "PEM file with the private key of that certificate."),
    setting!(name::TLS_CLIENT_CA, "WEIR_TLS_CLIENT_CA", Some("tls_client_ca"), ONE, Form::Text("FILE"), DefaultValue::Depends("none asked"),
        "PEM file with the authorities whose client certificates are demanded."),
    setting!(name::HELLO_STREAMING, "WEIR_HELLO_STREAMING", Some("hello_streaming"), EACH, Form::Choice(&["on", "off"], "on|off"), DefaultValue::Text("on"),
        "Whether drivers may stream their monitoring of Weir. Off: they poll every 10 s and open two connections instead of three."),
    setting!(name::NO_PROBE, "WEIR_NO_PROBE", Some("no_probe"), EACH, Form::Switch, DefaultValue::Off,
        "Do not ask the nodes in turn about a cursor that another Weir has opened."),
    setting!(name::LOAD_BALANCED_ONLY, "WEIR_LOAD_BALANCED_ONLY", Some("load_balanced_only"), EACH, Form::Switch, DefaultValue::Off,
        "Refuse clients whose string lacks loadBalanced=true."),
    setting!(name::MAX_WIRE_VERSION, "WEIR_MAX_WIRE_VERSION", Some("max_wire_version"), EACH, Form::Count, DefaultValue::Depends("the upstream's"),
        "Ceiling for the maxWireVersion told to clients."),
    setting!(name::WIRE_VERSION, "WEIR_WIRE_VERSION", Some("wire_version"), EACH, Form::Count, DefaultValue::Text("13"),
        "The maxWireVersion told to clients while the upstream has not been reached yet."),
    setting!(name::MAX_CLIENTS, "WEIR_MAX_CLIENTS", Some("max_clients"), ALL, Form::Count, DefaultValue::Count(defaults::MAX_CLIENTS),
        "Client connections at once. The limit of open files is raised as far as the system allows, and the number that results is logged."),
    setting!(name::CLIENT_KEEPALIVE, "WEIR_CLIENT_KEEPALIVE", Some("client_keepalive"), ALL, Form::Duration, DefaultValue::Duration(defaults::CLIENT_KEEPALIVE),
        "Idle time before the first TCP keepalive probe to a client."),
    setting!(name::CLIENT_DEAD_AFTER, "WEIR_CLIENT_DEAD_AFTER", Some("client_dead_after"), ALL, Form::Duration, DefaultValue::Duration(defaults::CLIENT_DEAD_AFTER),
        "A client that answers no probe this long is gone. A live idle client is never closed."),
    setting!(name::BEHIND, "WEIR_BEHIND", Some("behind"), ALL, Form::Choice(&["none", "list", "balancer"], "none|list|balancer"), DefaultValue::Text("none"),
        "What stands before Weir, which decides how it drains: nothing (a sidecar), clients that list several Weirs, or a network load balancer."),
    setting!(name::DRAIN_TIMEOUT, "WEIR_DRAIN_TIMEOUT", Some("drain_timeout"), ALL, Form::Duration, DefaultValue::Depends("none 55s, list 25s, balancer 110s"),
        "Longest time from SIGTERM to exit; the default goes by --behind. Set the container's stop timeout at least 2 s above it."),
    setting!(name::ADMIN, "WEIR_ADMIN", Some("admin"), ALL, Form::Text("ADDRESS"), DefaultValue::Text(defaults::ADMIN),
        "Where health, status, metrics and the page are served over HTTP."),
    setting!(name::LOG_FORMAT, "WEIR_LOG_FORMAT", Some("log_format"), ALL, Form::Choice(&["json", "text"], "json|text"), DefaultValue::Depends("text on a terminal, else json"),
        "How log lines are written."),
    setting!(name::LOG_FILTER, "WEIR_LOG_FILTER", Some("log_filter"), ALL, Form::Text("FILTER"), DefaultValue::Text(defaults::LOG_FILTER),
        "Which log lines are written: error, warn, info, debug or trace, also by module, as in info,weir::pool=debug."),
    setting!(name::MAX_IN_FLIGHT, "WEIR_MAX_IN_FLIGHT", Some("max_in_flight"), ALL, Form::Size, DefaultValue::Size(defaults::MAX_IN_FLIGHT_BYTES),
        "Bytes of messages held in memory at once, over all listeners."),
    setting!(name::WORKERS, "WEIR_WORKERS", Some("workers"), ALL, Form::Count, DefaultValue::Depends("one per core; one on two cores"),
        "Worker threads."),
    setting!(name::ENABLE_TEST_COMMANDS, "WEIR_ENABLE_TEST_COMMANDS", Some("enable_test_commands"), ALL, Form::Switch, DefaultValue::Off,
        "Let configureFailPoint and killAllSessions through, like mongod's parameter of that name. For drivers' test suites; never in production."),
    setting!(name::CONFIG, "WEIR_CONFIG", None, ALL, Form::Text("FILE"), DefaultValue::Depends("no file"),
        "TOML file with any of these settings and any number of [[listener]]s, each one cluster."),
];

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn setting(flag: &str) -> Option<&'static Setting> {
        SETTINGS.iter().find(|setting| setting.flag == flag)
    }

    #[test]
    fn names_follow_one_rule_and_are_unique() {
        for setting in SETTINGS {
            let (flag, variable) = (setting.flag, setting.variable);
            assert_eq!(
                variable,
                format!("WEIR_{}", flag.replace('-', "_").to_uppercase())
            );
            if let Some(key) = setting.key {
                assert_eq!(key, flag.replace('-', "_"));
                assert_eq!(by_key(key).unwrap().flag, flag);
            }
        }
        let flags: BTreeSet<_> = SETTINGS.iter().map(|setting| setting.flag).collect();
        assert_eq!(flags.len(), SETTINGS.len());
    }

    #[test]
    fn defaults_written_as_text_are_the_typed_ones() {
        let wire_version = setting(name::WIRE_VERSION).unwrap().default.show();
        assert_eq!(wire_version, defaults::WIRE_VERSION.to_string());
        let drain = setting(name::DRAIN_TIMEOUT).unwrap().default.show();
        for (word, time) in [
            ("none", defaults::DRAIN_NONE),
            ("list", defaults::DRAIN_LIST),
            ("balancer", defaults::DRAIN_BALANCER),
        ] {
            assert!(
                drain.contains(&format!("{word} {}", show_duration(time))),
                "{drain}"
            );
        }
    }
}
