//! What holds for every string, tried on many.

use proptest::prelude::*;
use proptest::sample::select;

use super::*;

/// Options of the way to the cluster, and options that are the application's.
const DROPPED: [&str; 14] = [
    "replicaSet=rs0",
    "tls=true",
    "SSL=true",
    "tlsCAFile=/etc/ca.pem",
    "tlsInsecure=false",
    "srvMaxHosts=2",
    "srvServiceName=mongodb",
    "compressors=zstd,snappy",
    "zlibCompressionLevel=6",
    "directConnection=false",
    "LoadBalanced=true",
    "heartbeatFrequencyMS=10000",
    "localThresholdMS=15",
    "serverMonitoringMode=auto",
];
const KEPT: [&str; 14] = [
    "w=majority",
    "wtimeoutMS=2500",
    "journal=true",
    "readConcernLevel=majority",
    "readPreference=secondaryPreferred",
    "readPreferenceTags=dc:ny,rack:1",
    "readPreferenceTags=",
    "retryWrites=false",
    "retryReads=true",
    "maxPoolSize=5",
    "serverSelectionTimeoutMS=5000",
    "appName=sh%20op",
    "authMechanism=SCRAM-SHA-256",
    "uuidRepresentation=standard",
];
const TARGETS: [&str; 5] = [
    "127.0.0.1:27017",
    "localhost",
    "[::1]:5",
    "weir-1:1,weir-2:2",
    "unix:/run/weir.sock",
];

/// Every byte a password can hold: what drivers want escaped is escaped.
fn secret() -> impl Strategy<Value = String> {
    prop::collection::vec(any::<u8>(), 1..24).prop_map(|bytes| {
        let letter = |byte: u8| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'!' | b'$' => {
                char::from(byte).to_string()
            }
            other => format!("%{other:02x}"),
        };
        bytes.into_iter().map(letter).collect()
    })
}

/// A string and its parts, as an application may have it.
#[derive(Clone, Debug)]
struct Written {
    srv: bool,
    user: Option<String>,
    hosts: String,
    database: String,
    options: Vec<&'static str>,
    source: Option<String>,
}

impl Written {
    fn uri(&self) -> String {
        let scheme = if self.srv { "mongodb+srv" } else { "mongodb" };
        let user = self.user.as_ref().map(|user| format!("{user}@"));
        let mut options: Vec<String> = self.options.iter().map(ToString::to_string).collect();
        options.extend(
            self.source
                .iter()
                .map(|source| format!("authSource={source}")),
        );
        let query = match options.is_empty() {
            true => String::new(),
            false => format!("?{}", options.join("&")),
        };
        let (user, hosts, database) = (user.unwrap_or_default(), &self.hosts, &self.database);
        format!("{scheme}://{user}{hosts}/{database}{query}")
    }

    /// The string, ready for one option more.
    fn open(&self) -> String {
        let uri = self.uri();
        let join = if uri.contains('?') { '&' } else { '?' };
        format!("{uri}{join}")
    }

    /// What Weir's string must be, said in another way than the code does.
    fn expected(&self, target: &Target) -> String {
        let mut new = self.clone();
        new.srv = false;
        new.hosts = target.hosts().to_owned();
        new.options.retain(|option| !DROPPED.contains(option));
        if self.srv && self.user.is_some() && self.source.is_none() {
            new.source = Some("admin".to_owned());
        }
        new.uri()
    }
}

fn written() -> impl Strategy<Value = Written> {
    let user = prop_oneof![
        Just(None),
        secret().prop_map(Some),
        (secret(), secret()).prop_map(|(name, password)| Some(format!("{name}:{password}"))),
    ];
    let host = select(
        &[
            "h0.example.net",
            "10.0.0.7:27018",
            "[fe80::1]:1",
            "%2Ftmp%2Fm.sock",
        ][..],
    );
    let hosts = prop::collection::vec(host, 1..4).prop_map(|hosts| hosts.join(","));
    let srv = "[a-z]{1,8}\\.[a-z0-9]{1,5}\\.mongodb\\.net";
    let hosts = prop_oneof![(Just(false), hosts), (Just(true), srv)];
    let database = "|[a-zA-Z0-9_-]{1,12}|%24external|a%20b";
    let option = select([&DROPPED[..], &KEPT[..]].concat());
    let options = prop::collection::vec(option, 0..10);
    let source = prop::option::of("admin|[a-z]{1,6}|%24external");
    (user, hosts, database, options, source).prop_map(
        |(user, (srv, hosts), database, options, source)| Written {
            srv,
            user,
            hosts,
            database,
            options,
            source,
        },
    )
}

