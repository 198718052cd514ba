//! Derives keys from passwords, which is the slow step, and computes the hashes around it.
//!
//! The names are those of RFC 5802 §3: SaltedPassword, ClientKey, StoredKey,
//! ServerKey. All of them are wiped when dropped.

use std::fmt;

use hmac::{EagerHash, Hmac, KeyInit, Mac};
use md5::Md5;
use sha1::{Digest, Sha1};
use sha2::Sha256;
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use super::{Mechanism, ScramError};

/// A secret of the mechanism's digest length, 20 or 32 bytes.
pub(super) type Key = Zeroizing<Vec<u8>>;

/// A password that is prepared for one mechanism.
#[derive(Clone)]
pub struct Secret {
    mechanism: Mechanism,
    prepared: Zeroizing<String>,
}

impl Secret {
    /// Prepares a password for PBKDF2 as MongoDB requires.
    ///
    /// # Errors
    /// [`ScramError::Password`]: SASLprep refuses it. Only with [`Mechanism::ScramSha256`].
    pub fn new(mechanism: Mechanism, user: &str, password: &str) -> Result<Self, ScramError> {
        let prepared = match mechanism {
            Mechanism::ScramSha1 => mongo_digest(user, password),
            Mechanism::ScramSha256 => match stringprep::saslprep(password) {
                Ok(prepared) if !prepared.is_empty() => prepared.into_owned(),
                _ => return Err(ScramError::Password),
            },
        };
        Ok(Self {
            mechanism,
            prepared: Zeroizing::new(prepared),
        })
    }

    /// Runs PBKDF2, which takes some milliseconds for the usual 4,096 to 15,000
    /// iterations.
    pub fn derive(&self, salt: &[u8], iterations: u32) -> ClientKeys {
        let password = self.prepared.as_bytes();
        let salted_password = match self.mechanism {
            Mechanism::ScramSha1 => pbkdf2_key::<Sha1, 20>(password, salt, iterations),
            Mechanism::ScramSha256 => pbkdf2_key::<Sha256, 32>(password, salt, iterations),
        };
        ClientKeys::from_salted_password(self.mechanism, &salted_password)
    }

    /// The mechanism for which it was prepared.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }

    /// The unprepared password, for the test vectors of RFC 5802.
    #[cfg(test)]
    pub(super) fn plain(mechanism: Mechanism, password: &str) -> Self {
        Self {
            mechanism,
            prepared: Zeroizing::new(password.to_owned()),
        }
    }
}

/// Shows only the mechanism.
impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Secret")
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

/// What a client keeps instead of the password. It is valid for every conversation with the same
/// mechanism, salt and iterations.
#[derive(Clone)]
pub struct ClientKeys {
    pub(super) mechanism: Mechanism,
    pub(super) client_key: Key,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
}

impl ClientKeys {
    fn from_salted_password(mechanism: Mechanism, salted_password: &Key) -> Self {
        let client_key = hmac(mechanism, salted_password, &[b"Client Key"]);
        let stored_key = hash(mechanism, &client_key);
        let server_key = hmac(mechanism, salted_password, &[b"Server Key"]);
        Self {
            mechanism,
            client_key,
            stored_key,
            server_key,
        }
    }

    /// What a server keeps instead of the same password.
    pub fn server_credential(&self, salt: Vec<u8>, iterations: u32) -> ServerCredential {
        ServerCredential {
            mechanism: self.mechanism,
            salt,
            iterations,
            stored_key: self.stored_key.clone(),
            server_key: self.server_key.clone(),
            decoy: false,
        }
    }
}

/// Shows only the mechanism.
impl fmt::Debug for ClientKeys {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = formatter.debug_struct("ClientKeys");
        output
            .field("mechanism", &self.mechanism)
            .finish_non_exhaustive()
    }
}

/// What a server knows about one user. It can check a proof but not make one.
#[derive(Clone)]
pub struct ServerCredential {
    pub(super) mechanism: Mechanism,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
    pub(super) stored_key: Key,
    pub(super) server_key: Key,
    /// The user does not exist: the conversation runs and its last step fails.
    pub(super) decoy: bool,
}

impl ServerCredential {
    /// The credential for a user name that does not exist. Its salt comes from the same function
    /// as a real one, so it is constant for each name and looks like a real one. No proof matches
    /// it.
    pub fn decoy(mechanism: Mechanism, salts: &SaltSource, user: &str, iterations: u32) -> Self {
        Self {
            mechanism,
            salt: salts.salt(mechanism, user),
            iterations,
            stored_key: hmac(
                mechanism,
                salts.0.as_slice(),
                &[b"decoy stored key:", user.as_bytes()],
            ),
            server_key: hmac(
                mechanism,
                salts.0.as_slice(),
                &[b"decoy server key:", user.as_bytes()],
            ),
            decoy: true,
        }
    }

