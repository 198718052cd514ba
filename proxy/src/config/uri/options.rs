//! The options of a connection string in their types, with every mistake among them.

use std::path::PathBuf;
use std::time::Duration;

use crate::config::uri::table::{self, Treatment};
use crate::config::uri::text::OptionText;
use crate::config::uri::{Mechanism, Monitoring};
use crate::config::{Problem, Secret, TlsPolicy};

/// Longest `appName` a server accepts, in bytes.
const MAX_APP_NAME: usize = 128;
/// Shortest heartbeat a driver may use.
const MIN_HEARTBEAT_MS: u64 = 500;
/// The specifications count milliseconds and connections in 32 bits.
const MAX_NUMBER: u64 = i32::MAX as u64;

/// All honoured options; a missing one is `None`.
#[derive(Debug, Default)]
pub(crate) struct Options {
    pub(crate) app_name: Option<String>,
    pub(crate) auth_mechanism: Option<Mechanism>,
    pub(crate) auth_source: Option<String>,
    /// `authMechanismProperties` as written; may hold a token.
    pub(crate) mechanism_properties: Option<Secret>,
    pub(crate) compressors: Vec<String>,
    pub(crate) zlib_level: Option<i32>,
    pub(crate) connect_timeout: Option<Duration>,
    pub(crate) direct_connection: bool,
    pub(crate) heartbeat: Option<Duration>,
    pub(crate) load_balanced: bool,
    pub(crate) local_threshold: Option<Duration>,
    pub(crate) max_connecting: Option<usize>,
    pub(crate) max_idle_time: Option<Duration>,
    pub(crate) max_pool_size: Option<usize>,
    pub(crate) min_pool_size: Option<usize>,
    pub(crate) replica_set: Option<String>,
    /// `None` for `auto`, and when absent.
    pub(crate) monitoring: Option<Monitoring>,
    pub(crate) server_selection_timeout: Option<Duration>,
    pub(crate) srv_max_hosts: Option<usize>,
    pub(crate) srv_service_name: Option<String>,
    /// `tls` or `ssl` as written.
    pub(crate) tls: Option<bool>,
    pub(crate) tls_policy: TlsPolicy,
    /// The first option that only makes sense with TLS.
    pub(crate) tls_detail: Option<&'static str>,
    pub(crate) wait_queue_timeout: Option<Duration>,
    /// What the application must keep in its own string.
    pub(crate) client: Vec<(String, String)>,
    pub(crate) warnings: Vec<String>,
}

