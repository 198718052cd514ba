//! The server's side: a conversation, which each payload of its client consumes.
//!
//! ```text
//! start ─▶ AwaitFinal ─┬─▶ done                    (skipEmptyExchange)
//!                      └─▶ AwaitEmpty ─▶ done      (SASL's original form)
//! ```
//!
//! A user that does not exist has the same steps with a [`ServerCredential::decoy`], and fails at
//! the step where a wrong password fails.

use subtle::Choice;
use zeroize::Zeroizing;

use super::keys::{Key, ServerCredential, hash, hmac, same, xor};
use super::message::{self, ClientFinal, ClientFirst};
use super::{Mechanism, Nonce, ScramError};

/// A conversation that waits for its client's next payload.
#[derive(Debug)]
pub struct Conversation(ServerState);

#[derive(Debug)]
enum ServerState {
    AwaitFinal(Box<AwaitFinal>),
    AwaitEmpty { user: String },
}

/// What to send, and whether the conversation goes on.
#[derive(Debug)]
pub enum Step {
    /// Send the payload. The client must send another message.
    Continue {
        /// The server's message.
        payload: Vec<u8>,
        /// The conversation that takes that message.
        next: Conversation,
    },
    /// Send the payload. This user is logged in.
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
    /// `credential_of` returns the credential of a user name. For a name that does not exist it
    /// returns a decoy of the same mechanism. `skip_empty` is the client's `skipEmptyExchange`
    /// option.
    ///
    /// # Errors
    /// The message is malformed, or asks for channel binding or another identity.
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
            keys: ServerKeys {
                mechanism: credential.mechanism,
                stored_key: credential.stored_key,
                server_key: credential.server_key,
                genuine: Choice::from(u8::from(!credential.decoy)),
            },
            skip_empty,
        };
        Ok(Step::Continue {
            payload: server_first.into_bytes(),
            next: Self(ServerState::AwaitFinal(Box::new(state))),
        })
    }

    /// Takes the client's next payload: its final message, or the empty one.
    ///
    /// # Errors
    /// The message is malformed, does not belong to this conversation, or proves another password.
    /// The conversation is over then.
    pub fn step(self, payload: &[u8]) -> Result<Step, ScramError> {
        match self.0 {
            ServerState::AwaitFinal(state) => state.finish(payload),
            ServerState::AwaitEmpty { user } if payload.is_empty() => Ok(Step::Done {
                payload: Vec::new(),
                user,
            }),
            ServerState::AwaitEmpty { .. } => Err(ScramError::Finished),
        }
    }
}

struct AwaitFinal {
    user: String,
    /// `n,,` or `y,,`, which the client must repeat.
    gs2_header: String,
    /// The client's part, then ours.
    nonce: String,
    /// The AuthMessage without its last part.
    signed_so_far: String,
    keys: ServerKeys,
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
                next: Conversation(ServerState::AwaitEmpty { user: self.user }),
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

struct ServerKeys {
    mechanism: Mechanism,
    stored_key: Key,
    server_key: Key,
    genuine: Choice,
}

impl ServerKeys {
    /// The server's signature, if the proof is right (RFC 5802 §3). The proof is ClientKey XOR
    /// ClientSignature, and StoredKey is the hash of ClientKey.
    fn check(&self, proof: &[u8], auth_message: &[u8]) -> Result<Key, ScramError> {
        let client_signature = hmac(self.mechanism, &self.stored_key, &[auth_message]);
        // XOR would cut a proof of another length to the shorter one.
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
