//! What one run of `weir check` found, as data: the shape of `--json`.

use serde::Serialize;

use crate::config::{ClientString, Config, Effective, ListenerConfig};

/// Everything one run of `weir check` found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckReport {
    /// Version of this Weir.
    pub version: String,
    /// One entry per listener, in the order of the configuration.
    pub listeners: Vec<ListenerReport>,
    /// What every setting ended up as.
    pub settings: Vec<SettingReport>,
    /// Sentences about the settings that stop nothing.
    pub warnings: Vec<String>,
}

/// One listener and its upstream.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ListenerReport {
    /// Its name.
    pub name: String,
    /// Its addresses.
    pub listen: Vec<String>,
    /// The upstream's string, password masked.
    pub upstream: String,
    /// What is behind it; `None` when nothing answered.
    pub topology: Option<TopologyReport>,
    /// The outcome of the login; `None` without credentials, or when it did not come to one.
    pub login: Option<LoginReport>,
    /// Sockets to each node: all, and those left for operations.
    pub connections: ConnectionReport,
    /// The string an application must use, per placement.
    pub client_strings: Vec<ClientStringReport>,
    /// Whether Weir, started now, could serve reads and writes.
    pub serves: bool,
    /// What is wrong, each with its hint. Empty means that all is well.
    pub problems: Vec<String>,
    /// What to know about the upstream, though it stops nothing.
    pub remarks: Vec<String>,
}

/// The deployment as seen now.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct TopologyReport {
    /// Its kind, as in `replica set with primary`.
    pub kind: String,
    /// The replica set's name.
    pub set_name: Option<String>,
    /// Its nodes.
    pub nodes: Vec<NodeReport>,
}

/// One node.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct NodeReport {
    /// host:port.
    pub address: String,
    /// Its role, as in `primary`.
    pub role: String,
    /// The server's version, as in `MongoDB 7.0.28` or `Weir 0.1.0`.
    pub version: Option<String>,
    /// Its lowest and highest wire version.
    pub wire_versions: Option<(i32, i32)>,
    /// The codec agreed on; `None` before a connection was made.
    pub compression: Option<String>,
    /// Round trip of one command, in milliseconds.
    pub round_trip_ms: Option<f64>,
    /// Client connections, when the server tells this user.
    pub connections: Option<NodeConnections>,
    /// Why it cannot be used.
    pub error: Option<String>,
}

/// Client connections of a node.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct NodeConnections {
    /// Open now, those of this check among them.
    pub current: u64,
    /// What it would still accept.
    pub available: u64,
}

/// The outcome of the login.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct LoginReport {
    /// The user, or the id of a role's key; empty when a certificate names the user, and for a
    /// role whose keys are not the string's.
    pub user: String,
    /// Where the user is defined.
    pub source: String,
    /// The mechanism that was used.
    pub mechanism: Option<String>,
    /// Nodes that accepted it.
    pub accepted_by: usize,
    /// Why a node refused it.
    pub error: Option<String>,
}

/// The cap in numbers.
#[derive(Clone, Copy, Debug, Default, Serialize)]
pub struct ConnectionReport {
    /// Ceiling of sockets to each node.
    pub max: usize,
    /// Of these, sockets that watch the node.
    pub monitoring: usize,
    /// Of these, sockets left for operations.
    pub operations: usize,
}

/// One client string.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ClientStringReport {
    /// The placement it is for.
    pub placement: String,
    /// The string; its password masked unless secrets were asked for.
    pub string: String,
    /// What of the upstream's string is not in it.
    pub dropped: Vec<DroppedOption>,
    /// What else to know.
    pub notes: Vec<String>,
}

/// An option left out of a client string.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct DroppedOption {
    /// Its name.
    pub name: String,
    /// Why.
    pub why: String,
}

/// One effective setting.
#[derive(Clone, Debug, Default, Serialize)]
pub struct SettingReport {
    /// The listener it belongs to.
    pub listener: Option<String>,
    /// Its flag.
    pub flag: String,
    /// Its value, secrets masked.
    pub value: String,
    /// The flag, variable, key or option it came from, or `default`.
    pub from: String,
}

impl CheckReport {
    /// What can be said without asking anybody: settings, warnings, client strings.
    pub fn of(config: &Config, show_secrets: bool) -> Self {
        let listeners = config.listeners.iter();
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listeners: listeners
                .map(|listener| ListenerReport::of(listener, show_secrets))
                .collect(),
            settings: config.effective.iter().map(SettingReport::from).collect(),
            warnings: config.warnings.clone(),
        }
    }

    /// Whether nothing is wrong with any listener.
    pub fn is_ok(&self) -> bool {
        let mut listeners = self.listeners.iter();
        listeners.all(|listener| listener.problems.is_empty())
    }

    /// For machines.
    ///
    /// # Errors
    /// None of these types can fail to serialize; the signature is serde's.
    pub fn to_json(&self) -> serde_json::Result<String> {
        #[derive(Serialize)]
        struct WithVerdict<'a> {
            ok: bool,
            #[serde(flatten)]
            report: &'a CheckReport,
        }
        serde_json::to_string_pretty(&WithVerdict {
            ok: self.is_ok(),
            report: self,
        })
    }
}

impl ListenerReport {
    fn of(listener: &ListenerConfig, show_secrets: bool) -> Self {
        let placements = crate::config::Placement::of(&listener.listen);
        let strings =
            crate::config::client_strings(&listener.upstream, &placements, listener.tls.is_some());
        Self {
            name: listener.name.clone(),
            listen: listener.listen.iter().map(ToString::to_string).collect(),
            upstream: listener.upstream.redacted().to_owned(),
            connections: ConnectionReport {
                max: listener.max_connections,
                monitoring: listener.upstream.monitor_sockets(),
                operations: listener.data_connections(),
            },
            client_strings: strings
                .iter()
                .map(|string| ClientStringReport::of(string, show_secrets))
                .collect(),
            ..Self::default()
        }
    }
}

impl ClientStringReport {
    fn of(string: &ClientString, show_secrets: bool) -> Self {
        let shown = if show_secrets {
            string.reveal()
        } else {
            string.masked()
        };
        let dropped = string.dropped.iter().map(|(name, why)| DroppedOption {
            name: name.clone(),
            why: why.clone(),
        });
        Self {
            placement: string.placement.name().to_owned(),
            string: shown.to_owned(),
            dropped: dropped.collect(),
            notes: string.notes.iter().map(ToString::to_string).collect(),
        }
    }
}

impl From<&Effective> for SettingReport {
    fn from(effective: &Effective) -> Self {
        Self {
            listener: effective.listener.clone(),
            flag: effective.flag.to_owned(),
            value: effective.value.clone(),
            from: effective.origin.to_string(),
        }
    }
}
