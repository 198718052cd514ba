//! The extension's settings, from environment variables. A wrong value is a warning, and the default
//! applies: a function must not fail because of a typing error in a variable of Weir.

use std::collections::BTreeMap;
use std::time::Duration;

use weir::config::settings::SETTINGS;
use weir::config::units;

use crate::env::Env;
use crate::fallback;

/// The prefix of Weir's own variables.
const OWN: &str = "WEIR_";

/// The prefix of the shim's variables. The extension accepts all of them.
const SHIM: &str = "WEIR_SHIM_";

/// Settings of `weir serve` that have no effect here. The extension has no command line, no file and
/// no balancer, and its log is the function's.
const NOT_HERE: [&str; 8] = [
    "WEIR_CONFIG",
    "WEIR_UPSTREAM",
    "WEIR_BEHIND",
    "WEIR_DRAIN_TIMEOUT",
    "WEIR_LOG_FORMAT",
    "WEIR_LOG_FILTER",
    "WEIR_HELLO_STREAMING",
    "WEIR_WORKERS",
];

/// One variable that the extension reads itself.
pub(crate) struct Variable {
    pub(crate) name: &'static str,
    /// The default, as docs/lambda.md shows it.
    pub(crate) default: &'static str,
}

/// All of them, in the order of docs/lambda.md.
#[rustfmt::skip]
pub(crate) const VARIABLES: &[Variable] = &[
    Variable { name: "WEIR_SERVICE", default: "none" },
    Variable { name: "WEIR_UPSTREAM", default: "the function's own string" },
    Variable { name: "WEIR_LISTEN", default: "127.0.0.1:27017" },
    Variable { name: "WEIR_EXTENSION_OFF", default: "off" },
    Variable { name: "WEIR_RELEASE", default: "environment" },
    Variable { name: "WEIR_DRAIN_BEFORE_FREEZE", default: "off" },
    Variable { name: "WEIR_TELEMETRY_PORT", default: "9010" },
    Variable { name: "WEIR_FALLBACK_SHARE", default: "0" },
    Variable { name: "WEIR_FALLBACK_AFTER", default: "1s" },
    Variable { name: "WEIR_DEADLINE_NOTICE", default: "200ms" },
    Variable { name: "WEIR_DOUBT_AFTER", default: "10s" },
    Variable { name: "WEIR_CHECK_TIME", default: "500ms" },
    Variable { name: "WEIR_EMF", default: "on" },
    Variable { name: "WEIR_EMF_NAMESPACE", default: "Weir" },
    Variable { name: "WEIR_LOG_FILTER", default: "info" },
];

/// The text of `--help`.
pub(crate) fn help() -> String {
    let rows = VARIABLES.iter();
    let rows = rows.map(|Variable { name, default }| format!("  {name:<24} {default}\n"));
    format!(
        "weir-extension {}: an external extension of AWS Lambda. Lambda starts it.\n\n\
         Its variables and their defaults follow. docs/lambda.md describes them, and those\n\
         that it shares with weir serve.\n{}",
        env!("CARGO_PKG_VERSION"),
        rows.collect::<String>()
    )
}

/// When upstream connections are closed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Release {
    /// At the end of the environment.
    Environment,
    /// At the end of each invocation.
    Invoke,
}

/// The settings of the extension.
#[derive(Clone, Debug)]
pub(crate) struct Settings {
    /// The kill switch: the extension accepts no clients.
    pub(crate) off: bool,
    /// Where the function's driver connects.
    pub(crate) listen: String,
    pub(crate) release: Release,
    /// Longest time that the extension keeps the environment awake after an invocation, for
    /// operations that still run.
    pub(crate) drain: Option<Duration>,
    /// The port to which Lambda reports the end of an invocation.
    pub(crate) telemetry_port: u16,
    /// The share of environments that may fall back to the database itself, from 0 to 1.
    pub(crate) fallback_share: f64,
    /// How long the shared Weir must be unreachable before they do.
    pub(crate) fallback_after: Duration,
    /// This long before the deadline of an invocation, operations that still wait get an error.
    pub(crate) notice: Duration,
    /// A connection that was unused for this time is checked before it is used again.
    pub(crate) doubt_after: Duration,
    /// Longest time for that check.
    pub(crate) check_time: Duration,
    /// The namespace of the CloudWatch metrics. `None`: no metrics.
    pub(crate) namespace: Option<String>,
    /// Settings that the extension shares with `weir serve`.
    shared: BTreeMap<String, String>,
    /// One text for each wrong value or name.
    pub(crate) warnings: Vec<String>,
}

