//! MONGODB-AWS: a login by a role of AWS instead of a password.
//!
//! ```text
//! client ── our nonce ──▶ server ── both nonces, STS host ──▶ client ── a signed request ──▶
//! ```
//!
//! Nobody sends that request to STS but the server, which learns from the answer who signed
//! it. The keys are the string's, the environment's, the container's or the machine's; see
//! [`keys`]. Source: `auth/auth.md`, "MONGODB-AWS".

use bson::raw::cstr;
use bson::{DateTime, RawDocument, RawDocumentBuf, rawdoc};

use super::binary;
use super::error::LoginError;
use crate::scram::Nonce;
pub use keys::{Keys, KeysUnsaid, NoKeys, Role};
use sign::Demand;

mod endpoint;
pub mod keys;
mod sign;
#[cfg(test)]
mod tests;

/// The server's nonce, ours included, which is half of it.
const BOTH_NONCES: usize = 64;

/// Longest name of a host.
const LONGEST_HOST: usize = 255;

/// What opens the conversation.
pub(super) struct First {
    /// Fresh.
    pub(super) nonce: Nonce,
    /// Without any, nothing is signed.
    pub(super) keys: Option<Keys>,
}

impl First {
    pub(super) fn payload(&self) -> Vec<u8> {
        // No channel binding: the letter of that is a number on this wire.
        let nonce = binary(self.nonce.as_bytes().to_vec());
        rawdoc! { "r": nonce, "p": i32::from(b'n') }.into_bytes()
    }

    /// Signs what the server asks for, and that it is `now`.
    pub(super) fn respond(self, challenge: &[u8], now: DateTime) -> Result<Vec<u8>, LoginError> {
        const NO_SENSE: LoginError = LoginError::Reply("it is no challenge of MONGODB-AWS");
        let keys = self
            .keys
            .ok_or(LoginError::Reply("nobody has asked for keys"))?;
        let challenge = RawDocument::from_bytes(challenge).map_err(|_| NO_SENSE)?;
        let nonce = challenge.get_binary("s").map_err(|_| NO_SENSE)?.bytes;
        let host = challenge.get_str("h").map_err(|_| NO_SENSE)?;
        if nonce.len() != BOTH_NONCES || !nonce.starts_with(self.nonce.as_bytes()) {
            return Err(LoginError::Reply("its nonce does not begin with ours"));
        }
        let is_name = (1..=LONGEST_HOST).contains(&host.len())
            && host.split('.').all(|label| !label.is_empty());
        if !is_name {
            return Err(LoginError::Reply("it names no host of STS"));
        }
        let demand = Demand {
            host,
            nonce,
            at: sign::moment(now)?,
        };
        let mut signed = RawDocumentBuf::new();
        signed.append(cstr!("a"), sign::authorization(&keys, &demand));
        signed.append(cstr!("d"), demand.at);
        if let Some(token) = keys.token() {
            signed.append(cstr!("t"), token);
        }
        Ok(signed.into_bytes())
    }
}
