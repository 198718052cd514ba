use std::time::Duration;

use super::*;
use crate::report::{Connections, Server};
use crate::tally::Latency;

const PLAIN: Paint = Paint { colour: false };

fn latency(p50_micros: u64, p99_micros: u64) -> Option<Latency> {
    Some(Latency {
        p50: Duration::from_micros(p50_micros),
        p99: Duration::from_micros(p99_micros),
    })
}

/// A phase as the direct one usually ends.
pub(crate) fn direct() -> Report {
    Report {
        students: 1_500,
        served: 164,
        failed: 2_672,
        done: 1_320,
        planned: 12_000,
        acknowledged: 824,
        stored: Some(824),
        refused: 31_204,
        surprise: None,
        away: None,
        server: Some(Server {
            ours: Some(Connections {
                peak: 499,
                opened: 4_550,
            }),
            memory: 231,
        }),
        waits: [
            latency(4_310, 9_310_000),
            latency(480, 12_300),
            latency(620, 15_000),
            latency(2_100, 99_960),
            None,
        ],
    }
}

/// A phase as the one through Weir should end.
pub(crate) fn through() -> Report {
    Report {
        served: 1_500,
        failed: 0,
        done: 12_000,
        acknowledged: 7_500,
        stored: Some(7_500),
        refused: 0,
        server: Some(Server {
            ours: Some(Connections {
                peak: 20,
                opened: 20,
            }),
            memory: 171,
        }),
        waits: [latency(900, 4_000); 5],
        ..direct()
    }
}

#[test]
fn two_phases_stand_side_by_side() {
    let (direct, through) = (direct(), through());
    let columns = [
        Column {
            title: "directly",
            report: &direct,
            limit: Some(500),
        },
        Column {
            title: "through Weir",
            report: &through,
            limit: Some(20),
        },
    ];
    let expected = "
                                        directly        through Weir
  ──────────────────────────────────────────────────────────────────
  students served                   164 of 1,500      1,500 of 1,500
  students turned away                     1,336                   0
  errors shown to students                 2,672                   0
  operations done                1,320 of 12,000    12,000 of 12,000
  answers found / confirmed            824 / 824       7,500 / 7,500

  server connections, peak            499 of 500            20 of 20
  connections opened                       4,550                  20
  connections refused                     31,204                   0
  server memory, peak                    231 MiB             171 MiB

  time until success               p50       p99       p50       p99
  connect                      4.31 ms    9.31 s   0.90 ms   4.00 ms
  find the student             0.48 ms   12.3 ms   0.90 ms   4.00 ms
  fetch the quiz               0.62 ms   15.0 ms   0.90 ms   4.00 ms
  start the attempt            2.10 ms    100 ms   0.90 ms   4.00 ms
  submit an answer                   –         –   0.90 ms   4.00 ms
";
    assert_eq!(format!("\n{}", render(&columns, PLAIN)), expected);
}

#[test]
fn what_is_not_known_is_a_dash_and_one_phase_may_stand_alone() {
    let report = Report {
        server: None,
        stored: None,
        waits: [None; 5],
        ..through()
    };
    let column = Column {
        title: "through Weir",
        report: &report,
        limit: None,
    };
    let text = render(&[column], PLAIN);
    for (label, cell) in [
        ("answers found / confirmed", "– / 7,500"),
        ("server connections, peak", "–"),
        ("server memory, peak", "–"),
        ("connect", "–         –"),
    ] {
        let line = format!("  {label:LABEL$}{cell:>COLUMN$}\n");
        assert!(text.contains(&line), "{line:?} in {text}");
    }
}

#[test]
fn colour_changes_no_width() {
    let report = direct();
    let columns = [Column {
        title: "directly",
        report: &report,
        limit: Some(500),
    }];
    let mut coloured = render(&columns, Paint { colour: true });
    assert!(coloured.contains("\u{1b}[31m"));
    for escape in [
        "\u{1b}[0m",
        "\u{1b}[1m",
        "\u{1b}[2m",
        "\u{1b}[31m",
        "\u{1b}[32m",
    ] {
        coloured = coloured.replace(escape, "");
    }
    assert_eq!(coloured, render(&columns, PLAIN));
}
