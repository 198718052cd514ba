//! Weir's own logins to the servers. SCRAM and X.509 begin inside the hello. MONGODB-AWS cannot.
//!
//! The steps are values and do no I/O:
//!
//! ```text
//! Speculation ──hello's reply──▶ Next::Send(command, ClientLogin) ──reply──▶ … ──▶ Next::Done
//! ```
//!
//! so that a handshake is one loop:
//!
//! ```ignore
//! let mut next = speculation.after_hello(&hello_reply)?;
//! while let Next::Send(command, login) = next {
//!     next = login.step(&exchange(command).await?)?;
//! }
//! ```
//!
//! With a server that supports the speculative login, SCRAM needs one round trip after the
//! hello and X.509 none. The bodies of these commands must never be logged.
//!
//! | module | its part |
//! |---|---|
//! | `principal` | the user that Weir logs in as, with the keys derived so far |
//! | `role` | MONGODB-AWS: credentials and signatures |
//! | `reply` | the fields of the server's replies |
//! | `error` | why a login failed |

use std::sync::Arc;

use bson::raw::cstr;
use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, RawBson, RawDocumentBuf, rawdoc};

use crate::config;
use crate::scram::client::{AwaitFinal, First};
use crate::scram::{Mechanism, Nonce};

pub use self::error::LoginError;
use self::principal::{Method, Scram};
pub use self::principal::{Principal, Unusable};
use self::reply::Reply;
use self::role::AwsCredentials;

mod error;
mod principal;
mod reply;
pub mod role;
#[cfg(test)]
mod tests;

/// What comes next in a login.
pub enum Next {
    /// Send this command (its `$db` is set), then give the reply's body to
    /// [`ClientLogin::step`].
    Send(RawDocumentBuf, ClientLogin),
    /// The connection is logged in.
    Done,
}

/// A login that waits for the reply to the connection's first hello.
pub struct Speculation {
    principal: Arc<Principal>,
    attempt: Attempt,
}

enum Attempt {
    Scram {
        scram: Arc<Scram>,
        first: First,
        /// The nonce of a second conversation, if the server ignores this one.
        second: Nonce,
    },
    X509,
    Aws(role::First),
}

impl Speculation {
    /// Prepares the login of one connection. The nonces must be fresh. `credentials` are those
    /// of [`Principal::credentials`].
    pub fn new(
        principal: Arc<Principal>,
        nonces: [Nonce; 2],
        credentials: Option<AwsCredentials>,
    ) -> Self {
        let [nonce, second] = nonces;
        let attempt = match principal.method() {
            Method::Scram(scram) => {
                let first = First::new(principal.user(), nonce);
                Attempt::Scram {
                    scram: Arc::clone(scram),
                    first,
                    second,
                }
            }
            Method::X509 => Attempt::X509,
            Method::Aws(_) => Attempt::Aws(role::First { nonce, credentials }),
        };
        Self { principal, attempt }
    }

    /// The value of `speculativeAuthenticate` in the hello; `None`: the mechanism has none.
    pub fn document(&self) -> Option<RawDocumentBuf> {
        let mut document = match &self.attempt {
            Attempt::Scram { scram, first, .. } => scram_start(scram.preferred(), first),
            Attempt::X509 => authenticate(&self.principal),
            Attempt::Aws(_) => return None,
        };
        document.append(cstr!("db"), self.principal.source());
        Some(document)
    }

    /// The value of `saslSupportedMechs` in the hello; `None`: the connection string names the
    /// mechanism.
    pub fn sasl_supported_mechs(&self) -> Option<String> {
        match &self.attempt {
            Attempt::Scram { scram, .. } if scram.is_negotiated() => Some(format!(
                "{}.{}",
                self.principal.source(),
                self.principal.user()
            )),
            _ => None,
        }
    }

    /// Takes the body of the hello's reply.
    ///
    /// May derive keys: see [`ClientLogin::step`].
    ///
    /// # Errors
    /// The server's answer to the speculation is no SCRAM message, or one that a client must
    /// refuse. Close the connection then.
    pub fn after_hello(self, hello_reply: &[u8]) -> Result<Next, LoginError> {
        let hello = reply::parse(hello_reply)?;
        let speculated = reply::document(hello, "speculativeAuthenticate")?;
        let principal = self.principal;
        match (self.attempt, speculated) {
            (Attempt::X509, Some(_)) => Ok(Next::Done),
            (Attempt::X509, None) => {
                let command = addressed(authenticate(&principal), &principal);
                Ok(Next::Send(
                    command,
                    ClientLogin {
                        principal,
                        state: State::X509,
                    },
                ))
            }
            (Attempt::Aws(first), _) => {
                let start = sasl_start(config::Mechanism::Aws.name(), first.payload());
                let command = addressed(start, &principal);
                let state = State::Aws(first);
                Ok(Next::Send(command, ClientLogin { principal, state }))
            }
            (Attempt::Scram { scram, first, .. }, Some(speculated)) => {
                let mechanism = scram.preferred();
                let state = State::Challenge {
                    scram,
                    mechanism,
                    first,
                };
                ClientLogin { principal, state }.advance(Reply::of_sasl(speculated)?)
            }
            (Attempt::Scram { scram, second, .. }, None) => {
                let mechanism = scram.choose(&reply::strings(hello, "saslSupportedMechs")?);
                let first = First::new(principal.user(), second);
                let command = addressed(scram_start(mechanism, &first), &principal);
                let state = State::Challenge {
                    scram,
                    mechanism,
                    first,
                };
                Ok(Next::Send(command, ClientLogin { principal, state }))
            }
        }
    }
}

