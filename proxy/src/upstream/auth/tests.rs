//! Logins against a server made of the other half of SCRAM.

use bson::RawDocument;
use futures_util::FutureExt;
use proptest::prelude::*;

use crate::config::{self, Credential, Secret};
use crate::scram::keys::{self, ServerCredential};
use crate::scram::server::{Conversation, Step};
use crate::scram::{MIN_ITERATIONS, ScramError};

use super::*;

const SALT: &[u8] = b"sixteen bytes...";

fn principal(password: &str, mechanism: Option<config::Mechanism>) -> Arc<Principal> {
    let credential = Credential {
        username: "app".into(),
        password: Secret::new(password),
        session_token: None,
        source: "admin".into(),
        mechanism,
    };
    Arc::new(Principal::new(&credential).unwrap())
}

fn x509(username: &str) -> Arc<Principal> {
    let credential = Credential {
        username: username.into(),
        password: Secret::new(""),
        session_token: None,
        source: "$external".into(),
        mechanism: Some(config::Mechanism::X509),
    };
    Arc::new(Principal::new(&credential).unwrap())
}

fn speculation(principal: &Arc<Principal>) -> Speculation {
    let nonces = [Nonce::from_random([1; 24]), Nonce::from_random([2; 24])];
    let keys = principal.credentials().now_or_never().unwrap().unwrap();
    Speculation::new(Arc::clone(principal), nonces, keys)
}

/// A server with the user `app`, whose password is `pencil`.
struct Server {
    conversation: Option<Conversation>,
    /// Before 4.4: `skipEmptyExchange` means nothing to it.
    old: bool,
    commands: Vec<String>,
}

impl Server {
    fn new(old: bool) -> Self {
        Self {
            conversation: None,
            old,
            commands: Vec::new(),
        }
    }

    fn credential(mechanism: Mechanism) -> ServerCredential {
        let secret = keys::Secret::new(mechanism, "app", "pencil").unwrap();
        let keys = secret.derive(SALT, MIN_ITERATIONS);
        keys.server_credential(SALT.to_vec(), MIN_ITERATIONS)
    }

    /// Takes a command, or a speculation, and gives the reply.
    fn reply(&mut self, command: &RawDocument) -> RawDocumentBuf {
        let (name, _) = command.iter().next().unwrap().unwrap();
        self.commands.push(name.as_str().to_owned());
        let payload = command.get_binary("payload").unwrap().bytes;
        let step = if name.as_str() == "saslStart" {
            let mechanism = Mechanism::from_name(command.get_str("mechanism").unwrap()).unwrap();
            let options = command.get_document("options").unwrap();
            let skip_empty = options.get_bool("skipEmptyExchange").unwrap() && !self.old;
            let nonce = Nonce::from_random([5; 24]);
            Conversation::start(payload, &nonce, skip_empty, |user| {
                assert_eq!(user, "app");
                Self::credential(mechanism)
            })
        } else {
            assert_eq!(command.get_i64("conversationId").unwrap(), 77);
            assert_eq!(command.get_str("$db").unwrap(), "admin");
            self.conversation.take().unwrap().step(payload)
        };
        let (done, payload) = match step {
            Ok(Step::Continue { payload, next }) => {
                self.conversation = Some(next);
                (false, payload)
            }
            Ok(Step::Done { payload, .. }) => (true, payload),
            Err(_) => return rawdoc! { "ok": 0.0, "errmsg": "Authentication failed.", "code": 18 },
        };
        let payload = binary(payload);
        rawdoc! { "conversationId": 77_i64, "done": done, "payload": payload, "ok": 1.0 }
    }

