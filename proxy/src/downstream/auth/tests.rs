//! Logins as drivers make them, and logins that Weir must refuse.

use std::sync::LazyLock;

use bson::RawDocument;
use proptest::prelude::*;

use crate::config::{self, Credential, Secret};
use crate::scram::client::{AwaitFinal, First};
use crate::scram::keys::{self, SaltSource};
use crate::scram::{Mechanism, MessageName, ScramError};

use super::*;

mod accounts;

static AUTHENTICATOR: LazyLock<Authenticator> = LazyLock::new(|| with_password("pencil"));

fn with_password(password: &str) -> Authenticator {
    let credential = Credential {
        username: "app".into(),
        password: Secret::new(password),
        session_token: None,
        source: "admin".into(),
        mechanism: None,
    };
    Authenticator::new(Some(&credential), SaltSource::new([7; 32]))
}

fn nonce() -> Nonce {
    Nonce::from_random([3; 24])
}

fn run(login: &mut Login, body: &RawDocumentBuf) -> Result<RawDocumentBuf, LoginError> {
    run_at(&AUTHENTICATOR, login, body)
}

fn run_at(
    authenticator: &Authenticator,
    login: &mut Login,
    body: &RawDocumentBuf,
) -> Result<RawDocumentBuf, LoginError> {
    let (name, body) = (fields::first_key(body).unwrap(), body.as_bytes());
    let reply = login.command(name.as_bytes(), "shop", body, authenticator, nonce);
    reply.unwrap()
}

fn sasl_start(mechanism: &str, payload: Vec<u8>, skip_empty: bool) -> RawDocumentBuf {
    rawdoc! {
        "saslStart": 1,
        "mechanism": mechanism,
        "payload": fields::binary(payload),
        "autoAuthorize": 1,
        "options": { "skipEmptyExchange": skip_empty },
    }
}

fn sasl_continue(conversation_id: i32, payload: Vec<u8>) -> RawDocumentBuf {
    rawdoc! {
        "saslContinue": 1,
        "conversationId": conversation_id,
        "payload": fields::binary(payload),
    }
}

/// Checks the reply's other fields and returns its payload.
fn payload_of(reply: &RawDocument, done: bool) -> Vec<u8> {
    assert_eq!(reply.get_i32("conversationId").unwrap(), 1);
    assert_eq!(reply.get_bool("done").unwrap(), done);
    assert_eq!(reply.iter().count(), 3);
    reply.get_binary("payload").unwrap().bytes.to_vec()
}

/// The client's answer to the first reply.
fn respond(
    mechanism: Mechanism,
    client: First,
    (user, password): (&str, &str),
    reply: &RawDocument,
) -> (AwaitFinal, Vec<u8>) {
    let challenge = client.challenge(&payload_of(reply, false)).unwrap();
    let secret = keys::Secret::new(mechanism, user, password).unwrap();
    let keys = secret.derive(challenge.salt(), challenge.iterations());
    challenge.respond(&keys)
}

fn log_in(login: &mut Login, user: &str, password: &str) -> Result<(), LoginError> {
    let client = First::new(user, Nonce::from_random([9; 24]));
    let reply = run(login, &sasl_start("SCRAM-SHA-256", client.payload(), true))?;
    let (_, payload) = respond(Mechanism::ScramSha256, client, (user, password), &reply);
    run(login, &sasl_continue(1, payload)).map(drop)
}

fn offered(authenticator: &Authenticator) -> Vec<String> {
    let mechanisms = authenticator.supported_mechanisms();
    mechanisms
        .into_iter()
        .map(|name| name.unwrap().as_str().unwrap().to_owned())
        .collect()
}

fn identity(db: &str) -> Identity {
    Identity {
        user: "app".into(),
        db: db.into(),
    }
}

#[test]
fn a_login_of_two_commands_with_skip_empty_exchange_and_three_without() {
    for mechanism in Mechanism::ALL {
        for skip_empty in [true, false] {
            let mut login = Login::default();
            let client = First::new("app", Nonce::from_random([9; 24]));
            let start = sasl_start(mechanism.name(), client.payload(), skip_empty);
            let reply = run(&mut login, &start).unwrap();
            let (client, payload) = respond(mechanism, client, ("app", "pencil"), &reply);
            assert_eq!(login.identity(), None);

            let reply = run(&mut login, &sasl_continue(1, payload)).unwrap();
            client.verify(&payload_of(&reply, skip_empty)).unwrap();
            if !skip_empty {
                assert_eq!(login.identity(), None);
                let reply = run(&mut login, &sasl_continue(1, Vec::new())).unwrap();
                assert!(payload_of(&reply, true).is_empty());
            }
            assert_eq!(login.identity(), Some(&identity("shop")));
        }
    }
}

