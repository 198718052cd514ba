//! Raw strings become a [`Config`]. Every value is read and every rule is checked before the
//! first of the problems is reported, so that one run names everything to correct.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::path::PathBuf;

use tracing_subscriber::EnvFilter;

use crate::config::build::listener::ListenerDraft;
use crate::config::listen::ListenAddrError;
use crate::config::raw::{Layered, Raw};
use crate::config::settings::name;
use crate::config::units::{self, UnitError};
use crate::config::uri::Platform;
use crate::config::{
    Behind, Config, ListenAddr, LogFormat, Origin, Problem, Problems, defaults, effective,
};

mod joined;
mod listener;

/// Less than one document of 16 MiB could never pass.
const MIN_IN_FLIGHT: usize = 16 << 20;

/// Completes the raw values; `problems` already holds those of the layers.
pub(super) async fn build(
    raw: &Raw,
    terminal: bool,
    platform: Platform,
    mut problems: Vec<Problem>,
) -> Result<Config, Problems> {
    let mut config = process(raw, terminal, &mut problems);
    let drafts: Vec<ListenerDraft<'_>> = raw
        .listeners
        .iter()
        .enumerate()
        .filter_map(|(index, listener)| {
            let place = (index, raw.listeners.len());
            ListenerDraft::read(listener, place, platform, &mut problems)
        })
        .collect();
    check_names(raw, &mut problems);
    check_addresses(config.admin, &drafts, &mut problems);
    if !problems.is_empty() {
        return Err(Problems(problems));
    }

    for draft in drafts {
        match draft.resolve(platform).await {
            Ok((listener, effective, warnings)) => {
                config.listeners.push(listener);
                config.effective.extend(effective);
                config.warnings.extend(warnings);
            }
            Err(more) => problems.extend(more),
        }
    }
    match problems.is_empty() {
        true => Ok(config),
        false => Err(Problems(problems)),
    }
}

/// Reads the admin address and nothing else.
pub(super) fn admin(raw: &Raw, mut problems: Vec<Problem>) -> Result<SocketAddr, Problems> {
    // Only what keeps this one value from being read matters here.
    let admin = Reader::new(&raw.process, &mut problems).admin();
    match problems.is_empty() {
        true => Ok(admin),
        false => Err(Problems(problems)),
    }
}

/// The settings of the process; wrong ones are stood in for by their defaults.
fn process(raw: &Raw, terminal: bool, problems: &mut Vec<Problem>) -> Config {
    let mut read = Reader::new(&raw.process, problems);
    let behind = read.choice(
        name::BEHIND,
        &[
            ("none", Behind::None),
            ("list", Behind::List),
            ("balancer", Behind::Balancer),
        ],
    );
    let behind = behind.unwrap_or(Behind::None);
    let format = read.choice(
        name::LOG_FORMAT,
        &[("json", LogFormat::Json), ("text", LogFormat::Text)],
    );
    let by_terminal = if terminal {
        LogFormat::Text
    } else {
        LogFormat::Json
    };
    let mut config = Config {
        listeners: Vec::new(),
        admin: read.admin(),
        max_clients: read.count(name::MAX_CLIENTS, 1, defaults::MAX_CLIENTS),
        client_keepalive: read.time(name::CLIENT_KEEPALIVE, defaults::CLIENT_KEEPALIVE),
        client_dead_after: read.time(name::CLIENT_DEAD_AFTER, defaults::CLIENT_DEAD_AFTER),
        behind,
        drain_timeout: read.time(name::DRAIN_TIMEOUT, behind.drain_timeout()),
        log_format: format.unwrap_or(by_terminal),
        log_filter: read.log_filter(),
        max_in_flight_bytes: read
            .get(name::MAX_IN_FLIGHT, in_flight)
            .unwrap_or(defaults::MAX_IN_FLIGHT_BYTES),
        workers: read.get(name::WORKERS, |text| count(text, 1)),
        enable_test_commands: read.switch(name::ENABLE_TEST_COMMANDS),
        warnings: raw.warnings.clone(),
        effective: Vec::new(),
    };
    if config.client_dead_after <= config.client_keepalive {
        read.problem(
            name::CLIENT_DEAD_AFTER,
            "is not longer than --client-keepalive, so a client would be gone before it is asked",
            "raise it, or lower --client-keepalive",
        );
    }
    let origin = |flag| origin_of(&raw.process, flag);
    let effective: Vec<_> = effective::of_process(&config, origin).collect();
    config.effective = effective;
    config
}

