//! Strings for every placement, compared whole.

use proptest::prelude::*;

use super::*;
use crate::config::uri::Platform;

fn sidecar() -> Placement {
    Placement::Address("127.0.0.1:27017".to_owned())
}

fn credential(source: &str) -> Credential {
    Credential {
        username: "u".to_owned(),
        password: Secret::new("p"),
        session_token: None,
        source: source.to_owned(),
        mechanism: None,
    }
}

/// The string for `placement`, as if DNS had answered `source`.
fn make(text: &str, source: &str, placement: &Placement) -> ClientString {
    client_string(text, Some(&credential(source)), placement, false).unwrap()
}

#[test]
fn an_atlas_string_on_every_road() {
    let text = "mongodb+srv://app:p%40ss@c0.ab1.mongodb.net/orders?retryWrites=true&w=majority\
                &appName=C0&compressors=zstd&maxPoolSize=20&readPreference=nearest\
                &readPreferenceTags=a:b&readPreferenceTags=&waitQueueTimeoutMS=500";
    let tail = "orders?retryWrites=true&w=majority&appName=C0&maxPoolSize=20\
                &readPreference=nearest&readPreferenceTags=a:b&readPreferenceTags=\
                &waitQueueTimeoutMS=500&authSource=admin";
    let list = Placement::List(vec!["w1:27017".to_owned(), "w2:27017".to_owned()]);
    for (placement, head, end) in [
        (sidecar(), "mongodb://app:p%40ss@127.0.0.1:27017/", ""),
        (list, "mongodb://app:p%40ss@w1:27017,w2:27017/", ""),
        (
            Placement::Balancer("nlb:27017".to_owned()),
            "mongodb://app:p%40ss@nlb:27017/",
            "&loadBalanced=true",
        ),
        (
            Placement::Unix("/run/weir.sock".to_owned()),
            "mongodb://app:p%40ss@%2Frun%2Fweir.sock/",
            "",
        ),
    ] {
        let made = make(text, "admin", &placement);
        assert_eq!(made.reveal(), format!("{head}{tail}{end}"));
        assert_eq!(made.masked(), made.reveal().replace("p%40ss", "***"));
        let dropped: Vec<&str> = made.dropped.iter().map(|(name, _)| name.as_str()).collect();
        assert_eq!(dropped, ["compressors", "mongodb+srv://"]);
    }
}

#[test]
fn what_describes_the_cluster_goes_with_a_reason() {
    let text = "mongodb://u:p@a:1,b:2/?replicaSet=rs0&ssl=true&tlsCAFile=/ca.pem&tlsInsecure=true\
                &localThresholdMS=5&heartbeatFrequencyMS=500&serverMonitoringMode=poll\
                &directConnection=false&loadBalanced=false&zlibCompressionLevel=1\
                &connectTimeoutMS=1&serverSelectionTimeoutMS=2&socketTimeoutMS=3&timeoutMS=4\
                &maxIdleTimeMS=5&minPoolSize=6&maxConnecting=7&AuthSource=x&authMechanism=SCRAM-SHA-1\
                &journal=true&wtimeoutMS=8&readConcernLevel=local&retryReads=false\
                &maxStalenessSeconds=90&uuidRepresentation=standard&brandNew=1";
    let made = make(text, "x", &sidecar());
    assert_eq!(
        made.reveal(),
        "mongodb://u:p@127.0.0.1:27017/?connectTimeoutMS=1&serverSelectionTimeoutMS=2\
         &socketTimeoutMS=3&timeoutMS=4&maxIdleTimeMS=5&minPoolSize=6&maxConnecting=7&AuthSource=x\
         &authMechanism=SCRAM-SHA-1&journal=true&wtimeoutMS=8&readConcernLevel=local\
         &retryReads=false&maxStalenessSeconds=90&uuidRepresentation=standard&brandNew=1"
    );
    for name in [
        "replicaSet",
        "ssl",
        "tlsCAFile",
        "tlsInsecure",
        "localThresholdMS",
        "heartbeatFrequencyMS",
        "serverMonitoringMode",
        "directConnection",
        "loadBalanced",
        "zlibCompressionLevel",
    ] {
        let why = made.dropped.iter().find(|(dropped, _)| dropped == name);
        assert!(why.is_some_and(|(_, why)| why.len() > 20), "{name}");
    }
    assert_eq!(made.dropped.len(), 10);
}

#[tokio::test]
async fn certificates_stay_with_weir() {
    let text = "mongodb://CN%3Dapp@a/db?authMechanism=MONGODB-X509&authSource=%24external\
                &tls=true&tlsCertificateKeyFile=/c.pem&w=1";
    let upstream = Upstream::parse(text, Platform::default()).await.unwrap();
    let made = &client_strings(&upstream, &[sidecar()], false)[0];
    assert_eq!(made.reveal(), "mongodb://127.0.0.1:27017/db?w=1");
    let dropped: Vec<&str> = made.dropped.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        dropped,
        [
            "authMechanism",
            "authSource",
            "tls",
            "tlsCertificateKeyFile",
            "user name"
        ]
    );
}