#[test]
fn speculation_takes_the_database_from_its_own_document() {
    let mut login = Login::default();
    let client = First::new("app", Nonce::from_random([9; 24]));
    let mut speculation = sasl_start("SCRAM-SHA-256", client.payload(), true);
    speculation.append(bson::raw::cstr!("db"), "reports");
    let reply = login
        .speculate(speculation.as_bytes(), &AUTHENTICATOR, nonce)
        .unwrap();
    let (client, payload) = respond(Mechanism::ScramSha256, client, ("app", "pencil"), &reply);
    let reply = run(&mut login, &sasl_continue(1, payload)).unwrap();
    client.verify(&payload_of(&reply, true)).unwrap();
    assert_eq!(login.identity(), Some(&identity("reports")));
}

#[test]
fn wrong_password_and_unknown_user_look_the_same() {
    let mut login = Login::default();
    let wrong = log_in(&mut login, "app", "pen").unwrap_err();
    let unknown = log_in(&mut login, "nobody", "pencil").unwrap_err();
    assert_eq!(wrong, unknown);
    assert_eq!(
        (wrong.code(), wrong.code_name()),
        (18, "AuthenticationFailed")
    );
    assert_eq!(wrong.to_string(), "Authentication failed.");
    assert_eq!(login.identity(), None);
    assert_eq!(
        run(&mut login, &sasl_continue(1, vec![])),
        Err(LoginError::NoConversation)
    );
}

#[test]
fn a_failed_attempt_keeps_the_earlier_login_and_logout_ends_it() {
    let mut login = Login::default();
    log_in(&mut login, "app", "pencil").unwrap();
    log_in(&mut login, "app", "pen").unwrap_err();
    assert_eq!(login.identity(), Some(&identity("shop")));
    run(
        &mut login,
        &sasl_start("SCRAM-SHA-256", b"junk".to_vec(), true),
    )
    .unwrap_err();
    assert_eq!(login.identity(), Some(&identity("shop")));

    let status = login.connection_status();
    let users = status
        .get_document("authInfo")
        .unwrap()
        .get_array("authenticatedUsers")
        .unwrap();
    let user = users.get_document(0).unwrap();
    assert_eq!(user.get_str("user").unwrap(), "app");
    assert_eq!(user.get_str("db").unwrap(), "shop");

    assert_eq!(
        run(&mut login, &rawdoc! { "logout": 1 }),
        Ok(RawDocumentBuf::new())
    );
    assert_eq!(login.identity(), None);
    let status = login.connection_status();
    let users = status
        .get_document("authInfo")
        .unwrap()
        .get_array("authenticatedUsers")
        .unwrap();
    assert!(users.is_empty());
}

#[test]
fn other_mechanisms_are_unavailable() {
    let mut login = Login::default();
    for name in ["PLAIN", "MONGODB-X509", "scram-sha-1", ""] {
        let error = run(&mut login, &sasl_start(name, vec![], true)).unwrap_err();
        assert_eq!(
            (error.code(), error.code_name()),
            (334, "MechanismUnavailable")
        );
        let error = run(
            &mut login,
            &rawdoc! { "authenticate": 1, "mechanism": name },
        )
        .unwrap_err();
        assert_eq!(error, LoginError::Mechanism(name.into()));
    }
    let long = "\u{1f600}\n".repeat(1_000);
    let error = run(&mut login, &sasl_start(&long, vec![], true)).unwrap_err();
    assert_eq!(error, LoginError::Mechanism("?".repeat(32)));
    let x509 = rawdoc! { "authenticate": 1, "mechanism": "MONGODB-X509", "db": "$external" };
    let error = login
        .speculate(x509.as_bytes(), &AUTHENTICATOR, nonce)
        .unwrap_err();
    assert_eq!(error.code(), 334);
}