impl Settings {
    /// Reads all settings. Nothing is an error; see `warnings`.
    pub(crate) fn read(env: &Env) -> Self {
        let mut read = Lenient {
            env,
            warnings: Vec::new(),
        };
        let emf = read.get("WEIR_EMF", true, switch);
        let mut settings = Self {
            off: read.get("WEIR_EXTENSION_OFF", false, switch),
            listen: env
                .get("WEIR_LISTEN")
                .unwrap_or(weir::config::defaults::LISTEN)
                .to_owned(),
            release: read.get("WEIR_RELEASE", Release::Environment, release),
            drain: read.get("WEIR_DRAIN_BEFORE_FREEZE", None, drain),
            telemetry_port: read.get("WEIR_TELEMETRY_PORT", 9010, port),
            fallback_share: read.get("WEIR_FALLBACK_SHARE", 0.0, fallback::share),
            fallback_after: read.get("WEIR_FALLBACK_AFTER", Duration::from_secs(1), duration),
            notice: read.get("WEIR_DEADLINE_NOTICE", Duration::from_millis(200), duration),
            doubt_after: read.get("WEIR_DOUBT_AFTER", Duration::from_secs(10), duration),
            check_time: read.get("WEIR_CHECK_TIME", Duration::from_millis(500), duration),
            namespace: emf.then(|| env.get("WEIR_EMF_NAMESPACE").unwrap_or("Weir").to_owned()),
            shared: shared(env),
            warnings: Vec::new(),
        };
        read.name_unknown();
        settings.warnings = read.warnings;
        settings
    }

    /// Whether there is work at the end of an invocation.
    pub(crate) const fn stays(&self) -> bool {
        self.drain.is_some() || matches!(self.release, Release::Invoke)
    }

    /// The settings of the proxy inside, without its upstream.
    pub(crate) fn of_weir(&self) -> BTreeMap<String, String> {
        self.shared.clone()
    }
}

fn shared(env: &Env) -> BTreeMap<String, String> {
    let names = SETTINGS.iter().map(|setting| setting.variable);
    names
        .filter(|name| !NOT_HERE.contains(name))
        .filter_map(|name| Some((name.to_owned(), env.get(name)?.to_owned())))
        .collect()
}

struct Lenient<'a> {
    env: &'a Env,
    warnings: Vec<String>,
}

impl Lenient<'_> {
    /// A variable's value, or its default.
    fn get<T>(&mut self, name: &str, default: T, parse: fn(&str) -> Result<T, String>) -> T {
        let Some(text) = self.env.get(name) else {
            return default;
        };
        match parse(text) {
            Ok(value) => value,
            Err(wrong) => {
                let text = text.escape_debug();
                self.warnings.push(format!(
                    "{name}: \"{text}\" is {wrong}; its default is used"
                ));
                default
            }
        }
    }

    /// Warns about names that nothing reads. A misspelt name would otherwise have no effect and no
    /// warning.
    fn name_unknown(&mut self) {
        let is_known = |name: &str| {
            name.starts_with(SHIM)
                || VARIABLES.iter().any(|variable| variable.name == name)
                || SETTINGS.iter().any(|setting| setting.variable == name)
        };
        let all = self.env.all().iter();
        for (name, _) in all.filter(|(_, value)| !value.trim().is_empty()) {
            let name = name.as_str();
            if name.starts_with(OWN) && !is_known(name) {
                self.warnings.push(format!(
                    "this version has no variable {name}; see the table in docs/lambda.md"
                ));
            }
            if NOT_HERE.contains(&name) && !VARIABLES.iter().any(|v| v.name == name) {
                self.warnings
                    .push(format!("{name} has no effect on Lambda and is ignored"));
            }
        }
    }
}