/// Where a setting's value came from.
fn origin_of(values: &Layered, flag: &'static str) -> Origin {
    values
        .get(flag)
        .map_or(Origin::Default, |given| given.origin.clone())
}

/// Names of listeners label metrics; two of one name would be added up.
fn check_names(raw: &Raw, problems: &mut Vec<Problem>) {
    let mut seen: Vec<&str> = Vec::new();
    for name in raw
        .listeners
        .iter()
        .filter_map(|listener| listener.name.as_deref())
    {
        if seen.contains(&name) {
            problems.push(Problem::new(
                format!("listener \"{}\"", name.escape_debug()),
                "is there twice",
                "give each listener its own name",
            ));
        }
        seen.push(name);
    }
}

/// No two sockets may want the same address.
fn check_addresses(admin: SocketAddr, drafts: &[ListenerDraft<'_>], problems: &mut Vec<Problem>) {
    let mut taken: BTreeMap<String, String> = BTreeMap::new();
    if admin.port() != 0 {
        taken.insert(admin.to_string(), "--admin".to_owned());
    }
    for draft in drafts {
        for address in &draft.config.shared.listen {
            let free_port = matches!(address, ListenAddr::Tcp(address) if address.port() == 0);
            if free_port {
                continue;
            }
            let user = format!("listener \"{}\"", draft.config.name);
            if let Some(other) = taken.insert(address.to_string(), user) {
                problems.push(Problem::new(
                    draft.origin(name::LISTEN),
                    format!("{address} is already taken by {other}"),
                    "give each its own port",
                ));
            }
        }
    }
}

/// Reads values of one scope and notes what is wrong with them.
struct Reader<'a> {
    values: &'a Layered,
    problems: &'a mut Vec<Problem>,
}

/// What is wrong with a text, and how to write it.
struct Wrong {
    wrong: String,
    hint: String,
}

impl From<UnitError> for Wrong {
    fn from(error: UnitError) -> Self {
        Self {
            wrong: error.to_string(),
            hint: error.hint(),
        }
    }
}

impl From<ListenAddrError> for Wrong {
    fn from(error: ListenAddrError) -> Self {
        Self {
            wrong: error.to_string(),
            hint: error.hint().to_owned(),
        }
    }
}

impl<'a> Reader<'a> {
    fn new(values: &'a Layered, problems: &'a mut Vec<Problem>) -> Self {
        Self { values, problems }
    }

    /// The value of a setting; `None` when it was not given or is wrong.
    fn get<T, E: Into<Wrong>>(
        &mut self,
        flag: &'static str,
        parse: impl Fn(&str) -> Result<T, E>,
    ) -> Option<T> {
        let given = self.values.get(flag)?;
        let [text] = given.texts.as_slice() else {
            let wrong = format!("is given {} values", given.texts.len());
            self.problem(flag, wrong, "give it one");
            return None;
        };
        let parsed = parse(text).map_err(Into::into);
        parsed
            .map_err(|wrong: Wrong| self.wrong_text(flag, text, wrong))
            .ok()
    }

    /// The addresses of a list; empty when it was not given.
    fn addresses(&mut self, flag: &'static str) -> Vec<ListenAddr> {
        let texts = self.values.get(flag).map(|given| given.texts.as_slice());
        let mut addresses = Vec::new();
        for text in texts.unwrap_or_default() {
            match text.parse::<ListenAddr>() {
                Ok(address) => addresses.push(address),
                Err(error) => self.wrong_text(flag, text, error.into()),
            }
        }
        addresses
    }