    /// Runs a login to its end. `speculates` tells whether hello's reply takes
    /// part in it.
    fn log_in(
        &mut self,
        speculation: Speculation,
        speculates: bool,
        mechanisms: &[&str],
    ) -> Result<(), LoginError> {
        let mut hello = rawdoc! { "ok": 1.0 };
        if !mechanisms.is_empty() {
            let mechanisms: bson::RawArrayBuf = mechanisms.iter().copied().collect();
            hello.append(cstr!("saslSupportedMechs"), mechanisms);
        }
        if speculates {
            let document = speculation.document().unwrap();
            assert_eq!(document.get_str("db").unwrap(), "admin");
            hello.append(cstr!("speculativeAuthenticate"), self.reply(&document));
        }
        let mut next = speculation.after_hello(hello.as_bytes())?;
        while let Next::Send(command, login) = next {
            next = login.step(self.reply(&command).as_bytes())?;
        }
        Ok(())
    }
}

#[test]
fn speculation_saves_a_round_trip_and_old_servers_want_one_more() {
    for mechanism in [config::Mechanism::ScramSha1, config::Mechanism::ScramSha256] {
        let principal = principal("pencil", Some(mechanism));
        assert_eq!(speculation(&principal).sasl_supported_mechs(), None);
        for (speculates, old, commands) in [
            (true, false, ["saslStart", "saslContinue"].as_slice()),
            (true, true, &["saslStart", "saslContinue", "saslContinue"]),
            (false, false, &["saslStart", "saslContinue"]),
        ] {
            let mut server = Server::new(old);
            server
                .log_in(speculation(&principal), speculates, &[])
                .unwrap();
            assert_eq!(server.commands, commands);
        }
    }
}

#[test]
fn the_mechanism_is_negotiated_when_the_string_names_none() {
    let principal = principal("pencil", None);
    assert_eq!(
        speculation(&principal).sasl_supported_mechs().unwrap(),
        "admin.app"
    );
    let document = speculation(&principal).document().unwrap();
    assert_eq!(document.get_str("mechanism").unwrap(), "SCRAM-SHA-256");

    let chosen = |mechanisms: &[&str]| {
        let mechanisms: bson::RawArrayBuf = mechanisms.iter().copied().collect();
        let hello = rawdoc! { "saslSupportedMechs": mechanisms };
        match speculation(&principal).after_hello(hello.as_bytes()) {
            Ok(Next::Send(command, _)) => {
                assert_eq!(command.get_str("$db").unwrap(), "admin");
                command.get_str("mechanism").unwrap().to_owned()
            }
            _ => panic!("a login needs a command here"),
        }
    };
    assert_eq!(chosen(&["SCRAM-SHA-1", "SCRAM-SHA-256"]), "SCRAM-SHA-256");
    assert_eq!(chosen(&["SCRAM-SHA-1"]), "SCRAM-SHA-1");
    assert_eq!(chosen(&["PLAIN"]), "SCRAM-SHA-1");
    assert_eq!(chosen(&[]), "SCRAM-SHA-1");

    let mut server = Server::new(false);
    server
        .log_in(speculation(&principal), false, &["SCRAM-SHA-1"])
        .unwrap();
    server
        .log_in(speculation(&principal), true, &["SCRAM-SHA-256"])
        .unwrap();
}

#[test]
fn a_second_conversation_has_a_nonce_of_its_own() {
    let speculation = speculation(&principal("pencil", None));
    let first = speculation
        .document()
        .unwrap()
        .get_binary("payload")
        .unwrap()
        .bytes
        .to_vec();
    let Ok(Next::Send(command, _)) = speculation.after_hello(rawdoc! {}.as_bytes()) else {
        panic!("a login needs a command here");
    };
    assert_ne!(command.get_binary("payload").unwrap().bytes, first);
}

#[test]
fn keys_are_derived_once_for_each_salt() {
    let principal = principal("pencil", None);
    let Method::Scram(scram) = principal.method() else {
        panic!("not SCRAM")
    };
    for speculates in [true, false, true] {
        let mechanisms = ["SCRAM-SHA-256"];
        Server::new(false)
            .log_in(speculation(&principal), speculates, &mechanisms)
            .unwrap();
        assert_eq!(scram.cached(), 1);
    }
    Server::new(false)
        .log_in(speculation(&principal), false, &["SCRAM-SHA-1"])
        .unwrap();
    assert_eq!(scram.cached(), 2);
    for salt in 0..20_u8 {
        scram.keys(Mechanism::ScramSha1, &[salt], 1);
    }
    assert_eq!(scram.cached(), 8);
}

