//! Whole configurations: precedence, rules that join settings, and mistakes together.

use std::collections::BTreeMap;
use std::io;

use super::raw::Raw;
use super::settings::{Form, SETTINGS, Scope, Setting, name};
use super::uri::Platform;
use super::*;

const URI: &str = "mongodb://user:swordfish@db.example:27017/?replicaSet=rs0";

/// The layers of one attempt.
#[derive(Clone, Default)]
struct Layers {
    flags: Flags,
    variables: BTreeMap<String, String>,
    file: Option<String>,
}

impl Layers {
    /// Only the upstream is given, by its variable.
    fn upstream(uri: &str) -> Self {
        Self::default().variable("WEIR_UPSTREAM", uri)
    }

    fn flag(mut self, flag: &'static str, value: &str) -> Self {
        self.flags = self.flags.with(flag, value);
        self
    }

    fn variable(mut self, name: &str, value: &str) -> Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    fn file(mut self, text: &str) -> Self {
        self.file = Some(text.to_owned());
        self.variable("WEIR_CONFIG", "weir.toml")
    }

    async fn load(&self) -> Result<Config, Problems> {
        let mut problems = Vec::new();
        let read = |path: &str| match (&self.file, path) {
            (Some(text), "weir.toml") => Ok(text.clone()),
            _ => Err(io::Error::from(io::ErrorKind::NotFound)),
        };
        let raw = Raw::gather(&self.flags, &self.variables, read, &mut problems);
        build::build(&raw, false, Platform::default(), problems).await
    }

    async fn ok(&self) -> Config {
        match self.load().await {
            Ok(config) => config,
            Err(problems) => panic!("{problems}"),
        }
    }

    async fn refused(&self) -> String {
        match self.load().await {
            Ok(_) => panic!("accepted"),
            Err(problems) => problems.to_string(),
        }
    }
}

/// Three different valid values of a setting, none of them its default.
fn samples(setting: &Setting) -> [&'static str; 3] {
    match (setting.flag, setting.form) {
        (name::UPSTREAM, _) => [
            "mongodb://u:p@a:1/",
            "mongodb://u:p@b:1/",
            "mongodb://u:p@c:1/",
        ],
        (name::ADMIN, _) => ["127.0.0.1:1", "127.0.0.1:2", "127.0.0.1:3"],
        (name::LOG_FILTER, _) => ["warn", "debug", "error"],
        (name::CLIENT_KEEPALIVE, _) => ["11s", "12s", "13s"],
        (name::CLIENT_DEAD_AFTER, _) => ["11m", "12m", "13m"],
        (_, Form::Text(_) | Form::Secret(_)) => ["/dev/null", "/dev/zero", "/dev/full"],
        (_, Form::List(_)) => ["127.0.0.1:11", "127.0.0.1:12", "127.0.0.1:13"],
        (_, Form::Duration) => ["11s", "12s", "13s"],
        (_, Form::Size) => ["17MiB", "18MiB", "19MiB"],
        (_, Form::Count) => ["11", "12", "14"],
        (_, Form::Rate) => ["11", "12", "13"],
        (_, Form::Switch) => ["true", "false", "true"],
        (_, Form::Choice(words, _)) => {
            let word = |index: usize| words[index % words.len()];
            [word(0), word(1), word(2)]
        }
    }
}

fn toml_line(setting: &Setting, value: &str) -> String {
    format!("{} = \"{value}\"\n", setting.key.unwrap())
}

/// The settings that must be there for `setting` to mean anything.
fn companions(setting: &Setting) -> Layers {
    let layers = Layers::upstream(URI);
    match setting.flag {
        name::TLS_KEY | name::TLS_CLIENT_CA => layers.variable("WEIR_TLS_CERTIFICATE", "/dev/null"),
        name::MIN_CONNECTIONS => layers.variable("WEIR_MAX_CONNECTIONS", "100"),
        _ => layers,
    }
}

async fn effective(layers: &Layers, flag: &str) -> (String, Origin) {
    let config = layers.ok().await;
    let found = config.effective.iter().find(|entry| entry.flag == flag);
    let entry = found.unwrap_or_else(|| panic!("{flag} is not listed"));
    (entry.value.clone(), entry.origin.clone())
}

