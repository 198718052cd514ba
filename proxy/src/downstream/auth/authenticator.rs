//! The users that clients of a listener can log in as: the user of the upstream string, and users
//! that a host with a Weir inside of it adds.

use std::fmt;

use bson::RawArrayBuf;

use crate::config::{self, Credential};
use crate::scram::keys::{SaltSource, Secret, ServerCredential};
use crate::scram::server::{Conversation, Step};
use crate::scram::{MIN_ITERATIONS, Mechanism, Nonce};

use super::error::LoginError;
use super::fields::SaslStart;

/// PBKDF2 iterations that clients must make: the least that their drivers accept.
///
/// A server asks for 10,000 or 15,000, because its stored keys may leak from a disk. Weir stores
/// no keys. It has the password in memory, because it logs in upstream with it. More iterations
/// would only slow down guessing from a recorded login, which TLS prevents. Each client process
/// pays for them once for each Weir: some tenths of a second at the start of a small Lambda
/// function.
const ITERATIONS: u32 = MIN_ITERATIONS;

/// Checks logins. All clients of a listener share one.
pub struct Authenticator {
    accounts: Vec<Account>,
    salts: SaltSource,
}

/// One user. Upstream, Weir always uses the user of the upstream string.
struct Account {
    name: String,
    /// The keys by mechanism. A password that SASLprep forbids has only SCRAM-SHA-1.
    credentials: Vec<ServerCredential>,
}

impl Authenticator {
    /// Derives the keys for both mechanisms. That takes some milliseconds, so call it at start and
    /// not on busy async threads.
    ///
    /// Without a credential that has a password (X.509 and roles have none), every login is
    /// refused with [`LoginError::NoUser`]. Of two credentials for one name the first counts.
    pub fn new<'a>(
        credentials: impl IntoIterator<Item = &'a Credential>,
        salts: SaltSource,
    ) -> Self {
        let accounts = credentials
            .into_iter()
            .filter(|it| !it.mechanism.is_some_and(config::Mechanism::is_external))
            .filter(|it| !it.username.is_empty() && !it.password.reveal().is_empty())
            .map(|credential| Account::new(credential, &salts))
            .collect();
        Self { accounts, salts }
    }

    /// The value of `saslSupportedMechs` in a hello's reply. It is the same for every user name, so
    /// it does not show which users exist.
    pub fn supported_mechanisms(&self) -> RawArrayBuf {
        let offered = |mechanism: &Mechanism| {
            let mut accounts = self.accounts.iter();
            accounts.all(|account| account.credential(*mechanism).is_some())
        };
        Mechanism::ALL
            .into_iter()
            .filter(offered)
            .map(Mechanism::name)
            .collect()
    }

    /// The first user that clients can log in as.
    pub fn user(&self) -> Option<&str> {
        self.accounts.first().map(|account| account.name.as_str())
    }

    pub(super) fn start(&self, request: &SaslStart<'_>, nonce: &Nonce) -> Result<Step, LoginError> {
        let mechanism = Mechanism::from_name(request.mechanism)
            .ok_or_else(|| LoginError::mechanism(request.mechanism))?;
        if self.accounts.is_empty() {
            return Err(LoginError::NoUser);
        }
        let credential_of = |user: &str| {
            // Made for every name, so that the time does not show which users exist.
            let decoy = ServerCredential::decoy(mechanism, &self.salts, user, ITERATIONS);
            let mut accounts = self.accounts.iter();
            let account = accounts.find(|account| account.name == user);
            let known = account.and_then(|account| account.credential(mechanism));
            known.cloned().unwrap_or(decoy)
        };
        Conversation::start(
            request.payload,
            nonce,
            request.skip_empty_exchange,
            credential_of,
        )
        .map_err(LoginError::Failed)
    }
}

/// Prints the user name only.
impl fmt::Debug for Authenticator {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = formatter.debug_struct("Authenticator");
        output.field("user", &self.user()).finish_non_exhaustive()
    }
}

impl Account {
    fn new(credential: &Credential, salts: &SaltSource) -> Self {
        let name = credential.username.as_str();
        let derive = |mechanism| {
            let secret = Secret::new(mechanism, name, credential.password.reveal()).ok()?;
            let salt = salts.salt(mechanism, name);
            let keys = secret.derive(&salt, ITERATIONS);
            Some(keys.server_credential(salt, ITERATIONS))
        };
        let credentials = Mechanism::ALL.into_iter().filter_map(derive).collect();
        Self {
            name: name.to_owned(),
            credentials,
        }
    }

    fn credential(&self, mechanism: Mechanism) -> Option<&ServerCredential> {
        self.credentials
            .iter()
            .find(|credential| credential.mechanism() == mechanism)
    }
}
