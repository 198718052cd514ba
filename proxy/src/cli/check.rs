//! What `weir check` reports: pure data, and its two renderings.
//!
//! Whoever looks at the live deployment fills a [`CheckReport`]; nothing here knows how.

use std::fmt::Write as _;

use serde::Serialize;

use crate::config::{ClientString, Config, Effective};

/// Everything one run of `weir check` found.
#[derive(Clone, Debug, Default, Serialize)]
pub struct CheckReport {
    /// Version of this Weir.
    pub version: String,
    /// One entry per listener, in the order of the configuration.
    pub listeners: Vec<ListenerReport>,
    /// What every setting ended up as.
    pub settings: Vec<SettingReport>,
    /// Sentences that stop nothing.
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
    /// The outcome of the login; `None` without credentials.
    pub login: Option<LoginReport>,
    /// Sockets to each node: all, and those left for operations.
    pub connections: ConnectionReport,
    /// The string an application must use, per road.
    pub client_strings: Vec<ClientStringReport>,
    /// What keeps this listener from serving. Empty means it is fine.
    pub problems: Vec<String>,
}

/// The deployment as seen now.
#[derive(Clone, Debug, Default, Serialize)]
pub struct TopologyReport {
    /// Its kind, as in `replica set with primary`.
    pub kind: String,
    /// The replica set's name.
    pub set_name: Option<String>,
    /// Its nodes.
    pub nodes: Vec<NodeReport>,
}

/// One node.
#[derive(Clone, Debug, Default, Serialize)]
pub struct NodeReport {
    /// host:port.
    pub address: String,
    /// Its role, as in `primary`.
    pub kind: String,
    /// The server's version, as in `7.0.28`.
    pub version: Option<String>,
    /// Its highest wire version.
    pub max_wire_version: Option<i32>,
    /// Round trip in milliseconds.
    pub rtt_ms: Option<f64>,
    /// Connections it has, and would still accept.
    pub connections: Option<(u64, u64)>,
    /// Why it cannot be used.
    pub error: Option<String>,
}

/// The outcome of the login.
#[derive(Clone, Debug, Default, Serialize)]
pub struct LoginReport {
    /// The user.
    pub user: String,
    /// Where the user is defined.
    pub source: String,
    /// The mechanism that was used.
    pub mechanism: Option<String>,
    /// Why it failed.
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
    /// The road it is for.
    pub road: String,
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
        let listeners = config.listeners.iter().map(|listener| {
            let roads = crate::config::Road::of(&listener.listen);
            let strings =
                crate::config::client_strings(&listener.upstream, &roads, listener.tls.is_some());
            ListenerReport {
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
                ..ListenerReport::default()
            }
        });
        Self {
            version: env!("CARGO_PKG_VERSION").to_owned(),
            listeners: listeners.collect(),
            settings: config.effective.iter().map(SettingReport::from).collect(),
            warnings: config.warnings.clone(),
        }
    }

    /// Whether every listener could serve.
    pub fn is_fine(&self) -> bool {
        self.listeners
            .iter()
            .all(|listener| listener.problems.is_empty())
    }

    /// For machines.
    ///
    /// # Errors
    /// None of these types can fail to serialize; the signature is serde's.
    pub fn to_json(&self) -> serde_json::Result<String> {
        serde_json::to_string_pretty(self)
    }

    /// For people.
    pub fn to_text(&self) -> String {
        let mut text = format!("weir {}\n", self.version);
        for listener in &self.listeners {
            listener.write(&mut text);
        }
        write_settings(&self.settings, &mut text);
        write_list("warnings", &self.warnings, &mut text);
        let verdict = match self.is_fine() {
            true => "everything is fine",
            false => "not fine: see the problems above",
        };
        let _ = writeln!(text, "\n{verdict}");
        text
    }
}

