//! Two endpoints compared, test by test.

use std::collections::{BTreeMap, BTreeSet};

use super::Endpoint;
use super::known::Known;
use super::verbose::{Ended, Results, Verdict, words};

/// The results of one program along one endpoint.
#[derive(Clone, Debug, Default)]
pub struct Ran {
    /// By test.
    pub results: Results,
    /// It ended by itself, neither in a panic nor by its time limit.
    pub whole: bool,
}

/// What became of one test through Weir.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fate {
    /// Passed on both endpoints.
    Kept,
    /// Passes only through Weir: skipped or failed directly.
    Gained,
    /// Passed directly, skipped through Weir; the driver's words.
    Skipped(String),
    /// Failed through Weir, passed or skipped directly; what it said.
    Lost(String),
    /// Lost, with a reason in the list.
    Known(String),
    /// Failed on both endpoints.
    Broken,
    /// Failed directly, did not run through Weir: nothing is known of it.
    Unseen,
    /// Ran on neither endpoint.
    Idle,
}

/// Fates by test.
pub type Fates = BTreeMap<String, Fate>;

/// Judges every test that has no tests of its own.
pub fn compare(direct: &Ran, through: &Ran) -> Fates {
    let endpoints = [&direct.results, &through.results].map(Family::of);
    // Where a whole file is skipped on one endpoint, its tests on the other speak for it.
    let is_parent = |name: &str| endpoints.iter().any(|family| family.parents.contains(name));
    let leaves = endpoints.iter().flat_map(|family| &family.leaves);
    let leaves = leaves.filter(|name| !is_parent(name));
    let guilty = endpoints.iter().flat_map(|family| &family.guilty);
    let fate = |name: &&str| ((*name).to_owned(), fate_of(direct, through, name));
    leaves.chain(guilty).map(fate).collect()
}

/// Which tests of a run speak for themselves.
#[derive(Default)]
struct Family<'a> {
    /// Without children.
    leaves: BTreeSet<&'a str>,
    /// With children, and failed although none of them did.
    guilty: BTreeSet<&'a str>,
    /// All others.
    parents: BTreeSet<&'a str>,
}

impl<'a> Family<'a> {
    fn of(results: &'a Results) -> Self {
        let failed = |ended: &Ended| ended.verdict == Verdict::Fail;
        // Whether a child failed, by parent.
        let mut parents = BTreeMap::<&str, bool>::new();
        for (name, ended) in results {
            // A directory in a test's name is not a test: look for the nearest that is one.
            let mut above = ancestors(name).skip(1);
            if let Some(parent) = above.find(|name| results.contains_key(*name)) {
                *parents.entry(parent).or_default() |= failed(ended);
            }
        }
        let mut family = Self::default();
        for (name, ended) in results {
            let list = match parents.get(name.as_str()) {
                None => &mut family.leaves,
                Some(false) if failed(ended) => &mut family.guilty,
                Some(_) => &mut family.parents,
            };
            list.insert(name);
        }
        family
    }
}

/// A name, and what is left of it when its last parts are taken away.
fn ancestors(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(Some(name), |name| name.rsplit_once('/').map(|(p, _)| p))
}

fn fate_of(direct: &Ran, through: &Ran, name: &str) -> Fate {
    let before = verdict(direct, name);
    let Some((now, said)) = verdict(through, name) else {
        return match before {
            Some((Verdict::Pass, _)) if !through.whole => {
                Fate::Lost("its program ended before this test".to_owned())
            }
            Some((Verdict::Pass, _)) => Fate::Skipped("left out by the test's own code".to_owned()),
            Some((Verdict::Fail, _)) => Fate::Unseen,
            _ => Fate::Idle,
        };
    };
    match (before.map(|(verdict, _)| verdict), now) {
        (Some(Verdict::Pass), Verdict::Pass) => Fate::Kept,
        (_, Verdict::Pass) => Fate::Gained,
        (Some(Verdict::Pass), Verdict::Skip) => Fate::Skipped(words(said)),
        (Some(Verdict::Fail), Verdict::Fail) => Fate::Broken,
        (Some(Verdict::Fail), Verdict::Skip) => Fate::Unseen,
        (_, Verdict::Fail) => Fate::Lost(said.to_owned()),
        (_, Verdict::Skip) => Fate::Idle,
    }
}

/// Of the test, or of the nearest test above it that was skipped.
fn verdict<'a>(ran: &'a Ran, name: &str) -> Option<(Verdict, &'a str)> {
    if let Some(ended) = ran.results.get(name) {
        return Some((ended.verdict, &ended.said));
    }
    ancestors(name)
        .filter_map(|above| ran.results.get(above))
        .find(|ended| ended.verdict == Verdict::Skip)
        .map(|ended| (Verdict::Skip, ended.said.as_str()))
}

/// Gives reasons to losses that have one; returns the entries that fit no loss although
/// a test that they speak of was judged, or, with `all`, although everything ran.
pub fn excuse(fates: &mut Fates, known: &[Known], endpoint: Endpoint, all: bool) -> Vec<Known> {
    let mut stale = Vec::new();
    for entry in known {
        let for_road = entry
            .face
            .as_deref()
            .is_none_or(|face| face == endpoint.name());
        let mut met = all;
        let mut fits = false;
        let meant = fates
            .iter_mut()
            .filter(|(test, _)| entry.means(endpoint, test));
        for (_, fate) in meant {
            match fate {
                Fate::Lost(_) => {
                    *fate = Fate::Known(entry.reason.clone());
                    fits = true;
                }
                Fate::Known(_) => fits = true,
                Fate::Kept | Fate::Gained => met = true,
                _ => {}
            }
        }
        if for_road && met && !fits {
            stale.push(entry.clone());
        }
    }
    stale
}

/// The specification a test belongs to.
pub fn suite_of(test: &str) -> &str {
    let mut parts = test.split('/');
    let top = parts.next().unwrap_or_default();
    if matches!(top, "TestUnifiedSpec" | "TestUnifiedSpecs") {
        return match parts.next().unwrap_or_default() {
            "convenient-transactions" => "transactions-convenient-api",
            "command-monitoring" => "command-logging-and-monitoring",
            named => named,
        };
    }
    const BY_NAME: [(&str, &str); 16] = [
        ("TestCrud", "crud"),
        ("TestRetryableWrites", "retryable-writes"),
        ("TestRetryableReads", "retryable-reads"),
        ("TestChangeStream", "change-streams"),
        ("TestCausal", "causal-consistency"),
        ("TestSession", "sessions"),
        ("TestNewSession", "sessions"),
        ("TestGridFS", "gridfs"),
        ("TestCSOT", "client-side-operations-timeout"),
        ("TestIndexView", "index-management"),
        ("TestSDAM", "server-discovery-and-monitoring"),
        ("TestConvenient", "transactions-convenient-api"),
        ("TestMongosPinning", "transactions"),
        ("TestLoadBalance", "load-balancers"),
        ("TestCommandLogging", "command-logging-and-monitoring"),
        ("TestBackpressure", "client-backpressure"),
    ];
    let named = BY_NAME.iter().find(|(start, _)| top.starts_with(start));
    named.map_or("the driver's own", |(_, suite)| suite)
}
