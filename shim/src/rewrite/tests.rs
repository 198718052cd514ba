//! Strings as they are met, and the rules one by one.

use super::*;

fn target(text: &str) -> Target {
    Target::parse(text).unwrap()
}

fn rewritten(uri: &str) -> Result<Rewritten, Refusal> {
    rewrite(uri, &target("127.0.0.1:27017"))
}

fn to(uri: &str) -> String {
    rewritten(uri).unwrap().uri
}

/// The strings that are also connected with, in `tests/heavy/shim.rs`.
#[test]
fn the_corpus_is_rewritten_as_it_says() {
    let corpus = include_str!("../../tests/corpus.txt");
    let entries = corpus
        .split("\n\n")
        .filter(|entry| !entry.trim().is_empty());
    let mut tried = 0;
    for entry in entries {
        let lines: Vec<&str> = entry
            .lines()
            .filter(|line| !line.starts_with('#') && !line.is_empty())
            .collect();
        let [_, old, new] = lines[..] else {
            assert!(lines.is_empty(), "no entry: {entry}");
            continue;
        };
        assert_eq!(to(old), new, "{entry}");
        assert_eq!(to(new), new, "{entry}");
        tried += 1;
    }
    assert!(tried >= 30, "{tried} entries");
}

#[test]
fn strings_as_they_are_met() {
    for (uri, expected) in [
        (
            "mongodb+srv://app:p%40ss@cluster0.ab1cd.mongodb.net/shop?retryWrites=true&w=majority&appName=Shop",
            "mongodb://app:p%40ss@127.0.0.1:27017/shop?retryWrites=true&w=majority&appName=Shop&authSource=admin",
        ),
        (
            "mongodb+srv://app:pw@cluster0.ab1cd.mongodb.net",
            "mongodb://app:pw@127.0.0.1:27017/?authSource=admin",
        ),
        (
            "mongodb://app:pw@h0:27017,h1:27017,h2:27017/shop?ssl=true&replicaSet=atlas-x-shard-0&authSource=admin&maxPoolSize=1",
            "mongodb://app:pw@127.0.0.1:27017/shop?authSource=admin&maxPoolSize=1",
        ),
        (
            "mongodb://app:pw@docdb.example:27017/?tls=true&tlsCAFile=global-bundle.pem&retryWrites=false&readPreference=secondaryPreferred",
            "mongodb://app:pw@127.0.0.1:27017/?retryWrites=false&readPreference=secondaryPreferred",
        ),
        ("mongodb://localhost", "mongodb://127.0.0.1:27017/"),
        ("mongodb://[::1]:27018/db", "mongodb://127.0.0.1:27017/db"),
        (
            "mongodb://%2Ftmp%2Fm.sock/db?w=1",
            "mongodb://127.0.0.1:27017/db?w=1",
        ),
        (
            "mongodb+srv://cluster0.ab1cd.mongodb.net/",
            "mongodb://127.0.0.1:27017/",
        ),
        (
            "mongodb://h/?replicaSet=rs0;w=1&&j=true",
            "mongodb://127.0.0.1:27017/?w=1&j=true",
        ),
        (
            "mongodb://u:p/w:x@h/db?appName=@x@",
            "mongodb://u:p/w:x@127.0.0.1:27017/db?appName=@x@",
        ),
        (
            "mongodb://h/?compressors=zstd&srvServiceName=x&loadBalanced=true&REPLICASET=r",
            "mongodb://127.0.0.1:27017/",
        ),
        (
            "mongodb://u:p@h/?authMechanism=scram-sha-256",
            "mongodb://u:p@127.0.0.1:27017/?authMechanism=scram-sha-256",
        ),
    ] {
        assert_eq!(to(uri), expected);
    }
}

#[test]
fn doing_it_twice_is_doing_it_once() {
    let uri = "mongodb+srv://u:p@c.example.net/db?w=1&tls=true";
    let once = rewritten(uri).unwrap();
    assert!(!once.was_done);
    let twice = rewritten(&once.uri).unwrap();
    assert!(twice.was_done);
    assert_eq!(twice.uri, once.uri);
    // The same host in an SRV name is another thing, and so is a set at the same address.
    assert!(!rewritten("mongodb+srv://127.0.0.1:27017").unwrap().was_done);
    let left_over = rewritten("mongodb://127.0.0.1:27017/?replicaSet=rs0").unwrap();
    assert!(!left_over.was_done);
    assert_eq!(left_over.uri, "mongodb://127.0.0.1:27017/");
}

#[test]
fn a_role_of_aws_is_left_to_the_weir_beside_it() {
    for (uri, expected) in [
        (
            "mongodb+srv://c.example.net/db?authSource=%24external&authMechanism=MONGODB-AWS&w=1",
            "mongodb://127.0.0.1:27017/db?w=1",
        ),
        (
            "mongodb://AKIAX:se%2Fcret@h/?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:tok%2Fen",
            "mongodb://127.0.0.1:27017/",
        ),
        (
            "mongodb://h/?AUTHMECHANISM=mongodb-aws&appName=auth",
            "mongodb://127.0.0.1:27017/?appName=auth",
        ),
    ] {
        assert_eq!(to(uri), expected);
        let elsewhere = rewrite(uri, &target("weir.internal:27017")).unwrap_err();
        let database = expected.rsplit('/').next().unwrap_or_default();
        let database = database.split('?').next().unwrap_or_default();
        let line = format!(
            "its login (MONGODB-AWS) is made by a Weir on the same machine, and WEIR_SHIM_TARGET \
             is elsewhere; set it to mongodb://USER:PASSWORD@weir.internal:27017/{database}?\
             authSource=admin, with a database user that has a password (SCRAM)"
        );
        assert_eq!(elsewhere.to_string(), line);
    }
}

