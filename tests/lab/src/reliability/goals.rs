//! What was wanted, and whether it was so: computed from the outcomes. Pure.

use std::fmt::Write;

use super::event::Event;
use super::record::{Class, Endpoint};
use super::stage::CAP;
use super::verdict::Outcome;

/// The goals speak of so many kills and stepdowns.
pub const TIMES: usize = 20;

/// One goal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Goal {
    /// What was wanted.
    pub wanted: String,
    /// What was seen.
    pub seen: String,
    /// Whether that is it.
    pub met: bool,
}

/// All goals of the events that were tried.
#[must_use]
pub fn goals(outcomes: &[Outcome]) -> Vec<Goal> {
    let mut goals: Vec<Goal> = outcomes.iter().filter_map(of_event).collect();
    goals.extend(cap(outcomes));
    goals
}

/// The goals as a table.
#[must_use]
pub fn table(outcomes: &[Outcome]) -> String {
    let mut out = String::from("| wanted, through Weir | seen | met |\n|---|---|---|\n");
    for goal in goals(outcomes) {
        let met = if goal.met { "yes" } else { "**no**" };
        let _ = writeln!(out, "| {} | {} | {met} |", goal.wanted, goal.seen);
    }
    out
}

fn of_event(outcome: &Outcome) -> Option<Goal> {
    match outcome.event {
        Event::StepDown => Some(survived(
            outcome,
            "Stepdown of the primary under load",
            TIMES,
        )),
        Event::Kill => Some(survived(
            outcome,
            "kill -9 of the primary under load",
            TIMES,
        )),
        Event::WeirTerm | Event::WeirList | Event::WeirBalancer => Some(left(outcome)),
        Event::Password => Some(refused(outcome)),
        _ => None,
    }
}

/// Nothing lost, nothing twice, no error of retryable work.
fn survived(outcome: &Outcome, title: &str, times: usize) -> Goal {
    let it = outcome.verdict(Endpoint::Weir);
    let happened = outcome.windows.len();
    let fine = it.lost == 0 && it.doubled == 0 && it.retryable_errors == 0;
    let late = outcome.windows.iter().any(|window| window.late.is_some());
    Goal {
        wanted: format!(
            "{title}, {times} times: no acknowledged write lost, none applied twice, no error \
             of retryable work"
        ),
        seen: format!(
            "{happened} times: {} of {} acknowledged writes lost, {} applied twice, {} errors in \
             {} operations of retryable work",
            it.lost, it.acknowledged, it.doubled, it.retryable_errors, it.retryable
        ),
        met: fine && !late && happened >= times && it.acknowledged > 0 && it.retryable > 0,
    }
}

/// No operation failed, and an end with 0 in time.
fn left(outcome: &Outcome) -> Goal {
    let it = outcome.verdict(Endpoint::Weir);
    let deadline = outcome.event.deadline().unwrap_or_default().as_secs_f64();
    let failed = it.retryable_errors + it.other_errors;
    let ends: Vec<Option<f64>> = outcome.windows.iter().map(|window| window.left).collect();
    let within = |left: &Option<f64>| left.is_some_and(|ms| ms < deadline * 1_000.0);
    let told: Vec<String> = ends
        .iter()
        .map(|left| match left {
            Some(ms) => format!("with 0 after {:.1} s", ms / 1_000.0),
            None => "not, or not with 0".to_owned(),
        })
        .collect();
    Goal {
        wanted: format!(
            "{}: no operation of any class fails, exit 0 in less than {deadline:.0} s",
            outcome.event.title()
        ),
        seen: format!(
            "{failed} of {} operations failed; it ended {}",
            it.retryable + it.others,
            told.join(", ")
        ),
        met: failed == 0
            && it.retryable > 0
            && it.others > 0
            && !ends.is_empty()
            && ends.iter().all(within)
            && it.lost + it.doubled == 0,
    }
}

/// Applications are told that the login is refused, and nothing else.
fn refused(outcome: &Outcome) -> Goal {
    let mut told = 0;
    let mut broken = 0;
    let mut strange = 0;
    for heard in outcome
        .heard
        .iter()
        .filter(|heard| heard.endpoint == Endpoint::Weir)
    {
        for error in heard
            .records
            .iter()
            .filter_map(|record| record.error.as_ref())
        {
            match error.rsplit(' ').next() {
                Some("18") => told += 1,
                Some("6") => broken += 1,
                _ => strange += 1,
            }
        }
    }
    let gaps = outcome.drivers().into_iter().flat_map(|driver| {
        let cells = Class::ALL.map(|class| outcome.cell(driver, Endpoint::Weir, class));
        cells.into_iter().flat_map(|cell| cell.gaps)
    });
    let longest = gaps.fold(0.0, f64::max) / 1_000.0;
    let it = outcome.verdict(Endpoint::Weir);
    let late = outcome.windows.iter().any(|window| window.late.is_some());
    Goal {
        wanted: "The upstream refuses Weir's login after a bad change of the password: every \
                 operation is told so (18 AuthenticationFailed, which names the string to correct), \
                 what was under way that its connection broke (6), and all works again by itself"
            .to_owned(),
        seen: format!(
            "{told} errors 18, {broken} errors 6, {strange} others; {} lost, {} twice; all worked \
             again {longest:.1} s after the change, which was taken back after 15 s (Weir asks \
             again after at most 30 s)",
            it.lost, it.doubled
        ),
        met: told > 0 && strange == 0 && !late && it.lost + it.doubled == 0,
    }
}

/// No Weir ever had more sockets to a node than it may.
fn cap(outcomes: &[Outcome]) -> Option<Goal> {
    let counted: Vec<usize> = outcomes.iter().filter_map(|each| each.sockets).collect();
    let most = counted.iter().max()?;
    let passed = counted.iter().filter(|sockets| **sockets > CAP).count();
    Some(Goal {
        wanted: format!(
            "`--max-connections {CAP}` passed: never, counted from outside (`/proc/net/tcp`) 20 \
             times a second"
        ),
        seen: format!(
            "in {passed} of {} events; at most {most} of {CAP} sockets to a node",
            counted.len()
        ),
        met: passed == 0 && counted.len() == outcomes.len(),
    })
}
