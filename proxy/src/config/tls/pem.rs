//! PEM files: certificates, authorities and private keys, and what is wrong
//! with them.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_pki_types::pem::PemObject;
use rustls_pki_types::{CertificateDer, PrivateKeyDer};
use zeroize::Zeroizing;

use super::TlsError;

/// What marks a key that needs a pass phrase: the label of PKCS#8, and the
/// header line of the older forms.
const ENCRYPTED: [&[u8]; 2] = [b"BEGIN ENCRYPTED PRIVATE KEY", b"Proc-Type: 4,ENCRYPTED"];

/// A file's contents, wiped when dropped, and its name for the errors.
pub struct PemFile {
    path: PathBuf,
    contents: Zeroizing<Vec<u8>>,
}

impl PemFile {
    /// Reads the file.
    ///
    /// # Errors
    /// [`TlsError::Read`].
    pub fn read(path: &Path) -> Result<Self, TlsError> {
        match fs::read(path) {
            Ok(contents) => Ok(Self::new(path, contents)),
            Err(error) => Err(TlsError::Read {
                path: path.to_owned(),
                error: Arc::new(error),
            }),
        }
    }

    /// A file already read. `path` serves the errors only.
    pub fn new(path: &Path, contents: Vec<u8>) -> Self {
        Self {
            path: path.to_owned(),
            contents: Zeroizing::new(contents),
        }
    }

    /// The certificates, at least one, in the order of the file: a chain begins
    /// with its leaf.
    ///
    /// # Errors
    /// When there is none, or the PEM text is broken.
    pub fn certificates(&self) -> Result<Vec<CertificateDer<'static>>, TlsError> {
        let certificates = CertificateDer::pem_slice_iter(&self.contents)
            .collect::<Result<Vec<_>, _>>()
            .map_err(|_| TlsError::BrokenPem {
                path: self.path.clone(),
            })?;
        if certificates.is_empty() {
            return Err(TlsError::NoCertificate {
                path: self.path.clone(),
            });
        }
        Ok(certificates)
    }

    /// The certificates as authorities to trust.
    ///
    /// # Errors
    /// As [`Self::certificates`], and when one of them is no certificate.
    pub fn roots(&self) -> Result<Arc<RootCertStore>, TlsError> {
        let mut roots = RootCertStore::empty();
        for (index, certificate) in self.certificates()?.into_iter().enumerate() {
            roots
                .add(certificate)
                .map_err(|error| TlsError::BadAuthority {
                    path: self.path.clone(),
                    number: index + 1,
                    error,
                })?;
        }
        Ok(Arc::new(roots))
    }

    /// The first private key: PKCS#8, PKCS#1 or SEC1.
    ///
    /// # Errors
    /// When there is none, it is encrypted, or the PEM text is broken.
    pub fn private_key(&self) -> Result<PrivateKeyDer<'static>, TlsError> {
        let path = || self.path.clone();
        if ENCRYPTED.iter().any(|mark| contains(&self.contents, mark)) {
            return Err(TlsError::EncryptedKey { path: path() });
        }
        match PrivateKeyDer::pem_slice_iter(&self.contents).next() {
            Some(Ok(key)) => Ok(key),
            Some(Err(_)) => Err(TlsError::BrokenPem { path: path() }),
            None => Err(TlsError::NoKey { path: path() }),
        }
    }
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|window| window == part)
}
