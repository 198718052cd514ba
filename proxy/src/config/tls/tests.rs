//! Handshakes in memory, with certificates made for the test.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd,
};
use rustls::{ClientConnection, ServerConnection};
use rustls_pki_types::{PrivateKeyDer, ServerName};

use crate::config::Secret;

use super::*;

type Authority = CertifiedIssuer<'static, KeyPair>;

/// Files of one test, in the build folder.
struct Folder(PathBuf);

impl Folder {
    fn new(test: &str) -> Self {
        let path = Path::new(env!("CARGO_MANIFEST_DIR"))
            .join("../target/tls-tests")
            .join(test);
        fs::create_dir_all(&path).unwrap();
        Self(path)
    }

    fn write(&self, name: &str, contents: &str) -> PathBuf {
        let path = self.0.join(name);
        fs::write(&path, contents).unwrap();
        path
    }
}

fn authority(name: &str) -> Authority {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

/// Certificate and key, as PEM.
fn leaf(name: &str, until_year: i32, authority: &Authority) -> (String, String) {
    let key = KeyPair::generate().unwrap();
    let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
    params.not_before = date_time_ymd(2000, 1, 1);
    params.not_after = date_time_ymd(until_year, 1, 1);
    let certificate = params.signed_by(&key, authority).unwrap();
    (certificate.pem(), key.serialize_pem())
}

/// A listener's TLS with a certificate for this name.
fn listener(folder: &Folder, name: &str, until_year: i32, authority: &Authority) -> ListenerTls {
    let (certificate, key) = leaf(name, until_year, authority);
    ListenerTls {
        certificate_file: folder.write("server.crt", &certificate),
        key_file: folder.write("server.key", &key),
        client_ca_file: None,
    }
}

fn trusting(folder: &Folder, authority: &Authority) -> TlsPolicy {
    let ca_file = Some(folder.write("ca.pem", &authority.pem()));
    TlsPolicy {
        ca_file,
        ..TlsPolicy::default()
    }
}

/// Runs a handshake with `localhost`; the error is the client's or the server's.
fn handshake(policy: &TlsPolicy, tls: &ListenerTls) -> Result<(), rustls::Error> {
    let name = ServerName::try_from("localhost").unwrap();
    let config = Arc::new(client_config(policy).unwrap());
    let mut client = ClientConnection::new(config, name).unwrap();
    let mut server = ServerConnection::new(Arc::new(server_config(tls).unwrap())).unwrap();
    while client.is_handshaking() || server.is_handshaking() {
        let mut bytes = Vec::new();
        client.write_tls(&mut bytes).unwrap();
        server.read_tls(&mut bytes.as_slice()).unwrap();
        server.process_new_packets()?;
        let mut bytes = Vec::new();
        server.write_tls(&mut bytes).unwrap();
        client.read_tls(&mut bytes.as_slice()).unwrap();
        client.process_new_packets()?;
    }
    Ok(())
}

#[test]
fn a_good_chain_is_accepted() {
    let folder = Folder::new("good");
    let authority = authority("ours");
    let tls = listener(&folder, "localhost", 2100, &authority);
    handshake(&trusting(&folder, &authority), &tls).unwrap();
}

#[test]
fn a_wrong_authority_a_wrong_name_and_an_old_certificate_are_refused() {
    let folder = Folder::new("refused");
    let (ours, other, namesake) = (authority("ours"), authority("other"), authority("ours"));
    for (name, until_year, signer, expected) in [
        ("localhost", 2100, &other, "tlsCAFile"),
        ("localhost", 2100, &namesake, "tlsCAFile"),
        ("elsewhere", 2100, &ours, "tlsAllowInvalidHostnames"),
        ("localhost", 2001, &ours, "expired"),
    ] {
        let tls = listener(&folder, name, until_year, signer);
        let error = handshake(&trusting(&folder, &ours), &tls).unwrap_err();
        let advice = advice(&error).unwrap_or_else(|| panic!("no advice for {error}"));
        assert!(advice.contains(expected), "{error}: {advice}");
    }
}

#[test]
fn without_a_file_a_private_authority_is_not_trusted() {
    let folder = Folder::new("public");
    let tls = listener(&folder, "localhost", 2100, &authority("ours"));
    let error = handshake(&TlsPolicy::default(), &tls).unwrap_err();
    assert_eq!(
        error,
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer)
    );
}

#[test]
fn invalid_host_names_alone_can_be_allowed() {
    let folder = Folder::new("names");
    let (ours, other) = (authority("ours"), authority("other"));
    let policy = TlsPolicy {
        allow_invalid_hostnames: true,
        ..trusting(&folder, &ours)
    };
    handshake(&policy, &listener(&folder, "elsewhere", 2100, &ours)).unwrap();
    for (until_year, signer) in [(2100, &other), (2001, &ours)] {
        handshake(&policy, &listener(&folder, "elsewhere", until_year, signer)).unwrap_err();
    }
}

#[test]
fn every_certificate_can_be_allowed() {
    let folder = Folder::new("any");
    let policy = TlsPolicy {
        allow_invalid_certificates: true,
        ..TlsPolicy::default()
    };
    handshake(
        &policy,
        &listener(&folder, "elsewhere", 2001, &authority("ours")),
    )
    .unwrap();
}

