//! The report as a person reads it: what is there first, what to do last.

use std::fmt::Write as _;

use weir::check::report::{
    CheckReport, ClientStringReport, ConnectionReport, DroppedOption, ListenerReport, LoginReport,
    NodeReport, SettingReport, TopologyReport,
};
use weir::config::Mechanism;

/// A part of the report that is one phrase.
trait Show {
    fn show(&self) -> String;
}

/// A part of the report that has lines of its own.
trait Section {
    fn write(&self, text: &mut String);
}

/// The report for people.
pub(super) fn of(report: &CheckReport) -> String {
    let mut text = format!("weir {}\n", report.version);
    for listener in &report.listeners {
        listener.write(&mut text);
    }
    write_settings(&report.settings, &mut text);
    write_list("warnings", &report.warnings, &mut text);
    for listener in &report.listeners {
        let title = |what: &str| match report.listeners.len() {
            1 => what.to_owned(),
            _ => format!("{what} of listener {}", listener.name),
        };
        write_list(&title("remarks"), &listener.remarks, &mut text);
        write_list(&title("problems"), &listener.problems, &mut text);
    }
    let _ = writeln!(text, "\n{}", verdict(report));
    text
}

fn verdict(report: &CheckReport) -> &'static str {
    if report.is_ok() {
        "everything is fine"
    } else if report.listeners.iter().all(|listener| listener.serves) {
        "not fine: Weir would serve, but see the problems above"
    } else {
        "not fine: Weir could not serve; see the problems above"
    }
}

impl Section for ListenerReport {
    fn write(&self, text: &mut String) {
        let _ = writeln!(text, "\nlistener {}", self.name);
        line(text, "listens on", &self.listen.join(", "));
        line(text, "upstream", &self.upstream);
        line(text, "connections", &self.connections.show());
        match &self.topology {
            Some(topology) => topology.write(text),
            None => line(text, "deployment", "not seen"),
        }
        if let Some(login) = &self.login {
            line(text, "login", &login.show());
        }
        text.push_str("\n  strings for the application\n");
        if let Some(hint) = blanks(&self.client_strings) {
            let _ = writeln!(text, "    ({hint})");
        }
        for string in &self.client_strings {
            string.write(text);
        }
        write_dropped(&self.client_strings, text);
    }
}

/// What in the strings has to be filled in.
fn blanks(strings: &[ClientStringReport]) -> Option<String> {
    let has = |what| strings.iter().any(|string| string.string.contains(what));
    let hosts = has("_HOST").then_some("put the names your clients reach for the hosts");
    let password = has("***").then_some("for *** put the password, or add --show-secrets");
    let blanks: Vec<&str> = hosts.into_iter().chain(password).collect();
    (!blanks.is_empty()).then(|| blanks.join("; "))
}

/// An option is left out of every string for the same reason, so it is printed once.
fn write_dropped(strings: &[ClientStringReport], text: &mut String) {
    let mut dropped: Vec<&DroppedOption> = Vec::new();
    for option in strings.iter().flat_map(|string| &string.dropped) {
        if !dropped.contains(&option) {
            dropped.push(option);
        }
    }
    if !dropped.is_empty() {
        text.push_str("\n  left out of the application's string\n");
    }
    for option in dropped {
        let _ = writeln!(text, "    {}: {}", option.name, option.why);
    }
}

impl Show for ConnectionReport {
    fn show(&self) -> String {
        let Self {
            max,
            monitoring,
            operations,
        } = *self;
        match monitoring {
            0 => format!("at most {max} to the upstream"),
            1 => format!("at most {max} per node: {operations} for operations, 1 watches it"),
            _ => format!(
                "at most {max} per node: {operations} for operations, {monitoring} watch it"
            ),
        }
    }
}

impl Section for TopologyReport {
    fn write(&self, text: &mut String) {
        let set = self.set_name.as_deref().map(|name| format!(" {name}"));
        let kind = format!("{}{}", self.kind, set.unwrap_or_default());
        line(text, "deployment", &kind);
        for node in &self.nodes {
            let _ = writeln!(text, "    {}", node.show());
        }
    }
}

impl Show for NodeReport {
    fn show(&self) -> String {
        let mut parts = vec![format!("{} {}", self.address, self.role)];
        parts.extend(self.version.clone());
        let wire = self.wire_versions;
        parts.extend(wire.map(|(low, high)| format!("wire versions {low}-{high}")));
        let compression = self.compression.as_deref();
        parts.extend(compression.map(|codec| format!("compression {codec}")));
        let away = self.round_trip_ms;
        parts.extend(away.map(|away| format!("{away:.1} ms away")));
        parts.extend(self.connections.map(|connections| {
            let (current, available) = (connections.current, connections.available);
            format!("{current} connections open (this check's included), room for {available}")
        }));
        parts.extend(self.error.as_ref().map(|_| "not usable".to_owned()));
        parts.join(", ")
    }
}

impl Show for LoginReport {
    fn show(&self) -> String {
        let of_role = self.mechanism.as_deref() == Some(Mechanism::Aws.name());
        let who = match self.user.as_str() {
            "" if of_role => "the role of this process".to_owned(),
            "" => "the certificate's subject".to_owned(),
            user => format!("user {user} of {}", self.source),
        };
        let how = self.mechanism.as_ref();
        let how = how.map_or_else(String::new, |how| format!(" by {how}"));
        let nodes = match self.accepted_by {
            1 => "1 node".to_owned(),
            n => format!("{n} nodes"),
        };
        match &self.error {
            None => format!("{who}{how}: accepted by {nodes}"),
            Some(error) if self.accepted_by == 0 => format!("{who}{how}: {error}"),
            Some(error) => format!("{who}{how}: accepted by {nodes}, but elsewhere {error}"),
        }
    }
}

impl Section for ClientStringReport {
    fn write(&self, text: &mut String) {
        let _ = writeln!(text, "    {}\n      {}", self.placement, self.string);
        for note in &self.notes {
            let _ = writeln!(text, "      note: {note}");
        }
    }
}

fn line(text: &mut String, name: &str, value: &str) {
    let _ = writeln!(text, "  {name:11}  {value}");
}

/// One block per scope, values aligned; where a value came from follows it, unless it is the
/// default.
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
            from => writeln!(text, "  {flag:22}  {value}  (from {from})"),
        };
    }
}

fn write_list(title: &str, sentences: &[String], text: &mut String) {
    if sentences.is_empty() {
        return;
    }
    let _ = writeln!(text, "\n{title}");
    for sentence in sentences {
        let _ = writeln!(text, "  {sentence}");
    }
}
