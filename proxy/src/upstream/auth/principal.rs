//! Who Weir is on the servers, with the keys derived so far.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::env::ProcessEnvironment;
use crate::config::{self, Credential};
use crate::scram::keys::{ClientKeys, Secret};
use crate::scram::{Mechanism, ScramError};

use super::reply;
use super::role::{Keys, KeysUnsaid, NoKeys, Role};

/// The user of the upstream string. One for all connections to a cluster.
pub struct Principal {
    user: String,
    source: String,
    method: Method,
}

/// Why a user of the upstream string can never log in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The password cannot be used for SCRAM-SHA-256.
    #[error("the password in --upstream cannot be used: {0}")]
    Password(#[from] ScramError),
    /// A role has no keys.
    #[error(transparent)]
    Keys(#[from] NoKeys),
}

/// How the user proves itself.
pub(super) enum Method {
    Scram(Arc<Scram>),
    X509,
    Role(Box<Role>),
}

impl Principal {
    /// The user of this credential. Derives nothing yet.
    ///
    /// # Errors
    /// [`Unusable`]: SCRAM-SHA-256 was asked for and the password cannot be used with it, or a
    /// role's keys are nowhere to be had.
    pub fn new(credential: &Credential) -> Result<Self, Unusable> {
        let method = match credential.mechanism {
            Some(config::Mechanism::X509) => Method::X509,
            Some(config::Mechanism::Aws) => {
                Method::Role(Box::new(Role::new(credential, &ProcessEnvironment)?))
            }
            _ => Method::Scram(Arc::new(Scram::new(credential)?)),
        };
        Ok(Self {
            user: credential.username.clone(),
            source: credential.source.clone(),
            method,
        })
    }

    /// The user name; empty for X.509 when the certificate alone names it, and for a role whose
    /// keys are not the string's.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database the user is defined in.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The mechanism that is used with a server that answered `hello`.
    pub fn mechanism_after(&self, hello: &[u8]) -> &'static str {
        match &self.method {
            Method::X509 => config::Mechanism::X509.name(),
            Method::Role(_) => config::Mechanism::Aws.name(),
            Method::Scram(scram) => {
                let supported = reply::parse(hello)
                    .and_then(|hello| reply::strings(hello, "saslSupportedMechs"));
                scram.choose(&supported.unwrap_or_default()).name()
            }
        }
    }

    /// What a role signs its logins with; `None` for who is none.
    ///
    /// # Errors
    /// [`KeysUnsaid`]: they cannot be had now.
    pub async fn keys(&self) -> Result<Option<Keys>, KeysUnsaid> {
        match &self.method {
            Method::Role(role) => role.keys().await.map(Some),
            Method::Scram(_) | Method::X509 => Ok(None),
        }
    }

    /// A server has refused these keys. Whether there are others to be tried.
    ///
    /// # Errors
    /// [`KeysUnsaid`]: there may be, and they cannot be had now.
    pub async fn renewed(&self, refused: &Keys) -> Result<bool, KeysUnsaid> {
        match &self.method {
            Method::Role(role) => role.renew(refused).await,
            Method::Scram(_) | Method::X509 => Ok(false),
        }
    }

    /// A server has let the user in.
    pub fn accepted(&self) {
        if let Method::Role(role) = &self.method {
            role.accepted();
        }
    }

    /// This process is a copy of another one: what was fetched by that one is not its own.
    pub fn forget(&self) {
        if let Method::Role(role) = &self.method {
            role.forget();
        }
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }
}

/// Prints no secret.
impl fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = formatter.debug_struct("Principal");
        output
            .field("user", &self.user)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// The password, ready for the mechanisms that may be used, and its keys.
pub(super) struct Scram {
    preferred: Secret,
    /// SCRAM-SHA-1, when the string leaves the choice to the server.
    fallback: Option<Secret>,
    cache: KeyCache,
}

impl Scram {
    fn new(credential: &Credential) -> Result<Self, ScramError> {
        let password = credential.password.reveal();
        let secret = |mechanism| Secret::new(mechanism, &credential.username, password);
        let (preferred, fallback) = match credential.mechanism {
            Some(config::Mechanism::ScramSha1) => (secret(Mechanism::ScramSha1)?, None),
            Some(_) => (secret(Mechanism::ScramSha256)?, None),
            None => {
                let sha1 = secret(Mechanism::ScramSha1)?;
                match secret(Mechanism::ScramSha256) {
                    Ok(sha256) => (sha256, Some(sha1)),
                    Err(_) => (sha1, None),
                }
            }
        };
        Ok(Self {
            preferred,
            fallback,
            cache: KeyCache::default(),
        })
    }

    /// What a speculation is made with.
    pub(super) fn preferred(&self) -> Mechanism {
        self.preferred.mechanism()
    }

    /// Whether the server is to be asked for its mechanisms.
    pub(super) fn is_negotiated(&self) -> bool {
        self.fallback.is_some()
    }

    /// The mechanism for a user with these ones. A server that names none knows
    /// SCRAM-SHA-1 only.
    pub(super) fn choose(&self, supported: &[&str]) -> Mechanism {
        match &self.fallback {
            Some(fallback) if !supported.contains(&self.preferred().name()) => fallback.mechanism(),
            _ => self.preferred(),
        }
    }

    /// The keys of a mechanism that was preferred or chosen, from memory or
    /// derived now.
    pub(super) fn keys(&self, mechanism: Mechanism, salt: &[u8], iterations: u32) -> ClientKeys {
        let secret = match &self.fallback {
            Some(fallback) if fallback.mechanism() == mechanism => fallback,
            _ => &self.preferred,
        };
        self.cache.get(secret, salt, iterations)
    }

    #[cfg(test)]
    pub(super) fn cached(&self) -> usize {
        self.cache.0.lock().len()
    }
}

/// Derived keys, the latest last.
///
/// All nodes of a cluster hold the same user with the same salt, so one entry
/// is the rule; there are two for a moment when the password changes.
#[derive(Default)]
struct KeyCache(Mutex<Vec<Entry>>);

struct Entry {
    salt: Vec<u8>,
    iterations: u32,
    mechanism: Mechanism,
    keys: ClientKeys,
}

impl KeyCache {
    /// A server may send any salt, so there has to be a bound.
    const CAPACITY: usize = 8;

    /// The lock is held while keys are derived: connections that start together
    /// then wait for one derivation instead of each doing the same work.
    fn get(&self, secret: &Secret, salt: &[u8], iterations: u32) -> ClientKeys {
        let mechanism = secret.mechanism();
        let mut entries = self.0.lock();
        let known = entries.iter().find(|entry| {
            (entry.mechanism, entry.iterations) == (mechanism, iterations) && entry.salt == salt
        });
        if let Some(entry) = known {
            return entry.keys.clone();
        }
        let keys = secret.derive(salt, iterations);
        if entries.len() >= Self::CAPACITY {
            entries.remove(0);
        }
        let salt = salt.to_vec();
        entries.push(Entry {
            salt,
            iterations,
            mechanism,
            keys: keys.clone(),
        });
        keys
    }
}
