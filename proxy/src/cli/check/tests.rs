//! Both renderings of a report.

use std::collections::BTreeMap;

use super::*;
use crate::config::Flags;
use crate::config::settings::name;

async fn report(show_secrets: bool) -> CheckReport {
    let flags = Flags::default()
        .with(
            name::UPSTREAM,
            "mongodb://app:swordfish@a:1,b:2/db?replicaSet=rs0&tls=true&w=majority",
        )
        .with(name::LISTEN, "0.0.0.0:27017");
    let none: BTreeMap<String, String> = BTreeMap::new();
    let config = Config::load(&flags, &none, false).await.unwrap();
    let mut report = CheckReport::of(&config, show_secrets);
    let listener = &mut report.listeners[0];
    listener.topology = Some(TopologyReport {
        kind: "replica set with primary".to_owned(),
        set_name: Some("rs0".to_owned()),
        nodes: vec![
            NodeReport {
                address: "a:1".to_owned(),
                kind: "primary".to_owned(),
                version: Some("7.0.28".to_owned()),
                max_wire_version: Some(21),
                rtt_ms: Some(0.42),
                connections: Some((31, 1469)),
                error: None,
            },
            NodeReport {
                address: "b:2".to_owned(),
                kind: "unknown".to_owned(),
                error: Some("connection refused".to_owned()),
                ..NodeReport::default()
            },
        ],
    });
    listener.login = Some(LoginReport {
        user: "app".to_owned(),
        source: "db".to_owned(),
        mechanism: Some("SCRAM-SHA-256".to_owned()),
        error: None,
    });
    report
}

#[tokio::test]
async fn the_text_tells_a_person_what_to_do() {
    let report = report(false).await;
    let text = report.to_text();
    let (listener, settings) = text.split_once("\nsettings of the process\n").unwrap();
    let expected = "
listener default
  listens on   0.0.0.0:27017
  upstream     mongodb://app:***@a:1,b:2/db?replicaSet=rs0&tls=true&w=majority
  connections  20 per node: 18 for operations, 2 watch it
  deployment   replica set with primary rs0
    a:1, primary, MongoDB 7.0.28, wire version 21, 0.4 ms away, 31 connections, 1469 more accepted
    b:2, unknown, connection refused
  login        app of db by SCRAM-SHA-256: accepted
  client's string for one Weir (sidecar or service)
    mongodb://app:***@WEIR_HOST:27017/db?w=majority
  client's string for several Weirs, listed
    mongodb://app:***@WEIR_HOST_1:27017,WEIR_HOST_2:27017/db?w=majority
  client's string for several Weirs behind a balancer
    mongodb://app:***@BALANCER_HOST:27017/db?w=majority&loadBalanced=true
  left out of the client's string
    replicaSet: Weir answers as a mongos; a driver that looks for a replica set never selects it
    tls: it describes TLS to the cluster, which is Weir's side of the connection
";
    let version = format!("weir {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(listener, format!("{version}{expected}"));
    assert!(
        settings.contains("\nsettings of listener default\n"),
        "{settings}"
    );
    assert!(
        settings.contains("  listen                  0.0.0.0:27017  (--listen)\n"),
        "{settings}"
    );
    assert!(
        settings.contains("  queue-timeout           4s\n"),
        "{settings}"
    );
    assert!(
        settings.contains("keep these in the client's string"),
        "{settings}"
    );
    assert!(settings.ends_with("\neverything is fine\n"), "{settings}");
    assert!(!text.contains("swordfish"));
}

#[tokio::test]
async fn problems_make_it_fail() {
    let mut report = report(false).await;
    assert!(report.is_fine());
    report.listeners[0]
        .problems
        .push("the upstream is a standalone".to_owned());
    assert!(!report.is_fine());
    let text = report.to_text();
    assert!(
        text.contains("  problems\n    the upstream is a standalone\n"),
        "{text}"
    );
    assert!(
        text.ends_with("not fine: see the problems above\n"),
        "{text}"
    );
}

#[tokio::test]
async fn secrets_are_shown_only_when_asked_for() {
    let hidden = report(false).await;
    assert!(!hidden.to_json().unwrap().contains("swordfish"));
    let shown = report(true).await;
    let json: serde_json::Value = serde_json::from_str(&shown.to_json().unwrap()).unwrap();
    assert_eq!(
        json["listeners"][0]["client_strings"][0]["string"],
        "mongodb://app:swordfish@WEIR_HOST:27017/db?w=majority"
    );
    assert_eq!(
        json["listeners"][0]["upstream"],
        "mongodb://app:***@a:1,b:2/db?replicaSet=rs0&tls=true&w=majority"
    );
    assert_eq!(json["settings"][0]["from"], "default");
    assert_eq!(
        json["listeners"][0]["topology"]["nodes"][0]["max_wire_version"],
        21
    );
}
