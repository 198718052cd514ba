//! One listener: its own settings, its connection string, and the rules that join the two.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::build::{Reader, count, origin_of};
use crate::config::raw::{Layered, RawListener};
use crate::config::settings::name;
use crate::config::units;
use crate::config::uri::Surroundings;
use crate::config::uri::draft::Draft;
use crate::config::{
    ClientAuth, Effective, ListenAddr, ListenerConfig, ListenerTls, Mechanism, Origin, Problem,
    Upstream, defaults, effective,
};

/// The fewest connections for operations a pool can work with: one, and a reserve.
const MIN_DATA_CONNECTIONS: usize = 2;
/// Longest name of a listener; it is a metric label.
const MAX_NAME: usize = 64;

/// A listener whose text is right, and whose hosts are not looked up yet.
pub(super) struct ListenerDraft<'a> {
    /// All its settings but those the upstream decides.
    pub(super) config: Own,
    values: &'a Layered,
    draft: Draft<'a>,
}

/// A listener's own settings; `None` where the upstream string may still say something.
pub(super) struct Own {
    pub(super) name: String,
    pub(super) listen: Vec<ListenAddr>,
    max_connections: usize,
    min_connections: Option<usize>,
    queue_timeout: Option<Duration>,
    queue_depth: usize,
    hold_timeout: Option<Duration>,
    max_connecting: Option<usize>,
    connect_rate: Option<f64>,
    max_idle_time: Option<Duration>,
    connection_lifetime: Duration,
    allow_anonymous: bool,
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
        index: usize,
        of: usize,
        problems: &mut Vec<Problem>,
    ) -> Option<Self> {
        let name = listener_name(raw, index, of, problems);
        let config = own(name, &raw.values, problems);
        let draft = draft(&raw.values, &config.name, problems)?;
        let draft = Self {
            config,
            values: &raw.values,
            draft,
        };
        draft.check_files(problems);
        Some(draft)
    }

    /// Where a setting came from.
    pub(super) fn origin(&self, flag: &'static str) -> Origin {
        origin_of(self.values, flag)
    }

    /// Looks up the hosts and lets the upstream string have its say.
    pub(super) async fn resolve(
        self,
        surroundings: Surroundings,
    ) -> Result<Complete, Vec<Problem>> {
        let Self {
            config: own,
            values,
            draft,
        } = self;
        let place = origin_of(values, name::UPSTREAM);
        let upstream = draft
            .resolve(surroundings)
            .await
            .map_err(|problems| at(&place, problems))?;
        let mut join = Join {
            values,
            problems: Vec::new(),
            warnings: Vec::new(),
            origins: Vec::new(),
        };
        let listener = join.complete(own, upstream);
        join.check_login(&listener);
        if !join.problems.is_empty() {
            return Err(join.problems);
        }
        let origins = join.origins;
        let origin = |flag| {
            let from_uri = origins.iter().find(|(name, _)| *name == flag);
            from_uri.map_or_else(|| origin_of(values, flag), |(_, uri)| Origin::Uri(uri))
        };
        let effective = effective::of_listener(&listener, origin).collect();
        let warnings = join
            .warnings
            .into_iter()
            .map(|warning| format!("listener \"{}\": {warning}", listener.name))
            .collect();
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

/// The place where settings and connection string meet.
struct Join<'a> {
    values: &'a Layered,
    problems: Vec<Problem>,
    warnings: Vec<String>,
    /// Settings the string has set: flag → option.
    origins: Vec<(&'static str, &'static str)>,
}

