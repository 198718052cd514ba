//! What every setting ended up as, for `weir check` and the start-up log.

use crate::config::settings::{SETTINGS, Setting, name};
use crate::config::units::{show_duration, show_size};
use crate::config::{Behind, Config, ListenerConfig, LogFormat, Origin};

/// One setting of a complete configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Effective {
    /// The listener it belongs to; `None` for the process.
    pub listener: Option<String>,
    /// The setting, by its flag.
    pub flag: &'static str,
    /// Its value as one would write it; secrets masked.
    pub value: String,
    /// Where it came from.
    pub origin: Origin,
}

/// Lists the settings of the process. `origin` finds where a flag's value came from.
pub(super) fn of_process(
    config: &Config,
    origin: impl Fn(&'static str) -> Origin,
) -> impl Iterator<Item = Effective> {
    SETTINGS
        .iter()
        .filter(|setting| !setting.is_per_listener())
        .filter_map(move |setting| {
            Some(Effective {
                listener: None,
                flag: setting.flag,
                value: process_value(config, setting)?,
                origin: origin(setting.flag),
            })
        })
}

/// Lists the settings of one listener.
pub(super) fn of_listener(
    listener: &ListenerConfig,
    origin: impl Fn(&'static str) -> Origin,
) -> impl Iterator<Item = Effective> {
    SETTINGS
        .iter()
        .filter(|setting| setting.is_per_listener())
        .filter_map(move |setting| {
            Some(Effective {
                listener: Some(listener.name.clone()),
                flag: setting.flag,
                value: listener_value(listener, setting)?,
                origin: origin(setting.flag),
            })
        })
}

/// `None` for the file itself, which is no setting of a complete configuration.
fn process_value(config: &Config, setting: &Setting) -> Option<String> {
    Some(match setting.flag {
        name::MAX_CLIENTS => config.max_clients.to_string(),
        name::CLIENT_KEEPALIVE => show_duration(config.client_keepalive),
        name::CLIENT_DEAD_AFTER => show_duration(config.client_dead_after),
        name::BEHIND => match config.behind {
            Behind::None => "none".to_owned(),
            Behind::List => "list".to_owned(),
            Behind::Balancer => "balancer".to_owned(),
        },
        name::DRAIN_TIMEOUT => show_duration(config.drain_timeout),
        name::ADMIN => config.admin.to_string(),
        name::LOG_FORMAT => match config.log_format {
            LogFormat::Json => "json".to_owned(),
            LogFormat::Text => "text".to_owned(),
        },
        name::LOG_FILTER => config.log_filter.clone(),
        name::MAX_IN_FLIGHT => show_size(config.max_in_flight_bytes),
        name::WORKERS => config
            .workers
            .map_or_else(|| setting.default.show(), |workers| workers.to_string()),
        name::ENABLE_TEST_COMMANDS => on_off(config.enable_test_commands),
        _ => return None,
    })
}

/// `None` only for a setting this match does not know; a test finds such a gap.
fn listener_value(listener: &ListenerConfig, setting: &Setting) -> Option<String> {
    let or_default = |value: Option<String>| value.unwrap_or_else(|| setting.default.show());
    let tls = listener.tls.as_ref();
    Some(match setting.flag {
        name::UPSTREAM => listener.upstream.redacted().to_owned(),
        name::LISTEN => {
            let addresses: Vec<String> = listener.listen.iter().map(ToString::to_string).collect();
            addresses.join(",")
        }
        name::MAX_CONNECTIONS => listener.max_connections.to_string(),
        name::MIN_CONNECTIONS => listener.min_connections.to_string(),
        name::QUEUE_TIMEOUT => show_duration(listener.queue_timeout),
        name::QUEUE_DEPTH => listener.queue_depth.to_string(),
        name::HOLD_TIMEOUT => show_duration(listener.hold_timeout),
        name::MAX_CONNECTING => listener.max_connecting.to_string(),
        name::CONNECT_RATE => or_default(listener.connect_rate.map(|rate| rate.to_string())),
        name::MAX_IDLE_TIME => or_default(listener.max_idle_time.map(show_duration)),
        name::CONNECTION_LIFETIME => show_duration(listener.connection_lifetime),
        name::ALLOW_ANONYMOUS => on_off(listener.allow_anonymous),
        name::TLS_CERTIFICATE => {
            or_default(tls.map(|tls| tls.certificate_file.display().to_string()))
        }
        name::TLS_KEY => or_default(tls.map(|tls| tls.key_file.display().to_string())),
        name::TLS_CLIENT_CA => or_default(
            tls.and_then(|tls| tls.client_ca_file.as_ref())
                .map(|path| path.display().to_string()),
        ),
        name::HELLO_STREAMING => on_off(listener.streaming_hello),
        name::NO_PROBE => on_off(!listener.probe_cursors),
        name::LOAD_BALANCED_ONLY => on_off(listener.load_balanced_only),
        name::MAX_WIRE_VERSION => {
            or_default(listener.max_wire_version.map(|version| version.to_string()))
        }
        name::WIRE_VERSION => listener.wire_version.to_string(),
        _ => return None,
    })
}

fn on_off(on: bool) -> String {
    if on { "on" } else { "off" }.to_owned()
}