#[tokio::test]
async fn a_roles_keys_stay_with_weir() {
    let text = "mongodb+srv://AKIA:secret@a.example/db?authMechanism=MONGODB-AWS\
                &authMechanismProperties=AWS_SESSION_TOKEN:token&authSource=%24external&w=1";
    let role = Credential {
        mechanism: Some(Mechanism::Aws),
        ..credential("$external")
    };
    let made = client_string(text, Some(&role), &sidecar(), false).unwrap();
    assert_eq!(made.reveal(), "mongodb://127.0.0.1:27017/db?w=1");
    let why = made.dropped.iter().find(|(name, _)| name == "user name");
    assert!(why.is_some_and(|(_, why)| why.contains("role")), "{why:?}");
}

#[tokio::test]
async fn a_listener_with_tls_asks_for_it() {
    let upstream = Upstream::parse("mongodb://u:p@a/?tls=true", Platform::default())
        .await
        .unwrap();
    let placements = [sidecar(), Placement::Unix("/run/weir".to_owned())];
    let made = client_strings(&upstream, &placements, true);
    assert_eq!(made[0].reveal(), "mongodb://u:p@127.0.0.1:27017/?tls=true");
    assert_eq!(made[1].reveal(), "mongodb://u:p@%2Frun%2Fweir/");
    assert!(made[0].notes[0].contains("tlsCAFile"));
    assert!(made[1].notes[0].contains(".sock"));
}

/// `weir-shim` writes the same string without asking Weir.
#[test]
fn the_shim_makes_the_same_string() {
    let corpus = include_str!("../../../../shim/tests/corpus.txt");
    let (mut compared, mut refused) = (0, Vec::new());
    for entry in corpus.split("\n\n") {
        let lines = entry.lines().filter(|line| line.starts_with("mongodb"));
        let [old, new] = lines.collect::<Vec<_>>()[..] else {
            continue;
        };
        // Only older Java drivers divide options by semicolons.
        if old.contains(';') {
            continue;
        }
        let role = old.contains("MONGODB-AWS").then_some(Mechanism::Aws);
        let credential = (role.is_some() || old.contains('@')).then(|| Credential {
            mechanism: role,
            ..credential("admin")
        });
        match client_string(old, credential.as_ref(), &sidecar(), false) {
            Some(made) => assert_eq!(made.reveal(), new, "{old}"),
            None => refused.push(old.rsplit('@').next().unwrap()),
        }
        compared += 1;
    }
    assert!(compared > 30, "{compared} strings");
    // Weir connects to no server's unix socket.
    assert_eq!(refused, ["%2Ftmp%2Fmongodb-27017.sock/app"]);
}

#[test]
fn roads_follow_the_addresses() {
    let listen = |texts: &[&str]| -> Vec<ListenAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    };
    assert_eq!(
        Placement::of(&listen(&["127.0.0.1:27017", "unix:/run/weir.sock"])),
        [sidecar(), Placement::Unix("/run/weir.sock".to_owned())]
    );
    let shared = Placement::of(&listen(&["0.0.0.0:27018"]));
    assert_eq!(shared[0], Placement::Address("WEIR_HOST:27018".to_owned()));
    assert_eq!(
        shared[2],
        Placement::Balancer("BALANCER_HOST:27018".to_owned())
    );
    assert_eq!(shared.len(), 3);
}

proptest! {
    /// A string made for an application is a connection string again, and making it once more
    /// changes nothing.
    #[test]
    fn making_is_idempotent(
        user in "[a-z]{1,8}",
        password in "([a-zA-Z0-9]|%[2-7][0-9A-F]){1,12}",
        database in "[a-z]{0,8}",
        names in prop::sample::subsequence(
            table::OPTIONS.iter().map(|known| known.name).collect::<Vec<_>>(), 0..12),
        value in "[a-z0-9]{1,6}",
        srv in any::<bool>(),
    ) {
        let scheme = if srv { "mongodb+srv" } else { "mongodb" };
        let options: Vec<String> = names
            .iter()
            .filter(|name| **name != "authMechanism")
            .map(|name| format!("{name}={value}"))
            .collect();
        let text = format!(
            "{scheme}://{user}:{password}@h.example.com/{database}?{}",
            options.join("&")
        );
        let once = make(&text, "admin", &sidecar());
        let login = format!("mongodb://{user}:{password}@127.0.0.1:27017/{database}");
        prop_assert!(once.reveal().starts_with(&login), "{}", once.reveal());
        let twice = make(once.reveal(), "admin", &sidecar());
        prop_assert_eq!(twice.reveal(), once.reveal());
        prop_assert!(twice.dropped.is_empty(), "{:?}", twice.dropped);
        let masked = format!("{once} {once:?}");
        let shown = format!("{user}:{password}@");
        prop_assert!(!masked.contains(&shown));
    }
}
