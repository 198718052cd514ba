//! One sentence about what was measured, whatever it was. Pure.

use super::outage::Away;
use super::report::Report;
use weir_kit::numbers::{count, wait};

/// What the phases showed. `cap` is the number of connections that Weir was
/// allowed to open.
pub(super) fn verdict(direct: Option<&Report>, through: &Report, cap: u64) -> String {
    let result = through_weir(through, cap);
    let said = match direct {
        Some(direct) => format!("{}; through Weir {result}.", directly(direct)),
        None => format!("Through Weir {result}."),
    };
    said + &outage(direct, through)
}

/// What came of the database's death, if it died.
fn outage(direct: Option<&Report>, through: &Report) -> String {
    let of = |away: Away| {
        let failed = match away.failed {
            0 => "none failed".to_owned(),
            many => format!("{} failed", count(many)),
        };
        format!(
            "{} requests waited, {} at most, and {failed}",
            count(away.waited),
            wait(away.longest)
        )
    };
    let directly = direct.and_then(|report| report.away);
    match (directly, through.away) {
        (None, None) => String::new(),
        (Some(direct), None) => format!(" While the database was away, directly {}.", of(direct)),
        (None, Some(through)) => {
            format!(
                " While the database was away, through Weir {}.",
                of(through)
            )
        }
        (Some(direct), Some(through)) => format!(
            " While the database was away, directly {}; through Weir {}.",
            of(direct),
            of(through)
        ),
    }
}

fn directly(report: &Report) -> String {
    let turned_away = count(report.turned_away());
    let were = if report.turned_away() == 1 {
        "was"
    } else {
        "were"
    };
    let rest = match (report.turned_away(), report.refused) {
        (0, _) if report.failed == 0 => String::new(),
        (0, _) => format!(" {}", errors(report)),
        (_, 0) => format!(" and {turned_away} did not finish in time"),
        _ => {
            format!(" and {turned_away} {were} turned away by a server that had no connection left")
        }
    };
    format!("Directly, {} sat their exam{rest}", share(report))
}

fn errors(report: &Report) -> String {
    match report.failed {
        0 => "without an error".to_owned(),
        1 => "with 1 error on the way".to_owned(),
        many => format!("with {} errors on the way", count(many)),
    }
}

fn through_weir(report: &Report, cap: u64) -> String {
    let errors = errors(report);
    let connections = report.connections().map_or(String::new(), |ours| {
        let amiss = if ours.peak > cap {
            ", which is more than it was allowed: please report this"
        } else {
            ""
        };
        format!(", on {} server connections{amiss}", count(ours.peak))
    });
    format!("{} sat theirs, {errors}{connections}", share(report))
}

fn share(report: &Report) -> String {
    if report.turned_away() == 0 {
        format!("all {} students", count(report.students))
    } else {
        format!(
            "{} of {} students",
            count(report.served),
            count(report.students)
        )
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::super::table::tests::{direct, through};
    use super::*;

    #[test]
    fn the_usual_outcome() {
        let expected = "Directly, 164 of 1,500 students sat their exam and 1,336 were turned away \
            by a server that had no connection left; through Weir all 1,500 students sat theirs, without \
            an error, on 20 server connections.";
        assert_eq!(verdict(Some(&direct()), &through(), 20), expected);
    }

    #[test]
    fn nothing_is_claimed_that_was_not_measured() {
        let easy = Report {
            served: 1_500,
            refused: 0,
            failed: 0,
            ..direct()
        };
        let said = verdict(Some(&easy), &through(), 20);
        assert!(
            said.starts_with("Directly, all 1,500 students sat their exam; through"),
            "{said}"
        );

        let hard = Report {
            failed: 238,
            ..easy.clone()
        };
        let said = verdict(Some(&hard), &through(), 20);
        assert!(
            said.starts_with("Directly, all 1,500 students sat their exam with 238 errors on"),
            "{said}"
        );

        let slow = Report {
            refused: 0,
            ..direct()
        };
        let said = verdict(Some(&slow), &through(), 20);
        assert!(said.contains("1,336 did not finish in time"), "{said}");

        let unknown = Report {
            server: None,
            ..through()
        };
        let said = verdict(None, &unknown, 20);
        assert_eq!(
            said,
            "Through Weir all 1,500 students sat theirs, without an error."
        );
    }

    #[test]
    fn what_an_outage_was_is_said() {
        let away = |waited, failed| {
            Some(Away {
                time: Duration::from_millis(1_800),
                waited,
                longest: Duration::from_millis(1_900),
                failed,
            })
        };
        let hit = Report {
            away: away(31, 402),
            ..direct()
        };
        let spared = Report {
            away: away(212, 0),
            ..through()
        };
        let said = verdict(Some(&hit), &spared, 20);
        let expected = " While the database was away, directly 31 requests waited, 1.90 s at most, \
            and 402 failed; through Weir 212 requests waited, 1.90 s at most, and none failed.";
        assert!(said.ends_with(expected), "{said}");
    }

    #[test]
    fn a_bad_day_for_weir_is_said_as_well() {
        let broken = Report {
            served: 1_490,
            failed: 12,
            ..through()
        };
        let said = verdict(None, &broken, 19);
        assert_eq!(
            said,
            "Through Weir 1,490 of 1,500 students sat theirs, with 12 errors on the way, on 20 server \
             connections, which is more than it was allowed: please report this."
        );
    }
}
