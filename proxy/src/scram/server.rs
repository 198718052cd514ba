//! The server's side: a conversation consumed by each payload of its client.
//!
//! ```text
//! start ─▶ AwaitFinal ─┬─▶ done                    (skipEmptyExchange)
//!                      └─▶ AwaitEmpty ─▶ done      (SASL's original form)
//! ```
//!
//! A user who does not exist goes through the same steps with a
//! [`ServerCredential::decoy`] and fails where a wrong password fails.

use subtle::Choice;
use zeroize::Zeroizing;

use super::keys::{Key, ServerCredential, hash, hmac, same, xor};
use super::message::{self, ClientFinal, ClientFirst};
use super::{Mechanism, Nonce, ScramError};

/// A conversation that waits for its client's next payload.
#[derive(Debug)]
pub struct Conversation(State);

#[derive(Debug)]
enum State {
    AwaitFinal(Box<AwaitFinal>),
    AwaitEmpty { user: String },
}

/// What to send, and whether that was all.
#[derive(Debug)]
pub enum Step {
    /// Send the payload; the client has to say more.
    Continue {
        /// The server's message.
        payload: Vec<u8>,
        /// The conversation that takes the answer.
        next: Conversation,
    },
    /// Send the payload; this user is logged in.
    Done {
        /// The server's message, empty after the empty exchange.
        payload: Vec<u8>,
        /// The proven user name.
        user: String,
    },
}

impl Conversation {
    /// Takes the client-first message and answers with the server-first one.
    ///
    /// `credential_of` gives the credential of a user name; for one that does
    /// not exist, a decoy of the same mechanism. `skip_empty` is the client's
    /// `skipEmptyExchange` option.
    ///
    /// # Errors
    /// When the message is malformed or asks for channel binding or another
    /// identity.
    pub fn start(
        payload: &[u8],
        nonce: &Nonce,
        skip_empty: bool,
        credential_of: impl FnOnce(&str) -> ServerCredential,
    ) -> Result<Step, ScramError> {
        let client = ClientFirst::parse(payload)?;
        let credential = credential_of(&client.user);
        let nonce = [client.nonce, nonce.as_str()].concat();
        let server_first = message::server_first(&nonce, &credential.salt, credential.iterations);
        let state = AwaitFinal {
            signed_so_far: [client.bare, &server_first].join(","),
            gs2_header: client.gs2_header.to_owned(),
            user: client.user,
            nonce,
            keys: Keys {
                mechanism: credential.mechanism,
                stored_key: credential.stored_key,
                server_key: credential.server_key,
                genuine: Choice::from(u8::from(!credential.decoy)),
            },
            skip_empty,
        };
        Ok(Step::Continue {
            payload: server_first.into_bytes(),
            next: Self(State::AwaitFinal(Box::new(state))),
        })
    }

    /// Takes the client's next payload: its final message, or the empty one.
    ///
    /// # Errors
    /// When the message is malformed, does not belong to this conversation, or
    /// proves another password. The conversation is over then.
    pub fn step(self, payload: &[u8]) -> Result<Step, ScramError> {
        match self.0 {
            State::AwaitFinal(state) => state.finish(payload),
            State::AwaitEmpty { user } if payload.is_empty() => Ok(Step::Done {
                payload: Vec::new(),
                user,
            }),
            State::AwaitEmpty { .. } => Err(ScramError::Finished),
        }
    }
}

struct AwaitFinal {
    user: String,
    /// `n,,` or `y,,`: what the client must repeat.
    gs2_header: String,
    /// Client's share, then ours.
    nonce: String,
    /// AuthMessage without its last part.
    signed_so_far: String,
    keys: Keys,
    skip_empty: bool,
}

impl AwaitFinal {
    fn finish(self, payload: &[u8]) -> Result<Step, ScramError> {
        let client = ClientFinal::parse(payload)?;
        if client.gs2_header != self.gs2_header.as_bytes() {
            return Err(ScramError::ChannelBinding);
        }
        if client.nonce != self.nonce {
            return Err(ScramError::Nonce);
        }
        let auth_message = [&self.signed_so_far, client.without_proof].join(",");
        let signature = self.keys.check(&client.proof, auth_message.as_bytes())?;
        let payload = message::server_final(&signature).into_bytes();
        Ok(if self.skip_empty {
            Step::Done {
                payload,
                user: self.user,
            }
        } else {
            Step::Continue {
                payload,
                next: Conversation(State::AwaitEmpty { user: self.user }),
            }
        })
    }
}

impl std::fmt::Debug for AwaitFinal {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("AwaitFinal")
            .field("user", &self.user)
            .finish_non_exhaustive()
    }
}

struct Keys {
    mechanism: Mechanism,
    stored_key: Key,
    server_key: Key,
    genuine: Choice,
}

impl Keys {
    /// The server's signature, when the proof holds (RFC 5802 §3): the proof is
    /// ClientKey XOR ClientSignature, and StoredKey is the hash of ClientKey.
    fn check(&self, proof: &[u8], auth_message: &[u8]) -> Result<Key, ScramError> {
        let client_signature = hmac(self.mechanism, &self.stored_key, &[auth_message]);
        // A proof of another length would be cut to the shorter one by XOR.
        let length = Choice::from(u8::from(proof.len() == client_signature.len()));
        let client_key: Zeroizing<Vec<u8>> = xor(proof, &client_signature);
        let proven = same(&hash(self.mechanism, &client_key), &self.stored_key);
        if bool::from(proven & length & self.genuine) {
            Ok(hmac(self.mechanism, &self.server_key, &[auth_message]))
        } else {
            Err(ScramError::Proof)
        }
    }
}