impl ListenerReport {
    fn write(&self, text: &mut String) {
        let _ = writeln!(text, "\nlistener {}", self.name);
        line(text, "listens on", &self.listen.join(", "));
        line(text, "upstream", &self.upstream);
        let ConnectionReport {
            max,
            monitoring,
            operations,
        } = self.connections;
        let split = format!("{max} per node: {operations} for operations, {monitoring} watch it");
        line(text, "connections", &split);
        if let Some(topology) = &self.topology {
            topology.write(text);
        }
        if let Some(login) = &self.login {
            line(text, "login", &login.show());
        }
        for string in &self.client_strings {
            string.write(text);
        }
        // An option is left out of every road for the same reason: say it once.
        let mut dropped: Vec<&DroppedOption> = Vec::new();
        for option in self
            .client_strings
            .iter()
            .flat_map(|string| &string.dropped)
        {
            if !dropped.contains(&option) {
                dropped.push(option);
            }
        }
        if !dropped.is_empty() {
            text.push_str("  left out of the client's string\n");
        }
        for option in dropped {
            let _ = writeln!(text, "    {}: {}", option.name, option.why);
        }
        write_list("  problems", &self.problems, text);
    }
}

impl TopologyReport {
    fn write(&self, text: &mut String) {
        let set = self.set_name.as_deref().map(|name| format!(" {name}"));
        line(
            text,
            "deployment",
            &format!("{}{}", self.kind, set.unwrap_or_default()),
        );
        for node in &self.nodes {
            let _ = writeln!(text, "    {}", node.show());
        }
    }
}

impl NodeReport {
    fn show(&self) -> String {
        let mut parts = vec![self.address.clone(), self.kind.clone()];
        parts.extend(
            self.version
                .as_ref()
                .map(|version| format!("MongoDB {version}")),
        );
        parts.extend(
            self.max_wire_version
                .map(|wire| format!("wire version {wire}")),
        );
        parts.extend(self.rtt_ms.map(|rtt| format!("{rtt:.1} ms away")));
        let connections = self
            .connections
            .map(|(now, free)| format!("{now} connections, {free} more accepted"));
        parts.extend(connections);
        parts.extend(self.error.clone());
        parts.join(", ")
    }
}

impl LoginReport {
    fn show(&self) -> String {
        let who = format!("{} of {}", self.user, self.source);
        let how = self.mechanism.as_deref().unwrap_or("SCRAM");
        match &self.error {
            None => format!("{who} by {how}: accepted"),
            Some(error) => format!("{who} by {how}: {error}"),
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
            road: string.road.name().to_owned(),
            string: shown.to_owned(),
            dropped: dropped.collect(),
            notes: string.notes.iter().map(ToString::to_string).collect(),
        }
    }

    fn write(&self, text: &mut String) {
        let _ = writeln!(
            text,
            "  client's string for {}\n    {}",
            self.road, self.string
        );
        for note in &self.notes {
            let _ = writeln!(text, "    note: {note}");
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

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:11}  {value}");
}

/// One block per scope, values aligned.
fn write_settings(settings: &[SettingReport], text: &mut String) {
    let mut scope: Option<&Option<String>> = None;
    for setting in settings {
        if scope != Some(&setting.listener) {
            scope = Some(&setting.listener);
            match &setting.listener {
                Some(name) => _ = writeln!(text, "\nsettings of listener {name}"),
                None => text.push_str("\nsettings of the process\n"),
            }
        }
        let (flag, value, from) = (&setting.flag, &setting.value, &setting.from);
        let _ = match from.as_str() {
            "default" => writeln!(text, "  {flag:22}  {value}"),
            from => writeln!(text, "  {flag:22}  {value}  ({from})"),
        };
    }
}

fn write_list(title: &str, sentences: &[String], text: &mut String) {
    if sentences.is_empty() {
        return;
    }
    let indent: String = title.chars().take_while(|c| *c == ' ').collect();
    let before = if indent.is_empty() { "\n" } else { "" };
    let _ = writeln!(text, "{before}{title}");
    for sentence in sentences {
        let _ = writeln!(text, "{indent}  {sentence}");
    }
}

#[cfg(test)]
mod tests;