    /// The mechanism for which it is valid.
    pub fn mechanism(&self) -> Mechanism {
        self.mechanism
    }
}

/// Shows no secret.
impl fmt::Debug for ServerCredential {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut output = formatter.debug_struct("ServerCredential");
        output
            .field("mechanism", &self.mechanism)
            .field("iterations", &self.iterations);
        output.field("decoy", &self.decoy).finish_non_exhaustive()
    }
}

/// Makes salts from a random secret and the user name.
///
/// One function makes the salts of existing users and of all other names. Without the secret they
/// cannot be distinguished.
#[derive(Clone)]
pub struct SaltSource(Zeroizing<[u8; 32]>);

impl SaltSource {
    /// A source with 32 random bytes as its secret.
    ///
    /// Drivers keep derived keys for each salt. If several Weirs share these bytes, or one keeps
    /// them over a restart, their clients need not derive keys again.
    pub fn new(random: [u8; 32]) -> Self {
        Self(Zeroizing::new(random))
    }

    /// The salt for this name. It has the length of a MongoDB server's salt: 16 bytes for SHA-1, 28
    /// for SHA-256.
    pub fn salt(&self, mechanism: Mechanism, user: &str) -> Vec<u8> {
        let length = match mechanism {
            Mechanism::ScramSha1 => 16,
            Mechanism::ScramSha256 => 28,
        };
        let mut salt = hmac(mechanism, self.0.as_slice(), &[b"salt:", user.as_bytes()]).to_vec();
        salt.truncate(length);
        salt
    }
}

impl fmt::Debug for SaltSource {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("SaltSource")
    }
}

/// `H` of RFC 5802.
pub(super) fn hash(mechanism: Mechanism, data: &[u8]) -> Key {
    Zeroizing::new(match mechanism {
        Mechanism::ScramSha1 => Sha1::digest(data).to_vec(),
        Mechanism::ScramSha256 => Sha256::digest(data).to_vec(),
    })
}

/// `HMAC` of RFC 5802 over the concatenated parts.
pub(super) fn hmac(mechanism: Mechanism, key: &[u8], parts: &[&[u8]]) -> Key {
    match mechanism {
        Mechanism::ScramSha1 => hmac_with(Hmac::<Sha1>::new(&block(key).into()), parts),
        Mechanism::ScramSha256 => hmac_with(Hmac::<Sha256>::new(&block(key).into()), parts),
    }
}

/// `XOR` of RFC 5802. Both sides have the digest's length.
pub(super) fn xor(left: &[u8], right: &[u8]) -> Key {
    Zeroizing::new(
        left.iter()
            .zip(right)
            .map(|(left, right)| left ^ right)
            .collect(),
    )
}

/// Compares in a time that depends only on the lengths.
pub(super) fn same(left: &[u8], right: &[u8]) -> subtle::Choice {
    left.ct_eq(right)
}

/// A key as HMAC uses it: padded with zeros to the hash's block, which has 64 bytes in SHA-1 and
/// SHA-256. Every key here is a digest or 32 random bytes, so none is cut off.
fn block(key: &[u8]) -> [u8; 64] {
    let mut block = [0; 64];
    for (byte, key) in block.iter_mut().zip(key) {
        *byte = *key;
    }
    block
}

fn hmac_with<M: Mac>(mut mac: M, parts: &[&[u8]]) -> Key {
    for part in parts {
        mac.update(part);
    }
    Zeroizing::new(mac.finalize().into_bytes().to_vec())
}

fn pbkdf2_key<D: EagerHash, const N: usize>(password: &[u8], salt: &[u8], iterations: u32) -> Key {
    let digest = Zeroizing::new(pbkdf2::pbkdf2_hmac_array::<D, N>(
        password, salt, iterations,
    ));
    Zeroizing::new(digest.to_vec())
}

/// The digest that MongoDB uses instead of the password with SCRAM-SHA-1.
fn mongo_digest(user: &str, password: &str) -> String {
    let mut md5 = Md5::new();
    md5.update(user);
    md5.update(":mongo:");
    md5.update(password);
    let digest: Zeroizing<[u8; 16]> = Zeroizing::new(md5.finalize().into());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}