fn switch(text: &str) -> Result<bool, String> {
    units::switch(text).map_err(|error| format!("{error}; {}", error.hint()))
}

fn duration(text: &str) -> Result<Duration, String> {
    units::positive_duration(text).map_err(|error| format!("{error}; {}", error.hint()))
}

fn port(text: &str) -> Result<u16, String> {
    let port = text.parse().ok().filter(|port| *port > 0);
    port.ok_or_else(|| "not a port; write a number from 1 to 65535".to_owned())
}

fn drain(text: &str) -> Result<Option<Duration>, String> {
    match units::switch(text) {
        Ok(false) => Ok(None),
        _ => duration(text).map(Some),
    }
}

fn release(text: &str) -> Result<Release, String> {
    match text {
        "environment" => Ok(Release::Environment),
        "invoke" => Ok(Release::Invoke),
        _ => Err("not one of its values; write environment or invoke".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read<const N: usize>(variables: [(&str, &str); N]) -> Settings {
        Settings::read(&Env::from(variables))
    }

    #[test]
    fn nothing_said_is_the_defaults_without_a_word() {
        let settings = read([("PATH", "/bin"), ("AWS_REGION", "eu-central-1")]);
        assert_eq!(settings.warnings, Vec::<String>::new());
        assert!(!settings.off);
        assert_eq!(settings.release, Release::Environment);
        assert_eq!(settings.notice, Duration::from_millis(200));
        assert_eq!(settings.namespace.as_deref(), Some("Weir"));
    }

    #[test]
    fn a_wrong_value_is_a_warning_and_the_default() {
        let settings = read([
            ("WEIR_DEADLINE_NOTICE", "200"),
            ("WEIR_RELEASE", "never"),
            ("WEIR_EXTENSION_OFF", "perhaps"),
        ]);
        assert_eq!(settings.notice, Duration::from_millis(200));
        assert_eq!(settings.release, Release::Environment);
        assert!(!settings.off);
        let warnings = settings.warnings.join("\n");
        assert_eq!(settings.warnings.len(), 3, "{warnings}");
        assert!(
            warnings.contains("200ms"),
            "says how to write it: {warnings}"
        );
    }

    #[test]
    fn unknown_and_misplaced_names_are_named() {
        let settings = read([
            ("WEIR_SERVISE", "weir:1"),
            ("WEIR_BEHIND", "balancer"),
            ("WEIR_SHIM_PERCENT", "25"),
            ("WEIR_QUEUE_TIMEOUT", "1s"),
        ]);
        let warnings = settings.warnings.join("\n");
        assert_eq!(settings.warnings.len(), 2, "{warnings}");
        assert!(warnings.contains("WEIR_SERVISE") && warnings.contains("WEIR_BEHIND"));
    }

    #[test]
    fn settings_that_are_shared_are_handed_on() {
        let env = Env::from([
            ("WEIR_QUEUE_TIMEOUT", "7s"),
            ("WEIR_CONFIG", "/etc/weir.toml"),
        ]);
        let weir = Settings::read(&env).of_weir();
        assert_eq!(weir.get("WEIR_QUEUE_TIMEOUT").unwrap(), "7s");
        assert!(!weir.contains_key("WEIR_CONFIG"));
    }

    /// Each variable is in the document with its default, and the document names no other.
    #[test]
    fn the_document_lists_what_there_is() {
        let document = std::fs::read_to_string("../docs/lambda.md").unwrap();
        for Variable { name, default } in VARIABLES {
            let row = format!("| `{name}` | {default} |");
            assert!(
                document.contains(&row),
                "docs/lambda.md lacks the row {row}"
            );
        }
        for row in document
            .lines()
            .filter_map(|line| line.strip_prefix("| `WEIR_"))
        {
            let (name, _) = row.split_once('`').unwrap();
            let name = format!("{OWN}{name}");
            let is_known = name.starts_with(SHIM)
                || VARIABLES.iter().any(|variable| variable.name == name)
                || SETTINGS.iter().any(|setting| setting.variable == name);
            assert!(is_known, "docs/lambda.md lists {name}, which nothing reads");
        }
    }
}
