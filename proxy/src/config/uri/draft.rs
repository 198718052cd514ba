//! Between the text and the [`Upstream`]: everything that can be judged without DNS.

use std::fmt;
use std::path::Path;

use crate::config::defaults;
use crate::config::uri::options::Options;
use crate::config::uri::role;
use crate::config::uri::rules;
use crate::config::uri::table;
use crate::config::uri::text::{OptionText, UriText};
use crate::config::uri::{
    Credential, DriverSeed, HEARTBEAT, Host, LookUpError, Mechanism, Monitoring, Platform,
    SeedSettings, Upstream, look_up,
};
use crate::config::{Problem, Secret};

/// Options whose values are never printed.
const SECRET_OPTIONS: [&str; 3] = [
    "tlsCertificateKeyFilePassword",
    "proxyPassword",
    "authMechanismProperties",
];

/// A connection string found to be right as far as its text goes.
pub(crate) struct Draft<'a> {
    text: &'a str,
    uri: UriText<'a>,
    options: Options,
}

impl fmt::Debug for Draft<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.redacted())
    }
}

impl<'a> Draft<'a> {
    /// Reads and checks `text`; touches neither network nor files.
    ///
    /// # Errors
    /// Everything that is wrong with it; the places are option names, or empty.
    pub(crate) fn read(text: &'a str) -> Result<Self, Vec<Problem>> {
        let uri = UriText::parse(text)?;
        let mut problems = Vec::new();
        let options = Options::read(&uri.options, &mut problems);
        rules::check_deployment(&uri, &options, &mut problems);
        rules::check_login(&uri, &options, &mut problems);
        match problems.is_empty() {
            true => Ok(Self { text, uri, options }),
            false => Err(problems),
        }
    }

    /// Completes the string with what DNS says and what the platform decide.
    ///
    /// # Errors
    /// One problem when the hosts cannot be looked up, or what DNS adds contradicts the string.
    pub(crate) async fn resolve(self, platform: Platform) -> Result<Upstream, Vec<Problem>> {
        let looked = look_up(&self.for_driver(), platform.srv_timeout)
            .await
            .map_err(|error| vec![self.look_up_problem(&error)])?;
        let tls = self
            .options
            .tls_on(self.uri.srv)
            .then(|| self.options.tls_policy.clone());
        let load_balanced = looked
            .options
            .load_balanced
            .unwrap_or(self.options.load_balanced);
        let monitoring = self.monitoring(platform);
        let connect_timeout = self
            .options
            .connect_timeout
            .unwrap_or(defaults::CONNECT_TIMEOUT);
        let heartbeat = self.options.heartbeat.unwrap_or(HEARTBEAT).min(HEARTBEAT);
        let set_name = looked.options.repl_set_name.clone();
        let settings = SeedSettings {
            heartbeat,
            connect_timeout,
            monitoring,
            tls: tls.as_ref(),
        };
        let seed = DriverSeed::prepare(looked.options, &settings);
        let redacted = self.redacted();
        let warnings = self.warnings();
        let credential = self.credential(looked.auth_source);
        let options = self.options;
        Ok(Upstream {
            seed,
            hosts: looked.hosts,
            srv: self.uri.srv,
            load_balanced,
            direct_connection: options.direct_connection,
            set_name,
            credential,
            tls,
            compressors: options.compressors,
            zlib_level: options.zlib_level.unwrap_or(-1),
            max_pool_size: options.max_pool_size,
            min_pool_size: options.min_pool_size,
            max_idle_time: options.max_idle_time,
            max_connecting: options.max_connecting,
            wait_queue_timeout: options.wait_queue_timeout,
            connect_timeout,
            server_selection_timeout: options.server_selection_timeout,
            local_threshold: options.local_threshold.unwrap_or(defaults::LOCAL_THRESHOLD),
            heartbeat,
            app_name: options.app_name,
            monitoring,
            database: self.uri.database,
            client_options: options.client,
            warnings,
            text: Secret::new(self.text),
            redacted,
        })
    }

    /// The options as the text has them.
    pub(crate) fn options(&self) -> &Options {
        &self.options
    }

    /// Whether the string names a user.
    pub(crate) fn has_user(&self) -> bool {
        self.uri.username.is_some()
    }

    /// Sockets per node that watching costs, as far as the text says.
    pub(crate) fn monitor_sockets(&self, platform: Platform) -> usize {
        self.monitoring(platform)
            .sockets(self.options.load_balanced)
    }

    fn monitoring(&self, platform: Platform) -> Monitoring {
        match self.options.monitoring {
            Some(monitoring) => monitoring,
            None if platform.function_environment => Monitoring::Poll,
            None => Monitoring::Stream,
        }
    }

    /// The files the string names, with the options that name them.
    pub(crate) fn files(&self) -> impl Iterator<Item = (&'static str, &Path)> {
        let policy = &self.options.tls_policy;
        let files = [
            ("tlsCAFile", &policy.ca_file),
            ("tlsCertificateKeyFile", &policy.certificate_key_file),
        ];
        files
            .into_iter()
            .filter_map(|(option, path)| Some((option, path.as_deref()?)))
    }

