//! What is wrong with TLS files: the file, the fault and a hint.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::{Error, InconsistentKeys};
use thiserror::Error;

/// Why a TLS configuration could not be built. Each names the file and says
/// what to do.
#[derive(Clone, Debug, Error)]
pub enum TlsError {
    /// The file cannot be read.
    #[error("cannot read {}: {error}; check the path and this user's right to read it", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// The system's reason.
        error: Arc<io::Error>,
    },
    /// The PEM text breaks off or has characters that are not base64.
    #[error("{} is not readable PEM; copy it again, whole and unchanged", path.display())]
    BrokenPem {
        /// The file.
        path: PathBuf,
    },
    /// A file without a certificate.
    #[error(
        "{} has no certificate; it needs a PEM block that begins with -----BEGIN CERTIFICATE-----",
        path.display()
    )]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// A file without a private key.
    #[error(
        "{} has no private key; it needs a PEM block that begins with -----BEGIN PRIVATE KEY-----, \
         with RSA PRIVATE KEY or with EC PRIVATE KEY",
        path.display()
    )]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// A private key under a pass phrase, which Weir does not open.
    #[error(
        "the private key in {path} is encrypted, which Weir does not support; decrypt it with \
         `openssl pkey -in {path}` and keep the file readable for Weir's user only",
        path = path.display()
    )]
    EncryptedKey {
        /// The file.
        path: PathBuf,
    },
    /// A block of an authorities' file that is no certificate.
    #[error("certificate {number} in {} cannot be used as an authority: {error}", path.display())]
    BadAuthority {
        /// The file.
        path: PathBuf,
        /// Its place in the file, from 1.
        number: usize,
        /// The fault.
        error: Error,
    },
    /// Certificate and key do not belong together.
    #[error(
        "the private key in {} does not belong to the first certificate in {}; put the key's own \
         certificate first, and its issuers after it",
        key.display(), certificate.display()
    )]
    Mismatch {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
    },
    /// Certificate or key are of a kind that cannot be used.
    #[error(
        "the certificate in {} with the key in {} cannot be used: {error}; RSA from 2048 bits, \
         ECDSA with P-256 or P-384, and Ed25519 are supported",
        certificate.display(), key.display()
    )]
    Unusable {
        /// The certificate's file.
        certificate: PathBuf,
        /// The key's file.
        key: PathBuf,
        /// The fault.
        error: Error,
    },
    /// No authority at all, so no certificate could ever be trusted.
    #[error("there is no certificate authority to trust; name a file of them")]
    NoRoots,
    /// The cryptographic library cannot work here.
    #[error("TLS cannot be used on this machine: {0}")]
    Provider(Error),
}

impl TlsError {
    pub(super) fn pair(certificate: &Path, key: &Path, error: Error) -> Self {
        let (certificate, key) = (certificate.to_owned(), key.to_owned());
        match error {
            Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
                Self::Mismatch { certificate, key }
            }
            error => Self::Unusable {
                certificate,
                key,
                error,
            },
        }
    }
}
