//! The two renderings.

use std::collections::BTreeMap;

use super::*;
use weir::check::report::{CheckReport, LoginReport, NodeConnections, NodeReport, TopologyReport};
use weir::config::settings::name;
use weir::config::{Flags, Problem};

async fn config(upstream: &str, listen: &str) -> Config {
    let flags = Flags::default()
        .with(name::UPSTREAM, upstream)
        .with(name::LISTEN, listen);
    let none: BTreeMap<String, String> = BTreeMap::new();
    Config::load(&flags, &none, false).await.unwrap()
}

async fn report(show_secrets: bool) -> CheckReport {
    let upstream = "mongodb://app:swordfish@a:1,b:2/db?replicaSet=rs0&tls=true&w=majority&odd=fish";
    let mut report = CheckReport::of(&config(upstream, "0.0.0.0:27017").await, show_secrets);
    let listener = &mut report.listeners[0];
    listener.serves = true;
    listener.topology = Some(TopologyReport {
        kind: "replica set".to_owned(),
        set_name: Some("rs0".to_owned()),
        nodes: vec![
            NodeReport {
                address: "a:1".to_owned(),
                role: "primary".to_owned(),
                version: Some("MongoDB 7.0.28".to_owned()),
                wire_versions: Some((0, 21)),
                compression: Some("zstd".to_owned()),
                round_trip_ms: Some(0.42),
                connections: Some(NodeConnections {
                    current: 31,
                    available: 1469,
                }),
                error: None,
            },
            NodeReport {
                address: "b:2".to_owned(),
                role: "unknown".to_owned(),
                error: Some("connection refused".to_owned()),
                ..NodeReport::default()
            },
        ],
    });
    listener.login = Some(LoginReport {
        user: "app".to_owned(),
        source: "db".to_owned(),
        mechanism: Some("SCRAM-SHA-256".to_owned()),
        accepted_by: 1,
        error: None,
    });
    report
}

#[tokio::test]
async fn the_text_tells_a_person_what_to_do() {
    let report = report(false).await;
    let text = text::of(&report);
    let (listener, settings) = text.split_once("\nsettings of the process\n").unwrap();
    let expected = "
listener default
  listens on   0.0.0.0:27017
  upstream     mongodb://app:***@a:1,b:2/db?replicaSet=rs0&tls=true&w=majority&odd=***
  connections  at most 20 per node: 18 for operations, 2 watch it
  deployment   replica set rs0
    a:1 primary, MongoDB 7.0.28, wire versions 0-21, compression zstd, 0.4 ms away, \
31 connections open (this check's included), room for 1469
    b:2 unknown, not usable
  login        user app of db by SCRAM-SHA-256: accepted by 1 node

  strings for the application
    (put the names your clients reach for the hosts; for *** put the password, or add --show-secrets)
    one Weir (sidecar or service)
      mongodb://app:***@WEIR_HOST:27017/db?w=majority&odd=***
    several Weirs, listed
      mongodb://app:***@WEIR_HOST_1:27017,WEIR_HOST_2:27017/db?w=majority&odd=***
    several Weirs behind a balancer
      mongodb://app:***@BALANCER_HOST:27017/db?w=majority&odd=***&loadBalanced=true

  left out of the application's string
    replicaSet: Weir answers as a mongos; a driver that looks for a replica set never selects it
    tls: it describes TLS to the cluster, which is Weir's side of the connection
";
    let version = format!("weir {}\n", env!("CARGO_PKG_VERSION"));
    assert_eq!(listener, format!("{version}{expected}"));
    for line in [
        "\nsettings of listener default\n",
        "  listen                  0.0.0.0:27017  (from --listen)\n",
        "  queue-timeout           4s\n",
        "keep these in the client's string",
    ] {
        assert!(settings.contains(line), "{settings}");
    }
    assert!(settings.ends_with("\neverything is fine\n"), "{settings}");
    assert!(!text.contains("swordfish"));
}

#[tokio::test]
async fn problems_stand_at_the_end_with_what_they_mean() {
    let mut report = report(false).await;
    assert!(report.is_ok());
    report.listeners[0]
        .remarks
        .push("a:1: few connections".to_owned());
    report.listeners[0].problems.push("b:2: is down".to_owned());
    assert!(!report.is_ok());
    let text = text::of(&report);
    let end = "
remarks
  a:1: few connections

problems
  b:2: is down

not fine: Weir would serve, but see the problems above
";
    assert!(text.ends_with(end), "{text}");
    report.listeners[0].serves = false;
    let text = text::of(&report);
    assert!(text.ends_with("could not serve; see the problems above\n"));
}

#[tokio::test]
async fn secrets_are_shown_only_when_asked_for() {
    let hidden = report(false).await;
    assert!(!hidden.to_json().unwrap().contains("fish"));
    let shown = report(true).await;
    let json: serde_json::Value = serde_json::from_str(&shown.to_json().unwrap()).unwrap();
    let listener = &json["listeners"][0];
    assert_eq!(
        listener["client_strings"][0]["string"],
        "mongodb://app:swordfish@WEIR_HOST:27017/db?w=majority&odd=fish"
    );
    assert_eq!(
        listener["upstream"],
        "mongodb://app:***@a:1,b:2/db?replicaSet=rs0&tls=true&w=majority&odd=***"
    );
    assert_eq!(json["ok"], true);
    assert_eq!(json["settings"][0]["from"], "default");
    assert_eq!(listener["topology"]["nodes"][0]["wire_versions"][1], 21);
    assert_eq!(
        listener["topology"]["nodes"][0]["connections"]["available"],
        1469
    );
}

#[test]
fn wrong_settings_have_a_shape_for_machines_too() {
    let problems = Problems(vec![Problem::new("--listen", "is odd", "change it")]);
    let json: serde_json::Value = serde_json::from_str(&problems_json(&problems)).unwrap();
    assert_eq!(json["ok"], false);
    assert_eq!(json["configuration"][0]["hint"], "change it");
}
