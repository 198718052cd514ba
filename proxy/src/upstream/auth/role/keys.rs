//! Where the keys of a role come from, looked for in the order of the drivers.
//!
//! | where | what says so |
//! |---|---|
//! | the connection string | user, password, `authMechanismProperties=AWS_SESSION_TOKEN:…` |
//! | the environment (a Lambda function's) | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` |
//! | the container (ECS, EKS Pod Identity, SnapStart) | `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI` |
//! | the machine (EC2) | nothing else was found |

use std::time::{Duration, SystemTime};

use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::Semaphore;

use super::endpoint::Endpoint;
use crate::config::env::Strings;
use crate::config::{Credential, Secret};

/// Keys are fetched anew this long before they end.
const IN_TIME: Duration = Duration::from_secs(5 * 60);

/// What a request is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    id: String,
    secret: Secret,
    token: Option<Secret>,
    /// When they end; `None`: nobody knows.
    ends: Option<SystemTime>,
}

/// Why there are none. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum KeysError {
    /// Who should have them does not say them.
    #[error("no keys for MONGODB-AWS: {from} {why}")]
    Unsaid {
        /// Who was asked.
        from: String,
        /// What it did instead.
        why: String,
    },
    /// The surroundings contradict themselves, or ask for what Weir does not do.
    #[error("no keys for MONGODB-AWS: {0}")]
    Surroundings(&'static str),
}

impl Keys {
    pub(super) fn new(
        id: impl Into<String>,
        secret: Secret,
        token: Option<Secret>,
        ends: Option<SystemTime>,
    ) -> Self {
        let id = id.into();
        Self {
            id,
            secret,
            token,
            ends,
        }
    }

    pub(super) fn id(&self) -> &str {
        &self.id
    }

    pub(super) fn secret(&self) -> &str {
        self.secret.reveal()
    }

    pub(super) fn token(&self) -> Option<&str> {
        self.token.as_ref().map(Secret::reveal)
    }

    fn are_good(&self, now: SystemTime) -> bool {
        self.ends.is_none_or(|ends| now + IN_TIME < ends)
    }
}

/// The keys of one upstream: known, or to be asked for.
pub struct Role {
    source: Source,
    fetched: Mutex<Option<Keys>>,
    /// One connection fetches at a time.
    turn: Semaphore,
}

#[derive(Debug)]
enum Source {
    Known(Keys),
    Asked(Endpoint),
    Nowhere(KeysError),
}

impl Role {
    /// Looks where the keys are to be had.
    pub fn new(credential: &Credential, environment: &impl Strings) -> Self {
        let own = (!credential.username.is_empty()).then(|| {
            let token = credential.session_token.clone();
            Keys::new(
                &credential.username,
                credential.password.clone(),
                token,
                None,
            )
        });
        let source = match own {
            Some(keys) => Source::Known(keys),
            None => around(|name| {
                let value = environment.get(name).ok().flatten();
                value.filter(|value| !value.is_empty())
            }),
        };
        Self {
            source,
            fetched: Mutex::default(),
            turn: Semaphore::new(1),
        }
    }

    /// Sees to it that there are keys: fetches them if they are missing or about to end.
    ///
    /// # Errors
    /// [`KeysError`]: there are none, or who has them does not say them within some seconds.
    pub async fn prepare(&self) -> Result<(), KeysError> {
        let Source::Asked(endpoint) = &self.source else {
            return self.keys().map(drop);
        };
        // Connections that begin together ask once.
        let _turn = self.turn.acquire().await;
        let known = self.fetched.lock().clone();
        if !known.is_some_and(|keys| keys.are_good(SystemTime::now())) {
            let keys = endpoint.ask().await?;
            *self.fetched.lock() = Some(keys);
        }
        Ok(())
    }

    /// The keys that there are.
    pub(in crate::upstream::auth) fn keys(&self) -> Result<Keys, KeysError> {
        match &self.source {
            Source::Known(keys) => Ok(keys.clone()),
            Source::Nowhere(error) => Err(error.clone()),
            Source::Asked(_) => {
                let fetched = self.fetched.lock().clone();
                fetched.ok_or(KeysError::Surroundings("a server has just refused them"))
            }
        }
    }

    /// A server has refused them: they are asked for anew the next time.
    pub fn forget(&self) {
        self.fetched.lock().take();
    }
}

fn around(environment: impl Fn(&str) -> Option<String>) -> Source {
    let id = environment("AWS_ACCESS_KEY_ID");
    let secret = environment("AWS_SECRET_ACCESS_KEY");
    match (id, secret) {
        (Some(id), Some(secret)) => {
            let token = environment("AWS_SESSION_TOKEN").map(Secret::new);
            return Source::Known(Keys::new(id, Secret::new(secret), token, None));
        }
        (None, None) => {}
        _ => {
            return Source::Nowhere(KeysError::Surroundings(
                "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set: set both or \
                 neither",
            ));
        }
    }
    if environment("AWS_WEB_IDENTITY_TOKEN_FILE").is_some() {
        return Source::Nowhere(KeysError::Surroundings(
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, and Weir does not exchange such tokens: use EKS \
             Pod Identity, or give Weir a user with a password",
        ));
    }
    match Endpoint::around(environment) {
        Ok(endpoint) => Source::Asked(endpoint),
        Err(error) => Source::Nowhere(error),
    }
}
