//! An authority, a server's certificate for loopback, and a client's.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use rustls::{ClientConfig, RootCertStore};
use rustls_pki_types::CertificateDer;
use weir_kit::mongod::ServerTls;

/// PEM files in one folder.
#[derive(Clone, Debug)]
pub struct Certificates {
    /// The authority's certificate.
    pub authority: PathBuf,
    /// Certificate and key for 127.0.0.1, ::1 and localhost.
    pub server: PathBuf,
    /// Certificate and key of a client.
    pub client: PathBuf,
    /// The client's subject as MongoDB writes it: a user name for X.509.
    pub client_subject: String,
    authority_der: CertificateDer<'static>,
}

impl Certificates {
    /// Makes all of them in `folder`.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn make(folder: &Path) -> Result<Self> {
        let authority_key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name = name("weir test authority", "authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let authority = params.self_signed(&authority_key)?;
        let issuer = Issuer::new(params, authority_key);

        // Another organisational unit than the server's: equal ones would make
        // the client a member of the set.
        let server = leaf(&issuer, "weir test server", "servers")?;
        let client = leaf(&issuer, "weir test client", "clients")?;
        let made = Self {
            authority: folder.join("authority.pem"),
            server: folder.join("server.pem"),
            client: folder.join("client.pem"),
            client_subject: "CN=weir test client,OU=clients,O=weir".into(),
            authority_der: authority.der().clone(),
        };
        fs::write(&made.authority, authority.pem())?;
        fs::write(&made.server, server)?;
        fs::write(&made.client, client)?;
        Ok(made)
    }

    /// A client configuration that trusts the authority.
    ///
    /// # Errors
    /// Never for a certificate made here.
    pub fn trusting(&self) -> Result<Arc<ClientConfig>> {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority_der.clone())?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .context("TLS versions")?
            .with_root_certificates(roots)
            .with_no_client_auth();
        Ok(Arc::new(config))
    }

    /// What a server is started with.
    ///
    /// # Errors
    /// As [`Certificates::trusting`].
    pub fn for_server(&self) -> Result<ServerTls> {
        Ok(ServerTls {
            certificate_and_key: self.server.clone(),
            authority: self.authority.clone(),
            client: self.trusting()?,
        })
    }
}

fn name(common: &str, unit: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "weir");
    name.push(DnType::OrganizationalUnitName, unit);
    name.push(DnType::CommonName, common);
    name
}

fn leaf(issuer: &Issuer<'_, KeyPair>, common: &str, unit: &str) -> Result<String> {
    let names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned);
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = name(common, unit);
    params.extended_key_usages = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
    ];
    let key = KeyPair::generate()?;
    let certificate = params.signed_by(&key, issuer)?;
    Ok(certificate.pem() + &key.serialize_pem())
}