/// A login that waits for the reply to the command it sent.
pub struct ClientLogin {
    principal: Arc<Principal>,
    state: State,
}

enum State {
    /// Sent client-first. Next come salt and iterations.
    Challenge {
        scram: Arc<Scram>,
        mechanism: Mechanism,
        first: First,
    },
    /// Sent the proof. Next comes the server's.
    ServerProof(AwaitFinal),
    /// Both proofs are good. A server before 4.4 wants one more, empty message.
    Empty,
    /// Sent `authenticate`. The server checks the certificate.
    X509,
    /// Sent our nonce. Next comes the server's.
    Aws(role::First),
    /// Sent the signed request. Next comes the server's consent.
    Signed,
}

impl ClientLogin {
    /// Takes the body of the reply to the last command.
    ///
    /// The first login with a user's salt and iterations runs PBKDF2, which takes some
    /// milliseconds. Later ones find the keys in the [`Principal`].
    ///
    /// # Errors
    /// The server refuses, does not prove that it knows the password, or sends an invalid reply.
    /// Close the connection then.
    pub fn step(self, reply: &[u8]) -> Result<Next, LoginError> {
        let reply = reply::parse(reply)?;
        reply::check_ok(reply)?;
        match self.state {
            State::X509 => Ok(Next::Done),
            _ => self.advance(Reply::of_sasl(reply)?),
        }
    }

    fn advance(self, reply: Reply<'_>) -> Result<Next, LoginError> {
        let Self { principal, state } = self;
        match state {
            State::Challenge {
                scram,
                mechanism,
                first,
            } if !reply.done => {
                let challenge = first.challenge(reply.payload)?;
                let keys = scram.keys(mechanism, challenge.salt(), challenge.iterations());
                let (proof, payload) = challenge.respond(&keys);
                let command = sasl_continue(reply.conversation_id, payload, &principal);
                Ok(Next::Send(
                    command,
                    Self {
                        principal,
                        state: State::ServerProof(proof),
                    },
                ))
            }
            State::ServerProof(proof) => {
                proof.verify(reply.payload)?;
                if reply.done {
                    return Ok(Next::Done);
                }
                let command = sasl_continue(reply.conversation_id, Vec::new(), &principal);
                Ok(Next::Send(
                    command,
                    Self {
                        principal,
                        state: State::Empty,
                    },
                ))
            }
            State::Aws(first) if !reply.done => {
                let payload = first.respond(reply.payload, DateTime::now())?;
                let command = sasl_continue(reply.conversation_id, payload, &principal);
                let state = State::Signed;
                Ok(Next::Send(command, Self { principal, state }))
            }
            State::Empty | State::Signed if reply.done => Ok(Next::Done),
            _ => Err(LoginError::Reply("done comes at the wrong step")),
        }
    }
}

fn scram_start(mechanism: Mechanism, first: &First) -> RawDocumentBuf {
    let mut start = sasl_start(mechanism.name(), first.payload());
    start.append(cstr!("options"), rawdoc! { "skipEmptyExchange": true });
    start
}

fn sasl_start(mechanism: &str, payload: Vec<u8>) -> RawDocumentBuf {
    rawdoc! { "saslStart": 1, "mechanism": mechanism, "payload": binary(payload) }
}

fn sasl_continue(
    conversation_id: RawBson,
    payload: Vec<u8>,
    principal: &Principal,
) -> RawDocumentBuf {
    let command = rawdoc! {
        "saslContinue": 1,
        "conversationId": conversation_id,
        "payload": binary(payload),
    };
    addressed(command, principal)
}

/// X.509: the server takes the user from the certificate. A name in the command must be the
/// certificate's subject.
fn authenticate(principal: &Principal) -> RawDocumentBuf {
    let mut command = rawdoc! { "authenticate": 1, "mechanism": "MONGODB-X509" };
    if !principal.user().is_empty() {
        command.append(cstr!("user"), principal.user());
    }
    command
}

fn addressed(mut command: RawDocumentBuf, principal: &Principal) -> RawDocumentBuf {
    command.append(cstr!("$db"), principal.source());
    command
}

fn binary(bytes: Vec<u8>) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    }
}
