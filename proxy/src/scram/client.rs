//! The client's side: three states, each consumed by the next message.
//!
//! ```text
//! First ──server-first──▶ Challenge ──keys──▶ AwaitFinal ──server-final──▶ done
//! ```
//!
//! The keys come in from outside, because they are worth keeping: the salt and
//! the iterations of a user seldom change.

use super::keys::{ClientKeys, Key, hmac, same, xor};
use super::message::{self, ServerFirst};
use super::{MAX_ITERATIONS, MIN_ITERATIONS, Nonce, ScramError};

/// No channel binding, no authorisation identity.
const GS2_HEADER: &str = "n,,";

/// The conversation before the server's first word.
#[derive(Clone, Debug)]
pub struct First {
    bare: String,
    nonce: Nonce,
}

impl First {
    /// A conversation for this user, whose name goes out as it is.
    pub fn new(user: &str, nonce: Nonce) -> Self {
        Self {
            bare: message::client_first_bare(user, nonce.as_str()),
            nonce,
        }
    }

    /// The client-first message.
    pub fn payload(&self) -> Vec<u8> {
        [GS2_HEADER, &self.bare].concat().into_bytes()
    }

    /// Takes the server-first message.
    ///
    /// # Errors
    /// When it is malformed, when its nonce does not continue ours, and when it
    /// asks for too few or absurdly many iterations.
    pub fn challenge(self, payload: &[u8]) -> Result<Challenge, ScramError> {
        let server = ServerFirst::parse(payload)?;
        match server.nonce.strip_prefix(self.nonce.as_str()) {
            None | Some("") => return Err(ScramError::Nonce),
            Some(_) => {}
        }
        if !(MIN_ITERATIONS..=MAX_ITERATIONS).contains(&server.iterations) {
            return Err(ScramError::Iterations(server.iterations));
        }
        let without_proof = message::client_final_without_proof(GS2_HEADER, server.nonce);
        Ok(Challenge {
            auth_message: [&self.bare, server.text, &without_proof].join(","),
            without_proof,
            salt: server.salt,
            iterations: server.iterations,
        })
    }
}

/// The conversation when the server has named salt and iterations.
#[derive(Debug)]
pub struct Challenge {
    auth_message: String,
    without_proof: String,
    salt: Vec<u8>,
    iterations: u32,
}

impl Challenge {
    /// The client-final message, by keys derived for this [`Self::salt`] and
    /// these [`Self::iterations`].
    pub fn respond(self, keys: &ClientKeys) -> (AwaitFinal, Vec<u8>) {
        let auth_message = self.auth_message.as_bytes();
        let signature = hmac(keys.mechanism, &keys.stored_key, &[auth_message]);
        let proof = xor(&keys.client_key, &signature);
        let expected = hmac(keys.mechanism, &keys.server_key, &[auth_message]);
        let payload = message::client_final(&self.without_proof, &proof);
        (AwaitFinal { expected }, payload.into_bytes())
    }

    /// The user's salt.
    pub fn salt(&self) -> &[u8] {
        &self.salt
    }

    /// How often PBKDF2 is to run.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }
}

/// The conversation when only the server's own proof is missing.
pub struct AwaitFinal {
    expected: Key,
}

impl AwaitFinal {
    /// Takes the server-final message. `Ok` means that the server knows the
    /// keys of this password, so it is no impostor.
    ///
    /// # Errors
    /// When it is malformed, an `e=` error, or the wrong signature.
    pub fn verify(self, payload: &[u8]) -> Result<(), ScramError> {
        let signature = message::parse_server_final(payload)?;
        if bool::from(same(&signature, &self.expected)) {
            Ok(())
        } else {
            Err(ScramError::ServerSignature)
        }
    }
}