/// As the effective settings would show the value.
fn shown(setting: &Setting, value: &str) -> String {
    match (setting.flag, setting.form) {
        (name::UPSTREAM, _) => value.replace(":p@", ":***@"),
        (_, Form::Switch) => if value == "true" { "on" } else { "off" }.to_owned(),
        _ => value.to_owned(),
    }
}

#[tokio::test]
async fn flag_beats_environment_beats_file_beats_default() {
    for setting in SETTINGS.iter().filter(|setting| setting.key.is_some()) {
        let flag = setting.flag;
        let [in_file, in_variable, in_flag] = samples(setting);
        let mut layers = companions(setting);
        if flag == name::UPSTREAM {
            layers = Layers::default();
        } else {
            let (value, origin) = effective(&layers, flag).await;
            assert_eq!(origin, Origin::Default, "{flag}");
            if setting.form != Form::Switch
                && flag != name::DRAIN_TIMEOUT
                && flag != name::LOG_FORMAT
                && flag != name::TLS_KEY
            {
                assert_eq!(value, setting.default.show(), "{flag}");
            }
        }

        layers = layers.file(&toml_line(setting, in_file));
        let (value, origin) = effective(&layers, flag).await;
        assert_eq!(value, shown(setting, in_file), "{flag}");
        assert_eq!(
            origin.to_string(),
            format!("weir.toml: {}", setting.key.unwrap())
        );

        layers = layers.variable(setting.variable, in_variable);
        let (value, origin) = effective(&layers, flag).await;
        assert_eq!(value, shown(setting, in_variable), "{flag}");
        assert_eq!(origin, Origin::Variable(setting.variable));

        layers = layers.flag(flag, in_flag);
        let (value, origin) = effective(&layers, flag).await;
        assert_eq!(value, shown(setting, in_flag), "{flag}");
        assert_eq!(origin, Origin::Flag(flag));
    }
}

#[tokio::test]
async fn every_setting_refuses_nonsense_and_names_every_place() {
    for setting in SETTINGS.iter().filter(|setting| setting.key.is_some()) {
        let nonsense = match setting.flag {
            name::LOG_FILTER => "a=b=c",
            _ => "/nowhere/at all",
        };
        let base = || companions(setting);
        let file = base().file(&toml_line(setting, nonsense));
        let file = match setting.flag {
            name::UPSTREAM => Layers::default().file(&toml_line(setting, nonsense)),
            _ => file,
        };
        for (layers, place) in [
            (
                base().flag(setting.flag, nonsense),
                format!("--{}:", setting.flag),
            ),
            (
                base().variable(setting.variable, nonsense),
                format!("{}:", setting.variable),
            ),
            (file, format!("weir.toml: {}:", setting.key.unwrap())),
        ] {
            let problems = layers.refused().await;
            assert!(problems.contains(&place), "{place} is not in {problems}");
            assert!(problems.contains("; "), "no hint in {problems}");
        }
    }
}

#[tokio::test]
async fn all_mistakes_are_reported_together() {
    let problems = Layers::upstream("mongodb://user:swordfish@h:x/?tls=maybe")
        .variable("WEIR_QUEUE_TIMEOUT", "4")
        .variable("WEIR_MAX_IN_FLIGHT", "64")
        .variable("WEIR_BEHIND", "nlb")
        .variable("WEIR_LISTEN", "127.0.0.1,unix:x")
        .flag(name::MAX_CLIENTS, "many")
        .file("hold_timeout = 5\nqueue_dept = 1\nadmin = []\nworkers = [1, 2]\n")
        .refused()
        .await;
    for expected in [
        "WEIR_QUEUE_TIMEOUT: \"4\" is a duration without its unit; add a unit: write 4s, 4ms or 4m",
        "WEIR_MAX_IN_FLIGHT: \"64\" is a size without its unit; add a unit: write 64B",
        "WEIR_BEHIND: \"nlb\" is not one of its words; write none or list or balancer",
        "WEIR_LISTEN: \"127.0.0.1\" is an address without a port",
        "WEIR_LISTEN: \"unix:x\" is a unix socket without an absolute path",
        "--max-clients: \"many\" is not a whole number",
        "weir.toml: hold_timeout: \"5\" is a duration without its unit",
        "weir.toml: queue_dept: is no setting; did you mean queue_depth?",
        "weir.toml: admin: is given 0 values; give it one",
        "weir.toml: workers: is given 2 values; give it one",
        "WEIR_UPSTREAM: host 1 has a port that is no number",
    ] {
        assert!(
            problems.contains(expected),
            "{expected}\nis not in\n{problems}"
        );
    }
    assert!(
        problems.starts_with("the configuration has 11 mistakes:"),
        "{problems}"
    );
    assert!(!problems.contains("swordfish"), "{problems}");
}

