//! Where the keys of a role come from, looked for in the order of the drivers.
//!
//! | where | what says so |
//! |---|---|
//! | the connection string | user, password, `authMechanismProperties=AWS_SESSION_TOKEN:…` |
//! | the environment (a Lambda function's) | `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY`, `AWS_SESSION_TOKEN` |
//! | the container (ECS, EKS Pod Identity, SnapStart) | `AWS_CONTAINER_CREDENTIALS_RELATIVE_URI` or `…_FULL_URI` |
//! | the machine (EC2) | nothing else was found |

use std::time::{Duration, Instant, SystemTime};

use parking_lot::Mutex;
use thiserror::Error;

use super::endpoint::Endpoint;
use crate::config::env::Strings;
use crate::config::{Credential, Secret};

/// Keys are fetched anew this long before they end.
const IN_TIME: Duration = Duration::from_secs(5 * 60);

/// Between two questions of which nothing new is to be hoped: the known keys last and no others
/// can be had, or those that took the place of refused ones are refused too.
const AFTER_VAIN: Duration = Duration::from_secs(30);

/// What a request is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keys {
    id: String,
    secret: Secret,
    token: Option<Secret>,
    /// When they end; `None`: nobody knows.
    ends: Option<SystemTime>,
}

/// Who should have keys does not say them now. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no keys for MONGODB-AWS: {from} {why}")]
pub struct KeysUnsaid {
    /// Who was asked.
    pub(super) from: String,
    /// What it did instead.
    pub(super) why: String,
}

/// There is nobody to ask for keys: the surroundings say so, or contradict themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("authMechanism=MONGODB-AWS has no keys to log in with: {0}")]
pub struct NoKeys(pub(super) &'static str);

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

    /// Whether a server would see the same.
    fn equal(&self, other: &Self) -> bool {
        (&self.id, &self.secret, &self.token) == (&other.id, &other.secret, &other.token)
    }

    /// Whether they last `longer` from now on.
    fn last(&self, longer: Duration) -> bool {
        self.ends
            .is_none_or(|ends| SystemTime::now() + longer < ends)
    }
}

/// The keys of one upstream: known, or to be asked for.
#[derive(Debug)]
pub struct Role {
    source: Source,
    memory: Mutex<Memory>,
}

#[derive(Debug)]
enum Source {
    Known(Keys),
    Asked(Endpoint),
}

/// What is known of keys that were asked for.
#[derive(Debug, Default)]
struct Memory {
    keys: Option<Keys>,
    /// When they took the place of refused ones, if no server has accepted any since.
    renewed: Option<Instant>,
    /// Asked in vain while the known ones last: not again before.
    not_before: Option<Instant>,
}

impl Role {
    /// Looks where the keys are to be had.
    ///
    /// # Errors
    /// [`NoKeys`]: nowhere.
    pub fn new(credential: &Credential, environment: &impl Strings) -> Result<Self, NoKeys> {
        let own = (!credential.username.is_empty()).then(|| {
            let token = credential.session_token.clone();
            let secret = credential.password.clone();
            Keys::new(&credential.username, secret, token, None)
        });
        let source = match own {
            Some(keys) => Source::Known(keys),
            None => around(|name| {
                let value = environment.get(name).ok().flatten();
                value.filter(|value| !value.is_empty())
            })?,
        };
        let memory = Mutex::default();
        Ok(Self { source, memory })
    }

    /// The keys, from memory or fetched now. By the specification nobody waits for another's
    /// question.
    ///
    /// # Errors
    /// [`KeysUnsaid`]: none are known that are good still, and who has them does not say them
    /// within two seconds.
    pub async fn keys(&self) -> Result<Keys, KeysUnsaid> {
        let endpoint = match &self.source {
            Source::Known(keys) => return Ok(keys.clone()),
            Source::Asked(endpoint) => endpoint,
        };
        let last = self.memory.lock().lasting(Instant::now());
        if let Some(keys) = last {
            return Ok(keys);
        }
        match endpoint.ask().await {
            Ok(keys) => {
                self.memory.lock().keys = Some(keys.clone());
                Ok(keys)
            }
            Err(unsaid) => self.memory.lock().in_vain(unsaid),
        }
    }

    /// A server has refused these keys. Whether there are others, which it has not seen: old
    /// ones are replaced, seldom until a server accepts some.
    ///
    /// # Errors
    /// [`KeysUnsaid`]: there may be, but who has them does not say them.
    pub async fn renew(&self, refused: &Keys) -> Result<bool, KeysUnsaid> {
        {
            let mut memory = self.memory.lock();
            if memory
                .keys
                .as_ref()
                .is_some_and(|keys| !keys.equal(refused))
            {
                return Ok(true);
            }
            if memory.renewed.is_some_and(|at| at.elapsed() < AFTER_VAIN) {
                return Ok(false);
            }
            memory.keys = None;
        }
        let others = !self.keys().await?.equal(refused);
        self.memory.lock().renewed = others.then(Instant::now);
        Ok(others)
    }

    /// A server has accepted keys.
    pub fn accepted(&self) {
        self.memory.lock().renewed = None;
    }

    /// A process that is a copy of another one has its keys; its own may be others.
    pub fn forget(&self) {
        *self.memory.lock() = Memory::default();
    }
}

impl Memory {
    /// The keys that nobody need be asked for now.
    fn lasting(&self, now: Instant) -> Option<Keys> {
        let keys = self.keys.clone()?;
        let asked = self.not_before.is_some_and(|moment| now < moment);
        let enough = if asked { Duration::ZERO } else { IN_TIME };
        keys.last(enough).then_some(keys)
    }

    /// Nobody said keys: those that are known are used to their end.
    fn in_vain(&mut self, unsaid: KeysUnsaid) -> Result<Keys, KeysUnsaid> {
        let keys = self.keys.clone();
        let Some(keys) = keys.filter(|keys| keys.last(Duration::ZERO)) else {
            return Err(unsaid);
        };
        self.not_before = Some(Instant::now() + AFTER_VAIN);
        tracing::warn!(error = %unsaid, "a role's keys end soon and cannot be renewed");
        Ok(keys)
    }
}

fn around(environment: impl Fn(&str) -> Option<String>) -> Result<Source, NoKeys> {
    let id = environment("AWS_ACCESS_KEY_ID");
    let secret = environment("AWS_SECRET_ACCESS_KEY");
    match (id, secret) {
        (Some(id), Some(secret)) => {
            let token = environment("AWS_SESSION_TOKEN").map(Secret::new);
            let keys = Keys::new(id, Secret::new(secret), token, None);
            return Ok(Source::Known(keys));
        }
        (None, None) => {}
        _ => {
            return Err(NoKeys(
                "of AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY only one is set: set both or \
                 neither",
            ));
        }
    }
    let web_identity = ["AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"];
    if web_identity.iter().all(|name| environment(name).is_some()) {
        return Err(NoKeys(
            "AWS_WEB_IDENTITY_TOKEN_FILE is set, and Weir does not exchange such tokens: use EKS \
             Pod Identity, or give Weir a user with a password",
        ));
    }
    Endpoint::around(environment).map(Source::Asked)
}
