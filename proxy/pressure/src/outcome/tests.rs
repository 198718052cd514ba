//! What follows from cells.

use super::*;
use crate::cell::Percentiles;

pub(crate) fn cell(pool: u32, clients: u32, rate: f64, wait: f64) -> Cell {
    let latency = Percentiles {
        p50: Some(wait / 2.0 + 1.0),
        p99: Some(wait + 2.0),
    };
    Cell {
        max_connections: pool,
        seen: Seen {
            clients,
            operations: 3 * rate as u64,
            operations_per_second: rate,
            latency_ms: latency,
            ..Seen::default()
        },
        checkout_wait_ms: Percentiles {
            p50: Some(wait / 2.0),
            p99: Some(wait),
        },
        ..Cell::default()
    }
}

pub(crate) fn outcome(cells: Vec<Cell>) -> Outcome {
    let deployment = || Deployment {
        uri: "mongodb://u:***@h/".to_owned(),
        kind: "replica set".to_owned(),
        version: None,
        node: "h:27017".to_owned(),
        connections: None,
    };
    Outcome {
        version: "0",
        complete: false,
        target: deployment(),
        scenario: Scenario::Steady,
        write: false,
        seed: 1,
        duration_seconds: 3.0,
        wait_bound_ms: 100.0,
        reads: "ping".to_owned(),
        monitor_sockets: 2,
        cells,
        compare: Some(Comparison {
            with: deployment(),
            cells: Vec::new(),
        }),
        knees: Vec::new(),
        recommendation: None,
        remarks: Vec::new(),
        said: 0,
    }
}

const BOUND: Duration = Duration::from_millis(100);

#[test]
fn the_knee_of_the_most_clients_is_recommended() {
    let mut outcome = outcome(vec![
        cell(5, 16, 1_000.0, 1.0),
        cell(5, 64, 2_000.0, 90.0),
        cell(10, 16, 1_000.0, 1.0),
        cell(10, 64, 4_000.0, 20.0),
        cell(20, 16, 1_000.0, 1.0),
        cell(20, 64, 4_100.0, 5.0),
    ]);
    outcome.conclude(BOUND, true);
    let knees: Vec<_> = outcome
        .knees
        .iter()
        .map(|k| (k.clients, k.max_connections))
        .collect();
    assert_eq!(knees, [(16, 5), (64, 10)]);
    let said = outcome.recommendation.unwrap();
    assert_eq!(
        (said.max_connections, said.clients, said.calm),
        (10, 64, true)
    );
    assert!(!said.largest_tried && !said.smallest_tried);
}

#[test]
fn an_interrupted_sweep_concludes_only_what_it_measured() {
    let mut outcome = outcome(vec![
        cell(5, 16, 1_000.0, 1.0),
        cell(5, 64, 2_000.0, 90.0),
        cell(10, 16, 1_000.0, 1.0),
    ]);
    outcome.conclude(BOUND, false);
    assert!(!outcome.complete);
    assert_eq!(outcome.knees.len(), 1);
    let said = outcome.recommendation.unwrap();
    assert_eq!((said.max_connections, said.clients), (5, 16));
    assert!(said.smallest_tried);
}

#[test]
fn ratios_are_those_of_the_same_number_of_clients() {
    let mut outcome = outcome(vec![cell(5, 16, 500.0, 8.0), cell(5, 64, 500.0, 8.0)]);
    let direct = cell(0, 16, 1_000.0, 18.0).seen;
    outcome.compare.as_mut().unwrap().cells.push(direct);
    outcome.conclude(BOUND, true);
    let against = outcome.cells[0].against.unwrap();
    assert!((against.operations_per_second - 0.5).abs() < 1e-9);
    assert!((against.latency_p99 - 0.5).abs() < 1e-9);
    assert_eq!(outcome.cells[1].against, None);
}

#[test]
fn a_load_that_was_the_limit_itself_says_so() {
    let mut busy = outcome(vec![cell(5, 16, 500.0, 8.0)]);
    busy.cells[0].seen.load_busy = 0.97;
    busy.conclude(BOUND, true);
    assert!(busy.remarks[0].contains("97 %"), "{:?}", busy.remarks);
}
