//! The settings of the shim, from environment variables. Pure.

use std::time::Duration;

use crate::chosen;
use crate::target::Target;

/// The prefix of Weir's own variables. The shim never changes those.
pub const OWN: &str = "WEIR_";
/// The prefix of the shim's own variables.
const SHIM: &str = "WEIR_SHIM_";
/// The prefix of the variables that keep the original values.
pub const ORIGINAL: &str = "WEIR_SHIM_ORIGINAL_";
/// The variable that names another exec wrapper.
pub const NEXT_WRAPPER: &str = "NEXT_WRAPPER";

const VARS: &str = "WEIR_SHIM_VARS";
const TARGET: &str = "WEIR_SHIM_TARGET";
const OFF: &str = "WEIR_SHIM_OFF";
const PERCENT: &str = "WEIR_SHIM_PERCENT";
const SALT: &str = "WEIR_SHIM_SALT";
const ID: &str = "WEIR_SHIM_ID";
const PROBE: &str = "WEIR_SHIM_PROBE";
/// Where the Weir of this environment listens, if that variable is set.
const LISTEN: &str = "WEIR_LISTEN";

/// All settings that only the shim reads.
pub const NAMES: [&str; 7] = [VARS, TARGET, OFF, PERCENT, SALT, ID, PROBE];

/// The default address of Weir.
pub const DEFAULT_TARGET: &str = "127.0.0.1:27017";
/// The default salt of the percentage.
pub const DEFAULT_SALT: &str = "weir";
/// The default time to wait for Weir.
pub const DEFAULT_PROBE: Duration = Duration::from_millis(150);
/// Longest time that the shim may delay a start.
const LONGEST_PROBE: Duration = Duration::from_secs(60);

/// Variables that identify an environment. The first one that is set counts. The log stream of Lambda
/// and the metadata address of ECS are different in each environment.
pub const IDENTITIES: [&str; 4] = [
    ID,
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "ECS_CONTAINER_METADATA_URI_V4",
    "HOSTNAME",
];

/// The variables of an environment: names and values.
pub type Environment = [(String, String)];

/// The settings that the shim acts on.
pub struct Settings {
    /// Where Weir listens.
    pub target: Target,
    /// The variables to change. `None`: all that hold connection strings.
    pub named: Option<Vec<String>>,
    /// How long to wait for Weir. `None`: the shim does not check whether Weir is there.
    pub probe: Option<Duration>,
}

impl Settings {
    /// The settings, or why the shim changes nothing. Harmless mistakes go to `lines`.
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
                "{PROBE} must be a time up to 60s, as in 150ms, or off; 150ms is used"
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

/// The variables that `WEIR_SHIM_VARS` names. `None`: it names none.
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

/// Fails if this environment does not belong to the share that `WEIR_SHIM_PERCENT` names, or if that
/// is not a number.
fn check_share(environment: &Environment, fallback: &str) -> Result<(), String> {
    let Some(text) = get(environment, PERCENT) else {
        return Ok(());
    };
    let percent =
        chosen::percent(text).ok_or(format!("{PERCENT} is not a number from 0 to 100"))?;
    let mut identities = IDENTITIES.iter().filter_map(|name| get(environment, name));
    let identity = identities.next().unwrap_or(fallback);
    let salt = get(environment, SALT).unwrap_or(DEFAULT_SALT);
    if chosen::is_chosen(salt, identity, percent) {
        return Ok(());
    }
    let text = text.trim().trim_end_matches('%').trim_end();
    Err(format!("this environment does not belong to the {text} %"))
}

/// Names unknown settings: `WEIR_SHIM_PERCENTAGE=10` would move all environments.
fn name_strangers(environment: &Environment, lines: &mut Vec<String>) {
    for (name, _) in environment {
        let is_ours = name.starts_with(SHIM) && !name.starts_with(ORIGINAL);
        if is_ours && !NAMES.contains(&name.as_str()) {
            lines.push(format!(
                "weir-shim has no setting {name}; its settings are {}",
                NAMES.join(", ")
            ));
        }
    }
}

/// The value of a variable. `None`: it is not set, or it holds only white space.
#[must_use]
pub fn get<'a>(environment: &'a Environment, name: &str) -> Option<&'a str> {
    let (_, value) = environment.iter().find(|(known, _)| known == name)?;
    Some(value.as_str()).filter(|value| !value.trim().is_empty())
}

fn is_yes(text: &str) -> bool {
    let no = ["0", "false", "no", "off"];
    !no.iter().any(|no| no.eq_ignore_ascii_case(text.trim()))
}

/// Reads `150ms` or `2s`. `0` and `off` are `Some(None)`; a text that is no duration is `None`.
#[expect(
    clippy::option_option,
    reason = "no duration, and none wanted, are two things"
)]
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
