//! AWS credentials, and why there are none.

use std::time::{Duration, SystemTime};

use thiserror::Error;

use crate::config::Secret;

/// What a request to AWS is signed with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwsCredentials {
    /// The access key id, which is no secret.
    id: String,
    /// The secret access key.
    secret: Secret,
    /// The session token of temporary credentials.
    token: Option<Secret>,
    /// When they expire; `None`: unknown.
    expires: Option<SystemTime>,
}

/// The credential source did not return credentials. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
#[error("no AWS credentials for MONGODB-AWS: {from} {why}")]
pub struct CredentialsUnavailable {
    /// The source that was asked.
    pub(super) from: String,
    /// What it did instead, as the rest of a sentence.
    pub(super) why: String,
}

/// There is no credential source to ask: the environment names none, or contradicts itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
#[error("authMechanism=MONGODB-AWS has no credentials to log in with: {0}")]
pub struct NoCredentialSource(pub(super) &'static str);

impl AwsCredentials {
    pub(super) fn new(
        id: impl Into<String>,
        secret: Secret,
        token: Option<Secret>,
        expires: Option<SystemTime>,
    ) -> Self {
        Self {
            id: id.into(),
            secret,
            token,
            expires,
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

    /// Whether a server sees no difference. The time when they expire does not count.
    pub(super) fn are_same(&self, other: &Self) -> bool {
        (&self.id, &self.secret, &self.token) == (&other.id, &other.secret, &other.token)
    }

    /// Whether they are valid for `time` from now on.
    pub(super) fn are_valid_for(&self, time: Duration) -> bool {
        self.expires
            .is_none_or(|expires| SystemTime::now() + time < expires)
    }
}
