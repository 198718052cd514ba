//! Where a listener's settings and its connection string meet: who decides what, and the rules
//! that only hold for both together.

use std::time::Duration;

use crate::config::build::origin_of;
use crate::config::raw::Layered;
use crate::config::settings::name;
use crate::config::uri::Platform;
use crate::config::uri::draft::Draft;
use crate::config::{ListenAddr, Mechanism, Origin, Problem, defaults};

/// The fewest connections for operations a pool can work with: one, and a reserve.
const MIN_DATA_CONNECTIONS: usize = 2;

/// A listener's own settings where the connection string may say something too; `None` where the
/// settings say nothing.
pub(super) struct Shared {
    pub(super) max_connections: usize,
    pub(super) min_connections: Option<usize>,
    pub(super) queue_timeout: Option<Duration>,
    pub(super) hold_timeout: Option<Duration>,
    pub(super) max_connecting: Option<usize>,
    pub(super) max_idle_time: Option<Duration>,
    pub(super) listen: Vec<ListenAddr>,
    pub(super) allow_anonymous: bool,
}

/// The settings the string may set, decided.
pub(super) struct Joined {
    pub(super) max_connections: usize,
    pub(super) min_connections: usize,
    pub(super) queue_timeout: Duration,
    pub(super) hold_timeout: Duration,
    pub(super) max_connecting: usize,
    pub(super) max_idle_time: Option<Duration>,
    pub(super) warnings: Vec<String>,
    /// Settings the string has set: flag → option.
    from_uri: Vec<(&'static str, &'static str)>,
}

impl Joined {
    /// Decides, and checks the rules that need no DNS.
    ///
    /// Monitoring is charged as the text says; should DNS add `loadBalanced=true`, two more
    /// connections are left for operations than were counted here.
    pub(super) fn of(
        own: &Shared,
        values: &Layered,
        draft: &Draft<'_>,
        platform: Platform,
        problems: &mut Vec<Problem>,
    ) -> Self {
        let options = draft.options();
        let mut join = Join {
            values,
            problems,
            warnings: Vec::new(),
            from_uri: Vec::new(),
        };
        join.name_client_options(&options.client);
        let max_connections = join.max_connections(own.max_connections, options.max_pool_size);
        let data = join.data_connections(max_connections, draft.monitor_sockets(platform));
        let min_connections =
            join.min_connections(own.min_connections, options.min_pool_size, data);
        let queue_timeout = join.either(
            (name::QUEUE_TIMEOUT, own.queue_timeout),
            ("waitQueueTimeoutMS", options.wait_queue_timeout),
        );
        let hold_timeout = join.either(
            (name::HOLD_TIMEOUT, own.hold_timeout),
            ("serverSelectionTimeoutMS", options.server_selection_timeout),
        );
        let max_connecting = join.either(
            (name::MAX_CONNECTING, own.max_connecting),
            ("maxConnecting", options.max_connecting),
        );
        let max_idle_time = join.either(
            (name::MAX_IDLE_TIME, own.max_idle_time),
            ("maxIdleTimeMS", options.max_idle_time),
        );
        join.check_login(own, draft);
        Self {
            max_connections,
            min_connections,
            queue_timeout: queue_timeout.unwrap_or(defaults::QUEUE_TIMEOUT),
            hold_timeout: hold_timeout.unwrap_or(defaults::HOLD_TIMEOUT),
            max_connecting: max_connecting.unwrap_or(defaults::MAX_CONNECTING),
            max_idle_time,
            warnings: join.warnings,
            from_uri: join.from_uri,
        }
    }

    /// Where a setting came from, the string included.
    pub(super) fn origin(&self, values: &Layered, flag: &'static str) -> Origin {
        let from_uri = self.from_uri.iter().find(|(name, _)| *name == flag);
        from_uri.map_or_else(
            || origin_of(values, flag),
            |(_, option)| Origin::Uri(option),
        )
    }
}

/// One attempt to join.
struct Join<'a> {
    values: &'a Layered,
    problems: &'a mut Vec<Problem>,
    warnings: Vec<String>,
    from_uri: Vec<(&'static str, &'static str)>,
}

impl Join<'_> {
    /// What was set explicitly, or else what the string says.
    fn either<T>(
        &mut self,
        (flag, explicit): (&'static str, Option<T>),
        (option, in_uri): (&'static str, Option<T>),
    ) -> Option<T> {
        if explicit.is_none() && in_uri.is_some() {
            self.from_uri.push((flag, option));
        }
        explicit.or(in_uri)
    }

    /// `maxPoolSize` lowers the ceiling and never raises it.
    fn max_connections(&mut self, set: usize, pool: Option<usize>) -> usize {
        let flag = name::MAX_CONNECTIONS;
        match pool {
            Some(pool) if pool < set => {
                self.from_uri.push((flag, "maxPoolSize"));
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
    fn data_connections(&mut self, max: usize, monitors: usize) -> usize {
        let data = max.saturating_sub(monitors);
        if data < MIN_DATA_CONNECTIONS {
            let flag = name::MAX_CONNECTIONS;
            let lowered = self.from_uri.iter().find(|(name, _)| *name == flag);
            let place = match lowered {
                Some((_, option)) => Origin::Uri(option),
                None => origin_of(self.values, flag),
            };
            self.problems.push(Problem::new(
                place,
                format!(
                    "allows {max} sockets to a node, of which {monitors} watch it; {data} would \
                     be left for operations, and at least {MIN_DATA_CONNECTIONS} are needed"
                ),
                format!("set it to {} or more", monitors + MIN_DATA_CONNECTIONS),
            ));
        }
        data
    }

    fn min_connections(
        &mut self,
        explicit: Option<usize>,
        in_uri: Option<usize>,
        data: usize,
    ) -> usize {
        let flag = name::MIN_CONNECTIONS;
        match (explicit, in_uri) {
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
                self.from_uri.push((flag, "minPoolSize"));
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

    fn name_client_options(&mut self, options: &[(String, String)]) {
        let mut names: Vec<&str> = options.iter().map(|(name, _)| name.as_str()).collect();
        names.dedup();
        if !names.is_empty() {
            self.warnings.push(format!(
                "client options in the upstream string are not applied to other people's \
                 commands ({}); keep these in the client's string",
                names.join(", ")
            ));
        }
    }

    /// Clients that must log in need a login that they can make.
    fn check_login(&mut self, own: &Shared, draft: &Draft<'_>) {
        let open = |address: &&ListenAddr| !address.is_local() && !own.allow_anonymous;
        let Some(address) = own.listen.iter().find(open) else {
            return;
        };
        let why = match draft.options().auth_mechanism {
            Some(Mechanism::X509) => {
                "the upstream string logs in by certificate, which clients cannot use"
            }
            Some(Mechanism::Aws) => {
                "the upstream string logs in by a role of AWS, which clients cannot use"
            }
            _ if draft.has_user() => return,
            _ => "the upstream string has no user name and password to log in with",
        };
        self.problems.push(Problem::new(
            origin_of(self.values, name::LISTEN),
            format!("clients of {address} must log in, but {why}"),
            "give the upstream string a user with a password, listen on loopback only, \
             or set --allow-anonymous",
        ));
    }
}
