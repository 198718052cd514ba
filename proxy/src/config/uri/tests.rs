//! Connection strings as people have them, right and wrong.

use proptest::prelude::*;

use super::*;

async fn parse(text: &str) -> Upstream {
    match Upstream::parse(text, Platform::default()).await {
        Ok(upstream) => upstream,
        Err(problems) => panic!("{text}: {}", show(&problems)),
    }
}

async fn refuse(text: &str) -> String {
    match Upstream::parse(text, Platform::default()).await {
        Ok(_) => panic!("{text} was accepted"),
        Err(problems) => show(&problems),
    }
}

fn show(problems: &[Problem]) -> String {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    lines.join("\n")
}

#[tokio::test]
async fn an_atlas_string_without_srv() {
    let upstream = parse(
        "mongodb://app%40x:p%3Ass%2Fw@S-00.Ab1.mongodb.net:27017,s-01.ab1.mongodb.net,[::1]:27019/\
         orders?ssl=true&replicaSet=atlas-1-shard-0&authSource=admin&retryWrites=true&w=majority\
         &appName=Cluster0&maxPoolSize=50&minPoolSize=5&waitQueueTimeoutMS=2500\
         &serverSelectionTimeoutMS=20000&maxIdleTimeMS=60000&maxConnecting=4\
         &connectTimeoutMS=3000&localThresholdMS=30&compressors=zstd,zlib,lz4\
         &zlibCompressionLevel=6&socketTimeoutMS=1000&readPreference=secondaryPreferred\
         &readPreferenceTags=dc:ny&readPreferenceTags=",
    )
    .await;
    let hosts: Vec<String> = upstream.hosts.iter().map(ToString::to_string).collect();
    assert_eq!(
        hosts,
        [
            "s-00.ab1.mongodb.net:27017",
            "s-01.ab1.mongodb.net:27017",
            "[::1]:27019"
        ]
    );
    let credential = upstream.credential.as_ref().unwrap();
    assert_eq!(credential.username, "app@x");
    assert_eq!(credential.password.reveal(), "p:ss/w");
    assert_eq!(credential.source, "admin");
    assert_eq!(credential.mechanism, None);
    assert_eq!(upstream.tls, Some(TlsPolicy::default()));
    assert_eq!(upstream.set_name.as_deref(), Some("atlas-1-shard-0"));
    assert_eq!(upstream.database.as_deref(), Some("orders"));
    assert_eq!(upstream.app_name.as_deref(), Some("Cluster0"));
    assert_eq!(upstream.max_pool_size, Some(50));
    assert_eq!(upstream.min_pool_size, Some(5));
    assert_eq!(upstream.max_connecting, Some(4));
    assert_eq!(
        upstream.wait_queue_timeout,
        Some(Duration::from_millis(2500))
    );
    assert_eq!(
        upstream.server_selection_timeout,
        Some(Duration::from_secs(20))
    );
    assert_eq!(upstream.max_idle_time, Some(Duration::from_secs(60)));
    assert_eq!(upstream.connect_timeout, Duration::from_secs(3));
    assert_eq!(upstream.local_threshold, Duration::from_millis(30));
    assert_eq!(upstream.compressors, ["zstd", "zlib"]);
    assert_eq!(upstream.zlib_level, 6);
    assert_eq!(upstream.monitor_sockets(), 2);
    let client: Vec<String> = upstream
        .client_options
        .iter()
        .map(|(name, value)| format!("{name}={value}"))
        .collect();
    assert_eq!(
        client,
        [
            "retryWrites=true",
            "w=majority",
            "socketTimeoutMS=1000",
            "readPreference=secondaryPreferred",
            "readPreferenceTags=dc:ny",
            "readPreferenceTags=",
        ]
    );
    assert_eq!(upstream.warnings.len(), 1, "{:?}", upstream.warnings);
    assert!(
        upstream.warnings[0].contains("lz4"),
        "{:?}",
        upstream.warnings
    );
    assert!(
        upstream
            .redacted()
            .starts_with("mongodb://app%40x:***@s-00.")
    );
    assert!(!upstream.redacted().contains("p%3Ass"));
}

