//! What is to be changed in an environment, and what to say about it. Pure.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::json::{self, Text};
use crate::rewrite::{self, Refusal, Rewritten};
use crate::settings::{Environment, ORIGINAL, Settings, get};
use crate::strings;
use crate::target::Target;
use crate::uri::is_connection_string;

/// What is to be done.
#[derive(Default)]
pub struct Plan {
    /// Variables to set.
    pub changes: Vec<(String, String)>,
    /// What to tell of the changes. No line holds a secret.
    done: Vec<String>,
    /// What else to tell. No line holds a secret.
    lines: Vec<String>,
    /// Without somebody there after this time, nothing is to be changed.
    pub probe: Option<(Target, Duration)>,
}

/// Plans the change of `environment`. `fallback` stands for an environment that has no name.
pub fn plan(environment: &Environment, fallback: &str) -> Plan {
    let mut plan = Plan::default();
    match Settings::read(environment, fallback, &mut plan.lines) {
        Ok(settings) => plan.fill(environment, &settings),
        Err(why) => plan.lines.push(format!("nothing is changed: {why}")),
    }
    plan
}

/// A variable with connection strings.
struct Candidate<'a> {
    name: &'a str,
    value: &'a str,
    /// They stand in a JSON object; empty for a variable that is one.
    inside: Vec<Text>,
}

/// A variable, and what becomes of each of its strings.
type Planned<'a> = (Candidate<'a>, Vec<Result<Rewritten, Refusal>>);

impl<'a> Candidate<'a> {
    fn of(name: &'a str, value: &'a str) -> Option<Self> {
        let mut inside = Vec::new();
        if !is_connection_string(value) {
            inside = strings::inside(value);
            if inside.is_empty() {
                return None;
            }
        }
        Some(Self {
            name,
            value,
            inside,
        })
    }

    /// Its strings.
    fn values(&self) -> Vec<&str> {
        match self.inside.is_empty() {
            true => vec![self.value],
            false => self.inside.iter().map(|text| text.value.as_str()).collect(),
        }
    }

    /// What becomes of each string.
    fn rewritten(&self, target: &Target) -> Vec<Result<Rewritten, Refusal>> {
        let values = self.values().into_iter();
        values
            .map(|value| rewrite::rewrite(value, target))
            .collect()
    }

    /// The variable's new value.
    fn with(&self, rewritten: &[Result<Rewritten, Refusal>]) -> String {
        if self.inside.is_empty() {
            let new = rewritten.iter().flatten().next();
            return new.map_or(self.value, |new| &new.uri).to_owned();
        }
        let pairs = self.inside.iter().zip(rewritten);
        let pairs = pairs.filter_map(|(text, new)| Some((text, new.as_ref().ok()?.uri.as_str())));
        json::replaced(self.value, pairs)
    }
}

impl Plan {
    /// All that is to be told.
    pub fn said(&self) -> impl Iterator<Item = &str> {
        self.done.iter().chain(&self.lines).map(String::as_str)
    }

    fn fill(&mut self, environment: &Environment, settings: &Settings) {
        let candidates = match &settings.named {
            Some(names) => self.named(environment, names),
            None => self.scanned(environment, settings.target.hosts()),
        };
        let rewritten = candidates.into_iter().map(|candidate| {
            let rewritten = candidate.rewritten(&settings.target);
            (candidate, rewritten)
        });
        let rewritten: Vec<_> = rewritten.collect();
        if settings.named.is_none() && self.mixes_clusters(&rewritten) {
            return;
        }
        for (candidate, rewritten) in &of_one_user(rewritten) {
            self.change(environment, candidate, rewritten);
        }
        if let (Some(limit), false) = (settings.probe, self.changes.is_empty()) {
            self.probe = Some((settings.target.clone(), limit));
        }
    }

