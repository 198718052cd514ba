use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::TcpListener;
use std::sync::mpsc::{Receiver, channel};
use std::time::{Duration, SystemTime};

use bson::spec::BinarySubtype;
use bson::{Binary, DateTime, rawdoc};

use super::sign::{SigningRequest, authorization, moment};
use super::*;
use crate::config::{Credential, Mechanism, Secret};

const NOW: &str = "2026-11-21T17:02:20.456Z";

fn credentials(token: Option<&str>) -> AwsCredentials {
    let secret = Secret::new("secret/Key+1");
    AwsCredentials::new("AKIAEXAMPLE", secret, token.map(Secret::new), None)
}

fn both_nonces(ours: &[u8]) -> Vec<u8> {
    [ours, &(0..32).collect::<Vec<u8>>()].concat()
}

/// What `pymongo-auth-aws` 1.3.0 with botocore 1.44.5 signs at that moment.
#[test]
fn signatures_are_those_of_the_python_driver() {
    let nonce = both_nonces(&[b'n'; 32]);
    let signed = |credentials: &AwsCredentials, host| {
        let at = moment(DateTime::parse_rfc3339_str(NOW).unwrap()).unwrap();
        assert_eq!(at, "20261121T170220Z");
        let nonce = &nonce;
        authorization(credentials, &SigningRequest { host, nonce, at })
    };
    let headers = "SignedHeaders=content-length;content-type;host;x-amz-date;";
    let nonces = "x-mongodb-gs2-cb-flag;x-mongodb-server-nonce";
    let of = |region: &str, token: &str, signature: &str| {
        format!(
            "AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261121/{region}/sts/aws4_request, \
             {headers}{token}{nonces}, Signature={signature}"
        )
    };
    assert_eq!(
        signed(&credentials(None), "sts.amazonaws.com"),
        of(
            "us-east-1",
            "",
            "e45b66e451772a155eff234027e0af9b54795001aac1ea2f0b7bff4b7ecf70d5"
        )
    );
    assert_eq!(
        signed(&credentials(None), "sts"),
        of(
            "us-east-1",
            "",
            "448de7141ed858303bebc0778d829c445cdd11fed92c0a48567392530bf76931"
        )
    );
    assert_eq!(
        signed(
            &credentials(Some("to/ken+==")),
            "sts.eu-central-1.amazonaws.com"
        ),
        of(
            "eu-central-1",
            "x-amz-security-token;",
            "f98f9c3d552ecf9c9074845c2ddce132b58395b188a6b4daab378a7b3ba198b8"
        )
    );
}

fn first(token: Option<&str>) -> First {
    let nonce = Nonce::from_random([7; Nonce::RANDOM_BYTES]);
    let credentials = Some(credentials(token));
    First { nonce, credentials }
}

fn challenge(nonce: Vec<u8>, host: &str) -> Vec<u8> {
    let subtype = BinarySubtype::Generic;
    let nonce = Binary {
        subtype,
        bytes: nonce,
    };
    rawdoc! { "s": nonce, "h": host }.into_bytes()
}

#[test]
fn a_conversation_is_two_payloads() {
    let opening = first(None).payload();
    let opening = RawDocument::from_bytes(&opening).unwrap();
    let nonce = opening.get_binary("r").unwrap().bytes;
    assert_eq!((nonce.len(), opening.get_i32("p").unwrap()), (32, 110));
    let now = DateTime::parse_rfc3339_str(NOW).unwrap();
    for token in [None, Some("token")] {
        let asked = challenge(both_nonces(nonce), "sts.amazonaws.com");
        let signed = first(token).respond(&asked, now).unwrap();
        let signed = RawDocument::from_bytes(&signed).unwrap();
        let header = signed.get_str("a").unwrap();
        assert!(header.starts_with("AWS4-HMAC-SHA256 Credential=AKIAEXAMPLE/20261121/"));
        assert_eq!(signed.get_str("d").unwrap(), "20261121T170220Z");
        assert_eq!(signed.get_str("t").ok(), token);
    }
}

/// A server that could choose what is signed could use it elsewhere.
#[test]
fn nothing_is_signed_for_an_invalid_challenge() {
    let ours = first(None).nonce.as_bytes().to_vec();
    let theirs = both_nonces(&[b'x'; 32]);
    let long = "a".repeat(256);
    for (asked, why) in [
        (challenge(theirs, "sts.amazonaws.com"), "nonce"),
        (challenge(ours.clone(), "sts.amazonaws.com"), "nonce"),
        (challenge(both_nonces(&ours), ""), "host"),
        (challenge(both_nonces(&ours), "a..b"), "host"),
        (challenge(both_nonces(&ours), &long), "host"),
        (rawdoc! { "h": "a" }.into_bytes(), "challenge"),
        (vec![1, 2, 3], "challenge"),
    ] {
        let refused = first(None).respond(&asked, DateTime::now());
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(why), "{refused}");
    }
}

