//! SCRAM for both sides: [`client`] logs Weir in to the servers, [`server`] logs Weir's own clients
//! in, [`keys`] derives the keys, and `message` parses and builds the messages.
//!
//! The messages are those of RFC 5802 with SHA-1 and RFC 7677 with SHA-256,
//! as MongoDB's authentication specification uses them:
//!
//! - With SHA-1 the password is first replaced by the hexadecimal MD5 digest of
//!   `user:mongo:password`, and nothing is normalised.
//! - With SHA-256 the password is normalised by SASLprep (RFC 4013). The user
//!   name never is.
//! - There is no channel binding and no authorisation identity.
//!
//! Everything here is pure. Nonces and salts are arguments, so the test vectors of the RFCs run
//! through the same functions that serve clients. Only [`keys::Secret::derive`] is slow (some
//! milliseconds). Both sides derive once and keep the keys.
//!
//! The entry points for bytes from a peer are
//! [`server::Conversation::start`], [`server::Conversation::step`],
//! [`client::First::challenge`] and [`client::AwaitFinal::verify`]. None of
//! them panics and none allocates more than a constant times [`MAX_PAYLOAD`].

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use thiserror::Error;

pub mod client;
pub mod keys;
mod message;
pub mod server;
#[cfg(test)]
mod tests;

/// The fewest PBKDF2 iterations a client accepts and a server may offer
/// (RFC 7677 §4; MongoDB's drivers refuse less).
pub const MIN_ITERATIONS: u32 = 4_096;

/// The most iterations that Weir performs for a server. They take some seconds. The field itself
/// would allow half an hour.
pub const MAX_ITERATIONS: u32 = 10_000_000;

/// The longest payload that is accepted from a peer, in bytes. The longest one in use is a
/// client-first message, whose user name has a few dozen bytes.
pub const MAX_PAYLOAD: usize = 4_096;

/// The mechanism of a conversation, by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Mechanism {
    /// `SCRAM-SHA-1`, which every server since 3.0 supports.
    ScramSha1,
    /// `SCRAM-SHA-256`, the default since server 4.0.
    ScramSha256,
}

impl Mechanism {
    /// Both mechanisms, the preferred one first.
    pub const ALL: [Self; 2] = [Self::ScramSha256, Self::ScramSha1];

    /// The mechanism of a `mechanism` field or `authMechanism` option.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL
            .into_iter()
            .find(|mechanism| mechanism.name() == name)
    }

    /// The registered name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::ScramSha1 => "SCRAM-SHA-1",
            Self::ScramSha256 => "SCRAM-SHA-256",
        }
    }
}

impl fmt::Display for Mechanism {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// One side's share of the nonce: printable ASCII without a comma.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Nonce(String);

impl Nonce {
    /// How many random bytes a nonce has.
    pub const RANDOM_BYTES: usize = 24;

    /// The nonce for these random bytes. They must be fresh for every conversation, because the
    /// replay protection of both sides depends on them.
    pub fn from_random(bytes: [u8; Self::RANDOM_BYTES]) -> Self {
        Self(STANDARD.encode(bytes))
    }

    /// The nonce as text, 32 bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    fn as_str(&self) -> &str {
        &self.0
    }
}

/// Why a conversation or its preparation failed.
///
/// A client of Weir sees only "Authentication failed." The operator reads the reason in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum ScramError {
    /// A payload does not have the form of RFC 5802 §7.
    #[error("the {0} message is malformed")]
    Malformed(MessageName),
    /// A payload is longer than [`MAX_PAYLOAD`].
    #[error("a payload of {0} bytes is longer than any SCRAM message")]
    TooLong(usize),
    /// The client asked for channel binding, or its final message has another header than its
    /// first one.
    #[error("channel binding is not supported")]
    ChannelBinding,
    /// The client asked to act as another user (`a=`).
    #[error("an authorisation identity is not supported")]
    AuthorisationIdentity,
    /// The peer's nonce does not continue ours.
    #[error("the peer's nonce does not begin with ours")]
    Nonce,
    /// The server asks for fewer than [`MIN_ITERATIONS`] or more than
    /// [`MAX_ITERATIONS`].
    #[error(
        "the server asks for {0} iterations; {MIN_ITERATIONS} to {MAX_ITERATIONS} are accepted"
    )]
    Iterations(u32),
    /// The client's proof does not match: the password is wrong or the user unknown.
    #[error("the client's proof does not match the password")]
    Proof,
    /// The server did not prove that it knows the password's keys.
    #[error("the server's signature does not match: it does not know this password")]
    ServerSignature,
    /// The server ended the conversation with an `e=` attribute.
    #[error("the server ended the conversation with an error")]
    ServerError,
    /// SASLprep forbids a character of the password, or leaves it empty.
    #[error(
        "the password has characters that SASLprep (RFC 4013) forbids, so SCRAM-SHA-256 cannot \
         use it; choose another password or authMechanism=SCRAM-SHA-1"
    )]
    Password,
    /// The conversation was over, or the empty message was not empty.
    #[error("a message came after the end of the conversation")]
    Finished,
}

/// The four messages of RFC 5802 §5, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MessageName {
    /// User name and the client's nonce.
    ClientFirst,
    /// Whole nonce, salt and iterations.
    ServerFirst,
    /// The client's proof.
    ClientFinal,
    /// The server's signature.
    ServerFinal,
}

impl fmt::Display for MessageName {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(match self {
            Self::ClientFirst => "client-first",
            Self::ServerFirst => "server-first",
            Self::ClientFinal => "client-final",
            Self::ServerFinal => "server-final",
        })
    }
}