#[test]
fn a_listener_with_a_client_authority_wants_a_certificate_of_it() {
    let folder = Folder::new("mutual");
    let (ours, other) = (authority("ours"), authority("other"));
    let mut tls = listener(&folder, "localhost", 2100, &ours);
    tls.client_ca_file = Some(folder.write("clients.pem", &ours.pem()));
    let without = trusting(&folder, &ours);
    let with = |signer: &Authority| {
        let (certificate, key) = leaf("client", 2100, signer);
        let file = folder.write("client.pem", &format!("{key}{certificate}"));
        handshake(
            &TlsPolicy {
                certificate_key_file: Some(file),
                ..without.clone()
            },
            &tls,
        )
    };
    with(&ours).unwrap();
    with(&other).unwrap_err();
    assert_eq!(
        handshake(&without, &tls),
        Err(rustls::Error::NoCertificatesPresented)
    );
}

#[test]
fn a_key_of_another_certificate_is_named() {
    let folder = Folder::new("mismatch");
    let authority = authority("ours");
    let (certificate, key) = leaf("localhost", 2100, &authority);
    let (_, other_key) = leaf("localhost", 2100, &authority);
    let tls = ListenerTls {
        certificate_file: folder.write("good.crt", &certificate),
        key_file: folder.write("other.key", &other_key),
        client_ca_file: None,
    };
    let error = server_config(&tls).unwrap_err();
    assert!(matches!(error, TlsError::Mismatch { .. }), "{error}");
    let text = error.to_string();
    assert!(
        text.contains("good.crt") && text.contains("other.key"),
        "{text}"
    );

    let combined = folder.write("combined.pem", &format!("{certificate}{other_key}"));
    let policy = TlsPolicy {
        certificate_key_file: Some(combined),
        ..TlsPolicy::default()
    };
    assert!(matches!(
        client_config(&policy),
        Err(TlsError::Mismatch { .. })
    ));
    let combined = folder.write("combined.pem", &format!("{certificate}{key}"));
    let policy = TlsPolicy {
        certificate_key_file: Some(combined),
        ..TlsPolicy::default()
    };
    client_config(&policy).unwrap();
}

#[test]
fn faulty_files_are_named_with_what_to_do() {
    let folder = Folder::new("faulty");
    let (certificate, key) = leaf("localhost", 2100, &authority("ours"));
    let errors = |name: &str, contents: Option<&str>| {
        let path = folder.0.join(name);
        contents.map(|contents| folder.write(name, contents));
        let certificate_key_file = TlsPolicy {
            certificate_key_file: Some(path.clone()),
            certificate_key_password: Some(Secret::new("swordfish")),
            ..TlsPolicy::default()
        };
        let ca_file = TlsPolicy {
            ca_file: Some(path),
            ..TlsPolicy::default()
        };
        let text = [
            client_config(&certificate_key_file),
            client_config(&ca_file),
        ]
        .map(|result| result.map_or_else(|error| error.to_string(), |_| "fine".to_owned()));
        for text in &text {
            assert!(text == "fine" || text.contains(name), "{text}");
            assert!(!text.contains("swordfish"), "{text}");
        }
        text
    };
    let says = |[key_file, ca_file]: [String; 2], key_word: &str, ca_word: &str| {
        assert!(key_file.contains(key_word), "{key_file}");
        assert!(ca_file.contains(ca_word), "{ca_file}");
    };
    says(errors("absent", None), "check the path", "check the path");
    says(
        errors("empty", Some("")),
        "BEGIN CERTIFICATE",
        "BEGIN CERTIFICATE",
    );
    says(
        errors("no-key", Some(&certificate)),
        "BEGIN PRIVATE KEY",
        "fine",
    );
    says(
        errors("key-only", Some(&key)),
        "BEGIN CERTIFICATE",
        "BEGIN CERTIFICATE",
    );
    let cut = certificate.split("-----END").next().unwrap();
    says(errors("cut", Some(cut)), "PEM", "PEM");
    let encrypted = key.replace("PRIVATE KEY", "ENCRYPTED PRIVATE KEY");
    let encrypted = format!("{certificate}{encrypted}");
    says(
        errors("encrypted", Some(&encrypted)),
        "openssl pkey -in",
        "fine",
    );
    let junk = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    says(
        errors("junk", Some(&format!("{junk}{key}"))),
        "cannot be used",
        "certificate 1 in",
    );
}

#[test]
fn keys_come_in_three_forms_and_two_encrypted_ones() {
    let key = |label: &str, head: &str| {
        let text = format!("-----BEGIN {label}-----\n{head}AAAA\n-----END {label}-----\n");
        PemFile::new(Path::new("key.pem"), text.into_bytes()).private_key()
    };
    assert!(matches!(
        key("PRIVATE KEY", ""),
        Ok(PrivateKeyDer::Pkcs8(_))
    ));
    assert!(matches!(
        key("RSA PRIVATE KEY", ""),
        Ok(PrivateKeyDer::Pkcs1(_))
    ));
    assert!(matches!(
        key("EC PRIVATE KEY", ""),
        Ok(PrivateKeyDer::Sec1(_))
    ));
    let encrypted = [
        key("ENCRYPTED PRIVATE KEY", ""),
        key(
            "RSA PRIVATE KEY",
            "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-256-CBC,00\n\n",
        ),
    ];
    for key in encrypted {
        assert!(matches!(key, Err(TlsError::EncryptedKey { .. })));
    }
}