#[tokio::test]
async fn the_shortest_string_gets_every_default() {
    let upstream = parse("mongodb://localhost").await;
    assert_eq!(
        upstream.hosts,
        [Host {
            host: "localhost".to_owned(),
            port: 27017
        }]
    );
    assert_eq!(
        (
            upstream.srv,
            upstream.load_balanced,
            upstream.direct_connection
        ),
        (false, false, false)
    );
    assert_eq!(
        (upstream.credential, upstream.tls, upstream.set_name),
        (None, None, None)
    );
    assert_eq!(upstream.connect_timeout, Duration::from_secs(10));
    assert_eq!(upstream.local_threshold, Duration::from_millis(15));
    assert_eq!(upstream.heartbeat, Duration::from_secs(1));
    assert_eq!(upstream.zlib_level, -1);
    assert!(upstream.warnings.is_empty() && upstream.client_options.is_empty());
}

#[tokio::test]
async fn the_seed_carries_no_login_and_no_pool() {
    let upstream = parse(
        "mongodb://u:p@h1:1,h2:2/db?replicaSet=rs0&minPoolSize=10&maxPoolSize=20&w=3&appName=app\
         &connectTimeoutMS=20000&tlsCAFile=/ca.pem&tlsInsecure=true&heartbeatFrequencyMS=500",
    )
    .await;
    let seed = upstream.seed.client_options();
    assert_eq!(seed.credential, None);
    assert_eq!(seed.min_pool_size, Some(0));
    assert_eq!(seed.write_concern, None);
    assert_eq!(seed.default_database, None);
    assert_eq!(seed.hosts.len(), 2);
    assert_eq!(seed.repl_set_name.as_deref(), Some("rs0"));
    assert_eq!(seed.heartbeat_freq, Some(Duration::from_millis(500)));
    assert_eq!(seed.connect_timeout, Some(Duration::from_secs(5)));
    assert_eq!(seed.app_name.as_deref(), Some("weir"));
    assert_eq!(
        seed.server_monitoring_mode,
        Some(ServerMonitoringMode::Stream)
    );
    let Some(Tls::Enabled(tls)) = seed.tls else {
        panic!("TLS is off");
    };
    assert_eq!(tls.ca_file_path, Some("/ca.pem".into()));
    assert_eq!(tls.allow_invalid_certificates, Some(true));
    assert_eq!(upstream.connect_timeout, Duration::from_secs(20));
}

#[tokio::test]
async fn monitoring_costs_what_the_mode_costs() {
    for (query, function, sockets) in [
        ("", false, 2),
        ("", true, 1),
        ("?serverMonitoringMode=auto", true, 1),
        ("?serverMonitoringMode=stream", true, 2),
        ("?serverMonitoringMode=poll", false, 1),
        ("?loadBalanced=true", false, 0),
    ] {
        let platform = Platform {
            function_environment: function,
            ..Platform::default()
        };
        let text = format!("mongodb://h/{query}");
        let upstream = Upstream::parse(&text, platform).await.unwrap();
        assert_eq!(upstream.monitor_sockets(), sockets, "{query} {function}");
        let seeded = upstream.seed.client_options().server_monitoring_mode;
        let expected = match upstream.monitoring {
            Monitoring::Stream => ServerMonitoringMode::Stream,
            Monitoring::Poll => ServerMonitoringMode::Poll,
        };
        assert_eq!(
            seeded,
            Some(expected),
            "the mode is never left to the driver"
        );
    }
}

#[tokio::test]
async fn users_are_defined_where_drivers_look_for_them() {
    for (text, source, mechanism) in [
        ("mongodb://u:p@h", "admin", None),
        ("mongodb://u:p@h/orders", "orders", None),
        ("mongodb://u:p@h/orders?authSource=users", "users", None),
        (
            "mongodb://u:p@h/?authMechanism=SCRAM-SHA-1",
            "admin",
            Some(Mechanism::ScramSha1),
        ),
        (
            "mongodb://u:p@h/?AUTHMECHANISM=SCRAM-SHA-256",
            "admin",
            Some(Mechanism::ScramSha256),
        ),
        (
            "mongodb://h/?authMechanism=MONGODB-X509&tlsCertificateKeyFile=/c.pem",
            "$external",
            Some(Mechanism::X509),
        ),
        (
            "mongodb://CN%3Dapp@h/?authMechanism=MONGODB-X509&tlsCertificateKeyFile=/c.pem",
            "$external",
            Some(Mechanism::X509),
        ),
        (
            "mongodb://h/?authMechanism=MONGODB-AWS&authSource=%24external",
            "$external",
            Some(Mechanism::Aws),
        ),
        (
            "mongodb://AKIA:s@h/orders?authMechanism=MONGODB-AWS",
            "$external",
            Some(Mechanism::Aws),
        ),
    ] {
        let credential = parse(text).await.credential.unwrap();
        assert_eq!(
            (credential.source.as_str(), credential.mechanism),
            (source, mechanism),
            "{text}"
        );
    }
}