impl Options {
    /// Reads the options in their order; mistakes go to `problems`.
    pub(crate) fn read(texts: &[OptionText<'_>], problems: &mut Vec<Problem>) -> Self {
        let mut options = Self::default();
        let mut seen: Vec<String> = Vec::new();
        for text in texts {
            let name = text.name.to_ascii_lowercase();
            if seen.contains(&name) {
                if name != "readpreferencetags" {
                    problems.push(Problem::new(
                        canonical(text.name),
                        "is given twice",
                        "keep one of them",
                    ));
                    continue;
                }
            } else {
                seen.push(name);
            }
            options.sort(text, problems);
        }
        options.check_tls(problems);
        let has = |name: &str| seen.iter().any(|seen| seen == name);
        if has("tlsinsecure")
            && (has("tlsallowinvalidcertificates") || has("tlsallowinvalidhostnames"))
        {
            problems.push(Problem::new(
                "tlsInsecure",
                "stands beside an option it includes",
                "keep either tlsInsecure or the tlsAllowInvalid options",
            ));
        }
        options
    }

    /// Whether connections use TLS: as told, or else implied by SRV or by any other TLS option.
    pub(crate) fn tls_on(&self, srv: bool) -> bool {
        self.tls.unwrap_or(srv || self.tls_detail.is_some())
    }

    /// Sends one option where its [`Treatment`] says.
    fn sort(&mut self, text: &OptionText<'_>, problems: &mut Vec<Problem>) {
        let Some(known) = table::find(text.name) else {
            self.warnings.push(format!(
                "{} is no connection string option Weir knows; it is ignored here",
                text.name
            ));
            return;
        };
        match known.treatment {
            Treatment::Honoured => {
                if let Err(expected) = self.honour(known.name, &text.value) {
                    problems.push(Problem::new(known.name, expected.wrong, expected.hint));
                }
            }
            Treatment::Client => self
                .client
                .push((known.name.to_owned(), text.value.clone())),
            Treatment::Ignored(why) => {
                self.warnings
                    .push(format!("{} is ignored: {why}", known.name));
            }
            Treatment::Refused(hint) => {
                problems.push(Problem::new(known.name, "cannot be honoured", hint));
            }
        }
    }

    /// Stores the value of an honoured option. One flat match, a line or two per option.
    fn honour(&mut self, name: &'static str, value: &str) -> Result<(), Expected> {
        if name.starts_with("tls") && name != "tls" {
            self.tls_detail.get_or_insert(name);
        }
        match name {
            "appName" => self.app_name = Some(app_name(value)?),
            "authMechanism" => self.auth_mechanism = Some(mechanism(value)?),
            "authMechanismProperties" => self.mechanism_properties = Some(Secret::new(value)),
            "authSource" => self.auth_source = Some(text(value)?),
            "compressors" => self.set_compressors(value),
            "zlibCompressionLevel" => self.zlib_level = Some(zlib_level(value)?),
            "connectTimeoutMS" => self.connect_timeout = self.limit(name, value)?,
            "directConnection" => self.direct_connection = switch(value)?,
            "heartbeatFrequencyMS" => self.heartbeat = Some(heartbeat(value)?),
            "loadBalanced" => self.load_balanced = switch(value)?,
            "localThresholdMS" => self.local_threshold = Some(millis(value)?),
            "maxConnecting" => self.max_connecting = Some(count(value, 1)?),
            "maxIdleTimeMS" => {
                self.max_idle_time = Some(millis(value)?).filter(|time| !time.is_zero());
            }
            "maxPoolSize" => self.set_max_pool_size(value)?,
            "minPoolSize" => self.min_pool_size = Some(count(value, 0)?),
            "replicaSet" => self.replica_set = Some(text(value)?),
            "serverMonitoringMode" => self.monitoring = monitoring(value)?,
            "serverSelectionTimeoutMS" => {
                self.server_selection_timeout = self.limit(name, value)?;
            }
            "srvMaxHosts" => self.srv_max_hosts = Some(count(value, 0)?),
            "srvServiceName" => self.srv_service_name = Some(text(value)?),
            "ssl" | "tls" => self.set_tls(switch(value)?)?,
            "tlsInsecure" => {
                let insecure = switch(value)?;
                self.tls_policy.allow_invalid_certificates |= insecure;
                self.tls_policy.allow_invalid_hostnames |= insecure;
            }
            "tlsAllowInvalidCertificates" => {
                self.tls_policy.allow_invalid_certificates |= switch(value)?;
            }
            "tlsAllowInvalidHostnames" => {
                self.tls_policy.allow_invalid_hostnames |= switch(value)?;
            }
            "tlsCAFile" => self.tls_policy.ca_file = Some(path(value)?),
            "tlsCertificateKeyFile" => self.tls_policy.certificate_key_file = Some(path(value)?),
            "tlsCertificateKeyFilePassword" => {
                self.tls_policy.certificate_key_password = Some(Secret::new(value));
            }
            "waitQueueTimeoutMS" => self.wait_queue_timeout = self.limit(name, value)?,
            _ => debug_assert!(false, "{name} is honoured by name only"),
        }
        Ok(())
    }

    /// A time limit: 0 would mean "none", which Weir does not have.
    fn limit(&mut self, name: &str, value: &str) -> Result<Option<Duration>, Expected> {
        let limit = millis(value)?;
        if limit.is_zero() {
            self.warnings.push(format!(
                "{name}=0 is ignored: every wait in Weir has a limit; its own default stands"
            ));
            return Ok(None);
        }
        Ok(Some(limit))
    }

    fn set_max_pool_size(&mut self, value: &str) -> Result<(), Expected> {
        match count(value, 0)? {
            0 => self.warnings.push(
                "maxPoolSize=0 (no limit) is ignored: --max-connections is the limit".to_owned(),
            ),
            size => self.max_pool_size = Some(size),
        }
        Ok(())
    }

    fn set_compressors(&mut self, value: &str) {
        for name in value.split(',').filter(|name| !name.is_empty()) {
            match name {
                "snappy" | "zlib" | "zstd" => self.compressors.push(name.to_owned()),
                _ => self.warnings.push(format!(
                    "compressors: {} is not known and left out; Weir speaks snappy, zlib and zstd",
                    name.escape_debug()
                )),
            }
        }
    }

    fn set_tls(&mut self, on: bool) -> Result<(), Expected> {
        match self.tls.replace(on) {
            Some(before) if before != on => Err(Expected {
                wrong: "tls and ssl contradict each other",
                hint: "they are two names of one option; keep tls",
            }),
            _ => Ok(()),
        }
    }

    fn check_tls(&mut self, problems: &mut Vec<Problem>) {
        let detail = self.tls_detail;
        if let (Some(false), Some(name)) = (self.tls, detail) {
            problems.push(Problem::new(
                name,
                "contradicts tls=false",
                "remove one of them",
            ));
        }
        if let (None, Some(name)) = (self.tls, detail) {
            self.warnings
                .push(format!("{name} switches TLS on; write tls=true to say so"));
        }
    }
}

/// The specification's spelling of `name`, or the text itself.
fn canonical(name: &str) -> &str {
    table::find(name).map_or(name, |known| known.name)
}

/// What is wrong with a value, and what is expected. Never quotes the value.
struct Expected {
    wrong: &'static str,
    hint: &'static str,
}

const fn expected(wrong: &'static str, hint: &'static str) -> Expected {
    Expected { wrong, hint }
}

fn switch(value: &str) -> Result<bool, Expected> {
    match value {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err(expected("is neither true nor false", "write true or false")),
    }
}

fn number(value: &str, min: u64) -> Result<u64, Expected> {
    value
        .parse()
        .ok()
        .filter(|number| (min..=MAX_NUMBER).contains(number))
        .ok_or(match min {
            0 => expected(
                "is not a whole number",
                "write a number from 0 to 2147483647",
            ),
            _ => expected("is not a positive whole number", "write a number from 1"),
        })
}

fn millis(value: &str) -> Result<Duration, Expected> {
    number(value, 0).map(Duration::from_millis)
}

fn count(value: &str, min: u64) -> Result<usize, Expected> {
    number(value, min).map(|number| usize::try_from(number).unwrap_or(usize::MAX))
}

fn heartbeat(value: &str) -> Result<Duration, Expected> {
    match number(value, 0)? {
        ms if ms < MIN_HEARTBEAT_MS => Err(expected("is below 500", "write 500 or more")),
        ms => Ok(Duration::from_millis(ms)),
    }
}

fn zlib_level(value: &str) -> Result<i32, Expected> {
    value
        .parse()
        .ok()
        .filter(|level| (-1..=9).contains(level))
        .ok_or(expected(
            "is no zlib level",
            "write -1 for zlib's default, or 0 to 9",
        ))
}

fn text(value: &str) -> Result<String, Expected> {
    match value {
        "" => Err(expected("is empty", "give it a value or remove it")),
        some => Ok(some.to_owned()),
    }
}

fn path(value: &str) -> Result<PathBuf, Expected> {
    text(value).map(PathBuf::from)
}

fn app_name(value: &str) -> Result<String, Expected> {
    match value.len() {
        0..=MAX_APP_NAME => Ok(value.to_owned()),
        _ => Err(expected("is longer than 128 bytes", "shorten it")),
    }
}

fn monitoring(value: &str) -> Result<Option<Monitoring>, Expected> {
    match value.to_ascii_lowercase().as_str() {
        "auto" => Ok(None),
        "stream" => Ok(Some(Monitoring::Stream)),
        "poll" => Ok(Some(Monitoring::Poll)),
        _ => Err(expected(
            "is no monitoring mode",
            "write auto, stream or poll",
        )),
    }
}

fn mechanism(value: &str) -> Result<Mechanism, Expected> {
    const SCRAM: &str = "give Weir a user with a password and SCRAM-SHA-256";
    match value {
        "SCRAM-SHA-1" => Ok(Mechanism::ScramSha1),
        "SCRAM-SHA-256" => Ok(Mechanism::ScramSha256),
        "MONGODB-X509" => Ok(Mechanism::X509),
        "MONGODB-AWS" => Ok(Mechanism::Aws),
        "MONGODB-OIDC" => Err(expected(
            "is MONGODB-OIDC, which Weir does not speak",
            SCRAM,
        )),
        "GSSAPI" => Err(expected(
            "is GSSAPI (Kerberos), which Weir does not speak",
            SCRAM,
        )),
        "PLAIN" => Err(expected(
            "is PLAIN (LDAP), which Weir does not speak",
            SCRAM,
        )),
        "MONGODB-CR" => Err(expected(
            "is MONGODB-CR, which servers no longer speak",
            SCRAM,
        )),
        _ => Err(expected(
            "is no mechanism Weir knows",
            "write SCRAM-SHA-256, SCRAM-SHA-1, MONGODB-X509 or MONGODB-AWS, in capitals",
        )),
    }
}