#[tokio::test]
async fn without_anything_the_upstream_is_asked_for() {
    let problems = Layers::default().refused().await;
    assert!(problems.contains("set WEIR_UPSTREAM"), "{problems}");
    let empty = Layers::upstream("").refused().await;
    assert_eq!(empty, problems, "an empty variable is an unset one");
    let problems = Layers::upstream(URI)
        .flag(name::CONFIG, "gone.toml")
        .refused()
        .await;
    assert!(
        problems.contains("--config: the file gone.toml cannot be read"),
        "{problems}"
    );
}

#[tokio::test]
async fn the_upstream_string_sets_what_nobody_set() {
    let uri = format!(
        "{URI}&minPoolSize=3&waitQueueTimeoutMS=1500&serverSelectionTimeoutMS=7000\
         &maxConnecting=5&maxIdleTimeMS=9000&maxPoolSize=10"
    );
    let config = Layers::upstream(&uri).ok().await;
    let listener = &config.listeners[0];
    assert_eq!(listener.min_connections, 3);
    assert_eq!(listener.queue_timeout, Duration::from_millis(1500));
    assert_eq!(listener.hold_timeout, Duration::from_secs(7));
    assert_eq!(listener.max_connecting, 5);
    assert_eq!(listener.max_idle_time, Some(Duration::from_secs(9)));
    assert_eq!(
        (listener.max_connections, listener.data_connections()),
        (10, 8)
    );
    let warnings = config.warnings.join("\n");
    assert!(
        warnings.contains("lowers --max-connections from 20 to 10"),
        "{warnings}"
    );
    let origin = |flag| {
        config
            .effective
            .iter()
            .find(|e| e.flag == flag)
            .unwrap()
            .origin
            .clone()
    };
    assert_eq!(origin(name::MIN_CONNECTIONS), Origin::Uri("minPoolSize"));
    assert_eq!(origin(name::MAX_CONNECTIONS), Origin::Uri("maxPoolSize"));

    let config = Layers::upstream(&uri)
        .variable("WEIR_MIN_CONNECTIONS", "4")
        .variable("WEIR_QUEUE_TIMEOUT", "2s")
        .file("hold_timeout = \"8s\"\nmax_connecting = 6\nmax_idle_time = \"1m\"")
        .ok()
        .await;
    let listener = &config.listeners[0];
    assert_eq!(listener.min_connections, 4);
    assert_eq!(listener.queue_timeout, Duration::from_secs(2));
    assert_eq!(listener.hold_timeout, Duration::from_secs(8));
    assert_eq!(listener.max_connecting, 6);
    assert_eq!(listener.max_idle_time, Some(Duration::from_secs(60)));
}

#[tokio::test]
async fn the_string_never_raises_the_ceiling() {
    let large = format!("{URI}&maxPoolSize=100&minPoolSize=60");
    let config = Layers::upstream(&large).ok().await;
    assert_eq!(config.listeners[0].max_connections, 20);
    assert_eq!(
        config.listeners[0].min_connections, 18,
        "no more than there are"
    );
    assert!(
        config.warnings.join("\n").contains("does not raise"),
        "{:?}",
        config.warnings
    );
    let config = Layers::upstream(&large)
        .variable("WEIR_MAX_CONNECTIONS", "50")
        .ok()
        .await;
    assert_eq!(config.listeners[0].max_connections, 50);
    assert!(
        !config.warnings.join("\n").contains("does not raise"),
        "{:?}",
        config.warnings
    );
}

