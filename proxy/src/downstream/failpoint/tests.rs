use bson::{RawDocumentBuf, doc, rawdoc};

use super::{Asked, FailPoints, Planned, codes};
use crate::{error::Class, wire::reply};

fn set(points: &FailPoints, mode: RawDocumentBuf, data: RawDocumentBuf) {
    let mut command = rawdoc! { "configureFailPoint": "failCommand" };
    command.append(bson::raw::cstr!("mode"), mode);
    command.append(bson::raw::cstr!("data"), data);
    points
        .configure(b"admin", command.as_bytes())
        .unwrap()
        .unwrap();
}

fn always() -> RawDocumentBuf {
    rawdoc! { "skip": 0 }
}

fn hit(points: &FailPoints, command: &RawDocumentBuf, class: Class) -> Option<Planned> {
    let name = command.iter().next().unwrap().unwrap().0;
    points.plan(Asked {
        name: name.as_str().as_bytes(),
        database: b"db",
        body: command.as_bytes(),
        class,
        app_name: Some("app"),
    })
}

fn error_of(planned: Option<Planned>) -> bson::Document {
    let bytes = planned.unwrap().error.unwrap();
    bson::Document::try_from(RawDocumentBuf::from_bytes(bytes).unwrap()).unwrap()
}

/// Wording and codes of mongod 6.0.5.
#[test]
fn modes_are_read_and_refused_as_a_server_does() {
    let points = FailPoints::default();
    let ask = |db: &[u8], command: RawDocumentBuf| {
        points
            .configure(db, command.as_bytes())
            .unwrap()
            .unwrap_err()
    };
    let point = "failCommand";
    let refused = [
        (rawdoc! { "configureFailPoint": point }, 20),
        (rawdoc! { "configureFailPoint": point, "mode": "zz" }, 2),
        (rawdoc! { "configureFailPoint": point, "mode": 5 }, 14),
        (
            rawdoc! { "configureFailPoint": point, "mode": { "bad": 1 } },
            2,
        ),
        (
            rawdoc! { "configureFailPoint": point, "mode": { "times": -1 } },
            2,
        ),
        (
            rawdoc! { "configureFailPoint": point, "mode": { "activationProbability": 1.5 } },
            2,
        ),
    ];
    for (command, code) in refused {
        assert_eq!(ask(b"admin", command.clone()).code, code, "{command:?}");
    }
    let elsewhere = rawdoc! { "configureFailPoint": point, "mode": "off" };
    assert_eq!(ask(b"db", elsewhere).code, 13);
    let other = rawdoc! { "configureFailPoint": "other", "mode": "off" };
    assert!(points.configure(b"admin", other.as_bytes()).is_none());
}

#[test]
fn times_skip_and_probability_count_as_a_servers() {
    let points = FailPoints::default();
    let ping = rawdoc! { "ping": 1 };
    let data = || rawdoc! { "failCommands": ["ping"], "errorCode": 1 };
    let acts = |n: usize| -> Vec<bool> {
        (0..n)
            .map(|_| hit(&points, &ping, Class::Read).is_some())
            .collect()
    };
    set(&points, rawdoc! { "times": 2 }, data());
    assert_eq!(acts(3), [true, true, false]);
    assert!(!points.are_set());
    set(&points, rawdoc! { "skip": 2 }, data());
    assert_eq!(acts(4), [false, false, true, true]);
    set(&points, rawdoc! { "activationProbability": 1.0 }, data());
    assert_eq!(acts(2), [true, true]);
    set(&points, rawdoc! { "activationProbability": 0.0 }, data());
    assert_eq!(acts(2), [false, false]);
    let off = rawdoc! { "configureFailPoint": "failCommand", "mode": "off" };
    let acted = points.configure(b"admin", off.as_bytes()).unwrap().unwrap();
    assert_eq!(acted, 6);
}

