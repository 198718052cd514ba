//! The user that Weir logs in as, with the keys derived so far.

use std::fmt;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::config::env::ProcessEnvironment;
use crate::config::{self, Credential};
use crate::scram::keys::{ClientKeys, Secret};
use crate::scram::{Mechanism, ScramError};

use super::reply;
use super::role::{AwsCredentials, CredentialProvider, CredentialsUnavailable, NoCredentialSource};

/// The user of the upstream's connection string. All connections to a cluster share it.
pub struct Principal {
    user: String,
    source: String,
    method: Method,
}

/// Why the user of the upstream's connection string can never log in.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum Unusable {
    /// The password cannot be used for SCRAM-SHA-256.
    #[error("the password in --upstream cannot be used: {0}")]
    Password(#[from] ScramError),
    /// There is no source of AWS credentials.
    #[error(transparent)]
    Credentials(#[from] NoCredentialSource),
}

/// How the user proves itself.
pub(super) enum Method {
    Scram(Arc<Scram>),
    X509,
    Aws(Box<CredentialProvider>),
}

impl Principal {
    /// The user of this credential. Derives no keys yet.
    ///
    /// # Errors
    /// [`Unusable`]: SCRAM-SHA-256 was asked for and the password cannot be used with it, or
    /// there is no source of AWS credentials.
    pub fn new(credential: &Credential) -> Result<Self, Unusable> {
        let method = match credential.mechanism {
            Some(config::Mechanism::X509) => Method::X509,
            Some(config::Mechanism::Aws) => {
                let provider = CredentialProvider::new(credential, &ProcessEnvironment)?;
                Method::Aws(Box::new(provider))
            }
            _ => Method::Scram(Arc::new(Scram::new(credential)?)),
        };
        Ok(Self {
            user: credential.username.clone(),
            source: credential.source.clone(),
            method,
        })
    }

    /// The user name. Empty for X.509 when only the certificate names the user, and for
    /// MONGODB-AWS when the credentials are not in the connection string.
    pub fn user(&self) -> &str {
        &self.user
    }

    /// The database in which the user is defined.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The mechanism that Weir uses with a server that answered `hello` like this.
    pub fn mechanism_after(&self, hello: &[u8]) -> &'static str {
        match &self.method {
            Method::X509 => config::Mechanism::X509.name(),
            Method::Aws(_) => config::Mechanism::Aws.name(),
            Method::Scram(scram) => {
                let supported = reply::parse(hello)
                    .and_then(|hello| reply::strings(hello, "saslSupportedMechs"));
                scram.choose(&supported.unwrap_or_default()).name()
            }
        }
    }

    /// The AWS credentials for the next login; `None` with other mechanisms.
    ///
    /// # Errors
    /// [`CredentialsUnavailable`]: the source did not return any now.
    pub async fn credentials(&self) -> Result<Option<AwsCredentials>, CredentialsUnavailable> {
        match &self.method {
            Method::Aws(provider) => provider.credentials().await.map(Some),
            Method::Scram(_) | Method::X509 => Ok(None),
        }
    }

    /// A server refused these credentials. Returns whether there are others to try.
    ///
    /// # Errors
    /// [`CredentialsUnavailable`]: the source did not return any now.
    pub async fn renew(&self, refused: &AwsCredentials) -> Result<bool, CredentialsUnavailable> {
        match &self.method {
            Method::Aws(provider) => provider.renew(refused).await,
            Method::Scram(_) | Method::X509 => Ok(false),
        }
    }

    /// A server accepted the login.
    pub fn accepted(&self) {
        if let Method::Aws(provider) = &self.method {
            provider.accepted();
        }
    }

    /// This process is a copy of another one: forgets the AWS credentials, which are not its own.
    pub fn forget(&self) {
        if let Method::Aws(provider) = &self.method {
            provider.forget();
        }
    }

    pub(super) fn method(&self) -> &Method {
        &self.method
    }
}

/// Shows no secret.
impl fmt::Debug for Principal {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = formatter.debug_struct("Principal");
        output
            .field("user", &self.user)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

/// The password, prepared for the mechanisms that may be used, and the keys derived from it.
pub(super) struct Scram {
    preferred: Secret,
    /// SCRAM-SHA-1, when the connection string leaves the choice to the server.
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

    /// The mechanism of the speculative login.
    pub(super) fn preferred(&self) -> Mechanism {
        self.preferred.mechanism()
    }

    /// Whether the server must be asked for the user's mechanisms.
    pub(super) fn is_negotiated(&self) -> bool {
        self.fallback.is_some()
    }

    /// The mechanism for a user that supports these ones. A server that names none supports
    /// SCRAM-SHA-1 only.
    pub(super) fn choose(&self, supported: &[&str]) -> Mechanism {
        match &self.fallback {
            Some(fallback) if !supported.contains(&self.preferred().name()) => fallback.mechanism(),
            _ => self.preferred(),
        }
    }

    /// The keys of the preferred or the chosen mechanism, from memory or derived now.
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
/// All nodes of a cluster hold the same user with the same salt, so there is usually one entry.
/// There are two for a short time when the password changes.
#[derive(Default)]
struct KeyCache(Mutex<Vec<Entry>>);

struct Entry {
    salt: Vec<u8>,
    iterations: u32,
    mechanism: Mechanism,
    keys: ClientKeys,
}

impl KeyCache {
    /// A limit is needed because a server may send any salt.
    const CAPACITY: usize = 8;

    /// The lock is held while keys are derived. Connections that start together wait for one
    /// derivation instead of each doing the same work.
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