#[test]
fn logins_that_cannot_pass_are_refused_with_what_to_write() {
    for (mechanism, said) in [
        ("GSSAPI", "GSSAPI"),
        ("PLAIN", "PLAIN"),
        ("MONGODB-OIDC", "MONGODB-OIDC"),
        ("mongodb%2Doidc", "MONGODB-OIDC"),
        ("MONGODB-CR", "MONGODB-CR"),
        // Not repeated: it may be anything.
        ("p4ssword%0A", "authMechanism"),
    ] {
        let uri = format!("mongodb://u:p@h/db?authMechanism={mechanism}&w=1");
        let line = format!(
            "its login ({said}) cannot pass through Weir; set it to mongodb://USER:PASSWORD@\
             127.0.0.1:27017/db?authSource=admin, with a database user that has a password (SCRAM)"
        );
        assert_eq!(rewritten(&uri).unwrap_err().to_string(), line);
    }
    // Given twice, and the first would pass.
    let twice = rewritten("mongodb://h/?authMechanism=DEFAULT&authMechanism=PLAIN");
    assert!(matches!(twice, Err(Refusal::Login { .. })));
}

#[test]
fn certificates_are_left_to_weir() {
    for uri in [
        "mongodb://h/db?tls=true&tlscertificatekeyfile=c.pem",
        "mongodb+srv://u:p@h/db?ssl_certfile=c.pem",
        "mongodb://h/db?authMechanism=MONGODB-X509&tlsCertificateKeyFile=c.pem",
        "mongodb://CN%3Dme@h/db?authMechanism=mongodb-x509",
    ] {
        let line = "its client certificate cannot pass through Weir; set it to \
                    mongodb://127.0.0.1:27017/db, and WEIR_UPSTREAM to the string with the \
                    certificate: Weir presents it";
        assert_eq!(rewritten(uri).unwrap_err().to_string(), line);
        // There, clients must log in.
        let elsewhere = rewrite(uri, &target("10.0.0.1:1")).unwrap_err().to_string();
        assert!(
            elsewhere.contains("USER:PASSWORD@10.0.0.1:1/db"),
            "{elsewhere}"
        );
    }
}

#[test]
fn what_is_not_understood_stays_and_is_not_quoted() {
    for uri in [
        "postgres://u:secret@h",
        "mongodb://",
        "mongodb://u:secret@/db",
        "mongodb://u:secret@h/a/b",
        "mongodb://u:sec?ret@h/db",
        "mongodb://u:sec?r=ret@h/db",
        "mongodb://h/?ret",
        "mongodb://u:sec ret@h/db",
        "mongodb://h,\n/db",
        "mongodb://h,,i/db",
        // A password whose '@' is missing would be taken for a port.
        "mongodb://u:secret/db",
        "mongodb://h:0/",
        "mongodb://h:70000/",
    ] {
        let refusal = rewritten(uri).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{uri}");
        assert!(!refusal.to_string().contains("ret"), "{refusal}");
    }
}

#[test]
fn what_is_shown_holds_no_login_and_no_value() {
    let uri = "mongodb+srv://user:secret@h.example/db?odd=secret&w=1&tls=true";
    let rewritten = rewrite(uri, &target("weir:1")).unwrap();
    let shown = "mongodb://***@weir:1/db (with odd, w, authSource; without tls)";
    assert_eq!(rewritten.shown, shown);
    assert_eq!(format!("{rewritten:?}"), shown);
}

#[test]
fn other_places_are_written_as_drivers_read_them() {
    for (text, expected) in [
        ("unix:/run/weir.sock", "mongodb://u:p@%2Frun%2Fweir.sock/"),
        ("weir-1:1,weir-2:2", "mongodb://u:p@weir-1:1,weir-2:2/"),
        ("[::1]:27018", "mongodb://u:p@[::1]:27018/"),
    ] {
        let new = rewrite("mongodb://u:p@h,i/?replicaSet=r", &target(text)).unwrap();
        assert_eq!(new.uri, expected);
        assert!(rewrite(&new.uri, &target(text)).unwrap().was_done);
    }
}

/// Written in the wrong order, a string has its password where the database belongs.
#[test]
fn a_login_in_the_databases_place_is_not_shown() {
    let plain = rewritten("mongodb://h/u:p").unwrap();
    assert_eq!(plain.uri, "mongodb://127.0.0.1:27017/u:p");
    assert!(!plain.shown.contains("u:p"), "{}", plain.shown);
    let refused = rewritten("mongodb://h/u:p?authMechanism=PLAIN").unwrap_err();
    assert!(!refused.to_string().contains("u:p"), "{refused}");
}
