//! Both sides against each other, and damage of every kind.

use std::collections::HashMap;

use proptest::prelude::*;

use super::client::First;
use super::keys::{ClientKeys, SaltSource, Secret, ServerCredential};
use super::server::{Conversation, Step};
use super::*;

mod vectors;

const SALT: &[u8] = b"sixteen bytes...";

fn nonce(text: &str) -> Nonce {
    Nonce(text.to_owned())
}

/// Runs a conversation with a function that may change each message on its way,
/// and returns who was logged in when both sides are content.
fn converse(
    mechanism: Mechanism,
    (user, password): (&str, &str),
    credential_of: impl FnOnce(&str) -> ServerCredential,
    skip_empty: bool,
    mut tamper: impl FnMut(usize, &mut Vec<u8>),
) -> Result<String, ScramError> {
    let client = First::new(user, nonce("client-nonce"));
    let mut payload = client.payload();
    tamper(0, &mut payload);
    let server_nonce = nonce("server-nonce");
    let step = Conversation::start(&payload, &server_nonce, skip_empty, credential_of)?;
    let Step::Continue {
        mut payload,
        next: server,
    } = step
    else {
        panic!("done too early")
    };

    tamper(1, &mut payload);
    let challenge = client.challenge(&payload)?;
    let secret = Secret::new(mechanism, user, password)?;
    let keys = secret.derive(challenge.salt(), challenge.iterations());
    let (client, mut payload) = challenge.respond(&keys);

    tamper(2, &mut payload);
    let (mut payload, user) = match server.step(&payload)? {
        Step::Done { payload, user } if skip_empty => (payload, user),
        Step::Continue { payload, next } if !skip_empty => match next.step(b"")? {
            Step::Done {
                payload: last,
                user,
            } => {
                assert!(last.is_empty());
                (payload, user)
            }
            Step::Continue { .. } => panic!("the empty exchange is the last one"),
        },
        other => panic!("wrong length of the conversation: {other:?}"),
    };

    tamper(3, &mut payload);
    client.verify(&payload)?;
    Ok(user)
}

fn credential(mechanism: Mechanism, user: &str, password: &str) -> ServerCredential {
    let keys = Secret::new(mechanism, user, password)
        .unwrap()
        .derive(SALT, MIN_ITERATIONS);
    keys.server_credential(SALT.to_vec(), MIN_ITERATIONS)
}

fn no_tampering(_: usize, _: &mut Vec<u8>) {}

/// RFC 4013 §3: the password is normalised, also the soft hyphen and the Roman
/// numeral; MongoDB's own test users of the specification are the last two.
#[test]
fn saslprep_touches_passwords_and_never_names() {
    let same = |left: &str, right: &str| {
        let agreed = converse(
            Mechanism::ScramSha256,
            ("user", left),
            |_| credential(Mechanism::ScramSha256, "user", right),
            true,
            no_tampering,
        );
        agreed.is_ok()
    };
    assert!(same("I\u{ad}X", "IX"));
    assert!(same("\u{2168}", "IX"));
    assert!(same("I\u{a0}X", "I X"));
    assert!(!same("ix", "IX"));

    let mut sent = Vec::new();
    let agreed = converse(
        Mechanism::ScramSha256,
        ("\u{2168}", "\u{2163}"),
        |name| {
            assert_eq!(name, "\u{2168}");
            credential(Mechanism::ScramSha256, name, "IV")
        },
        true,
        |index, payload| {
            if index == 0 {
                sent = payload.clone()
            }
        },
    );
    assert_eq!(agreed.unwrap(), "\u{2168}");
    assert_eq!(sent, "n,,n=\u{2168},r=client-nonce".as_bytes());
    for forbidden in ["", "\u{7}", "\u{ad}", "\u{627}1"] {
        let secret = Secret::new(Mechanism::ScramSha256, "user", forbidden);
        assert_eq!(secret.unwrap_err(), ScramError::Password, "{forbidden:?}");
        assert!(Secret::new(Mechanism::ScramSha1, "user", forbidden).is_ok());
    }
}