#[test]
fn without_an_upstream_user_the_error_says_so() {
    let x509 = Credential {
        username: "CN=weir".into(),
        password: Secret::new(""),
        session_token: None,
        source: "$external".into(),
        mechanism: Some(config::Mechanism::X509),
    };
    let role = Credential {
        username: "AKIA".into(),
        password: Secret::new("secret"),
        mechanism: Some(config::Mechanism::Aws),
        ..x509.clone()
    };
    for credential in [None, Some(&x509), Some(&role)] {
        let authenticator = Authenticator::new(credential, SaltSource::new([7; 32]));
        assert_eq!(authenticator.user(), None);
        assert_eq!(offered(&authenticator), ["SCRAM-SHA-256", "SCRAM-SHA-1"]);
        let body = sasl_start("SCRAM-SHA-256", b"n,,n=app,r=c".to_vec(), true);
        let mut login = Login::default();
        let reply = login.command(
            b"saslStart",
            "admin",
            body.as_bytes(),
            &authenticator,
            nonce,
        );
        let error = reply.unwrap().unwrap_err();
        assert_eq!((&error, error.code()), (&LoginError::NoUser, 18));
        assert!(
            error
                .to_string()
                .contains("Leave user name and password out")
        );
    }
}

#[test]
fn a_password_saslprep_forbids_is_offered_with_sha_1_only() {
    assert_eq!(offered(&AUTHENTICATOR), ["SCRAM-SHA-256", "SCRAM-SHA-1"]);
    assert_eq!(offered(&with_password("a\u{7}b")), ["SCRAM-SHA-1"]);
}

#[test]
fn broken_commands_get_the_codes_of_a_server() {
    let mut login = Login::default();
    let mut code = |body: &RawDocumentBuf| run(&mut login, body).unwrap_err().code();
    assert_eq!(
        code(&rawdoc! { "saslStart": 1, "mechanism": "SCRAM-SHA-1" }),
        40414
    );
    assert_eq!(
        code(&rawdoc! { "saslStart": 1, "payload": fields::binary(vec![]) }),
        40414
    );
    let wrong_type =
        rawdoc! { "saslStart": 1, "mechanism": "SCRAM-SHA-1", "payload": "n,,n=a,r=c" };
    assert_eq!(code(&wrong_type), 2);
    assert_eq!(code(&rawdoc! { "saslStart": 1, "mechanism": 1 }), 14);
    assert_eq!(code(&rawdoc! { "saslContinue": 1 }), 17);
    assert_eq!(
        code(&sasl_start("SCRAM-SHA-1", b"n,,n=a".to_vec(), true)),
        18
    );

    run(
        &mut login,
        &sasl_start("SCRAM-SHA-1", b"n,,n=app,r=c".to_vec(), true),
    )
    .unwrap();
    let error = run(&mut login, &sasl_continue(2, vec![])).unwrap_err();
    assert_eq!((error.code(), error), (17, LoginError::OtherConversation));
    let error = login.command(b"saslStart", "admin", b"\x05", &AUTHENTICATOR, nonce);
    assert_eq!(error.unwrap().unwrap_err(), LoginError::InvalidBson);
    assert!(
        login
            .command(b"find", "admin", b"", &AUTHENTICATOR, nonce)
            .is_none()
    );
}

#[test]
fn the_conversation_id_may_be_of_any_numeric_type() {
    for id in [
        bson::RawBson::Int32(1),
        bson::RawBson::Int64(1),
        bson::RawBson::Double(1.0),
    ] {
        let mut login = Login::default();
        run(
            &mut login,
            &sasl_start("SCRAM-SHA-1", b"n,,n=app,r=c".to_vec(), true),
        )
        .unwrap();
        let payload = fields::binary(b"junk".to_vec());
        let body = rawdoc! { "saslContinue": 1, "payload": payload, "conversationId": id };
        let malformed = ScramError::Malformed(MessageName::ClientFinal);
        assert_eq!(run(&mut login, &body), Err(LoginError::Failed(malformed)));
    }
}

proptest! {
    /// No bytes cause a panic or a login.
    #[test]
    fn arbitrary_bytes_log_nobody_in(
        document: Vec<u8>,
        payload: Vec<u8>,
        cut in 0_usize..80,
        at: prop::sample::Index,
        byte: u8,
    ) {
        let mut bent = sasl_start("SCRAM-SHA-256", payload, false).into_bytes();
        let at = at.index(bent.len());
        bent[at] = byte;
        let mut short = sasl_continue(1, b"c=biws".to_vec()).into_bytes();
        short.truncate(cut);
        let mut login = Login::default();
        let good = sasl_start("SCRAM-SHA-1", b"n,,n=app,r=c".to_vec(), true);
        for body in [document, bent, short] {
            let _ = login.speculate(&body, &AUTHENTICATOR, nonce);
            let _ = run(&mut login, &good);
            for name in ["saslContinue", "saslStart", "authenticate"] {
                let _ = login.command(name.as_bytes(), "db", &body, &AUTHENTICATOR, nonce);
            }
            prop_assert_eq!(login.identity(), None);
        }
    }
}
