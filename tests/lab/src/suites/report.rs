//! Counts for people.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::edition::Edition;
use super::execute::{Judged, Outcome};
use super::judge::{Fate, suite_of};

/// How many of each fate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    /// [`Fate::Kept`].
    pub kept: usize,
    /// [`Fate::Gained`].
    pub gained: usize,
    /// [`Fate::Skipped`].
    pub skipped: usize,
    /// [`Fate::Lost`].
    pub lost: usize,
    /// [`Fate::Known`].
    pub known: usize,
    /// [`Fate::Broken`].
    pub broken: usize,
    /// [`Fate::Unseen`].
    pub unseen: usize,
    /// [`Fate::Idle`].
    pub idle: usize,
}

impl Counts {
    fn add(&mut self, fate: &Fate) {
        let count = match fate {
            Fate::Kept => &mut self.kept,
            Fate::Gained => &mut self.gained,
            Fate::Skipped(_) => &mut self.skipped,
            Fate::Lost(_) => &mut self.lost,
            Fate::Known(_) => &mut self.known,
            Fate::Broken => &mut self.broken,
            Fate::Unseen => &mut self.unseen,
            Fate::Idle => &mut self.idle,
        };
        *count += 1;
    }

    fn row(&self, name: &str) -> String {
        let Self {
            kept,
            gained,
            skipped,
            lost,
            known,
            broken,
            unseen,
            idle,
        } = self;
        let parts = [kept, gained, skipped, lost, known, broken, unseen, idle];
        let fields = parts.map(usize::to_string).join(" | ");
        format!("| {name} | {fields} |")
    }
}

/// The counts of one face, in all.
pub fn count(judged: &Judged) -> Counts {
    let mut counts = Counts::default();
    judged.fates.values().for_each(|fate| counts.add(fate));
    counts
}

/// The unexplained losses, with what they said.
pub fn losses(judged: &Judged) -> Vec<(String, String)> {
    let said = |(test, fate): (&String, &Fate)| match fate {
        Fate::Lost(said) => Some((test.clone(), said.clone())),
        _ => None,
    };
    judged.fates.iter().filter_map(said).collect()
}

/// Where an edition's part begins.
const BEGINS: &str = "\n## ";

/// The page with these parts; those of editions that did not run now stay as they were.
pub fn page(head: &str, old: &str, sections: &[String]) -> String {
    let title = |section: &str| {
        let line = section.trim_start().lines().next();
        line.unwrap_or_default()
            .trim_start_matches("## ")
            .to_owned()
    };
    let mut parts = BTreeMap::new();
    for kept in old.split(BEGINS).skip(1) {
        parts.insert(title(kept), format!("{BEGINS}{}\n", kept.trim_end()));
    }
    for new in sections {
        parts.insert(title(new), new.clone());
    }
    parts
        .into_values()
        .fold(head.to_owned(), |page, part| page + &part)
}

/// One edition's part of the page.
pub fn section(edition: &Edition, outcome: &Outcome) -> String {
    let mut page = format!("\n## {} {}\n", edition.module, edition.version);
    if let Some(files) = edition.files {
        let _ = writeln!(
            page,
            "\nIts module has the test runner without the specification files; those of \
             `{}` are used.",
            files.requirement
        );
    }
    for (face, judged) in &outcome.faces {
        let _ = writeln!(page, "\n### Through Weir, {face} face\n");
        table(&mut page, judged);
        reasons(&mut page, judged);
        skips(&mut page, judged);
        if !judged.second_tries.is_empty() {
            let _ = writeln!(
                page,
                "\nPassed only when run again alone (time is measured):\n"
            );
            list(&mut page, &judged.second_tries);
        }
    }
    let _ = writeln!(page, "\nNot run:\n");
    for (what, why) in edition.left_out {
        let _ = writeln!(page, "- {what}: {why}");
    }
    page
}

fn table(page: &mut String, judged: &Judged) {
    let mut suites = BTreeMap::<&str, Counts>::new();
    for (test, fate) in &judged.fates {
        suites.entry(suite_of(test)).or_default().add(fate);
    }
    page.push_str(
        "| suite | kept | only through Weir: passed | skipped only through Weir | lost | \
         lost with a reason | failed on both | failed directly, not run through Weir | ran on neither |\n\
         |---|---:|---:|---:|---:|---:|---:|---:|---:|\n",
    );
    for (suite, counts) in &suites {
        page.push_str(&counts.row(suite));
        page.push('\n');
    }
    page.push_str(&count(judged).row("**all**"));
    page.push('\n');
}

fn reasons(page: &mut String, judged: &Judged) {
    let mut by_reason = BTreeMap::<&str, Vec<String>>::new();
    for (test, fate) in &judged.fates {
        if let Fate::Known(reason) = fate {
            by_reason.entry(reason).or_default().push(test.clone());
        }
    }
    for (reason, tests) in by_reason {
        let _ = writeln!(page, "\nLost with a reason: {reason}\n");
        list(page, &tests);
    }
    let lost: Vec<_> = losses(judged)
        .iter()
        .map(|(test, _)| test.clone())
        .collect();
    named(page, "Lost", &lost);
    let of = |wanted: Fate| {
        let fates = judged
            .fates
            .iter()
            .filter(move |(_, fate)| **fate == wanted);
        fates.map(|(test, _)| test.clone()).collect::<Vec<_>>()
    };
    named(page, "Failed on both", &of(Fate::Broken));
    let unseen = of(Fate::Unseen);
    named(page, "Failed directly, not run through Weir", &unseen);
}

fn named(page: &mut String, heading: &str, tests: &[String]) {
    if !tests.is_empty() {
        let _ = writeln!(page, "\n{heading}:\n");
        list(page, tests);
    }
}

fn list(page: &mut String, tests: &[String]) {
    for test in tests {
        let _ = writeln!(page, "- `{test}`");
    }
}

/// Why tests skip themselves behind a router, in the driver's words.
fn skips(page: &mut String, judged: &Judged) {
    let mut by_words = BTreeMap::<&str, usize>::new();
    for fate in judged.fates.values() {
        if let Fate::Skipped(words) = fate {
            *by_words.entry(words).or_default() += 1;
        }
    }
    if by_words.is_empty() {
        return;
    }
    let mut by_words: Vec<_> = by_words.into_iter().collect();
    by_words.sort_by_key(|(words, count)| (std::cmp::Reverse(*count), *words));
    page.push_str("\nSkipped only through Weir, in the driver's words:\n\n");
    for (words, count) in by_words {
        let _ = writeln!(page, "- {count}: {words}");
    }
}
