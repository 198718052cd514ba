//! The client's side: three states. The next message consumes each of them.
//!
//! ```text
//! First ──server-first──▶ Challenge ──keys──▶ AwaitFinal ──server-final──▶ done
//! ```
//!
//! The caller provides the keys and keeps them, because the salt and the iterations of a user
//! seldom change.

use super::keys::{ClientKeys, Key, hmac, same, xor};
use super::message::{self, ServerFirst};
use super::{MAX_ITERATIONS, MIN_ITERATIONS, Nonce, ScramError};

/// No channel binding, no authorisation identity.
const GS2_HEADER: &str = "n,,";

/// The conversation before the server's first message.
#[derive(Clone, Debug)]
pub struct First {
    bare: String,
    nonce: Nonce,
}

impl First {
    /// A conversation for this user. The name is not normalised.
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
    /// The message is malformed, its nonce does not continue ours, or it asks for too few or too
    /// many iterations.
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

/// The conversation after the server has sent salt and iterations.
#[derive(Debug)]
pub struct Challenge {
    auth_message: String,
    without_proof: String,
    salt: Vec<u8>,
    iterations: u32,
}

impl Challenge {
    /// The client-final message. `keys` must be derived for this [`Self::salt`] and these
    /// [`Self::iterations`].
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

    /// The number of PBKDF2 iterations.
    pub fn iterations(&self) -> u32 {
        self.iterations
    }
}

/// The conversation while only the server's proof is missing.
pub struct AwaitFinal {
    expected: Key,
}

impl AwaitFinal {
    /// Takes the server-final message. `Ok` means that the server knows the keys of this password,
    /// so it is no impostor.
    ///
    /// # Errors
    /// The message is malformed, has an `e=` error, or the wrong signature.
    pub fn verify(self, payload: &[u8]) -> Result<(), ScramError> {
        let signature = message::parse_server_final(payload)?;
        if bool::from(same(&signature, &self.expected)) {
            Ok(())
        } else {
            Err(ScramError::ServerSignature)
        }
    }
}