impl Join<'_> {
    fn complete(&mut self, own: Own, upstream: Upstream) -> ListenerConfig {
        self.warnings.extend(upstream.warnings.iter().cloned());
        self.name_client_options(&upstream);
        let max_connections = self.max_connections(own.max_connections, &upstream);
        let data = self.data_connections(max_connections, &upstream);
        let min_connections = self.min_connections(own.min_connections, data, &upstream);
        let queue_timeout = self.from_uri(
            (name::QUEUE_TIMEOUT, own.queue_timeout),
            ("waitQueueTimeoutMS", upstream.wait_queue_timeout),
        );
        let hold_timeout = self.from_uri(
            (name::HOLD_TIMEOUT, own.hold_timeout),
            (
                "serverSelectionTimeoutMS",
                upstream.server_selection_timeout,
            ),
        );
        let max_connecting = self.from_uri(
            (name::MAX_CONNECTING, own.max_connecting),
            ("maxConnecting", upstream.max_connecting),
        );
        let max_idle_time = self.from_uri(
            (name::MAX_IDLE_TIME, own.max_idle_time),
            ("maxIdleTimeMS", upstream.max_idle_time),
        );
        ListenerConfig {
            name: own.name,
            listen: own.listen,
            upstream,
            max_connections,
            min_connections,
            queue_timeout: queue_timeout.unwrap_or(defaults::QUEUE_TIMEOUT),
            queue_depth: own.queue_depth,
            hold_timeout: hold_timeout.unwrap_or(defaults::HOLD_TIMEOUT),
            max_connecting: max_connecting.unwrap_or(defaults::MAX_CONNECTING),
            connect_rate: own.connect_rate,
            max_idle_time,
            connection_lifetime: own.connection_lifetime,
            allow_anonymous: own.allow_anonymous,
            tls: own.tls,
            max_wire_version: own.max_wire_version,
            wire_version: own.wire_version,
            streaming_hello: own.streaming_hello,
            probe_cursors: own.probe_cursors,
            load_balanced_only: own.load_balanced_only,
        }
    }

    /// What was set explicitly, or else what the string says.
    fn from_uri<T>(
        &mut self,
        (flag, explicit): (&'static str, Option<T>),
        (option, in_uri): (&'static str, Option<T>),
    ) -> Option<T> {
        if explicit.is_none() && in_uri.is_some() {
            self.origins.push((flag, option));
        }
        explicit.or(in_uri)
    }

    /// `maxPoolSize` lowers the ceiling and never raises it.
    fn max_connections(&mut self, set: usize, upstream: &Upstream) -> usize {
        let flag = name::MAX_CONNECTIONS;
        match upstream.max_pool_size {
            Some(pool) if pool < set => {
                self.origins.push((flag, "maxPoolSize"));
                self.warnings.push(format!(
                    "maxPoolSize={pool} in the upstream string lowers --{flag} from {set} to {pool}"
                ));
                pool
            }
            Some(pool) if pool > set && self.values.get(flag).is_none() => {
                self.warnings.push(format!(
                    "maxPoolSize={pool} in the upstream string does not raise --{flag}, \
                     which is {set}; set it to use more"
                ));
                set
            }
            _ => set,
        }
    }

    /// Connections for operations: the ceiling minus the monitors.
    fn data_connections(&mut self, max: usize, upstream: &Upstream) -> usize {
        let monitors = upstream.monitor_sockets();
        let data = max.saturating_sub(monitors);
        if data < MIN_DATA_CONNECTIONS {
            let lowered = self
                .origins
                .iter()
                .find(|(flag, _)| *flag == name::MAX_CONNECTIONS);
            let place = match lowered {
                Some((_, option)) => Origin::Uri(option).to_string(),
                None => format!("--{}", name::MAX_CONNECTIONS),
            };
            self.problems.push(Problem::new(
                place,
                format!(
                    "allows {max} sockets to a node, of which {monitors} watch it; \
                     {data} would be left for operations, and at least {MIN_DATA_CONNECTIONS} \
                     are needed"
                ),
                format!("set it to {} or more", monitors + MIN_DATA_CONNECTIONS),
            ));
        }
        data
    }

    fn min_connections(
        &mut self,
        explicit: Option<usize>,
        data: usize,
        upstream: &Upstream,
    ) -> usize {
        let flag = name::MIN_CONNECTIONS;
        match (explicit, upstream.min_pool_size) {
            (Some(min), _) if min > data && data >= MIN_DATA_CONNECTIONS => {
                self.problems.push(Problem::new(
                    origin_of(self.values, flag),
                    format!("is {min}, but only {data} connections are left for operations"),
                    format!("lower it, or raise --{}", name::MAX_CONNECTIONS),
                ));
                data
            }
            (Some(min), _) => min,
            (None, Some(min)) => {
                self.origins.push((flag, "minPoolSize"));
                if min > data {
                    self.warnings.push(format!(
                        "minPoolSize={min} in the upstream string is above the {data} connections \
                         left for operations; {data} are kept"
                    ));
                }
                min.min(data)
            }
            (None, None) => defaults::MIN_CONNECTIONS.min(data),
        }
    }

    fn name_client_options(&mut self, upstream: &Upstream) {
        let names: Vec<&str> = upstream
            .client_options
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        if !names.is_empty() {
            self.warnings.push(format!(
                "{} in the upstream string are not applied to clients' commands; \
                 keep these in the client's string",
                names.join(", ")
            ));
        }
    }

    /// Whoever must log in must be able to.
    fn check_login(&mut self, listener: &ListenerConfig) {
        let required =
            |address: &&ListenAddr| listener.client_auth(address) == ClientAuth::Required;
        let Some(address) = listener.listen.iter().find(required) else {
            return;
        };
        let credential = listener.upstream.credential.as_ref();
        let why = match credential.map(|credential| credential.mechanism) {
            None => "the upstream string has no user name and password to log in with",
            Some(Some(Mechanism::X509)) => {
                "the upstream string logs in by certificate, which clients cannot use"
            }
            Some(_) => return,
        };
        self.problems.push(Problem::new(
            origin_of(self.values, name::LISTEN),
            format!("clients of {address} must log in, but {why}"),
            "give the upstream string a user with a password, listen on loopback only, \
             or set --allow-anonymous",
        ));
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
        listen: listen(&mut read),
        max_connections: read.count(name::MAX_CONNECTIONS, 1, defaults::MAX_CONNECTIONS),
        min_connections: read.get(name::MIN_CONNECTIONS, |text| count(text, 0)),
        queue_timeout: read.get(name::QUEUE_TIMEOUT, units::positive_duration),
        queue_depth: read.count(name::QUEUE_DEPTH, 1, defaults::QUEUE_DEPTH),
        hold_timeout: read.get(name::HOLD_TIMEOUT, units::positive_duration),
        max_connecting: read.get(name::MAX_CONNECTING, |text| count(text, 1)),
        connect_rate: read.get(name::CONNECT_RATE, units::rate),
        max_idle_time: read.get(name::MAX_IDLE_TIME, units::positive_duration),
        connection_lifetime: read.time(name::CONNECTION_LIFETIME, defaults::CONNECTION_LIFETIME),
        allow_anonymous: read.switch(name::ALLOW_ANONYMOUS),
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
                let mend = format!("set --{} too", name::TLS_CERTIFICATE);
                read.problem(flag, "is set without a certificate", mend);
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
