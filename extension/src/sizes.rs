//! How many connections an environment holds, by the road it takes. Pure.

use std::collections::BTreeMap;

use crate::settings::Release;
use crate::surroundings::{Kind, Surroundings};
use crate::upstream::Road;

const MOST: &str = "WEIR_MAX_CONNECTIONS";
const LEAST: &str = "WEIR_MIN_CONNECTIONS";

/// For operations: one connection, and the reserve by which transactions end.
const FEWEST_WORKING: usize = 2;

/// Puts the extension's own numbers where none are said, and nearest ones where those that are
/// said do not work. Returns what was wrong.
pub(crate) fn settle(
    settings: &mut BTreeMap<String, String>,
    surroundings: &Surroundings,
    road: Road,
    release: Release,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let fewest = watching(road) + FEWEST_WORKING;
    let usual = most_connections(surroundings, road);
    let most = said(settings, MOST, usual, &mut warnings);
    if most < fewest {
        warnings.push(format!(
            "{MOST}: {most} are too few; {fewest} are the fewest that work here, and are used"
        ));
    }
    let most = most.max(fewest);
    let kept = match release {
        Release::Environment => 1,
        Release::Invoke => 0,
    };
    let left = most - watching(road);
    let least = said(settings, LEAST, kept, &mut warnings);
    if least > left {
        warnings.push(format!(
            "{LEAST}: of {most} connections {left} are for operations; {left} are used"
        ));
    }
    settings.insert(MOST.to_owned(), most.to_string());
    settings.insert(LEAST.to_owned(), least.min(left).to_string());
    warnings
}

/// The same for a road that nobody has set numbers for.
pub(crate) fn unset(settings: &mut BTreeMap<String, String>) {
    settings.remove(MOST);
    settings.remove(LEAST);
}

fn said(
    settings: &BTreeMap<String, String>,
    name: &str,
    usual: usize,
    warnings: &mut Vec<String>,
) -> usize {
    let Some(text) = settings.get(name) else {
        return usual;
    };
    text.parse().unwrap_or_else(|_| {
        let text = text.escape_debug();
        warnings.push(format!(
            "{name}: \"{text}\" is not a whole number; {usual} is used"
        ));
        usual
    })
}

/// The database itself is watched, by one connection that polls.
const fn watching(road: Road) -> usize {
    match road {
        Road::Service => 0,
        Road::Direct => 1,
    }
}

/// The fewest a pool can work with; on a Managed Instance several invocations work at a time.
fn most_connections(surroundings: &Surroundings, road: Road) -> usize {
    let working = match (surroundings.kind(), road) {
        (Kind::Managed, Road::Service) => surroundings.concurrency().clamp(FEWEST_WORKING, 10),
        (Kind::Managed, Road::Direct) => {
            let quarter = surroundings.concurrency().div_ceil(4);
            quarter.clamp(FEWEST_WORKING, 10)
        }
        _ => FEWEST_WORKING,
    };
    watching(road) + working
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_holds_few_connections() {
        let most = |kind: Surroundings, road| most_connections(&kind, road);
        let one = Surroundings::default;
        assert_eq!(most(one(), Road::Service), 2);
        assert_eq!(most(one(), Road::Direct), 3);
        let many = |n| Surroundings::from([("AWS_LAMBDA_MAX_CONCURRENCY", n)]);
        assert_eq!(most(many("1"), Road::Service), 2);
        assert_eq!(most(many("6"), Road::Service), 6);
        assert_eq!(most(many("64"), Road::Service), 10);
        assert_eq!(most(many("64"), Road::Direct), 11);
    }

    /// What is used of what is said, and how many warnings there are.
    fn settled(road: Road, said: &[(&str, &str)]) -> (String, String, usize) {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut settings: BTreeMap<_, _> = said.iter().map(own).collect();
        let none = Surroundings::default();
        let warnings = settle(&mut settings, &none, road, Release::Environment);
        let of = |name| settings.get(name).cloned().unwrap();
        (of(MOST), of(LEAST), warnings.len())
    }

    #[test]
    fn a_number_that_does_not_work_is_the_nearest_one_that_does() {
        let is = |most: &str, least: &str, warnings| (most.to_owned(), least.to_owned(), warnings);
        for (road, said, expected) in [
            (Road::Service, &[][..], is("2", "1", 0)),
            (Road::Service, &[(MOST, "7"), (LEAST, "7")], is("7", "7", 0)),
            (Road::Direct, &[(MOST, "7"), (LEAST, "7")], is("7", "6", 1)),
            (Road::Service, &[(MOST, "1")], is("2", "1", 1)),
            (Road::Direct, &[(MOST, "2")], is("3", "1", 1)),
            (Road::Direct, &[(MOST, "many")], is("3", "1", 1)),
            (Road::Service, &[(LEAST, "-1")], is("2", "1", 1)),
            (Road::Service, &[(LEAST, "9")], is("2", "2", 1)),
        ] {
            assert_eq!(settled(road, said), expected, "{road:?} {said:?}");
        }
    }

    #[test]
    fn nothing_is_kept_that_ends_with_an_invocation() {
        let mut settings = BTreeMap::new();
        let none = Surroundings::default();
        settle(&mut settings, &none, Road::Service, Release::Invoke);
        assert_eq!(settings.get(LEAST).unwrap(), "0");
    }
}
