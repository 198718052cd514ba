//! A client's login: from hello's `speculativeAuthenticate`, or from `saslStart`, `saslContinue`,
//! `authenticate` and `logout`.
//!
//! A client logs in with the user name and password of the upstream string. Weir checks them
//! itself (SCRAM-SHA-256 or SCRAM-SHA-1) and forwards none of these commands. Any `authSource`
//! works, because there is one user. Each client socket has one [`Login`], and all clients of a
//! listener share one [`Authenticator`].
//!
//! Nothing here does I/O or waits. Replies are the fields of a document, to which the caller adds
//! `ok`. The bodies of these commands must never be logged.

use std::mem;

use bson::{RawArrayBuf, RawDocumentBuf, rawdoc};

use crate::scram::Nonce;
use crate::scram::server::{Conversation, Step};

pub use self::authenticator::Authenticator;
pub use self::error::LoginError;
use self::fields::SaslStart;

pub mod authenticator;
mod error;
mod fields;
#[cfg(test)]
mod tests;

/// The `conversationId` of every conversation. Like a server, Weir has at most one for each
/// socket.
const CONVERSATION_ID: i32 = 1;

/// The state of one client socket's login.
#[derive(Debug, Default)]
pub enum Login {
    /// The client has not logged in.
    #[default]
    Anonymous,
    /// A SCRAM conversation waits for the client's next payload.
    InProgress {
        /// The next step of the conversation.
        conversation: Conversation,
        /// The database on which the conversation began.
        db: String,
        /// The user before this conversation. It stays the user if the conversation fails.
        before: Option<Identity>,
    },
    /// The client has logged in as this user.
    Done(Identity),
}

/// A user that has logged in, as `connectionStatus` shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// The user name.
    pub user: String,
    /// The client's `authSource`.
    pub db: String,
}

impl Login {
    /// Answers a login command. `None`: `name` is another command.
    ///
    /// `db` is the command's `$db` and `body` its document. `nonce` is called at most once, for
    /// `saslStart`.
    pub fn command(
        &mut self,
        name: &[u8],
        db: &str,
        body: &[u8],
        authenticator: &Authenticator,
        nonce: impl FnOnce() -> Nonce,
    ) -> Option<Result<RawDocumentBuf, LoginError>> {
        match name {
            b"saslStart" => Some(self.start(db, body, authenticator, nonce)),
            b"saslContinue" => Some(self.proceed(body)),
            b"authenticate" => Some(Err(fields::authenticate(body))),
            b"logout" => {
                *self = Self::Anonymous;
                Some(Ok(RawDocumentBuf::new()))
            }
            _ => None,
        }
    }

    /// Answers the `speculativeAuthenticate` document of a hello.
    ///
    /// # Errors
    /// Leave the field out of the hello's reply, which stays ok. The client then logs in by
    /// commands and gets its error there.
    pub fn speculate(
        &mut self,
        document: &[u8],
        authenticator: &Authenticator,
        nonce: impl FnOnce() -> Nonce,
    ) -> Result<RawDocumentBuf, LoginError> {
        let speculation = fields::parse(document)?;
        match fields::first_key(speculation)? {
            "saslStart" => {
                let db = speculation.get_str("db").unwrap_or("admin");
                self.start(db, document, authenticator, nonce)
            }
            _ => Err(fields::authenticate(document)),
        }
    }

    /// The client's user, if it has logged in.
    pub fn identity(&self) -> Option<&Identity> {
        match self {
            Self::Anonymous => None,
            Self::InProgress { before, .. } => before.as_ref(),
            Self::Done(identity) => Some(identity),
        }
    }

    /// The reply fields of `connectionStatus`. The list of roles is empty, because only the
    /// upstream knows the user's roles.
    pub fn connection_status(&self) -> RawDocumentBuf {
        let mut users = RawArrayBuf::new();
        if let Some(Identity { user, db }) = self.identity() {
            users.push(rawdoc! { "user": user.as_str(), "db": db.as_str() });
        }
        rawdoc! {
            "authInfo": {
                "authenticatedUsers": users,
                "authenticatedUserRoles": [],
            }
        }
    }

    fn start(
        &mut self,
        db: &str,
        body: &[u8],
        authenticator: &Authenticator,
        nonce: impl FnOnce() -> Nonce,
    ) -> Result<RawDocumentBuf, LoginError> {
        // A new attempt ends an unfinished one, whether or not it succeeds.
        let before = self.abandon();
        let request = SaslStart::parse(body)?;
        let step = authenticator.start(&request, &nonce())?;
        Ok(self.advance(step, db.to_owned(), before))
    }

    fn proceed(&mut self, body: &[u8]) -> Result<RawDocumentBuf, LoginError> {
        let (conversation, db, before) = match mem::take(self) {
            Self::InProgress {
                conversation,
                db,
                before,
            } => (conversation, db, before),
            settled => {
                *self = settled;
                return Err(LoginError::NoConversation);
            }
        };
        let step = fields::parse(body).and_then(|body| {
            fields::conversation_id(body, CONVERSATION_ID)?;
            conversation
                .step(fields::payload(body)?)
                .map_err(LoginError::Failed)
        });
        match step {
            Ok(step) => Ok(self.advance(step, db, before)),
            Err(error) => {
                *self = Self::settled(before);
                Err(error)
            }
        }
    }

    /// Takes the next state of the conversation and words the reply.
    fn advance(&mut self, step: Step, db: String, before: Option<Identity>) -> RawDocumentBuf {
        let (done, payload) = match step {
            Step::Continue { payload, next } => {
                *self = Self::InProgress {
                    conversation: next,
                    db,
                    before,
                };
                (false, payload)
            }
            Step::Done { payload, user } => {
                *self = Self::Done(Identity { user, db });
                (true, payload)
            }
        };
        rawdoc! {
            "conversationId": CONVERSATION_ID,
            "done": done,
            "payload": fields::binary(payload),
        }
    }

    /// Drops a conversation in progress. Returns the user without it.
    fn abandon(&mut self) -> Option<Identity> {
        let identity = self.identity().cloned();
        *self = Self::settled(identity.clone());
        identity
    }

    fn settled(identity: Option<Identity>) -> Self {
        identity.map_or(Self::Anonymous, Self::Done)
    }
}