    /// One Weir serves one cluster.
    fn mixes_clusters(&mut self, candidates: &[Planned<'_>]) -> bool {
        let (mut clusters, mut names) = (BTreeSet::new(), BTreeSet::new());
        for (candidate, rewritten) in candidates {
            for new in rewritten.iter().flatten().filter(|new| !new.was_done) {
                clusters.insert(new.cluster.as_str());
                names.insert(candidate.name);
            }
        }
        if clusters.len() < 2 {
            return false;
        }
        let names: Vec<_> = names.into_iter().collect();
        self.lines.push(format!(
            "nothing is changed: {} name different clusters, and one Weir serves one; name the \
             variables of its cluster in WEIR_SHIM_VARS",
            names.join(", ")
        ));
        true
    }

    fn change(
        &mut self,
        environment: &Environment,
        candidate: &Candidate<'_>,
        rewritten: &[Result<Rewritten, Refusal>],
    ) {
        let Candidate { name, value, .. } = candidate;
        for one in rewritten {
            match one {
                Ok(new) if new.was_done => {
                    self.lines.push(format!("{name} points at Weir already"));
                }
                Ok(new) => {
                    self.done.push(format!("{name} is now {}", new.shown));
                    if new.loses_tls {
                        self.done.push(format!(
                            "{name} asked for TLS, and the way to Weir is another machine's \
                             network without it: keep that network private"
                        ));
                    }
                }
                Err(why) => self.lines.push(format!("{name} stays as it is: {why}")),
            }
        }
        if rewritten.iter().flatten().all(|new| new.was_done) {
            return;
        }
        let original = format!("{ORIGINAL}{name}");
        // Changed before, for another target: what it was at first is the original.
        if get(environment, &original).is_none() {
            self.changes.push((original, (*value).to_owned()));
        }
        let new = candidate.with(rewritten);
        self.changes.push(((*name).to_owned(), new));
    }

    /// Nobody is there: the program gets its own strings.
    pub fn give_up(&mut self, target: &Target, waited: Duration) {
        self.changes.clear();
        self.done.clear();
        self.lines.push(format!(
            "nothing is changed: nobody listens at {} ({} ms waited, WEIR_SHIM_PROBE), so the \
             program connects directly; see whether Weir runs and WEIR_SHIM_TARGET is its address",
            target.hosts(),
            waited.as_millis(),
        ));
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

    fn scanned<'a>(&mut self, environment: &'a Environment, hosts: &str) -> Vec<Candidate<'a>> {
        let candidates: Vec<_> = strings::looked_at(environment, None)
            .filter_map(|(name, value)| Candidate::of(name, value))
            .collect();
        if candidates.is_empty() {
            self.lines.push(format!(
                "nothing is changed: no variable holds a connection string; code that fetches \
                 its own at run time must replace the hosts by {hosts}, and leave out \
                 replicaSet, tls and +srv"
            ));
        }
        candidates
    }
}

/// What runs over the login of one Weir has the rights of one user, so that the strings of other
/// users stay as they are. The extension serves the same one.
fn of_one_user(mut candidates: Vec<Planned<'_>>) -> Vec<Planned<'_>> {
    let logins = candidates.iter().flat_map(|(candidate, rewritten)| {
        let values = candidate.values().into_iter().zip(rewritten);
        values.filter_map(|(value, new)| {
            let new = new.as_ref().ok().filter(|new| !new.was_done)?;
            Some((candidate.name, value, new.login.clone()?))
        })
    });
    let Some((served, _, login)) = logins.min() else {
        return candidates;
    };
    let served = served.to_owned();
    let is_other =
        |new: &Rewritten| !new.was_done && new.login.as_ref().is_some_and(|l| *l != login);
    for (_, rewritten) in &mut candidates {
        for new in rewritten {
            if new.as_ref().is_ok_and(is_other) {
                let served = served.clone();
                *new = Err(Refusal::OtherUser { served });
            }
        }
    }
    candidates
}

#[cfg(test)]
mod tests;
