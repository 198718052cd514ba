//! Certificate files become rustls configurations: one for Weir's connections
//! to the servers, one for each listener that offers TLS to clients.
//!
//! The cryptography is ring's and is handed over explicitly, so nothing depends
//! on which provider a process has made its default. TLS 1.2 and 1.3 are
//! offered. Files are read once, when a configuration is built; building it
//! again is how changed files are taken up.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, ClientConfig, RootCertStore, ServerConfig};

use crate::config::{ListenerTls, TlsPolicy};

pub use self::error::TlsError;
use self::pem::PemFile;
use self::verify::{AnyCertificate, AnyName};

mod error;
pub mod pem;
#[cfg(test)]
mod tests;
mod verify;

/// TLS towards the servers.
///
/// Without `tlsCAFile` the public authorities compiled in and those of the
/// machine are trusted; with it, only the ones in that file. As in the drivers,
/// `tlsAllowInvalidCertificates` leaves nothing checked, the host name neither;
/// `tlsAllowInvalidHostnames` leaves only the host name unchecked.
///
/// # Errors
/// When a file cannot be read or does not hold what it should.
pub fn client_config(policy: &TlsPolicy) -> Result<ClientConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?
        .dangerous();
    let builder = if policy.allow_invalid_certificates {
        builder.with_custom_certificate_verifier(Arc::new(AnyCertificate::new(&provider)))
    } else {
        let verifier = WebPkiServerVerifier::builder_with_provider(roots(policy)?, provider)
            .build()
            .map_err(|_| TlsError::NoRoots)?;
        if policy.allow_invalid_hostnames {
            builder.with_custom_certificate_verifier(Arc::new(AnyName::new(verifier)))
        } else {
            builder.with_custom_certificate_verifier(verifier)
        }
    };
    let Some(path) = &policy.certificate_key_file else {
        return Ok(builder.with_no_client_auth());
    };
    let file = PemFile::read(path)?;
    builder
        .with_client_auth_cert(file.certificates()?, file.private_key()?)
        .map_err(|error| TlsError::pair(path, path, error))
}

/// TLS towards the clients of a listener.
///
/// With a client authority, a client must show a certificate of it; who the
/// client is, its login decides.
///
/// # Errors
/// When a file cannot be read or does not hold what it should.
pub fn server_config(tls: &ListenerTls) -> Result<ServerConfig, TlsError> {
    let provider = Arc::new(ring::default_provider());
    let builder = ServerConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(TlsError::Provider)?;
    let builder = match &tls.client_ca_file {
        None => builder.with_no_client_auth(),
        Some(path) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(
                PemFile::read(path)?.roots()?,
                provider,
            )
            .build()
            .map_err(|_| TlsError::NoRoots)?;
            builder.with_client_cert_verifier(verifier)
        }
    };
    let certificates = PemFile::read(&tls.certificate_file)?.certificates()?;
    let key = PemFile::read(&tls.key_file)?.private_key()?;
    let mut config = builder
        .with_single_cert(certificates, key)
        .map_err(|error| TlsError::pair(&tls.certificate_file, &tls.key_file, error))?;
    // Sessions live in tickets, sealed with a key that changes every few hours:
    // a client that resumes costs no memory while it is away.
    config.ticketer = ring::Ticketer::new().map_err(TlsError::Provider)?;
    Ok(config)
}

/// What to do about a handshake that failed for a reason the connection string
/// can correct.
pub fn advice(error: &rustls::Error) -> Option<&'static str> {
    let rustls::Error::InvalidCertificate(error) = error else {
        return None;
    };
    match error {
        // A bad signature is what an authority's namesake with another key gives.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => Some(
            "the server's certificate is not from a trusted authority; name the file with its \
             authority in tlsCAFile",
        ),
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            Some(
                "the server's certificate is for another host name; connect by a name it lists, or \
                 set tlsAllowInvalidHostnames=true if you accept any",
            )
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
            Some("the server's certificate has expired; renew it, and check this machine's clock")
        }
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            Some("the server's certificate is not valid yet; check this machine's clock")
        }
        _ => None,
    }
}

fn roots(policy: &TlsPolicy) -> Result<Arc<RootCertStore>, TlsError> {
    match &policy.ca_file {
        Some(path) => PemFile::read(path)?.roots(),
        None => Ok(Arc::new(well_known_roots())),
    }
}

/// The public authorities, which Atlas needs and a container image may lack,
/// and the machine's own, where a company's may be. Of the latter those that
/// cannot be read are left out.
fn well_known_roots() -> RootCertStore {
    let mut roots = RootCertStore {
        roots: webpki_roots::TLS_SERVER_ROOTS.to_vec(),
    };
    roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
    roots
}
