//! How many upstream connections an environment holds. It depends on the kind of upstream. Pure.

use std::collections::BTreeMap;

use crate::env::{Env, Kind};
use crate::settings::Release;
use crate::upstream::UpstreamKind;

const MOST: &str = "WEIR_MAX_CONNECTIONS";
const LEAST: &str = "WEIR_MIN_CONNECTIONS";

/// Fewest connections for operations: one, and a reserve that ends transactions.
const FEWEST_WORKING: usize = 2;

/// Fills in the numbers of connections. A number that is not set gets the extension's default. A
/// number that does not work becomes the nearest one that does. Returns one warning for each of those.
pub(crate) fn settle(
    settings: &mut BTreeMap<String, String>,
    env: &Env,
    upstream_kind: UpstreamKind,
    release: Release,
) -> Vec<String> {
    let mut warnings = Vec::new();
    let fewest = watching(upstream_kind) + FEWEST_WORKING;
    let usual = most_connections(env, upstream_kind);
    let most = said(settings, MOST, usual, &mut warnings);
    if most < fewest {
        warnings.push(format!(
            "{MOST}: {most} is too few; the minimum here is {fewest}, and {fewest} is used"
        ));
    }
    let most = most.max(fewest);
    let kept = match release {
        Release::Environment => 1,
        Release::Invoke => 0,
    };
    let left = most - watching(upstream_kind);
    let least = said(settings, LEAST, kept, &mut warnings);
    if least > left {
        warnings.push(format!(
            "{LEAST}: only {left} of {most} connections are for operations; {left} is used"
        ));
    }
    settings.insert(MOST.to_owned(), most.to_string());
    settings.insert(LEAST.to_owned(), least.min(left).to_string());
    warnings
}

/// Removes the numbers that were set, so that [`settle`] fills in the defaults.
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

/// Connections that monitor the database. The extension monitors no shared Weir.
const fn watching(upstream_kind: UpstreamKind) -> usize {
    match upstream_kind {
        UpstreamKind::Service => 0,
        UpstreamKind::Direct => 1,
    }
}

/// The default limit: the fewest that a pool can work with. A Managed Instance gets more, because
/// several invocations run there at the same time.
fn most_connections(env: &Env, upstream_kind: UpstreamKind) -> usize {
    let working = match (env.kind(), upstream_kind) {
        (Kind::Managed, UpstreamKind::Service) => env.concurrency().clamp(FEWEST_WORKING, 10),
        (Kind::Managed, UpstreamKind::Direct) => {
            let quarter = env.concurrency().div_ceil(4);
            quarter.clamp(FEWEST_WORKING, 10)
        }
        _ => FEWEST_WORKING,
    };
    watching(upstream_kind) + working
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_function_holds_few_connections() {
        let most = |kind: Env, upstream_kind| most_connections(&kind, upstream_kind);
        let one = Env::default;
        assert_eq!(most(one(), UpstreamKind::Service), 2);
        assert_eq!(most(one(), UpstreamKind::Direct), 3);
        let many = |n| Env::from([("AWS_LAMBDA_MAX_CONCURRENCY", n)]);
        assert_eq!(most(many("1"), UpstreamKind::Service), 2);
        assert_eq!(most(many("6"), UpstreamKind::Service), 6);
        assert_eq!(most(many("64"), UpstreamKind::Service), 10);
        assert_eq!(most(many("64"), UpstreamKind::Direct), 11);
    }

    /// The numbers that are used for these settings, and how many warnings there are.
    fn settled(upstream_kind: UpstreamKind, said: &[(&str, &str)]) -> (String, String, usize) {
        let own = |(name, value): &(&str, &str)| ((*name).to_owned(), (*value).to_owned());
        let mut settings: BTreeMap<_, _> = said.iter().map(own).collect();
        let none = Env::default();
        let warnings = settle(&mut settings, &none, upstream_kind, Release::Environment);
        let of = |name| settings.get(name).cloned().unwrap();
        (of(MOST), of(LEAST), warnings.len())
    }

    #[test]
    fn a_number_that_does_not_work_is_the_nearest_one_that_does() {
        let is = |most: &str, least: &str, warnings| (most.to_owned(), least.to_owned(), warnings);
        for (upstream_kind, said, expected) in [
            (UpstreamKind::Service, &[][..], is("2", "1", 0)),
            (
                UpstreamKind::Service,
                &[(MOST, "7"), (LEAST, "7")],
                is("7", "7", 0),
            ),
            (
                UpstreamKind::Direct,
                &[(MOST, "7"), (LEAST, "7")],
                is("7", "6", 1),
            ),
            (UpstreamKind::Service, &[(MOST, "1")], is("2", "1", 1)),
            (UpstreamKind::Direct, &[(MOST, "2")], is("3", "1", 1)),
            (UpstreamKind::Direct, &[(MOST, "many")], is("3", "1", 1)),
            (UpstreamKind::Service, &[(LEAST, "-1")], is("2", "1", 1)),
            (UpstreamKind::Service, &[(LEAST, "9")], is("2", "2", 1)),
        ] {
            assert_eq!(
                settled(upstream_kind, said),
                expected,
                "{upstream_kind:?} {said:?}"
            );
        }
    }

    #[test]
    fn nothing_is_kept_that_ends_with_an_invocation() {
        let mut settings = BTreeMap::new();
        let none = Env::default();
        settle(&mut settings, &none, UpstreamKind::Service, Release::Invoke);
        assert_eq!(settings.get(LEAST).unwrap(), "0");
    }
}
