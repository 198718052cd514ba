//! One listener: its own settings and its connection string.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::build::joined::{Joined, Shared};
use crate::config::build::{Reader, count, origin_of};
use crate::config::raw::{Layered, RawListener};
use crate::config::settings::name;
use crate::config::units;
use crate::config::uri::Platform;
use crate::config::uri::draft::Draft;
use crate::config::{
    Effective, ListenAddr, ListenerConfig, ListenerTls, Origin, Problem, Upstream, defaults,
    effective,
};

/// Longest name of a listener; it is a metric label.
const MAX_NAME: usize = 64;

/// A listener whose text is right, and whose hosts are not looked up yet.
pub(super) struct ListenerDraft<'a> {
    /// All its settings but those the upstream decides.
    pub(super) config: Own,
    joined: Joined,
    values: &'a Layered,
    draft: Draft<'a>,
}

/// A listener's own settings.
pub(super) struct Own {
    pub(super) name: String,
    pub(super) shared: Shared,
    queue_depth: usize,
    connect_rate: Option<f64>,
    connection_lifetime: Duration,
    tls: Option<ListenerTls>,
    max_wire_version: Option<i32>,
    wire_version: i32,
    streaming_hello: bool,
    probe_cursors: bool,
    load_balanced_only: bool,
}

/// A complete listener, its settings as a list, and sentences for the log.
type Complete = (ListenerConfig, Vec<Effective>, Vec<String>);

impl<'a> ListenerDraft<'a> {
    /// Reads listener number `index` of `of`. `None` when its upstream cannot be read.
    pub(super) fn read(
        raw: &'a RawListener,
        (index, of): (usize, usize),
        platform: Platform,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let name = listener_name(raw, index, of, problems);
        let config = own(name, &raw.values, problems);
        let draft = draft(&raw.values, &config.name, problems)?;
        let joined = Joined::of(&config.shared, &raw.values, &draft, platform, problems);
        let draft = Self {
            config,
            joined,
            values: &raw.values,
            draft,
        };
        draft.check_files(problems);
        Some(draft)
    }

    /// Where a setting came from.
    pub(super) fn origin(&self, flag: &'static str) -> Origin {
        self.joined.origin(self.values, flag)
    }

    /// Looks up the hosts, the last thing that can go wrong.
    pub(super) async fn resolve(self, platform: Platform) -> Result<Complete, Vec<Problem>> {
        let Self {
            config: own,
            joined,
            values,
            draft,
        } = self;
        let place = origin_of(values, name::UPSTREAM);
        let upstream = draft
            .resolve(platform)
            .await
            .map_err(|problems| at(&place, problems))?;
        let warnings = upstream.warnings.iter().chain(&joined.warnings);
        let warnings = warnings.map(|warning| format!("listener \"{}\": {warning}", own.name));
        let warnings = warnings.collect();
        let listener = complete(own, &joined, upstream);
        let origin = |flag| joined.origin(values, flag);
        let effective = effective::of_listener(&listener, origin).collect();
        Ok((listener, effective, warnings))
    }

    /// The TLS files of the upstream string must be there, like those of the listener.
    fn check_files(&self, problems: &mut Vec<Problem>) {
        for (option, path) in self.draft.files() {
            if let Err(error) = std::fs::File::open(path) {
                problems.push(Problem::new(
                    format!("{}: {option}", self.origin(name::UPSTREAM)),
                    format!("the file {} cannot be read: {error}", path.display()),
                    "correct the path, or make the file readable for this user",
                ));
            }
        }
    }
}

fn complete(own: Own, joined: &Joined, upstream: Upstream) -> ListenerConfig {
    ListenerConfig {
        name: own.name,
        listen: own.shared.listen,
        upstream,
        max_connections: joined.max_connections,
        min_connections: joined.min_connections,
        queue_timeout: joined.queue_timeout,
        queue_depth: own.queue_depth,
        hold_timeout: joined.hold_timeout,
        max_connecting: joined.max_connecting,
        connect_rate: own.connect_rate,
        max_idle_time: joined.max_idle_time,
        connection_lifetime: own.connection_lifetime,
        allow_anonymous: own.shared.allow_anonymous,
        tls: own.tls,
        max_wire_version: own.max_wire_version,
        wire_version: own.wire_version,
        streaming_hello: own.streaming_hello,
        probe_cursors: own.probe_cursors,
        load_balanced_only: own.load_balanced_only,
        freezing: None,
        further_logins: Vec::new(),
        spare: None,
    }
}