/// The token is part of the login, and no log shows it.
#[tokio::test]
async fn a_roles_token_goes_with_its_keys() {
    let text = "mongodb://AKIA:s%2Fk@h/?authMechanism=MONGODB-AWS\
                &authMechanismProperties=AWS_SESSION_TOKEN:to%2Fken%2B%3D%3D";
    let upstream = parse(text).await;
    let credential = upstream.credential.as_ref().unwrap();
    let token = credential.session_token.as_ref().unwrap();
    assert_eq!(token.reveal(), "to/ken+==");
    assert_eq!(credential.password.reveal(), "s/k");
    assert_eq!(upstream.warnings, Vec::<String>::new());
    assert!(
        !upstream.redacted().contains("ken"),
        "{}",
        upstream.redacted()
    );
    let ignored = |mechanism| async move {
        let text =
            format!("mongodb://u:p@h/?authMechanism={mechanism}&authMechanismProperties=A:b");
        parse(&text).await.warnings.concat()
    };
    assert!(
        ignored("MONGODB-AWS")
            .await
            .contains("AWS_SESSION_TOKEN only")
    );
    assert!(
        ignored("SCRAM-SHA-1")
            .await
            .contains("SCRAM and X.509 have none")
    );
}

#[tokio::test]
async fn options_the_driver_refuses_are_no_obstacle() {
    let upstream = parse(
        "mongodb://h/?uuidRepresentation=standard&timeoutMS=5000&waitQueueMultiple=5\
         &tlsAllowInvalidHostnames=true&sockettimeoutms=1&tlsDisableOCSPEndpointCheck=true\
         &serverSelectionTryOnce=false&someNewOption=1&connectTimeoutMS=0&maxPoolSize=0\
         &tlsCertificateKeyFilePassword=pass%20phrase&heartbeatFrequencyMS=10000",
    )
    .await;
    let warnings = upstream.warnings.join("\n");
    for named in [
        "waitQueueMultiple",
        "tlsAllowInvalidHostnames",
        "tlsDisableOCSPEndpointCheck",
        "serverSelectionTryOnce",
        "someNewOption",
        "connectTimeoutMS=0",
        "maxPoolSize=0",
        "tlsCertificateKeyFilePassword",
        "heartbeatFrequencyMS",
    ] {
        assert!(warnings.contains(named), "{named} is not in\n{warnings}");
    }
    let policy = upstream.tls.unwrap();
    assert!(policy.allow_invalid_hostnames && !policy.allow_invalid_certificates);
    assert_eq!(
        policy.certificate_key_password.unwrap().reveal(),
        "pass phrase"
    );
    assert_eq!(upstream.max_pool_size, None);
    assert_eq!(upstream.connect_timeout, Duration::from_secs(10));
    assert_eq!(upstream.heartbeat, Duration::from_secs(1));
    assert!(
        !upstream.redacted.contains("pass%20phrase"),
        "{}",
        upstream.redacted
    );
}

