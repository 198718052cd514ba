//! What all clients of a listener log in against: the upstream string's user, and where a host
//! with a Weir inside of it says so, the user that the clients' own strings name.

use std::fmt;

use bson::RawArrayBuf;

use crate::config::{self, Credential};
use crate::scram::keys::{SaltSource, Secret, ServerCredential};
use crate::scram::server::{Conversation, Step};
use crate::scram::{MIN_ITERATIONS, Mechanism, Nonce};

use super::error::LoginError;
use super::fields::SaslStart;

/// PBKDF2 iterations asked of clients, the least their drivers accept.
///
/// A server asks for 10,000 or 15,000 because its stored keys may leak from a
/// disk. Weir stores none: it holds the password itself, in memory, since it has
/// to log in upstream with it. What more iterations would slow down is guessing
/// from a recorded login, which TLS prevents; and each client process pays them
/// once per Weir, on a small Lambda function some tenths of a second of its
/// start.
const ITERATIONS: u32 = MIN_ITERATIONS;

/// Checks logins. One for each listener, shared by its clients.
pub struct Authenticator {
    accounts: Vec<Account>,
    salts: SaltSource,
}

/// One user. Weir works as the upstream string's, whoever the client is.
struct Account {
    name: String,
    /// Usually for both mechanisms; a password that SASLprep forbids has only
    /// SCRAM-SHA-1.
    credentials: Vec<ServerCredential>,
}

impl Authenticator {
    /// Derives the keys for both mechanisms, which takes some milliseconds:
    /// build it at start and keep it off busy async threads.
    ///
    /// Without a credential that has a password (X.509 and roles have none), every login is
    /// refused with [`LoginError::NoUser`]. Of two for one name the first counts.
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

    /// The value of `saslSupportedMechs` in a hello's reply. It is the same
    /// whatever user was asked about, so it does not tell which one exists.
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

    /// The user clients can log in as, if there is one; the first of several.
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
            // Made for every name, so that the time taken does not tell either.
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