#[test]
fn it_is_meant_for_command_application_and_collection() {
    let points = FailPoints::default();
    let meant = |data: RawDocumentBuf, command: RawDocumentBuf| {
        set(&points, always(), data);
        hit(&points, &command, Class::Read).is_some()
    };
    let on = |name: &str| rawdoc! { "failCommands": [name], "errorCode": 1 };
    assert!(meant(on("isMaster"), rawdoc! { "ismaster": 1 }));
    assert!(!meant(on("isMaster"), rawdoc! { "hello": 1 }));
    let app = |name: &str| rawdoc! { "failCommands": ["find"], "appName": name, "errorCode": 1 };
    assert!(meant(app("app"), rawdoc! { "find": "c" }));
    assert!(!meant(app("other"), rawdoc! { "find": "c" }));
    let within = |name: &str| {
        rawdoc! { "failCommands": ["find", "getMore"], "namespace": name, "errorCode": 1 }
    };
    assert!(meant(within("db.c"), rawdoc! { "find": "c" }));
    assert!(meant(
        within("db.c"),
        rawdoc! { "getMore": 1_i64, "collection": "c" }
    ));
    assert!(!meant(within("db.d"), rawdoc! { "find": "c" }));
}

/// Any label passes, also one that Weir does not know, and so does `errorExtraInfo`.
#[test]
fn the_error_carries_what_was_asked_for() {
    let points = FailPoints::default();
    let data = rawdoc! {
        "failCommands": ["find"], "errorCode": 999_999,
        "errorLabels": ["Mine", "RetryableError"], "errorExtraInfo": { "why": "so" },
    };
    set(&points, always(), data);
    let error = error_of(hit(&points, &rawdoc! { "find": "c" }, Class::Read));
    let expected = doc! {
        "errorLabels": ["Mine", "RetryableError"], "ok": 0.0,
        "errmsg": "Failing command via 'failCommand' failpoint",
        "code": 999_999, "codeName": "Location999999", "why": "so",
    };
    assert_eq!(error, expected);
}

#[test]
fn labels_that_nobody_named_are_a_servers() {
    let labels = |code, class| codes::labels_of_a_server(code, class).names().next();
    assert_eq!(
        labels(10_107, Class::RetryableWrite),
        Some("RetryableWriteError")
    );
    assert_eq!(labels(10_107, Class::Write), None);
    assert_eq!(
        labels(91, Class::InTransaction),
        Some("TransientTransactionError")
    );
    assert_eq!(labels(91, Class::Commit), Some("RetryableWriteError"));
    for class in [Class::InTransaction, Class::Commit, Class::Abort] {
        assert_eq!(labels(24, class), Some("TransientTransactionError"));
        assert_eq!(labels(251, class), Some("TransientTransactionError"));
    }
    assert_eq!(labels(24, Class::RetryableWrite), None);
    // An empty list in the fail point means none at all.
    let points = FailPoints::default();
    let data = rawdoc! { "failCommands": ["insert"], "errorCode": 91, "errorLabels": [] };
    set(&points, always(), data);
    let error = error_of(hit(
        &points,
        &rawdoc! { "insert": "c" },
        Class::RetryableWrite,
    ));
    assert!(!error.contains_key("errorLabels"));
}

#[test]
fn a_write_concern_error_joins_the_reply_with_the_label_of_its_code() {
    let points = FailPoints::default();
    let concern = rawdoc! { "code": 91, "errmsg": "e" };
    let data = rawdoc! { "failCommands": ["insert"], "writeConcernError": concern };
    set(&points, always(), data);
    let reply = reply::op_msg(1, 2, 0, rawdoc! { "n": 1, "ok": 1.0 }.as_bytes());
    let insert = rawdoc! { "insert": "c" };
    let with = |class| {
        let message = hit(&points, &insert, class).unwrap().add_concern(&reply);
        let body = message.unwrap().split_off(21);
        bson::Document::try_from(RawDocumentBuf::from_bytes(body).unwrap()).unwrap()
    };
    let written = doc! { "n": 1, "ok": 1.0, "writeConcernError": { "code": 91, "errmsg": "e" } };
    assert_eq!(with(Class::Write), written);
    assert_eq!(with(Class::InTransaction), written);
    let labels = with(Class::RetryableWrite)
        .get_array("errorLabels")
        .cloned();
    assert_eq!(labels.unwrap(), ["RetryableWriteError".into()]);
}

#[test]
fn codes_have_a_servers_names() {
    assert_eq!(codes::name(24), "LockTimeout");
    assert_eq!(codes::name(10_107), "NotWritablePrimary");
    assert_eq!(codes::name(13_436), "NotPrimaryOrSecondary");
    assert_eq!(codes::name(12_345), "Location12345");
}
