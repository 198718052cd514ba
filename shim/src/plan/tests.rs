//! Which variables are changed, and what is said.

use super::*;
use crate::settings::IDENTITIES;

fn made(variables: &[(&str, &str)]) -> Plan {
    let pairs = variables.iter();
    let environment: Vec<_> = pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect();
    plan(&environment, "nobody")
}

fn changes(variables: &[(&str, &str)]) -> Vec<(String, String)> {
    made(variables).changes
}

fn said(plan: &Plan) -> String {
    plan.said().collect::<Vec<_>>().join("\n")
}

fn pair(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

const URI: &str = "mongodb://u:secret@a,b/db?replicaSet=r";
const NEW: &str = "mongodb://u:secret@127.0.0.1:27017/db";

#[test]
fn strings_and_secrets_are_found_and_their_originals_kept() {
    let json = format!(r#"{{"user": "u", "uri": "{URI}"}}"#);
    let variables = [
        ("PATH", "/bin"),
        ("MONGODB_URI", URI),
        ("DATABASE_URL", "postgres://x"),
        ("SECRET", &json),
    ];
    let plan = made(&variables);
    let expected = [
        pair("WEIR_SHIM_ORIGINAL_MONGODB_URI", URI),
        pair("MONGODB_URI", NEW),
        pair("WEIR_SHIM_ORIGINAL_SECRET", &json),
        pair("SECRET", &format!(r#"{{"user": "u", "uri": "{NEW}"}}"#)),
    ];
    assert_eq!(plan.changes, expected);
    let said = said(&plan);
    assert!(said.contains("MONGODB_URI is now mongodb://***@127.0.0.1:27017/db"));
    assert!(!said.contains("secret"), "{said}");
}

#[test]
fn variables_of_weir_itself_are_left_alone() {
    let variables = [
        ("WEIR_UPSTREAM", "mongodb+srv://u:p@shared"),
        ("WEIR_SHIM_ORIGINAL_Y", URI),
        ("X", URI),
    ];
    let names: Vec<_> = changes(&variables).into_iter().map(|c| c.0).collect();
    assert_eq!(names, ["WEIR_SHIM_ORIGINAL_X", "X"]);
}

#[test]
fn a_changed_environment_stays_as_it_is() {
    let plan = made(&[("X", NEW), ("WEIR_SHIM_ORIGINAL_X", URI)]);
    assert!(plan.changes.is_empty());
    assert_eq!(said(&plan), "X points at Weir already");
    assert!(plan.probe.is_none(), "nothing hangs on Weir's presence");
}

#[test]
fn a_list_names_exactly_what_is_changed() {
    let variables = [
        ("WEIR_SHIM_VARS", "B, MISSING,TEXT"),
        ("A", URI),
        ("B", "mongodb://other/"),
        ("TEXT", "hello"),
    ];
    let plan = made(&variables);
    let names: Vec<_> = plan.changes.iter().map(|c| c.0.as_str()).collect();
    assert_eq!(names, ["WEIR_SHIM_ORIGINAL_B", "B"]);
    let said = said(&plan);
    assert!(said.contains("MISSING, which WEIR_SHIM_VARS names, is not set"));
    assert!(said.contains("TEXT, which WEIR_SHIM_VARS names, holds no"));
}

#[test]
fn two_clusters_are_not_mixed_up() {
    let two = [("A", URI), ("B", "mongodb://other/")];
    let plan = made(&two);
    assert!(plan.changes.is_empty());
    assert!(said(&plan).contains("A, B name different clusters"));
    // With a list, the owner has decided.
    let named = [("WEIR_SHIM_VARS", "A,B"), two[0], two[1]];
    assert_eq!(changes(&named).len(), 4);
    // The same hosts in another order, and one that points at Weir already.
    let same = [("A", URI), ("B", "mongodb://b:27017,A/"), ("C", NEW)];
    assert_eq!(changes(&same).len(), 4);
}

#[test]
fn the_switch_the_share_and_the_target_are_heeded() {
    for (name, value, changed) in [
        ("WEIR_SHIM_OFF", "1", false),
        ("WEIR_SHIM_OFF", "true", false),
        ("WEIR_SHIM_OFF", "0", true),
        ("WEIR_SHIM_OFF", "False", true),
        ("WEIR_SHIM_OFF", "", true),
        ("WEIR_SHIM_OFF", " ", true),
        ("WEIR_SHIM_VARS", " ", true),
        ("WEIR_SHIM_VARS", " , ", true),
        ("WEIR_SHIM_PERCENT", " ", true),
        ("WEIR_SHIM_PERCENT", "0", false),
        ("WEIR_SHIM_PERCENT", "100", true),
        ("WEIR_SHIM_PERCENT", "lots", false),
        ("WEIR_SHIM_TARGET", "mongodb://weir", false),
        ("WEIR_SHIM_TARGET", "weir-1:27017,weir-2:27017", true),
        ("WEIR_SHIM_TARGET", "unix:/run/weir.sock", true),
    ] {
        let plan = made(&[("X", URI), (name, value)]);
        assert_eq!(!plan.changes.is_empty(), changed, "{name}={value}");
        let said = said(&plan);
        assert_eq!(said.contains("nothing is changed: "), !changed, "{said}");
    }
}

#[test]
fn the_share_goes_by_the_name_of_the_environment() {
    let chosen = |identity: &str, n: u32| {
        let name = format!("2026/11/21/[$LATEST]{n}");
        let settings = [("X", URI), ("WEIR_SHIM_PERCENT", "50"), (identity, &name)];
        !changes(&settings).is_empty()
    };
    for identity in IDENTITIES {
        let count = (0..200).filter(|n| chosen(identity, *n)).count();
        assert!((70..130).contains(&count), "{identity}: {count}");
        assert!((0..20).all(|n| chosen(identity, n) == chosen("WEIR_SHIM_ID", n)));
    }
}

#[test]
fn a_login_that_cannot_pass_is_said_and_left() {
    let uri = "mongodb://h/?authMechanism=MONGODB-X509&tls=true";
    let plan = made(&[("X", uri)]);
    assert!(plan.changes.is_empty());
    let line = "X stays as it is: its client certificate cannot pass through Weir; set it to \
                mongodb://127.0.0.1:27017/, and WEIR_UPSTREAM to the string with the certificate: \
                Weir presents it";
    assert_eq!(said(&plan), line);
}

#[test]
fn an_environment_without_strings_is_told_what_to_do() {
    let plan = made(&[("PATH", "/bin")]);
    assert!(plan.changes.is_empty());
    assert!(said(&plan).contains("fetches its own at run time"));
}

#[test]
fn configurations_are_changed_where_their_strings_are() {
    let config = |uri: &str, log: &str| {
        format!(r#"{{"db": {{"main": "{uri}", "log": ["{log}", "x"]}}, "port": 80}}"#)
    };
    let old = config(URI, "mongodb://b,a/log");
    let new = config(NEW, "mongodb://127.0.0.1:27017/log");
    let plan = made(&[("NODE_CONFIG", &old)]);
    let expected = [
        pair("WEIR_SHIM_ORIGINAL_NODE_CONFIG", &old),
        pair("NODE_CONFIG", &new),
    ];
    assert_eq!(plan.changes, expected);
    assert_eq!(said(&plan).lines().count(), 2, "one line for each string");
    assert_eq!(made(&[("NODE_CONFIG", &new)]).changes, []);
    // One of them cannot be changed: the other is.
    let x509 = "mongodb://a,b/log?authMechanism=MONGODB-X509";
    let plan = made(&[("NODE_CONFIG", &config(URI, x509))]);
    assert_eq!(plan.changes[1], pair("NODE_CONFIG", &config(NEW, x509)));
}

#[test]
fn the_first_original_is_the_original() {
    let other = "mongodb://u:secret@127.0.0.1:1/db";
    let plan = made(&[("X", other), ("WEIR_SHIM_ORIGINAL_X", URI)]);
    assert_eq!(plan.changes, [pair("X", NEW)]);
}

#[test]
fn where_nobody_is_there_nothing_is_changed() {
    let mut plan = made(&[("X", URI), ("Y", "mongodb://a,b/?authMechanism=PLAIN")]);
    let (target, limit) = plan.probe.take().unwrap();
    assert_eq!(
        (target.hosts(), limit.as_millis()),
        ("127.0.0.1:27017", 150)
    );
    plan.give_up(&target, limit);
    assert!(plan.changes.is_empty());
    let said = said(&plan);
    assert!(!said.contains("is now"), "{said}");
    assert!(said.contains("nothing is changed: nobody listens at 127.0.0.1:27017"));
    assert!(said.contains("Y stays as it is"));
    let unasked = made(&[("X", URI), ("WEIR_SHIM_PROBE", "off")]);
    assert!(unasked.probe.is_none() && !unasked.changes.is_empty());
}

#[test]
fn of_two_users_of_one_cluster_one_is_moved() {
    let variables = [
        ("C", "mongodb://v:other@a,b/"),
        ("B", "mongodb://u:secret@b,a:27017/x"),
        ("A", "mongodb://a,b/"),
    ];
    let plan = made(&variables);
    let names: Vec<_> = plan.changes.iter().map(|c| c.0.as_str()).collect();
    let expected = ["WEIR_SHIM_ORIGINAL_B", "B", "WEIR_SHIM_ORIGINAL_A", "A"];
    assert_eq!(names, expected, "the first by name that has a login");
    let said = said(&plan);
    assert!(
        said.contains("C stays as it is") && said.contains("WEIR_SHIM_VARS"),
        "{said}"
    );
    assert!(
        said.contains("than B") && !said.contains("other@"),
        "{said}"
    );
    let named = [&variables[..], &[("WEIR_SHIM_VARS", "C")]].concat();
    assert_eq!(changes(&named).len(), 2);
}

#[test]
fn tls_that_is_lost_on_the_way_to_another_machine_is_said() {
    let lost = |uri, target| {
        let plan = made(&[("X", uri), ("WEIR_SHIM_TARGET", target)]);
        assert_eq!(plan.changes.len(), 2);
        said(&plan).contains("asked for TLS")
    };
    assert!(lost("mongodb://h/?tls=true", "weir:1"));
    assert!(lost("mongodb+srv://h/", "10.0.0.1:1"));
    assert!(!lost("mongodb://h/?tls=true", "127.0.0.1:1"));
    assert!(!lost("mongodb://h/", "weir:1"));
}