#[tokio::test]
async fn every_mistake_is_named_with_its_mend() {
    for (text, expected) in [
        ("", "mongodb:// or mongodb+srv://"),
        ("http://h", "mongodb:// or mongodb+srv://"),
        ("mongodb://", "host 1 is empty"),
        ("mongodb://h1,,h3", "host 2 is empty"),
        ("mongodb://h:0", "port that is no number"),
        ("mongodb://h:99999", "port that is no number"),
        ("mongodb://[::zz]", "no IPv6 address"),
        ("mongodb://[::1]27017", "text behind its ']'"),
        ("mongodb://%2Ftmp%2Fmongodb-27017.sock", "is a unix socket"),
        ("mongodb://a b", "is no host name"),
        ("mongodb+srv://h.example.com:27017", "has a port"),
        (
            "mongodb+srv://a.example.com,b.example.com",
            "more than one host",
        ),
        (
            "mongodb+srv://a.example.com/?directConnection=true",
            "needs exactly one host",
        ),
        ("mongodb://h/a b", "no database name"),
        ("mongodb://h/a%zz", "no database name"),
        ("mongodb://h/?x", "option 1 is not a name=value pair"),
        (
            "mongodb://h/?w=1&appName=%zz",
            "option 2 is not a name=value pair",
        ),
        ("mongodb://u@h", "names a user without a password"),
        ("mongodb://u:@h", "names a user without a password"),
        ("mongodb://:p@h", "without a user name"),
        ("mongodb://@h", "an '@' without a user name"),
        (
            "mongodb://u:p@h/?maxPoolSize=10&MAXPOOLSIZE=20",
            "maxPoolSize: is given twice",
        ),
        ("mongodb://h/?tls=true&ssl=false", "contradict each other"),
        (
            "mongodb://h/?tls=false&tlsCAFile=/ca.pem",
            "tlsCAFile: contradicts tls=false",
        ),
        (
            "mongodb://h/?tlsInsecure=true&tlsAllowInvalidCertificates=false",
            "tlsInsecure: stands beside",
        ),
        ("mongodb://h/?tls=yes", "tls: is neither true nor false"),
        (
            "mongodb://h/?maxPoolSize=many",
            "maxPoolSize: is not a whole number",
        ),
        (
            "mongodb://h/?maxConnecting=0",
            "maxConnecting: is not a positive whole number",
        ),
        (
            "mongodb://h/?minPoolSize=5&maxPoolSize=4",
            "minPoolSize: is above maxPoolSize",
        ),
        ("mongodb://h/?heartbeatFrequencyMS=100", "is below 500"),
        (
            "mongodb://h/?connectTimeoutMS=-1",
            "connectTimeoutMS: is not a whole number",
        ),
        ("mongodb://h/?zlibCompressionLevel=10", "no zlib level"),
        (
            "mongodb://h/?serverMonitoringMode=push",
            "no monitoring mode",
        ),
        ("mongodb://h/?replicaSet=", "replicaSet: is empty"),
        (
            "mongodb://h/?srvMaxHosts=2",
            "srvMaxHosts: is for mongodb+srv:// only",
        ),
        (
            "mongodb://h/?srvServiceName=x",
            "srvServiceName: is for mongodb+srv:// only",
        ),
        (
            "mongodb://a,b/?directConnection=true",
            "needs exactly one host",
        ),
        ("mongodb://a,b/?loadBalanced=true", "needs exactly one host"),
        (
            "mongodb://a/?loadBalanced=true&replicaSet=rs",
            "contradicts replicaSet",
        ),
        (
            "mongodb://a/?loadBalanced=true&directConnection=true",
            "contradicts directConnection",
        ),
        (
            "mongodb://h/?proxyHost=10.0.0.1",
            "proxyHost: cannot be honoured",
        ),
        (
            "mongodb://h/?authMechanism=SCRAM-SHA-256",
            "without a user name",
        ),
        (
            "mongodb://u:p@h/?authMechanism=scram-sha-256",
            "in capitals",
        ),
        ("mongodb://u:p@h/?authSource=", "authSource: is empty"),
        (
            "mongodb://key@h/?authMechanism=MONGODB-AWS",
            "write id:secret@ before the host, or nothing",
        ),
        (
            "mongodb://h/?authMechanism=MONGODB-AWS&authMechanismProperties=AWS_SESSION_TOKEN:t",
            "a session token without the keys",
        ),
        (
            "mongodb://k:s@h/?authMechanism=MONGODB-AWS&authSource=admin",
            "must be $external",
        ),
        ("mongodb://u@h/?authMechanism=GSSAPI", "Kerberos"),
        ("mongodb://u:p@h/?authMechanism=PLAIN", "LDAP"),
        ("mongodb://h/?authMechanism=MONGODB-OIDC", "MONGODB-OIDC"),
        (
            "mongodb://u:p@h/?authMechanism=MONGODB-CR",
            "no longer speak",
        ),
        (
            "mongodb://u:p@h/?authMechanism=MONGODB-X509",
            "takes no password",
        ),
        (
            "mongodb://h/?authMechanism=MONGODB-X509",
            "add tls=true and tlsCertificateKeyFile",
        ),
        (
            "mongodb://h/?authMechanism=MONGODB-X509&tlsCertificateKeyFile=/c&authSource=admin",
            "must be $external",
        ),
    ] {
        let problems = refuse(text).await;
        assert!(
            problems.contains(expected),
            "{text}\nexpected: {expected}\ngot: {problems}"
        );
    }
    let long = format!("mongodb://h/?appName={}", "a".repeat(129));
    assert!(refuse(&long).await.contains("longer than 128 bytes"));
}

