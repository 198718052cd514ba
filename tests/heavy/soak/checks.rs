//! That the checks of the soak would notice.

use bson::doc;
use weir_lab::soak::disaster::Disaster;
use weir_lab::soak::ledger::{Ledger, Told};
use weir_lab::soak::plan::Plan;

#[test]
fn a_seed_says_everything() {
    let steps = |seed, number| {
        let mut plan = Plan::new(seed, number);
        (0..500)
            .map(|_| (plan.step(), plan.leave()))
            .collect::<Vec<_>>()
    };
    assert_eq!(steps(7, 3), steps(7, 3));
    assert_ne!(steps(7, 3), steps(7, 4));
    assert_ne!(steps(7, 3), steps(8, 3));
}

fn ledger() -> Ledger {
    let ledger = Ledger::default();
    ledger.note("c", 1, Told::Done);
    ledger.note("c", 2, Told::Refused);
    ledger.note("c", 3, Told::Unknown);
    ledger
}

fn wrong(n: i32, applied: &[i64]) -> usize {
    let counter = doc! { "_id": "c", "n": n, "applied": applied };
    ledger()
        .check([&counter])
        .map_or(99, |(_, wrong)| wrong.len())
}

#[test]
fn what_fits() {
    assert_eq!(wrong(1, &[1]), 0);
    assert_eq!(wrong(2, &[1, 3]), 0, "the unknown one may be there");
}

#[test]
fn what_does_not_fit() {
    assert_eq!(wrong(0, &[]), 1, "lost");
    assert_eq!(wrong(2, &[1, 1]), 1, "doubled");
    assert_eq!(wrong(2, &[1, 2]), 1, "refused, and yet there");
    assert_eq!(wrong(3, &[1, 3, 3]), 1, "an unknown one, doubled");
    assert_eq!(wrong(2, &[1, 4]), 1, "nobody's");
    assert_eq!(wrong(2, &[1]), 1, "the sum");
    assert_eq!(
        ledger().check([]).map_or(99, |(_, wrong)| wrong.len()),
        1,
        "all gone"
    );
}

#[test]
fn a_seed_says_which_disasters_come() {
    let sequence = Disaster::sequence(3, 16);
    assert_eq!(sequence, Disaster::sequence(3, 16));
    assert_ne!(sequence, Disaster::sequence(4, 16));
    for disaster in &sequence[..8] {
        let times = sequence.iter().filter(|other| *other == disaster).count();
        assert_eq!(times, 2, "{disaster:?}: each kind comes once in a round");
    }
}

#[test]
fn the_short_form_drains_a_weir_and_kills_one() {
    for seed in 0..50 {
        let sequence = Disaster::sequence(seed, 6);
        let has = |disaster| sequence.contains(&disaster);
        assert!(has(Disaster::Drain) && has(Disaster::Death), "{seed}");
    }
}