    fn credential(&self, looked_source: String) -> Option<Credential> {
        let (uri, options) = (&self.uri, &self.options);
        let external = options.auth_mechanism.is_some_and(Mechanism::is_external);
        if uri.username.is_none() && !external {
            return None;
        }
        let source = match &options.auth_source {
            _ if external => "$external".to_owned(),
            Some(source) => source.clone(),
            None => looked_source,
        };
        Some(Credential {
            username: uri.username.clone().unwrap_or_default(),
            password: uri.password.clone().unwrap_or_else(|| Secret::new("")),
            session_token: role::session_token(options),
            source,
            mechanism: options.auth_mechanism,
        })
    }

    /// The string for the driver's parser. Its login is a stand-in, there only because the
    /// parser drops the `authSource` of a TXT record when there is nobody to log in.
    fn for_driver(&self) -> String {
        let uri = &self.uri;
        let database = uri.raw_database.unwrap_or_default();
        let mut text = format!("{}weir:weir@{}/{database}", self.scheme(), self.host_list());
        let wanted = [
            "replicaSet",
            "srvMaxHosts",
            "srvServiceName",
            "loadBalanced",
        ];
        let wanted = wanted.into_iter().chain(["directConnection"]);
        let mut separator = '?';
        for name in wanted {
            let given = uri
                .options
                .iter()
                .find(|o| o.name.eq_ignore_ascii_case(name));
            if let Some(option) = given {
                text.push_str(&format!("{separator}{name}={}", option.raw));
                separator = '&';
            }
        }
        text
    }

    fn look_up_problem(&self, error: &LookUpError) -> Problem {
        let hint = match self.uri.srv {
            true => {
                "check the name, and that this network's DNS answers SRV and TXT queries for it; \
                 or list the hosts in a mongodb:// string"
            }
            false => "correct the string",
        };
        let name = self.uri.hosts.first().map_or("", |host| host.host.as_str());
        let wrong = match self.uri.srv {
            true => format!("the hosts of {name} could not be looked up: {error}"),
            false => format!("the driver does not accept it: {error}"),
        };
        Problem::new("", wrong, hint)
    }

    /// The options' warnings, and those that need the whole string.
    fn warnings(&self) -> Vec<String> {
        let options = &self.options;
        let mut warnings = options.warnings.clone();
        warnings.extend(role::warning(options).map(str::to_owned));
        if options.heartbeat.is_some_and(|given| given > HEARTBEAT) {
            warnings.push(
                "heartbeatFrequencyMS above 1000 is ignored: Weir looks every second, so that an \
                 election is noticed in time"
                    .to_owned(),
            );
        }
        let policy = &options.tls_policy;
        if policy.allow_invalid_hostnames && !policy.allow_invalid_certificates {
            warnings.push(
                "tlsAllowInvalidHostnames: monitoring connections, which carry no credentials, \
                 accept any certificate; all others still check the chain"
                    .to_owned(),
            );
        }
        if policy.certificate_key_password.is_some() {
            warnings.push(
                "tlsCertificateKeyFilePassword: monitoring connections present no client \
                 certificate, because the key is encrypted"
                    .to_owned(),
            );
        }
        warnings
    }

    fn scheme(&self) -> &'static str {
        if self.uri.srv {
            "mongodb+srv://"
        } else {
            "mongodb://"
        }
    }

    fn host_list(&self) -> String {
        let name = |host: &Host| match self.uri.srv {
            true => host.host.clone(),
            false => host.to_string(),
        };
        self.uri
            .hosts
            .iter()
            .map(name)
            .collect::<Vec<_>>()
            .join(",")
    }

    /// The string with its secrets replaced by `***`.
    fn redacted(&self) -> String {
        let login = match (&self.uri.user_info, &self.uri.password) {
            (Some(info), Some(_)) => {
                let raw = info.reveal();
                format!("{}:***@", raw.split(':').next().unwrap_or_default())
            }
            (Some(info), None) => format!("{}@", info.reveal()),
            (None, _) => String::new(),
        };
        let options: Vec<String> = self.uri.options.iter().map(redacted_option).collect();
        format!(
            "{}{login}{}/{}{}{}",
            self.scheme(),
            self.host_list(),
            self.uri.raw_database.unwrap_or_default(),
            if options.is_empty() { "" } else { "?" },
            options.join("&"),
        )
    }
}

/// `name=value`, or `name=***` where the value is, or in an unknown option may be, a secret.
pub(crate) fn redacted_option(option: &OptionText<'_>) -> String {
    let secret = |known: &table::Known| SECRET_OPTIONS.contains(&known.name);
    match table::find(option.name).is_none_or(secret) {
        true => format!("{}=***", option.name),
        false => format!("{}={}", option.name, option.raw),
    }
}