fn target() -> impl Strategy<Value = Target> {
    select(&TARGETS[..]).prop_map(|text| Target::parse(text).unwrap())
}

/// Pieces from which wrong strings are made too.
const PIECES: [&str; 20] = [
    "mongodb://",
    "mongodb+srv://",
    "u:p",
    "@",
    "h",
    ":27017",
    "/",
    "?",
    "&",
    ";",
    "w=1",
    "tls=x",
    "authMechanism=",
    "MONGODB-AWS",
    "PLAIN",
    "%",
    "%2F",
    "[::1]",
    ",",
    "é",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn all_that_is_the_application_s_stays_byte_for_byte(old in written(), target in target()) {
        let new = rewrite(&old.uri(), &target).unwrap();
        prop_assert_eq!(&new.uri, &old.expected(&target));
        let again = rewrite(&new.uri, &target).unwrap();
        prop_assert!(again.was_done);
        prop_assert_eq!(again.uri, new.uri);
    }

    #[test]
    fn no_secret_is_shown(mut old in written(), password in secret(), target in target()) {
        // Long enough not to be part of another word.
        let password = format!("{password}-s3cr3t");
        old.user = Some(format!("u:{password}"));
        let odd = format!("{}odd={password}", old.open());
        for uri in [old.uri(), odd] {
            let new = rewrite(&uri, &target).unwrap();
            prop_assert!(!new.shown.contains("s3cr3t"), "{}", new.shown);
            let debug = format!("{new:?}");
            prop_assert!(!debug.contains("s3cr3t"), "{}", debug);
        }
    }

    #[test]
    fn a_role_leaves_nothing_of_its_login(mut old in written(), token in secret()) {
        let role = "authMechanism=MONGODB-AWS";
        old.options.retain(|option| !option.starts_with("authMechanism"));
        let properties = format!("authMechanismProperties=AWS_SESSION_TOKEN:{token}-s3cr3t");
        let uri = format!("{}{role}&{properties}", old.open());
        let new = rewrite(&uri, &Target::parse("127.0.0.1:1").unwrap()).unwrap();
        prop_assert!(!new.uri.contains('@') && !new.uri.contains("s3cr3t"), "{}", new.uri);
        let lower = new.uri.to_ascii_lowercase();
        prop_assert!(!lower.contains("auth"), "{}", new.uri);
        for option in old.options.iter().filter(|option| KEPT.contains(option)) {
            prop_assert!(new.uri.contains(option), "{option} in {}", new.uri);
        }
    }

    #[test]
    fn any_text_is_rewritten_for_good_or_refused_without_a_quote(
        pieces in prop::collection::vec(select(&PIECES[..]), 0..12),
        target in target(),
    ) {
        let text = format!("mongodb://{}", pieces.concat());
        match rewrite(&text, &target) {
            Ok(once) => {
                let twice = rewrite(&once.uri, &target).unwrap();
                prop_assert_eq!(&twice.uri, &once.uri);
                let query = once.uri.split_once('?').unwrap_or_default().1;
                let tls = query.split('&').any(|option| option.starts_with("tls"));
                prop_assert!(twice.was_done && !tls, "{}", text);
                prop_assert!(!once.shown.contains("u:p"), "{}", once.shown);
            }
            Err(refusal) => prop_assert!(!refusal.to_string().contains("u:p")),
        }
    }

    #[test]
    fn no_text_at_all_is_too_odd(text: String, target in target()) {
        let _ = rewrite(&text, &target);
        let _ = rewrite(&format!("mongodb://{text}"), &target);
        let _ = Target::parse(&text);
        let _ = Target::of_listener(&text);
    }
}