#[test]
fn an_unknown_user_meets_a_stable_salt_and_the_same_failure() {
    let salts = SaltSource::new([7; 32]);
    for mechanism in Mechanism::ALL {
        let first_reply = |user: &str| {
            let credential_of =
                |name: &str| ServerCredential::decoy(mechanism, &salts, name, MIN_ITERATIONS);
            let payload = First::new(user, nonce("c")).payload();
            match Conversation::start(&payload, &nonce("s"), true, credential_of) {
                Ok(Step::Continue { payload, .. }) => payload,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(first_reply("nobody"), first_reply("nobody"));
        assert_ne!(first_reply("nobody"), first_reply("somebody"));

        let decoy = |name: &str| ServerCredential::decoy(mechanism, &salts, name, MIN_ITERATIONS);
        let unknown = converse(mechanism, ("nobody", "pw"), decoy, true, no_tampering);
        let real = |_: &str| credential(mechanism, "user", "right");
        let wrong = converse(mechanism, ("user", "wrong"), real, true, no_tampering);
        assert_eq!(
            (unknown.unwrap_err(), wrong.unwrap_err()),
            (ScramError::Proof, ScramError::Proof)
        );
    }
}

/// Even a client that holds the decoy's own keys stays outside.
#[test]
fn a_decoy_accepts_no_proof_at_all() {
    let keys = Secret::plain(Mechanism::ScramSha256, "pw").derive(SALT, MIN_ITERATIONS);
    let mut decoy = keys.server_credential(SALT.to_vec(), MIN_ITERATIONS);
    decoy.decoy = true;
    let client = First::new("user", nonce("c"));
    let step = Conversation::start(&client.payload(), &nonce("s"), true, |_| decoy).unwrap();
    let Step::Continue { payload, next } = step else {
        panic!("done too early")
    };
    let (_, payload) = client.challenge(&payload).unwrap().respond(&keys);
    assert_eq!(next.step(&payload).unwrap_err(), ScramError::Proof);
}

#[test]
fn the_client_refuses_what_a_false_server_would_try() {
    let refusal = |reply: &str| {
        First::new("user", nonce("abc"))
            .challenge(reply.as_bytes())
            .unwrap_err()
    };
    let malformed = ScramError::Malformed(MessageName::ServerFirst);
    assert_eq!(
        refusal("r=abcdef,s=c2FsdA==,i=4095"),
        ScramError::Iterations(4095)
    );
    assert_eq!(
        refusal("r=abcdef,s=c2FsdA==,i=10000001"),
        ScramError::Iterations(10_000_001)
    );
    assert_eq!(refusal("r=abc,s=c2FsdA==,i=4096"), ScramError::Nonce);
    assert_eq!(refusal("r=xabcdef,s=c2FsdA==,i=4096"), ScramError::Nonce);
    assert_eq!(refusal("m=ext,r=abcdef,s=c2FsdA==,i=4096"), malformed);
    assert_eq!(refusal("r=abcdef,s=,i=4096"), malformed);
    assert_eq!(refusal("r=abcdef,s=c2FsdA==,i=+4096"), malformed);
    assert_eq!(refusal("r=abcdef,s=c2FsdA==,i=04096"), malformed);
    assert_eq!(
        refusal(&"x".repeat(MAX_PAYLOAD + 1)),
        ScramError::TooLong(MAX_PAYLOAD + 1)
    );
}

#[test]
fn the_server_refuses_what_it_does_not_offer() {
    let refusal = |payload: &str| {
        let credential_of = |_: &str| panic!("refused before any look-up");
        Conversation::start(payload.as_bytes(), &nonce("s"), true, credential_of).unwrap_err()
    };
    let malformed = ScramError::Malformed(MessageName::ClientFirst);
    assert_eq!(
        refusal("p=tls-exporter,,n=user,r=c"),
        ScramError::ChannelBinding
    );
    assert_eq!(
        refusal("n,a=admin,n=user,r=c"),
        ScramError::AuthorisationIdentity
    );
    for payload in [
        "",
        "n",
        "n,,",
        "n,,n=user",
        "n,,n=,r=c",
        "n,,n=user,r=",
        "x,,n=user,r=c",
    ] {
        assert_eq!(refusal(payload), malformed, "{payload}");
    }
    for payload in [
        "n,,m=x,n=user,r=c",
        "n,,n=us=er,r=c",
        "n,,n=a=2c,r=c",
        "n,,n=a\0,r=c",
    ] {
        assert_eq!(refusal(payload), malformed, "{payload}");
    }
}

#[test]
fn nothing_may_follow_the_end() {
    let real = |name: &str| credential(Mechanism::ScramSha1, name, "pw");
    let client = First::new("user", nonce("c"));
    let step = Conversation::start(&client.payload(), &nonce("s"), false, real).unwrap();
    let Step::Continue { payload, next } = step else {
        panic!("done too early")
    };
    let challenge = client.challenge(&payload).unwrap();
    let secret = Secret::new(Mechanism::ScramSha1, "user", "pw").unwrap();
    let keys = secret.derive(challenge.salt(), challenge.iterations());
    let (_, payload) = challenge.respond(&keys);
    let Ok(Step::Continue { next, .. }) = next.step(&payload) else {
        panic!("not proven")
    };
    assert_eq!(next.step(b"x").unwrap_err(), ScramError::Finished);
}

#[test]
fn secrets_do_not_show_in_debug_output() {
    let secret = Secret::plain(Mechanism::ScramSha256, "pencil");
    let keys = secret.derive(SALT, MIN_ITERATIONS);
    let shown = format!(
        "{secret:?} {keys:?} {:?}",
        keys.server_credential(SALT.to_vec(), 4096)
    );
    assert!(
        !shown.contains("pencil") && !shown.contains("key"),
        "{shown}"
    );
}

fn mechanisms() -> impl Strategy<Value = Mechanism> {
    prop_oneof![Just(Mechanism::ScramSha1), Just(Mechanism::ScramSha256)]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn both_sides_agree_on_the_right_password(
        mechanism in mechanisms(),
        user in "[^\0]{1,20}",
        password in "[ -~]{1,20}",
        skip_empty: bool,
    ) {
        let real = |name: &str| credential(mechanism, name, &password);
        let agreed = converse(mechanism, (&user, &password), real, skip_empty, no_tampering);
        prop_assert_eq!(agreed, Ok(user));
    }

    #[test]
    fn another_password_fails(
        mechanism in mechanisms(),
        right in "[ -~]{1,20}",
        wrong in "[ -~]{1,20}",
    ) {
        prop_assume!(right != wrong);
        let real = |name: &str| credential(mechanism, name, &right);
        let outcome = converse(mechanism, ("user", &wrong), real, true, no_tampering);
        prop_assert_eq!(outcome, Err(ScramError::Proof));
    }

    #[test]
    fn any_flipped_bit_fails(
        mechanism in mechanisms(),
        message in 0_usize..4,
        at: prop::sample::Index,
        bit in 0_u8..8,
    ) {
        let users = HashMap::from([("user", credential(mechanism, "user", "pw"))]);
        let salts = SaltSource::new([7; 32]);
        let credential_of = |name: &str| {
            let decoy = || ServerCredential::decoy(mechanism, &salts, name, MIN_ITERATIONS);
            users.get(name).cloned().unwrap_or_else(decoy)
        };
        let outcome = converse(mechanism, ("user", "pw"), credential_of, true, |index, payload| {
            if index == message {
                let at = at.index(payload.len());
                payload[at] ^= 1 << bit;
            }
        });
        prop_assert!(outcome.is_err());
    }
}

proptest! {
    #[test]
    fn arbitrary_payloads_never_panic(payload: Vec<u8>, text in "[nrscipvmey=,A-D0-9]{0,40}") {
        for payload in [payload.as_slice(), text.as_bytes()] {
            let credential_of = |name: &str| {
                ServerCredential::decoy(Mechanism::ScramSha1, &SaltSource::new([0; 32]), name, 4096)
            };
            let _ = Conversation::start(payload, &nonce("s"), true, credential_of);
            let step = Conversation::start(b"n,,n=u,r=c", &nonce("s"), true, credential_of);
            let Ok(Step::Continue { next, .. }) = step else { panic!("{step:?}") };
            prop_assert!(next.step(payload).is_err());
            let client = First::new("user", nonce("A"));
            prop_assert!(client.clone().challenge(payload).is_err() || payload.starts_with(b"r=A"));
            let keys = KEYS.clone();
            let challenge = client.challenge(b"r=AB,s=QUJD,i=4096").unwrap();
            prop_assert!(challenge.respond(&keys).0.verify(payload).is_err());
        }
    }
}

static KEYS: std::sync::LazyLock<ClientKeys> =
    std::sync::LazyLock::new(|| Secret::plain(Mechanism::ScramSha1, "pencil").derive(SALT, 1));