#[tokio::test]
async fn too_few_connections_for_operations_is_a_mistake_that_names_both_numbers() {
    for (query, max, fine) in [
        ("", "4", true),
        ("", "3", false),
        ("", "1", false),
        ("&serverMonitoringMode=poll", "3", true),
        ("&serverMonitoringMode=poll", "2", false),
        ("&maxPoolSize=3", "20", false),
    ] {
        let layers = Layers::upstream(&format!("{URI}{query}"));
        let result = layers.variable("WEIR_MAX_CONNECTIONS", max).load().await;
        assert_eq!(result.is_ok(), fine, "{query} {max}");
    }
    let balanced = Layers::upstream("mongodb://u:p@h/?loadBalanced=true");
    let config = balanced.variable("WEIR_MAX_CONNECTIONS", "2").ok().await;
    assert_eq!(config.listeners[0].data_connections(), 2);
    let problems = Layers::upstream(URI)
        .variable("WEIR_MAX_CONNECTIONS", "3")
        .refused()
        .await;
    assert!(
        problems.contains("allows 3 sockets to a node, of which 2 watch it"),
        "{problems}"
    );
    assert!(problems.contains("set it to 4 or more"), "{problems}");
    // Rules that join settings and string are reported with everything else, before any DNS.
    let problems = Layers::upstream("mongodb+srv://h.invalid/?maxPoolSize=3")
        .variable("WEIR_LISTEN", "0.0.0.0:1")
        .variable("WEIR_QUEUE_TIMEOUT", "4")
        .refused()
        .await;
    for expected in [
        "maxPoolSize in the upstream string: allows 3",
        "must log in",
        "add a unit",
    ] {
        assert!(
            problems.contains(expected),
            "{expected} is not in {problems}"
        );
    }
    let problems = Layers::upstream(URI)
        .variable("WEIR_MIN_CONNECTIONS", "19")
        .refused()
        .await;
    assert!(
        problems.contains("WEIR_MIN_CONNECTIONS: is 19, but only 18"),
        "{problems}"
    );
}

#[tokio::test]
async fn client_options_are_named_and_left_to_the_client() {
    let config = Layers::upstream(&format!("{URI}&w=majority&retryWrites=false"))
        .ok()
        .await;
    let warnings = config.warnings.join("\n");
    assert!(
        warnings.contains("commands (w, retryWrites); keep"),
        "{warnings}"
    );
    assert!(
        warnings.contains("keep these in the client's string"),
        "{warnings}"
    );
}

#[tokio::test]
async fn clients_log_in_beyond_this_machine() {
    let listen = |uri: &str, address: &str| Layers::upstream(uri).variable("WEIR_LISTEN", address);
    let config = listen(
        URI,
        "127.0.0.1:1,unix:/run/w.sock,0.0.0.0:2,localhost:3,weir:4",
    )
    .ok()
    .await;
    let listener = &config.listeners[0];
    let auth: Vec<ClientAuth> = listener
        .listen
        .iter()
        .map(|a| listener.client_auth(a))
        .collect();
    let (optional, required) = (ClientAuth::Optional, ClientAuth::Required);
    assert_eq!(auth, [optional, optional, required, optional, required]);

    let nobody = "mongodb://h/";
    listen(nobody, "127.0.0.1:1").ok().await;
    let problems = listen(nobody, "0.0.0.0:1").refused().await;
    assert!(
        problems.contains("WEIR_LISTEN: clients of 0.0.0.0:1 must log in"),
        "{problems}"
    );
    let config = listen(nobody, "0.0.0.0:1")
        .variable("WEIR_ALLOW_ANONYMOUS", "true")
        .ok()
        .await;
    let listener = &config.listeners[0];
    assert_eq!(
        listener.client_auth(&listener.listen[0]),
        ClientAuth::Optional
    );
    let x509 = "mongodb://h/?authMechanism=MONGODB-X509&tlsCertificateKeyFile=/dev/null";
    let problems = listen(x509, "0.0.0.0:1").refused().await;
    assert!(problems.contains("logs in by certificate"), "{problems}");
    let role = "mongodb://h/?authMechanism=MONGODB-AWS";
    let problems = listen(role, "0.0.0.0:1").refused().await;
    assert!(problems.contains("logs in by a role of AWS"), "{problems}");
}

