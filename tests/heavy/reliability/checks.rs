//! That the verdicts would notice.

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "all of this file is a test"
)]

use std::collections::BTreeMap;

use serde_json::{Value, json};
use weir_lab::reliability::event::{Event, Window};
use weir_lab::reliability::goals::goals;
use weir_lab::reliability::record::{Class, Endpoint, Heard, Line, Record};
use weir_lab::reliability::report::markdown;
use weir_lab::reliability::stage::CAP;
use weir_lab::reliability::verdict::Outcome;
use weir_lab::soak::ledger::Tally;
use weir_tests::drivers::{DRIVERS, Driver};

const DRIVER: Driver = DRIVERS[0];

fn record(line: Value) -> Record {
    match Line::read(&line).unwrap() {
        Line::Record(record) => record,
        Line::Pool(..) => panic!("{line} is no operation"),
    }
}

fn read(at: f64, ms: f64, error: Option<&str>) -> Record {
    record(json!({ "class": "RD", "at": at, "ms": ms, "error": error }))
}

fn outcome(event: Event, records: Vec<Record>, windows: &[(f64, f64)]) -> Outcome {
    let windows = windows.iter().map(|(from, to)| Window {
        from: *from,
        to: *to,
        elected: None,
        left: None,
        late: None,
    });
    let heard = Heard {
        driver: DRIVER,
        endpoint: Endpoint::Weir,
        records,
        pools: Vec::new(),
    };
    let mut outcome = Outcome::new(event, windows.collect(), vec![heard]);
    outcome.ledgers = BTreeMap::from([(Endpoint::Weir, (Tally::default(), Vec::new()))]);
    outcome
}

fn gaps(ends: &[f64], windows: &[(f64, f64)]) -> Vec<f64> {
    let records = ends.iter().map(|end| read(end - 1.0, 1.0, None));
    let outcome = outcome(Event::Kill, records.collect(), windows);
    outcome.cell(DRIVER, Endpoint::Weir, Class::Read).gaps
}

#[test]
fn recovery_is_the_longest_while_without_a_success() {
    let ends = [10.0, 20.0, 30.0, 90.0, 100.0, 110.0, 300.0];
    assert_eq!(gaps(&ends, &[(25.0, 105.0), (40.0, 105.0)]), [60.0, 50.0]);
    assert_eq!(gaps(&ends, &[(115.0, 320.0)]), [185.0]);
    assert_eq!(gaps(&[], &[(5.0, 7.0)]), [2.0]);
}

#[test]
fn an_error_is_no_success_and_counts_by_what_was_seen() {
    let records = vec![
        read(1.0, 1.0, None),
        read(10.0, 500.0, Some("AutoReconnect")),
        read(600.0, 1.0, None),
    ];
    let outcome = outcome(Event::Kill, records, &[(5.0, 700.0)]);
    let cell = outcome.cell(DRIVER, Endpoint::Weir, Class::Read);
    assert_eq!(
        (cell.operations, cell.worst, cell.gaps[0]),
        (3, 500.0, 596.0)
    );
    assert_eq!(cell.errors["AutoReconnect"], 1);
    assert_eq!(outcome.verdict(Endpoint::Weir).retryable_errors, 1);
    assert!(markdown(&[outcome]).contains("| retryable read | PyMongo |"));
}

fn violations(event: Event, error: &str, class: &str) -> usize {
    let line = json!({ "class": class, "at": 1, "ms": 1, "error": error,
        "counter": "c", "number": 1 });
    outcome(event, vec![record(line)], &[(0.0, 2.0)])
        .violations()
        .len()
}

#[test]
fn what_must_not_be_is_noticed() {
    assert!(violations(Event::Kill, "OperationFailure 6", "RW") > 0);
    assert!(violations(Event::Kill, "no answer", "NW") > 0);
    assert!(violations(Event::WeirKill, "Wrong", "CU") > 0);
    assert!(violations(Event::Password, "OperationFailure 13", "RD") > 0);
    let mut many = outcome(Event::WeirKill, Vec::new(), &[]);
    many.sockets = Some(CAP + 1);
    assert_eq!(many.violations().len(), 1);
    many.sockets = Some(CAP);
    assert_eq!(many.violations().len(), 0);
    many.ledgers
        .insert(Endpoint::Weir, (Tally::default(), vec!["lost".to_owned()]));
    assert_eq!(many.violations().len(), 1);
    many.ledgers.clear();
    assert_eq!(many.violations().len(), 1, "nobody looked");
}

#[test]
fn what_may_be_is_let_be() {
    assert_eq!(violations(Event::Kill, "OperationFailure 6", "NW"), 0);
    assert_eq!(violations(Event::WeirKill, "AutoReconnect", "RW"), 0);
    assert_eq!(violations(Event::Password, "OperationFailure 18", "RW"), 0);
}

#[test]
fn a_line_that_says_too_little_is_refused() {
    for line in [
        json!({ "class": "RW", "at": 1, "ms": 1 }),
        json!({ "class": "XX", "at": 1, "ms": 1 }),
        json!({ "class": "RD", "ms": 1 }),
        json!({ "pool": "painted", "at": 1 }),
    ] {
        assert!(Line::read(&line).is_err(), "{line}");
    }
}

fn left(ms: Option<f64>, error: Option<&str>) -> Outcome {
    let records = vec![
        read(1.0, 1.0, error),
        record(json!({ "class": "PR", "at": 1, "ms": 1 })),
    ];
    let mut outcome = outcome(Event::WeirList, records, &[(0.0, 2.0)]);
    outcome.windows[0].left = ms;
    outcome.sockets = Some(CAP);
    outcome
}

#[test]
fn a_weir_that_leaves_late_or_with_a_failed_operation_has_not_met_its_goal() {
    let fine = left(Some(24_000.0), None);
    assert_eq!(fine.violations(), Vec::<String>::new());
    assert!(goals(&[fine]).iter().all(|goal| goal.met));
    for wrong in [
        left(Some(25_100.0), None),
        left(None, None),
        left(Some(9_000.0), Some("AutoReconnect")),
    ] {
        assert!(!wrong.violations().is_empty());
        assert!(goals(&[wrong]).iter().any(|goal| !goal.met));
    }
}

#[test]
fn goals_are_met_by_what_was_seen_only() {
    let kills = |times: usize, tally: Tally| {
        let windows = vec![(5.0, 6.0); times];
        let mut kills = outcome(Event::Kill, vec![read(1.0, 1.0, None)], &windows);
        kills.ledgers = BTreeMap::from([(Endpoint::Weir, (tally, Vec::new()))]);
        goals(&[kills])[0].met
    };
    let done = || Tally {
        done: 9,
        ..Tally::default()
    };
    assert!(kills(20, done()));
    assert!(!kills(19, done()));
    assert!(!kills(20, Tally::default()), "no write at all");
    assert!(!kills(20, Tally { lost: 1, ..done() }));
    assert!(!kills(
        20,
        Tally {
            doubled: 1,
            ..done()
        }
    ));
    let mut many = left(Some(1.0), None);
    many.sockets = Some(CAP + 1);
    assert!(!goals(&[many])[1].met);
}