fn provider(
    user: &str,
    environment: &[(&str, &str)],
) -> Result<CredentialProvider, NoCredentialSource> {
    let credential = Credential {
        username: user.to_owned(),
        password: Secret::new(user),
        session_token: None,
        source: "$external".to_owned(),
        mechanism: Some(Mechanism::Aws),
    };
    let pairs = environment.iter().copied();
    let environment: BTreeMap<String, String> = pairs
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .collect();
    CredentialProvider::new(&credential, &environment)
}

const ENVIRONMENT: [(&str, &str); 3] = [
    ("AWS_ACCESS_KEY_ID", "AKIAENV"),
    ("AWS_SECRET_ACCESS_KEY", "s"),
    ("AWS_SESSION_TOKEN", "t"),
];

#[tokio::test]
async fn the_strings_credentials_come_before_the_environments() {
    let own = provider("AKIAOWN", &ENVIRONMENT)
        .unwrap()
        .credentials()
        .await
        .unwrap();
    assert_eq!((own.id(), own.token()), ("AKIAOWN", None));
    let around = provider("", &ENVIRONMENT)
        .unwrap()
        .credentials()
        .await
        .unwrap();
    assert_eq!((around.id(), around.token()), ("AKIAENV", Some("t")));
}

#[test]
fn which_source_is_used() {
    let found = |environment: &[(&str, &str)]| format!("{:?}", provider("", environment).unwrap());
    let relative = (
        "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",
        "/v2/credentials/guid",
    );
    let full = |url| ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    let pod = full("http://169.254.170.23/v1/credentials");
    assert!(found(&[relative, pod]).contains("http://169.254.170.2/v2/credentials/guid"));
    assert!(found(&[pod]).contains("http://169.254.170.23/v1/credentials"));
    assert!(found(&[full("http://[fd00:ec2::23]/v1")]).contains("fd00:ec2::23"));
    assert!(found(&[full("http://127.0.0.9:9001/x")]).contains("127.0.0.9:9001"));
    assert!(found(&[]).contains("http://169.254.169.254"));
    let both = [relative, ENVIRONMENT[0], ENVIRONMENT[1]];
    assert!(found(&both).contains("Known"));
    // A file alone says nothing: which role it is for is another variable.
    let file = ("AWS_WEB_IDENTITY_TOKEN_FILE", "/f");
    assert!(found(&[file, relative]).contains("guid"));
}

#[test]
fn an_unusable_environment_is_refused_with_a_hint() {
    let off = ("AWS_EC2_METADATA_DISABLED", "TRUE");
    let full = |url| ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url);
    let web_identity = [
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "/f"),
        ("AWS_ROLE_ARN", "arn:aws:iam::1:role/r"),
    ];
    let machine = ("AWS_EC2_METADATA_SERVICE_ENDPOINT", "https://imds.example");
    for (environment, said) in [
        (vec![("AWS_ACCESS_KEY_ID", "x")], "set both or neither"),
        (web_identity.to_vec(), "Pod Identity"),
        (vec![full("http://keys.example/")], "no http:// address"),
        (vec![full("https://localhost/")], "no http:// address"),
        (
            vec![full("http://127.0.0.1@keys.example/")],
            "no http:// address",
        ),
        (vec![machine], "no http:// address"),
        (vec![off], "AWS_EC2_METADATA_DISABLED is true"),
        // Set and empty is not set.
        (
            vec![("AWS_ACCESS_KEY_ID", ""), off],
            "AWS_EC2_METADATA_DISABLED is true",
        ),
    ] {
        let error = provider("", &environment).unwrap_err().to_string();
        assert!(error.contains(said), "{environment:?}: {error}");
    }
}

/// Sends these answers one after the other, each on a connection of its own, and returns the
/// requests.
fn service(answers: Vec<String>) -> (String, Receiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let (tell, told) = channel();
    std::thread::spawn(move || {
        for answer in answers {
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = Vec::new();
            while !request.ends_with(b"\r\n\r\n") {
                let mut byte = [0];
                stream.read_exact(&mut byte).unwrap();
                request.extend_from_slice(&byte);
            }
            tell.send(String::from_utf8(request).unwrap()).unwrap();
            let length = answer.len();
            let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n");
            stream.write_all((head + &answer).as_bytes()).unwrap();
        }
    });
    (address, told)
}

fn answer(id: &str, ends: &str) -> String {
    format!(
        r#"{{"Code":"Success","AccessKeyId":"{id}","SecretAccessKey":"s","Token":"t","Expiration":"{ends}"}}"#
    )
}

fn after(seconds: u64) -> String {
    let ends = SystemTime::now() + Duration::from_secs(seconds);
    let ends = DateTime::from_system_time(ends);
    ends.try_to_rfc3339_string().unwrap()
}

