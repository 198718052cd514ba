//! Strings as they are met, and the rules one by one.

use super::*;

const TARGET: &str = "127.0.0.1:27017";

fn to(uri: &str) -> String {
    rewrite(uri, TARGET).unwrap().uri
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
    let once = rewrite(uri, TARGET).unwrap();
    assert!(!once.was_done);
    let twice = rewrite(&once.uri, TARGET).unwrap();
    assert!(twice.was_done);
    assert_eq!(twice.uri, once.uri);
    // The same host in an SRV name is another thing.
    assert!(
        !rewrite("mongodb+srv://127.0.0.1:27017", TARGET)
            .unwrap()
            .was_done
    );
}

#[test]
fn logins_that_cannot_pass_are_refused() {
    for mechanism in [
        "MONGODB-X509",
        "GSSAPI",
        "PLAIN",
        "MONGODB-OIDC",
        "MONGODB-AWS",
        "mongodb%2Dx509",
        "MONGODB-CR",
    ] {
        let uri = format!("mongodb://u:p@h/?authMechanism={mechanism}&w=1");
        let refusal = rewrite(&uri, TARGET).unwrap_err();
        assert!(matches!(refusal, Refusal::Mechanism(_)), "{refusal}");
        assert!(refusal.to_string().contains("SCRAM"), "{refusal}");
    }
    let refusal = rewrite("mongodb://h/?tls=true&tlscertificatekeyfile=c.pem", TARGET);
    assert_eq!(refusal, Err(Refusal::Certificate));
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
    ] {
        let refusal = rewrite(uri, TARGET).unwrap_err();
        assert!(matches!(refusal, Refusal::Malformed(_)), "{uri}");
        assert!(!refusal.to_string().contains("ret"), "{refusal}");
    }
}

#[test]
fn what_is_shown_holds_no_login_and_no_value() {
    let uri = "mongodb+srv://user:secret@h.example/db?odd=secret&w=1&tls=true";
    let rewritten = rewrite(uri, "weir:1").unwrap();
    let shown = "mongodb://***@weir:1/db (with odd, w, authSource; without tls)";
    assert_eq!(rewritten.shown, shown);
    assert_eq!(format!("{rewritten:?}"), shown);
}

#[test]
fn any_text_is_rewritten_or_refused_and_then_stays() {
    // Every string of up to 5 of these pieces.
    let pieces = [
        "u:p", "@", "h", "/", "?", "&", "w=1", "tls=x", "%", ";", "é",
    ];
    let mut texts = vec![String::new()];
    for _ in 0..4 {
        let longer = texts.iter().flat_map(|text| {
            let more = pieces.iter().map(move |piece| format!("{text}{piece}"));
            more.collect::<Vec<_>>()
        });
        texts = longer.collect();
        for text in &texts {
            let Ok(once) = rewrite(&format!("mongodb://{text}"), TARGET) else {
                continue;
            };
            let twice = rewrite(&once.uri, TARGET).unwrap();
            assert_eq!(twice.uri, once.uri, "{text}");
            let query = once.uri.split_once('?').unwrap_or_default().1;
            let tls = query.split('&').any(|option| option.starts_with("tls"));
            assert!(twice.was_done && !tls, "{text}");
        }
    }
}
