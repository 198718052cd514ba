//! What is to be changed in an environment, and what to say about it. Pure.

use std::collections::BTreeSet;

use crate::chosen;
use crate::json::{self, Member};
use crate::rewrite::{self, Refusal, Rewritten};

/// Where Weir listens when nothing else is said.
const TARGET: &str = "127.0.0.1:27017";

/// Begins all names that belong to Weir itself, and are never changed.
const OWN: &str = "WEIR_";

/// Begins the names under which the originals are kept.
pub(crate) const ORIGINAL: &str = "WEIR_SHIM_ORIGINAL_";

/// Names an environment; the first that is set counts. On Lambda the log stream, on ECS the
/// container's metadata address: each is another one in each environment.
const IDENTITIES: [&str; 4] = [
    "WEIR_SHIM_ID",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "ECS_CONTAINER_METADATA_URI_V4",
    "HOSTNAME",
];

/// Variables, by name.
pub(crate) type Environment = [(String, String)];

/// What is to be done.
#[derive(Default)]
pub(crate) struct Plan {
    /// Variables to set.
    pub(crate) changes: Vec<(String, String)>,
    /// What to tell. No line holds a secret.
    pub(crate) lines: Vec<String>,
}

/// Plans the change of `environment`. `fallback` stands for an environment that has no name.
pub(crate) fn plan(environment: &Environment, fallback: &str) -> Plan {
    let mut plan = Plan::default();
    match Settings::read(environment, fallback) {
        Ok(settings) => plan.fill(environment, &settings),
        Err(why) => plan.lines.push(format!("nothing is changed: {why}")),
    }
    plan
}

struct Settings {
    target: String,
    /// Exactly these variables.
    named: Option<Vec<String>>,
}

impl Settings {
    /// The settings, or why there is nothing to do.
    fn read(environment: &Environment, fallback: &str) -> Result<Self, String> {
        let get = |name: &str| get(environment, name);
        if get("WEIR_SHIM_OFF").is_some_and(is_yes) {
            return Err("WEIR_SHIM_OFF is set".to_owned());
        }
        if let Some(text) = get("WEIR_SHIM_PERCENT") {
            let percent = chosen::percent(text)
                .ok_or("WEIR_SHIM_PERCENT is no number from 0 to 100".to_owned())?;
            let mut identities = IDENTITIES.iter().filter_map(|name| get(name));
            let identity = identities.next().unwrap_or(fallback);
            let salt = get("WEIR_SHIM_SALT").unwrap_or("weir");
            if !chosen::is_chosen(salt, identity, percent) {
                let text = text.trim().trim_end_matches('%').trim_end();
                return Err(format!("this environment is not among the {text} %"));
            }
        }
        let target = get("WEIR_SHIM_TARGET").unwrap_or(TARGET);
        if target.contains(|c: char| "/@?".contains(c) || c.is_whitespace()) {
            return Err("WEIR_SHIM_TARGET must be host:port, as in 127.0.0.1:27017".to_owned());
        }
        let named = get("WEIR_SHIM_VARS").map(|names| {
            let names = names.split([',', ' ']).filter(|name| !name.is_empty());
            names.map(str::to_owned).collect()
        });
        Ok(Self {
            target: target.to_owned(),
            named,
        })
    }
}

/// A variable with a connection string.
struct Candidate<'a> {
    name: &'a str,
    value: &'a str,
    /// The string is in this member of a JSON object.
    member: Option<Member>,
}

impl<'a> Candidate<'a> {
    fn of(name: &'a str, value: &'a str) -> Option<Self> {
        let member = if rewrite::is_connection_string(value) {
            None
        } else {
            let member = json::uri(value);
            let found = member.filter(|member| rewrite::is_connection_string(&member.value));
            Some(found?)
        };
        Some(Self {
            name,
            value,
            member,
        })
    }

    fn rewritten(&self, target: &str) -> Result<Rewritten, Refusal> {
        let uri = self.member.as_ref().map_or(self.value, |m| &m.value);
        rewrite::rewrite(uri, target)
    }

    /// The variable's new value.
    fn with(&self, uri: &str) -> Option<String> {
        match &self.member {
            None => Some(uri.to_owned()),
            Some(member) => member.replaced(self.value, uri),
        }
    }
}

impl Plan {
    fn fill(&mut self, environment: &Environment, settings: &Settings) {
        let candidates = match &settings.named {
            Some(names) => self.named(environment, names),
            None => self.scanned(environment, &settings.target),
        };
        let target = &settings.target;
        let mut todo = Vec::new();
        for candidate in &candidates {
            let name = candidate.name;
            match candidate.rewritten(target) {
                Ok(done) if done.was_done => {
                    self.lines.push(format!("{name} points at Weir already"));
                }
                Ok(rewritten) => todo.push((candidate, rewritten)),
                Err(why) => self.lines.push(format!("{name} stays as it is: {why}")),
            }
        }
        let clusters: BTreeSet<&str> = todo.iter().map(|(_, new)| new.hosts.as_str()).collect();
        if settings.named.is_none() && clusters.len() > 1 {
            let names: Vec<&str> = todo.iter().map(|(candidate, _)| candidate.name).collect();
            self.lines.push(format!(
                "nothing is changed: {} name different clusters, and one Weir serves one; name \
                 the variables of its cluster in WEIR_SHIM_VARS",
                names.join(", ")
            ));
            return;
        }
        for (candidate, rewritten) in todo {
            self.change(candidate, &rewritten);
        }
    }

    fn change(&mut self, candidate: &Candidate<'_>, rewritten: &Rewritten) {
        let Candidate { name, value, .. } = candidate;
        let Some(new) = candidate.with(&rewritten.uri) else {
            return;
        };
        let original = format!("{ORIGINAL}{name}");
        self.changes.push((original, (*value).to_owned()));
        self.changes.push(((*name).to_owned(), new));
        self.lines
            .push(format!("{name} is now {}", rewritten.shown));
    }

    fn named<'a>(
        &mut self,
        environment: &'a Environment,
        names: &'a [String],
    ) -> Vec<Candidate<'a>> {
        let mut candidates = Vec::new();
        for name in names {
            let value = get(environment, name);
            match value.map(|value| Candidate::of(name, value)) {
                Some(Some(candidate)) => candidates.push(candidate),
                Some(None) => self.lines.push(format!(
                    "{name}, which WEIR_SHIM_VARS names, holds no connection string and stays as \
                     it is"
                )),
                None => self
                    .lines
                    .push(format!("{name}, which WEIR_SHIM_VARS names, is not set")),
            }
        }
        candidates
    }

    fn scanned<'a>(&mut self, environment: &'a Environment, target: &str) -> Vec<Candidate<'a>> {
        let others = environment.iter();
        let others = others.filter(|(name, _)| !name.starts_with(OWN));
        let candidates: Vec<_> = others
            .filter_map(|(name, value)| Candidate::of(name, value))
            .collect();
        if candidates.is_empty() {
            self.lines.push(format!(
                "nothing is changed: no variable holds a connection string; code that fetches \
                 its own at run time must replace the hosts by {target}, and leave out \
                 replicaSet, tls and +srv"
            ));
        }
        candidates
    }
}

/// A variable that is set to something.
fn get<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    let (_, value) = environment.iter().find(|(known, _)| known == name)?;
    Some(value.as_str()).filter(|value| !value.is_empty())
}

fn is_yes(text: &str) -> bool {
    let no = ["0", "false", "no", "off"];
    !no.iter().any(|no| no.eq_ignore_ascii_case(text.trim()))
}

#[cfg(test)]
mod tests;
