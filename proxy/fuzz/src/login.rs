//! Fuzz bodies for authentication: SCRAM payloads from either peer, login commands from clients,
//! login replies from servers, and PEM files.
//!
//! No input forges a proof by chance. Therefore no input may ever log a client in, and none may
//! cause a panic.

use std::path::Path;
use std::sync::{Arc, LazyLock};

use weir::config::tls::pem::PemFile;
use weir::config::{Credential, Secret};
use weir::downstream::auth::{Authenticator, Login};
use weir::scram::client::First;
use weir::scram::keys::{self, ClientKeys, SaltSource, ServerCredential};
use weir::scram::server::{Conversation, Step};
use weir::scram::{MIN_ITERATIONS, Mechanism, Nonce};
use weir::upstream::auth::{Next, Principal, Speculation};

static KEYS: LazyLock<ClientKeys> = LazyLock::new(|| {
    let secret = keys::Secret::new(Mechanism::ScramSha256, "app", "pencil").expect("plain ASCII");
    secret.derive(b"salt", MIN_ITERATIONS)
});

static CREDENTIAL: LazyLock<Credential> = LazyLock::new(|| Credential {
    username: "app".into(),
    password: Secret::new("pencil"),
    session_token: None,
    source: "admin".into(),
    mechanism: None,
});

pub(crate) static AUTHENTICATOR: LazyLock<Authenticator> =
    LazyLock::new(|| Authenticator::new([&*CREDENTIAL], SaltSource::new([7; 32])));

pub(crate) fn nonce() -> Nonce {
    Nonce::from_random([3; 24])
}

/// The input as each of the four messages of a conversation.
pub fn scram(data: &[u8]) {
    let credential_of =
        |_: &str| -> ServerCredential { KEYS.server_credential(b"salt".to_vec(), MIN_ITERATIONS) };
    if let Ok(step) = Conversation::start(data, &nonce(), true, credential_of) {
        assert!(matches!(step, Step::Continue { .. }));
    }
    let step = Conversation::start(b"n,,n=app,r=c", &nonce(), false, credential_of);
    let Ok(Step::Continue { next, .. }) = step else {
        panic!("a good first message was refused: {step:?}");
    };
    assert!(next.step(data).is_err());

    let _ = First::new("app", nonce()).challenge(data);
    let client_first = First::new("app", nonce()).payload();
    let ours = client_first
        .strip_prefix(b"n,,n=app,r=")
        .expect("the form of RFC 5802");
    let server_first = [b"r=", ours, b"x,s=c2FsdA==,i=4096"].concat();
    let challenge = First::new("app", nonce())
        .challenge(&server_first)
        .expect("a good challenge");
    assert!(challenge.respond(&KEYS).0.verify(data).is_err());
}

/// The input as the document of every login command of a client.
pub fn login(data: &[u8]) {
    let mut login = Login::default();
    let _ = login.speculate(data, &AUTHENTICATOR, nonce);
    for name in ["saslStart", "saslContinue", "saslContinue", "authenticate"] {
        let reply = login.command(name.as_bytes(), "admin", data, &AUTHENTICATOR, nonce);
        assert!(reply.is_some());
        assert!(login.identity().is_none());
    }
}

/// The input as the replies of a server to Weir's own login.
pub fn own_login(data: &[u8]) {
    let principal = Arc::new(Principal::new(&CREDENTIAL).expect("plain ASCII"));
    let next = Speculation::new(principal, [nonce(), nonce()], None).after_hello(data);
    match next {
        Ok(Next::Send(_, login)) => assert!(!matches!(login.step(data), Ok(Next::Done))),
        Ok(Next::Done) => panic!("logged in without a proof"),
        Err(_) => {}
    }
}

/// The input as a PEM file.
pub fn pem(data: &[u8]) {
    let file = PemFile::new(Path::new("input.pem"), data.to_vec());
    if let Ok(certificates) = file.certificates() {
        assert!(!certificates.is_empty());
    }
    let _ = file.roots();
    let _ = file.private_key();
}