#[tokio::test]
async fn a_file_may_hold_several_clusters() {
    let file = r#"
        max_connections = 30
        behind = "balancer"

        [[listener]]
        name = "orders"
        listen = ["127.0.0.1:27017", "unix:/run/orders.sock"]
        upstream = "mongodb://u:p@orders/"
        max_connections = 40
        no_probe = true

        [[listener]]
        listen = "127.0.0.1:27018"
        upstream = "mongodb://u:p@users/"
    "#;
    let config = Layers::default().file(file).ok().await;
    let names: Vec<&str> = config.listeners.iter().map(|l| l.name.as_str()).collect();
    assert_eq!(names, ["orders", "listener-2"]);
    assert_eq!(config.listeners[0].listen.len(), 2);
    let sizes: Vec<usize> = config.listeners.iter().map(|l| l.max_connections).collect();
    assert_eq!(
        sizes,
        [40, 30],
        "top-level keys are for listeners that have none"
    );
    assert!(!config.listeners[0].probe_cursors && config.listeners[1].probe_cursors);
    assert_eq!(config.drain_timeout, defaults::DRAIN_BALANCER);

    let both = Layers::default()
        .file(file)
        .variable("WEIR_MAX_CONNECTIONS", "50")
        .ok()
        .await;
    assert!(
        both.listeners
            .iter()
            .all(|listener| listener.max_connections == 50)
    );

    let problems = Layers::upstream(URI).file(file).refused().await;
    assert!(
        problems.contains("WEIR_UPSTREAM: is one value, but the file has 2 listeners"),
        "{problems}"
    );
    for one in SETTINGS
        .iter()
        .filter(|setting| setting.scope == Scope::OneListener)
    {
        let layers = Layers::default().file(file).flag(one.flag, samples(one)[0]);
        let problems = layers.refused().await;
        assert!(
            problems.contains(&format!("--{}: is one value", one.flag)),
            "{problems}"
        );
    }
}

#[tokio::test]
async fn mistakes_in_a_file_name_their_listener() {
    let problems = Layers::default()
        .file(
            r#"
            [[listener]]
            name = "a b"
            upstream = "mongodb://u:p@h:x/"
            [[listener]]
            name = "same"
            listen = "127.0.0.1:27017"
            upstream = "mongodb://u:p@h/?tls=maybe"
            queue_timeout = 4
            admin = "127.0.0.1:1"
            [[listener]]
            name = "same"
            max_connections = { a = 1 }
            "#,
        )
        .refused()
        .await;
    for expected in [
        "name of listener 1: is no name that can label metrics",
        "weir.toml: listener \"a b\": upstream: host 1 has a port",
        "weir.toml: listener \"same\": upstream: tls: is neither true nor false",
        "weir.toml: listener \"same\": queue_timeout: \"4\" is a duration without its unit",
        "weir.toml: listener \"same\": admin: is a setting of the whole process",
        "weir.toml: listener \"same\": max_connections: has a value of the wrong kind",
        "listener \"same\": is there twice",
        "upstream of listener \"same\": is not set",
    ] {
        assert!(
            problems.contains(expected),
            "{expected}\nis not in\n{problems}"
        );
    }
    let taken = Layers::default()
        .file(
            "[[listener]]\nupstream = \"mongodb://u:p@a/\"\n\
             [[listener]]\nupstream = \"mongodb://u:p@b/\"\n\
             [[listener]]\nupstream = \"mongodb://u:p@c/\"\nlisten = \"127.0.0.1:9604\"\n",
        )
        .refused()
        .await;
    assert!(
        taken.contains("127.0.0.1:27017 is already taken by listener \"listener-1\""),
        "{taken}"
    );
    assert!(
        taken.contains("127.0.0.1:9604 is already taken by --admin"),
        "{taken}"
    );
}