#[test]
fn a_refusal_carries_the_servers_code_and_text() {
    let refused = Server::new(false).log_in(speculation(&principal("pen", None)), true, &[]);
    let message = "Authentication failed.".to_owned();
    assert_eq!(refused, Err(LoginError::Refused { code: 18, message }));
}

#[test]
fn a_server_that_does_not_know_the_password_is_left() {
    let impostor = |last_payload: &[u8], done| {
        let speculation = speculation(&principal("pencil", None));
        let mut server = Server::new(false);
        let first = server.reply(&speculation.document().unwrap());
        let hello = rawdoc! { "speculativeAuthenticate": first };
        let Ok(Next::Send(_, login)) = speculation.after_hello(hello.as_bytes()) else {
            panic!("a login needs a proof here");
        };
        let payload = binary(last_payload.to_vec());
        let reply = rawdoc! { "conversationId": 1, "done": done, "payload": payload, "ok": 1 };
        login.step(reply.as_bytes()).err()
    };
    let signature = LoginError::Scram(ScramError::ServerSignature);
    assert_eq!(impostor(b"v=AAAA", true), Some(signature.clone()));
    assert_eq!(impostor(b"v=AAAA", false), Some(signature));
    assert_eq!(
        impostor(b"e=other", true),
        Some(LoginError::Scram(ScramError::ServerError))
    );
    assert!(matches!(
        impostor(b"", true),
        Some(LoginError::Scram(ScramError::Malformed(_)))
    ));
}

#[test]
fn done_at_the_wrong_time_is_no_login() {
    let login = |reply: RawDocumentBuf| {
        let hello = rawdoc! { "speculativeAuthenticate": reply };
        speculation(&principal("pencil", None))
            .after_hello(hello.as_bytes())
            .err()
    };
    let empty = || binary(Vec::new());
    let done = rawdoc! { "conversationId": 1, "done": true, "payload": empty() };
    assert_eq!(
        login(done),
        Some(LoginError::Reply("done comes at the wrong step"))
    );
    for broken in [
        rawdoc! {},
        rawdoc! { "conversationId": 1, "done": true },
        rawdoc! { "conversationId": 1, "payload": empty() },
        rawdoc! { "done": true, "payload": empty() },
    ] {
        assert!(matches!(login(broken), Some(LoginError::Reply(_))));
    }
}

#[test]
fn x509_is_done_with_hello_or_after_one_command() {
    let principal = x509("");
    let document = speculation(&principal).document().unwrap();
    let expected = rawdoc! { "authenticate": 1, "mechanism": "MONGODB-X509", "db": "$external" };
    assert_eq!(document, expected);
    let hello = rawdoc! { "speculativeAuthenticate": { "dbname": "$external", "user": "CN=a" } };
    let done = speculation(&principal).after_hello(hello.as_bytes());
    assert!(matches!(done, Ok(Next::Done)));

    let next = speculation(&x509("CN=a")).after_hello(rawdoc! {}.as_bytes());
    let Ok(Next::Send(command, login)) = next else {
        panic!("a login needs a command here")
    };
    let expected = rawdoc! {
        "authenticate": 1, "mechanism": "MONGODB-X509", "user": "CN=a", "$db": "$external",
    };
    assert_eq!(command, expected);
    assert!(matches!(
        login.step(rawdoc! { "ok": 1.0 }.as_bytes()),
        Ok(Next::Done)
    ));

    let next = speculation(&principal).after_hello(rawdoc! {}.as_bytes());
    let Ok(Next::Send(_, login)) = next else {
        panic!("a login needs a command here")
    };
    let refused = login.step(rawdoc! { "ok": 0, "code": 11600, "errmsg": "bye" }.as_bytes());
    let message = "bye".to_owned();
    assert_eq!(
        refused.err(),
        Some(LoginError::Refused {
            code: 11600,
            message
        })
    );
}

