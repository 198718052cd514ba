//! MONGODB-AWS: a login with an AWS identity instead of a password.
//!
//! ```text
//! client ── our nonce ──▶ server ── both nonces, STS host ──▶ client ── a signed request ──▶
//! ```
//!
//! Only the server sends that request to STS. The answer tells it who signed the request. The
//! credentials come from the connection string, the environment, the container or the machine.
//! Source: `auth/auth.md`, "MONGODB-AWS".
//!
//! | module | its part |
//! |---|---|
//! | `credentials` | what a request is signed with, and why there is nothing |
//! | `metadata` | the HTTP endpoints that return credentials |
//! | `provider` | which source is used, and when it is asked again |
//! | `sign` | Signature Version 4 |

use bson::raw::cstr;
use bson::{DateTime, RawDocument, RawDocumentBuf, rawdoc};

use super::binary;
use super::error::LoginError;
use crate::scram::Nonce;
pub use credentials::{AwsCredentials, CredentialsUnavailable, NoCredentialSource};
pub use provider::CredentialProvider;
use sign::SigningRequest;

mod credentials;
mod metadata;
mod provider;
mod sign;
#[cfg(test)]
mod tests;

/// The length of the server's nonce, which begins with ours.
const BOTH_NONCES: usize = 64;

/// The longest name of a host.
const LONGEST_HOST: usize = 255;

/// The first message of the conversation.
pub(super) struct First {
    /// A fresh nonce.
    pub(super) nonce: Nonce,
    /// What to sign with. `None` fails the login.
    pub(super) credentials: Option<AwsCredentials>,
}

impl First {
    pub(super) fn payload(&self) -> Vec<u8> {
        // The letter `n` means no channel binding. It is sent as a number.
        let nonce = binary(self.nonce.as_bytes().to_vec());
        rawdoc! { "r": nonce, "p": i32::from(b'n') }.into_bytes()
    }

    /// Signs what the server asks for, with the time `now`.
    pub(super) fn respond(self, challenge: &[u8], now: DateTime) -> Result<Vec<u8>, LoginError> {
        const NO_SENSE: LoginError = LoginError::Reply("it is no MONGODB-AWS challenge");
        let credentials = self.credentials.ok_or(LoginError::Reply(
            "there are no AWS credentials to answer with",
        ))?;
        let challenge = RawDocument::from_bytes(challenge).map_err(|_| NO_SENSE)?;
        let nonce = challenge.get_binary("s").map_err(|_| NO_SENSE)?.bytes;
        let host = challenge.get_str("h").map_err(|_| NO_SENSE)?;
        if nonce.len() != BOTH_NONCES || !nonce.starts_with(self.nonce.as_bytes()) {
            return Err(LoginError::Reply("its nonce does not begin with ours"));
        }
        let is_name = (1..=LONGEST_HOST).contains(&host.len())
            && host.split('.').all(|label| !label.is_empty());
        if !is_name {
            return Err(LoginError::Reply("it names no STS host"));
        }
        let request = SigningRequest {
            host,
            nonce,
            at: sign::moment(now)?,
        };
        let mut signed = RawDocumentBuf::new();
        signed.append(cstr!("a"), sign::authorization(&credentials, &request));
        signed.append(cstr!("d"), request.at);
        if let Some(token) = credentials.token() {
            signed.append(cstr!("t"), token);
        }
        Ok(signed.into_bytes())
    }
}
