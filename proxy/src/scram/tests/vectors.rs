//! The vectors of the RFCs and of MongoDB's specification, on both sides.

use super::*;

fn decode(text: &str) -> Vec<u8> {
    STANDARD.decode(text).unwrap()
}

/// Keys of the RFC's example password, whose PBKDF2 input is the plain password.
fn rfc_keys(mechanism: Mechanism, salt: &str) -> ClientKeys {
    Secret::plain(mechanism, "pencil").derive(&decode(salt), 4096)
}

/// RFC 5802 §5 and RFC 7677 §3.
const RFC_VECTORS: [(Mechanism, [&str; 7]); 2] = [
    (
        Mechanism::ScramSha1,
        [
            "fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "QSXCR+Q6sek8bf92",
            "n,,n=user,r=fyko+d2lbbFgONRv9qkxdawL",
            "r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,s=QSXCR+Q6sek8bf92,i=4096",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ],
    ),
    (
        Mechanism::ScramSha256,
        [
            "rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "n,,n=user,r=rOprNGfwEbeRWgbNEkqO",
            "r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,s=W22ZaJ0SNY7soEsUEjb6gQ==,i=4096",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,\
             p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ],
    ),
];

#[test]
fn rfc_vectors_on_the_client() {
    for (mechanism, [ours, _, salt, first, challenge, last, verdict]) in RFC_VECTORS {
        let client = First::new("user", nonce(ours));
        assert_eq!(client.payload(), first.as_bytes());
        let challenge = client.challenge(challenge.as_bytes()).unwrap();
        assert_eq!(challenge.salt(), decode(salt));
        assert_eq!(challenge.iterations(), 4096);
        let (client, payload) = challenge.respond(&rfc_keys(mechanism, salt));
        assert_eq!(payload, last.as_bytes());
        client.verify(verdict.as_bytes()).unwrap();
    }
}

#[test]
fn rfc_vectors_on_the_server() {
    for (mechanism, [_, ours, salt, first, challenge, last, verdict]) in RFC_VECTORS {
        let credential_of = |user: &str| {
            assert_eq!(user, "user");
            rfc_keys(mechanism, salt).server_credential(decode(salt), 4096)
        };
        let step = Conversation::start(first.as_bytes(), &nonce(ours), true, credential_of);
        let Ok(Step::Continue { payload, next }) = step else {
            panic!("{step:?}")
        };
        assert_eq!(payload, challenge.as_bytes());
        let step = next.step(last.as_bytes());
        let Ok(Step::Done { payload, user }) = step else {
            panic!("{step:?}")
        };
        assert_eq!(
            (payload.as_slice(), user.as_str()),
            (verdict.as_bytes(), "user")
        );
    }
}

/// The examples of MongoDB's authentication specification, whose SHA-1 password
/// is the MD5 digest.
#[test]
fn the_sha1_password_is_mongodbs_digest() {
    let keys = Secret::new(Mechanism::ScramSha1, "user", "pencil")
        .unwrap()
        .derive(&decode("rQ9ZY3MntBeuP3E1TDVC4w=="), 10_000);
    let client = First::new("user", nonce("fyko+d2lbbFgONRv9qkxdawL"));
    let challenge = client
        .challenge(
            b"r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,\
              s=rQ9ZY3MntBeuP3E1TDVC4w==,i=10000",
        )
        .unwrap();
    let (client, payload) = challenge.respond(&keys);
    assert_eq!(
        String::from_utf8(payload).unwrap(),
        "c=biws,r=fyko+d2lbbFgONRv9qkxdawLHo+Vgk7qvUOKUwuWLIWg4l/9SraGMHEE,\
         p=MC2T8BvbmWRckDw8oWl5IVghwCY="
    );
    client.verify(b"v=UMWeI25JD1yNYZRMpZ4VHvhZ9e0=").unwrap();
}