    fn time(&mut self, flag: &'static str, default: std::time::Duration) -> std::time::Duration {
        self.get(flag, units::positive_duration).unwrap_or(default)
    }

    fn count(&mut self, flag: &'static str, min: u64, default: usize) -> usize {
        self.get(flag, |text| count(text, min)).unwrap_or(default)
    }

    fn switch(&mut self, flag: &'static str) -> bool {
        self.get(flag, units::switch).unwrap_or(false)
    }

    fn path(&mut self, flag: &'static str) -> Option<PathBuf> {
        let path = self.get(flag, |text| Ok::<_, Wrong>(PathBuf::from(text)))?;
        let readable = std::fs::File::open(&path);
        if let Err(error) = readable {
            self.problem(
                flag,
                format!("the file {} cannot be read: {error}", path.display()),
                "correct the path, or make the file readable for this user",
            );
        }
        Some(path)
    }

    fn choice<T: Copy>(&mut self, flag: &'static str, words: &[(&str, T)]) -> Option<T> {
        self.get(flag, |text| {
            let found = words.iter().find(|(word, _)| *word == text);
            found.map(|(_, value)| *value).ok_or_else(|| {
                let words: Vec<&str> = words.iter().map(|(word, _)| *word).collect();
                Wrong {
                    wrong: "not one of its words".to_owned(),
                    hint: format!("write {}", words.join(" or ")),
                }
            })
        })
    }

    fn admin(&mut self) -> SocketAddr {
        let parse = |text: &str| {
            text.parse().map_err(|_| Wrong {
                wrong: "not an IP address and port".to_owned(),
                hint: format!(
                    "write {}, or 0.0.0.0:9604 to be reachable from elsewhere",
                    defaults::ADMIN
                ),
            })
        };
        self.get(name::ADMIN, parse)
            .unwrap_or_else(|| SocketAddr::from(defaults::ADMIN_SOCKET))
    }

    fn log_filter(&mut self) -> String {
        let parse = |text: &str| match EnvFilter::builder().parse(text) {
            Ok(_) => Ok(text.to_owned()),
            Err(error) => Err(Wrong {
                wrong: format!("not a filter: {error}"),
                hint: "write error, warn, info, debug or trace, or module=level pairs".to_owned(),
            }),
        };
        self.get(name::LOG_FILTER, parse)
            .unwrap_or_else(|| defaults::LOG_FILTER.to_owned())
    }

    /// Notes a problem at the place a setting came from.
    fn problem(&mut self, flag: &'static str, wrong: impl Into<String>, hint: impl Into<String>) {
        let place: Box<dyn Display> = match origin_of(self.values, flag) {
            Origin::Default => Box::new(format!("--{flag}")),
            origin => Box::new(origin),
        };
        self.problems.push(Problem::new(place, wrong, hint));
    }

    fn wrong_text(&mut self, flag: &'static str, text: &str, wrong: Wrong) {
        let sentence = format!("\"{}\" is {}", text.escape_debug(), wrong.wrong);
        self.problem(flag, sentence, wrong.hint);
    }
}

/// A whole number from `min`; the ceiling keeps sums far from overflow.
fn count(text: &str, min: u64) -> Result<usize, UnitError> {
    let number = units::count(text, min, 1_000_000_000)?;
    usize::try_from(number).map_err(|_| UnitError::TooLarge)
}

fn in_flight(text: &str) -> Result<usize, Wrong> {
    match units::size(text)? {
        bytes if bytes < MIN_IN_FLIGHT => Err(Wrong {
            wrong: "too little for one document of 16 MiB".to_owned(),
            hint: "write 16MiB or more".to_owned(),
        }),
        bytes => Ok(bytes),
    }
}