/// Nothing is begun inside the hello: servers do not know that for a role.
#[test]
fn a_role_signs_what_the_server_asks_for() {
    let credential = Credential {
        username: "AKIA".into(),
        password: Secret::new("secret"),
        session_token: Some(Secret::new("token")),
        source: "$external".into(),
        mechanism: Some(config::Mechanism::Aws),
    };
    let principal = Arc::new(Principal::new(&credential).unwrap());
    let speculation = speculation(&principal);
    assert_eq!(speculation.document(), None);
    assert_eq!(speculation.sasl_supported_mechs(), None);
    let Ok(Next::Send(start, login)) = speculation.after_hello(rawdoc! {}.as_bytes()) else {
        panic!("a login needs a command here")
    };
    assert_eq!(start.get_str("mechanism").unwrap(), "MONGODB-AWS");
    assert_eq!(start.get_str("$db").unwrap(), "$external");
    let opening = start.get_binary("payload").unwrap().bytes;
    let opening = RawDocument::from_bytes(opening).unwrap();
    let nonce = [opening.get_binary("r").unwrap().bytes, &[9; 32]].concat();
    let asked = rawdoc! { "s": binary(nonce), "h": "sts.amazonaws.com" };
    let reply = |payload: Vec<u8>, done| rawdoc! { "conversationId": 3, "done": done, "payload": binary(payload), "ok": 1.0 };
    let challenge = reply(asked.into_bytes(), false);
    let Ok(Next::Send(proof, login)) = login.step(challenge.as_bytes()) else {
        panic!("a login needs a proof here")
    };
    assert_eq!(proof.get_i32("conversationId").unwrap(), 3);
    let signed = RawDocument::from_bytes(proof.get_binary("payload").unwrap().bytes).unwrap();
    assert!(signed.get_str("a").unwrap().contains("Credential=AKIA/"));
    assert_eq!(signed.get_str("t").unwrap(), "token");
    let done = login.step(reply(Vec::new(), true).as_bytes());
    assert!(matches!(done, Ok(Next::Done)));
}

#[test]
fn a_password_that_saslprep_forbids_is_used_with_sha_1_or_not_at_all() {
    let forbidden = "a\u{7}b";
    let speculation = speculation(&principal(forbidden, None));
    assert_eq!(
        speculation
            .document()
            .unwrap()
            .get_str("mechanism")
            .unwrap(),
        "SCRAM-SHA-1"
    );
    assert_eq!(speculation.sasl_supported_mechs(), None);
    let credential = Credential {
        username: "app".into(),
        password: Secret::new(forbidden),
        session_token: None,
        source: "admin".into(),
        mechanism: Some(config::Mechanism::ScramSha256),
    };
    assert_eq!(
        Principal::new(&credential).unwrap_err(),
        Unusable::Password(ScramError::Password)
    );
}

proptest! {
    /// A server may say what it likes: nothing panics, and nothing but its
    /// proof ends the login well.
    #[test]
    fn arbitrary_replies_never_log_in(bytes: Vec<u8>, payload: Vec<u8>, done: bool, id: i64) {
        let principal = principal("pencil", Some(config::Mechanism::ScramSha1));
        let reply = rawdoc! { "conversationId": id, "done": done, "payload": binary(payload) };
        let hello = rawdoc! { "speculativeAuthenticate": reply.clone() };
        let mut reply = reply;
        reply.append(cstr!("ok"), 1.0);
        for bytes in [bytes.as_slice(), reply.as_bytes(), hello.as_bytes()] {
            let next = speculation(&principal).after_hello(bytes);
            prop_assert!(!matches!(next, Ok(Next::Done)));
            if let Ok(Next::Send(_, login)) = next {
                prop_assert!(!matches!(login.step(bytes), Ok(Next::Done)));
            }
        }
    }
}