#[tokio::test]
async fn several_mistakes_come_together() {
    let problems =
        refuse("mongodb://u:p@h/?tls=maybe&maxPoolSize=x&loadBalanced=true&replicaSet=r").await;
    assert_eq!(problems.lines().count(), 3, "{problems}");
    let problems = refuse("mongodb://h1:x,:2/a b?novalue").await;
    assert_eq!(problems.lines().count(), 4, "{problems}");
}

#[tokio::test]
async fn unescaped_characters_in_the_login_are_explained() {
    for (text, escape) in [
        ("mongodb://user:qu1ckbr0wn:2@h/db", "%3A"),
        ("mongodb://user:qu1ck/br0wn@h/db", "%2F"),
        ("mongodb://user:qu1ck#br0wn@h/db", "%23"),
        ("mongodb://user:qu1ck[br0wn@h/db", "%5B"),
        ("mongodb://user:qu1ck@br0wn@h/db", "%40"),
        ("mongodb://user:qu1ck%br0wn@h/db", "%25"),
        ("mongodb://user:qu1ck?br0wn@h/db", "%3F"),
        ("mongodb://us/er:qu1ckbr0wn@h/db", "%2F"),
        ("mongodb://user:27017?qu1ckbr0wn=@h/db", "%3F"),
    ] {
        let problems = refuse(text).await;
        assert!(
            problems.contains("percent-encode") && problems.contains(escape),
            "{text}: {problems}"
        );
        assert!(
            !problems.contains("qu1ck") && !problems.contains("br0wn"),
            "{problems}"
        );
    }
    // Azure's appName carries a bare '@'.
    let azure = "mongodb://acct:key%3D%3D@acct.mongo.cosmos.azure.com:10255/?ssl=true\
                 &replicaSet=globaldb&retrywrites=false&maxIdleTimeMS=120000&appName=@acct@";
    assert_eq!(parse(azure).await.app_name.as_deref(), Some("@acct@"));
    // A login without its '@' is not quoted back.
    let problems = refuse("mongodb://user:swordfish").await;
    assert!(!problems.contains("swordfish"), "{problems}");
}

#[tokio::test(start_paused = true)]
async fn srv_without_dns_is_one_clear_problem() {
    let platform = Platform {
        srv_timeout: Duration::from_millis(1),
        ..Platform::default()
    };
    let text = "mongodb+srv://user:swordfish@cluster0.invalid.example/db";
    let problems = Upstream::parse(text, platform).await.unwrap_err();
    let problems = show(&problems);
    assert!(problems.contains("cluster0.invalid.example"), "{problems}");
    assert!(problems.contains("DNS"), "{problems}");
    assert!(
        !problems.contains("swordfish") && !problems.contains("weir:weir"),
        "{problems}"
    );
}

proptest! {
    #[test]
    fn no_text_panics(text in ".*", rest in ".*") {
        let _ = draft::Draft::read(&text);
        let _ = draft::Draft::read(&format!("mongodb://{rest}"));
    }

    /// Whatever is put where the password belongs, escaped or not, nothing prints it.
    #[test]
    fn the_password_is_never_printed(
        password in "[a-zA-Z0-9:/?#@%&=\\[\\]]{0,12}Zq9Xw7[a-zA-Z0-9:/?#@%&=]{0,12}",
        query in prop::sample::select(vec!["", "?tls=true", "?maxPoolSize=x", "?frob=1&w=1", "?tls=no"]),
    ) {
        let text = format!("mongodb://user:{password}@host:27017/db{query}");
        let printed = match draft::Draft::read(&text) {
            Err(problems) => format!("{} {problems:?}", show(&problems)),
            Ok(draft) => {
                let runtime = tokio::runtime::Builder::new_current_thread()
                    .enable_all()
                    .build()
                    .unwrap();
                let first = format!("{draft:?}");
                match runtime.block_on(draft.resolve(Platform::default())) {
                    Ok(upstream) => format!("{first} {upstream:?} {upstream:#?} {}", upstream.redacted()),
                    Err(problems) => format!("{first} {}", show(&problems)),
                }
            }
        };
        prop_assert!(!printed.contains("Zq9Xw7"), "{}", printed);
    }
}