#[tokio::test]
async fn broken_toml_is_located_and_not_quoted() {
    let file = "behind = \"list\"\nupstream = \"mongodb://u:swordfish@h/\" oops\n";
    let problems = Layers::default().file(file).refused().await;
    assert!(
        problems.contains("weir.toml: line 2 is not TOML"),
        "{problems}"
    );
    assert!(!problems.contains("swordfish"), "{problems}");
    let single = Layers::default()
        .file("[listener]\nname = \"a\"\n")
        .refused()
        .await;
    assert!(single.contains("[[listener]]"), "{single}");
}

#[tokio::test]
async fn settings_that_depend_on_others() {
    for (behind, timeout) in [
        ("none", defaults::DRAIN_NONE),
        ("list", defaults::DRAIN_LIST),
        ("balancer", defaults::DRAIN_BALANCER),
    ] {
        let config = Layers::upstream(URI)
            .variable("WEIR_BEHIND", behind)
            .ok()
            .await;
        assert_eq!(config.drain_timeout, timeout, "{behind}");
    }
    let problems = Layers::upstream(URI)
        .variable("WEIR_CLIENT_KEEPALIVE", "10m")
        .refused()
        .await;
    assert!(
        problems.contains("--client-dead-after: is not longer"),
        "{problems}"
    );
    let problems = Layers::upstream(URI)
        .variable("WEIR_TLS_KEY", "/dev/null")
        .refused()
        .await;
    assert!(
        problems.contains("WEIR_TLS_KEY: is set without a certificate"),
        "{problems}"
    );
    let problems = Layers::upstream(&format!("{URI}&tlsCAFile=/nowhere.pem"))
        .refused()
        .await;
    assert!(
        problems.contains("WEIR_UPSTREAM: tlsCAFile: the file /nowhere.pem"),
        "{problems}"
    );
    let problems = Layers::upstream(URI)
        .variable("WEIR_MAX_IN_FLIGHT", "1MiB")
        .refused()
        .await;
    assert!(
        problems.contains("too little for one document"),
        "{problems}"
    );
    let config = Layers::upstream(URI)
        .variable("WEIR_LISTEN", "127.0.0.1:0, 127.0.0.1:0")
        .ok()
        .await;
    assert_eq!(config.listeners[0].listen.len(), 2, "port 0 is always free");
}

#[tokio::test]
async fn a_misspelt_variable_is_pointed_out() {
    let config = Layers::upstream(URI)
        .variable("WEIR_MAX_CONECTIONS", "5")
        .variable("WEIR_SOMETHING_ELSE", "x")
        .ok()
        .await;
    assert_eq!(
        config.warnings,
        ["WEIR_MAX_CONECTIONS is no setting; did you mean WEIR_MAX_CONNECTIONS?"]
    );
}

#[tokio::test]
async fn nothing_printable_holds_the_password() {
    let layers = Layers::upstream(URI).flag(name::UPSTREAM, URI);
    let config = layers.ok().await;
    let printed = format!("{config:?}{config:#?}{:?}", layers.flags);
    assert!(!printed.contains("swordfish"), "{printed}");
    assert!(
        printed.contains("user:***@"),
        "the effective settings show the rest: {printed}"
    );
    let credential = config.listeners[0].upstream.credential.as_ref().unwrap();
    assert_eq!(credential.password.reveal(), "swordfish");
}

#[test]
fn lambda_is_recognised_by_its_environment() {
    let is = |name: &str, value: &str| {
        env::is_function_environment(&BTreeMap::from([(name.to_owned(), value.to_owned())]))
    };
    assert!(is("AWS_EXECUTION_ENV", "AWS_Lambda_python3.12"));
    assert!(is("AWS_LAMBDA_RUNTIME_API", "127.0.0.1:9001"));
    assert!(!is("AWS_EXECUTION_ENV", "AWS_ECS_FARGATE"));
    assert!(!is("AWS_LAMBDA_RUNTIME_API", ""));
}