#[tokio::test]
async fn a_container_is_asked_until_its_credentials_last() {
    let answers = vec![
        answer("SHORT", &after(60)),
        answer("LONG", &after(3600)),
        answer("NEXT", &after(3600)),
        // Of the same keys another end is nothing new.
        answer("NEXT", &after(7200)),
    ];
    let (address, asked) = service(answers);
    let file = std::env::temp_dir().join(format!("weir-pass-{}", std::process::id()));
    std::fs::write(&file, "first-pass\n").unwrap();
    let url = format!("{address}/v1/keys?x=1");
    let environment = [
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str()),
        (
            "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE",
            file.to_str().unwrap(),
        ),
    ];
    let provider = provider("", &environment).unwrap();
    let short = provider.credentials().await.unwrap();
    assert_eq!(short.id(), "SHORT");
    let request = asked.recv().unwrap().to_lowercase();
    assert!(
        request.starts_with("get /v1/keys?x=1 http/1.1\r\n"),
        "{request}"
    );
    let host = address.trim_start_matches("http://");
    assert!(request.contains(&format!("host: {host}\r\n")), "{request}");
    assert!(
        request.contains("authorization: first-pass\r\n"),
        "{request}"
    );
    // The pass is written anew, and these keys end too soon to be kept.
    std::fs::write(&file, "second-pass").unwrap();
    let long = provider.credentials().await.unwrap();
    assert_eq!(long.id(), "LONG");
    let request = asked.recv().unwrap().to_lowercase();
    assert!(
        request.contains("authorization: second-pass\r\n"),
        "{request}"
    );
    assert_eq!(provider.credentials().await.unwrap().id(), "LONG");
    assert!(asked.try_recv().is_err(), "these last");
    // Others were refused than those that are known by now.
    assert_eq!(provider.renew(&short).await, Ok(true));
    assert_eq!(provider.credentials().await.unwrap().id(), "LONG");
    assert_eq!(provider.renew(&long).await, Ok(true));
    let next = provider.credentials().await.unwrap();
    assert_eq!(next.id(), "NEXT");
    // These are new, and refused all the same: that is an answer, until any are accepted.
    assert_eq!(provider.renew(&next).await, Ok(false));
    assert_eq!(provider.renew(&long).await, Ok(true), "these were not");
    provider.accepted();
    assert_eq!(provider.renew(&next).await, Ok(false), "the same again");
    provider.accepted();
    assert!(
        provider.renew(&next).await.is_err(),
        "nobody is there to be asked"
    );
    std::fs::remove_file(file).unwrap();
}

/// The endpoint may be unavailable for a while.
#[tokio::test]
async fn credentials_are_used_until_they_expire_when_there_are_no_new_ones() {
    for (ends, used) in [(after(60), true), ("no time at all".to_owned(), false)] {
        let (address, _asked) = service(vec![answer("SHORT", &ends)]);
        let asked = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", address.as_str())];
        let provider = provider("", &asked).unwrap();
        assert_eq!(provider.credentials().await.unwrap().id(), "SHORT");
        assert_eq!(provider.credentials().await.is_ok(), used, "{ends}");
    }
}

#[tokio::test]
async fn a_machine_is_asked_for_a_token_a_name_and_credentials() {
    let answers = ["pass-1", "my-role\n", &answer("ID", &after(3600))].map(str::to_owned);
    let (address, asked) = service(answers.into());
    let machine = [("AWS_EC2_METADATA_SERVICE_ENDPOINT", address.as_str())];
    let credentials = provider("", &machine).unwrap().credentials().await.unwrap();
    assert_eq!(credentials.id(), "ID");
    let next = || asked.recv().unwrap().to_lowercase();
    let pass = next();
    assert!(pass.starts_with("put /latest/api/token "), "{pass}");
    let life = "x-aws-ec2-metadata-token-ttl-seconds: 30\r\n";
    assert!(pass.contains(life), "{pass}");
    let roles = "get /latest/meta-data/iam/security-credentials/";
    for path in [format!("{roles} "), format!("{roles}my-role ")] {
        let request = next();
        assert!(request.starts_with(&path), "{request}");
        assert!(
            request.contains("x-aws-ec2-metadata-token: pass-1\r\n"),
            "{request}"
        );
    }
}

/// By its host only: at ECS anybody who knows the path gets the credentials.
#[tokio::test]
async fn an_endpoint_without_credentials_is_named() {
    let (address, _asked) = service(vec!["{}".to_owned()]);
    let url = format!("{address}/v2/credentials/a-secret");
    let asked = [("AWS_CONTAINER_CREDENTIALS_FULL_URI", url.as_str())];
    let provider = provider("", &asked).unwrap();
    let host = address.trim_start_matches("http://");
    // The second time nobody listens there any more.
    for why in ["without credentials", "does not answer"] {
        let error = provider.credentials().await.unwrap_err().to_string();
        assert!(error.contains(host) && error.contains(why), "{error}");
        assert!(!error.contains("a-secret"), "{error}");
    }
}
