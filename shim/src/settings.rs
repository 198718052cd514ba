//! What the environment tells the shim itself. Pure.

use std::time::Duration;

use crate::chosen;
use crate::target::Target;

/// Begins all names that belong to Weir itself, and are never changed.
pub const OWN: &str = "WEIR_";
/// Begins the names that belong to the shim.
const SHIM: &str = "WEIR_SHIM_";
/// Begins the names under which the originals are kept.
pub const ORIGINAL: &str = "WEIR_SHIM_ORIGINAL_";
/// Another exec wrapper.
pub const NEXT_WRAPPER: &str = "NEXT_WRAPPER";

const VARS: &str = "WEIR_SHIM_VARS";
const TARGET: &str = "WEIR_SHIM_TARGET";
const OFF: &str = "WEIR_SHIM_OFF";
const PERCENT: &str = "WEIR_SHIM_PERCENT";
const SALT: &str = "WEIR_SHIM_SALT";
const ID: &str = "WEIR_SHIM_ID";
const PROBE: &str = "WEIR_SHIM_PROBE";
/// Where the Weir of this environment listens, if that is said to it here.
const LISTEN: &str = "WEIR_LISTEN";

/// All settings of the shim's own.
pub const NAMES: [&str; 7] = [VARS, TARGET, OFF, PERCENT, SALT, ID, PROBE];

/// Where Weir listens when nothing else is said.
pub const DEFAULT_TARGET: &str = "127.0.0.1:27017";
/// Which draw of the environments.
pub const DEFAULT_SALT: &str = "weir";
/// How long Weir may take to be there.
pub const DEFAULT_PROBE: Duration = Duration::from_millis(150);
/// No start is held up for longer.
const LONGEST_PROBE: Duration = Duration::from_secs(60);

/// Names an environment; the first that is set counts. On Lambda the log stream, on ECS the
/// container's metadata address: each is another one in each environment.
pub const IDENTITIES: [&str; 4] = [
    ID,
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "ECS_CONTAINER_METADATA_URI_V4",
    "HOSTNAME",
];

/// Variables, by name.
pub type Environment = [(String, String)];

/// What is wanted.
pub struct Settings {
    /// Where Weir listens.
    pub target: Target,
    /// Exactly these variables.
    pub named: Option<Vec<String>>,
    /// How long to wait for Weir; `None`: its presence is taken for granted.
    pub probe: Option<Duration>,
}

impl Settings {
    /// The settings, or why there is nothing to do. What is wrong without harm is told to `lines`.
    pub fn read(
        environment: &Environment,
        fallback: &str,
        lines: &mut Vec<String>,
    ) -> Result<Self, String> {
        let get = |name: &str| get(environment, name);
        if is_off(environment) {
            return Err(format!("{OFF} is set"));
        }
        name_strangers(environment, lines);
        check_share(environment, fallback)?;
        let listener = || get(LISTEN).and_then(Target::of_listener);
        let target = match get(TARGET) {
            Some(text) => Target::parse(text),
            None => listener().or_else(|| Target::parse(DEFAULT_TARGET)),
        };
        let target = target.ok_or(format!(
            "{TARGET} must be host:port, as in {DEFAULT_TARGET}"
        ))?;
        let named = named(environment);
        let probe = get(PROBE).map_or(Some(Some(DEFAULT_PROBE)), duration);
        if probe.is_none() {
            lines.push(format!(
                "{PROBE} must be a time up to 60s, as in 150ms, or off; 150ms is taken"
            ));
        }
        Ok(Self {
            target,
            named,
            probe: probe.unwrap_or(Some(DEFAULT_PROBE)),
        })
    }
}

/// Whether the kill switch is set.
#[must_use]
pub fn is_off(environment: &Environment) -> bool {
    get(environment, OFF).is_some_and(is_yes)
}

/// The variables that hold the strings, where somebody names them.
#[must_use]
pub fn named(environment: &Environment) -> Option<Vec<String>> {
    let names = get(environment, VARS)?.split(|c: char| c == ',' || c.is_whitespace());
    let names = names.filter(|name| !name.is_empty()).map(str::to_owned);
    Some(names.collect()).filter(|names: &Vec<_>| !names.is_empty())
}

/// Whether some environments with these settings keep their strings: by the kill switch, by a
/// percentage below 100, or because the percentage cannot be read.
#[must_use]
pub fn may_pass_by(environment: &Environment) -> bool {
    let is_all = |text| chosen::percent(text) == Some(chosen::ALL);
    is_off(environment) || get(environment, PERCENT).is_some_and(|text| !is_all(text))
}

/// Whether this environment is among the wanted share.
fn check_share(environment: &Environment, fallback: &str) -> Result<(), String> {
    let Some(text) = get(environment, PERCENT) else {
        return Ok(());
    };
    let percent = chosen::percent(text).ok_or(format!("{PERCENT} is no number from 0 to 100"))?;
    let mut identities = IDENTITIES.iter().filter_map(|name| get(environment, name));
    let identity = identities.next().unwrap_or(fallback);
    let salt = get(environment, SALT).unwrap_or(DEFAULT_SALT);
    if chosen::is_chosen(salt, identity, percent) {
        return Ok(());
    }
    let text = text.trim().trim_end_matches('%').trim_end();
    Err(format!("this environment is not among the {text} %"))
}

/// A misspelt setting is none: `WEIR_SHIM_PERCENTAGE=10` would move everybody.
fn name_strangers(environment: &Environment, lines: &mut Vec<String>) {
    for (name, _) in environment {
        let is_ours = name.starts_with(SHIM) && !name.starts_with(ORIGINAL);
        if is_ours && !NAMES.contains(&name.as_str()) {
            lines.push(format!(
                "{name} is no setting of weir-shim; there are {}",
                NAMES.join(", ")
            ));
        }
    }
}

/// A variable that is set to something: white space is nothing.
#[must_use]
pub fn get<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    let (_, value) = environment.iter().find(|(known, _)| known == name)?;
    Some(value.as_str()).filter(|value| !value.trim().is_empty())
}

fn is_yes(text: &str) -> bool {
    let no = ["0", "false", "no", "off"];
    !no.iter().any(|no| no.eq_ignore_ascii_case(text.trim()))
}

/// `150ms`, `2s`, or nothing at all for `0` and `off`.
#[expect(clippy::option_option, reason = "not understood, and none wanted")]
fn duration(text: &str) -> Option<Option<Duration>> {
    let text = text.trim();
    if !is_yes(text) {
        return Some(None);
    }
    let whole = |number: &str| number.trim_end().parse().ok();
    let duration = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => Duration::from_millis(whole(number)?),
        (None, Some(number)) => Duration::from_secs(whole(number)?),
        (None, None) => return None,
    };
    match duration {
        duration if duration > LONGEST_PROBE => None,
        Duration::ZERO => Some(None),
        duration => Some(Some(duration)),
    }
}

#[cfg(test)]
mod tests;