fn own(name: String, values: &Layered, problems: &mut Vec<Problem>) -> Own {
    let mut read = Reader::new(values, problems);
    let wire_version = |text: &str| {
        units::count(text, 0, 1_000).map(|version| i32::try_from(version).unwrap_or(i32::MAX))
    };
    let streaming = read.choice(name::HELLO_STREAMING, &[("on", true), ("off", false)]);
    Own {
        name,
        shared: Shared {
            max_connections: read.count(name::MAX_CONNECTIONS, 1, defaults::MAX_CONNECTIONS),
            min_connections: read.get(name::MIN_CONNECTIONS, |text| count(text, 0)),
            queue_timeout: read.get(name::QUEUE_TIMEOUT, units::positive_duration),
            hold_timeout: read.get(name::HOLD_TIMEOUT, units::positive_duration),
            max_connecting: read.get(name::MAX_CONNECTING, |text| count(text, 1)),
            max_idle_time: read.get(name::MAX_IDLE_TIME, units::positive_duration),
            listen: listen(&mut read),
            allow_anonymous: read.switch(name::ALLOW_ANONYMOUS),
        },
        queue_depth: read.count(name::QUEUE_DEPTH, 1, defaults::QUEUE_DEPTH),
        connect_rate: read.get(name::CONNECT_RATE, units::rate),
        connection_lifetime: read.time(name::CONNECTION_LIFETIME, defaults::CONNECTION_LIFETIME),
        tls: tls(&mut read),
        max_wire_version: read.get(name::MAX_WIRE_VERSION, wire_version),
        wire_version: read
            .get(name::WIRE_VERSION, wire_version)
            .unwrap_or(defaults::WIRE_VERSION),
        streaming_hello: streaming.unwrap_or(true),
        probe_cursors: !read.switch(name::NO_PROBE),
        load_balanced_only: read.switch(name::LOAD_BALANCED_ONLY),
    }
}

fn listen(read: &mut Reader<'_>) -> Vec<ListenAddr> {
    let given = read.values.get(name::LISTEN);
    if given.is_some_and(|given| given.texts.is_empty()) {
        read.problem(
            name::LISTEN,
            "names no address",
            "write host:port or unix:/path",
        );
    }
    match given {
        Some(_) => read.addresses(name::LISTEN),
        None => vec![ListenAddr::Tcp(defaults::LISTEN_SOCKET.into())],
    }
}

fn tls(read: &mut Reader<'_>) -> Option<ListenerTls> {
    let certificate: Option<PathBuf> = read.path(name::TLS_CERTIFICATE);
    let (key, client_ca) = (read.path(name::TLS_KEY), read.path(name::TLS_CLIENT_CA));
    let Some(certificate_file) = certificate else {
        for (flag, given) in [(name::TLS_KEY, &key), (name::TLS_CLIENT_CA, &client_ca)] {
            if given.is_some() {
                let hint = format!("set --{} too", name::TLS_CERTIFICATE);
                read.problem(flag, "is set without a certificate", hint);
            }
        }
        return None;
    };
    Some(ListenerTls {
        key_file: key.unwrap_or_else(|| certificate_file.clone()),
        certificate_file,
        client_ca_file: client_ca,
    })
}

fn draft<'a>(
    values: &'a Layered,
    listener: &str,
    problems: &mut Vec<Problem>,
) -> Option<Draft<'a>> {
    let Some(given) = values.get(name::UPSTREAM) else {
        problems.push(Problem::new(
            format!("upstream of listener \"{listener}\""),
            "is not set",
            "set WEIR_UPSTREAM (or --upstream, or upstream in the file) to the cluster's \
             connection string",
        ));
        return None;
    };
    let text = given.texts.first().map_or("", |text| text.trim());
    Draft::read(text)
        .map_err(|wrong| problems.extend(at(&given.origin, wrong)))
        .ok()
}

/// Puts the origin of the connection string before the names of its options.
fn at(origin: &Origin, problems: Vec<Problem>) -> Vec<Problem> {
    let place = |option: String| match option.as_str() {
        "" => origin.to_string(),
        option => format!("{origin}: {option}"),
    };
    problems
        .into_iter()
        .map(|problem| Problem {
            place: place(problem.place),
            ..problem
        })
        .collect()
}

fn listener_name(
    raw: &RawListener,
    index: usize,
    of: usize,
    problems: &mut Vec<Problem>,
) -> String {
    let fine = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
    match &raw.name {
        Some(name) if name.is_empty() || name.len() > MAX_NAME || !name.chars().all(fine) => {
            problems.push(Problem::new(
                format!("name of listener {}", index + 1),
                "is no name that can label metrics",
                "use up to 64 letters, digits, '-' and '_'",
            ));
            name.clone()
        }
        Some(name) => name.clone(),
        None if of == 1 => "default".to_owned(),
        None => format!("listener-{}", index + 1),
    }
}
