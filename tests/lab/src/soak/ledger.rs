//! What clients were told about their increments, and what the server has of them.
//!
//! Every increment has a number of its own. It adds one to its counter and appends its
//! number to the counter's list, in the same update: the list says exactly which ones
//! were applied, and how often.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use anyhow::{Context, Result};
use bson::{Document, doc};

/// What is known of an increment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Told {
    /// It was acknowledged: it must be there exactly once.
    Done,
    /// Its client was told that nothing was written: it must not be there.
    Refused,
    /// Nobody can know: it may be there, once.
    Unknown,
}

/// How often each was told.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    /// [`Told::Done`].
    pub done: usize,
    /// [`Told::Refused`].
    pub refused: usize,
    /// [`Told::Unknown`].
    pub unknown: usize,
    /// Of the unknown, those that the server has.
    pub found: usize,
    /// Acknowledged, and not there.
    pub lost: usize,
    /// There more than once.
    pub doubled: usize,
}

/// The books of all clients.
#[derive(Debug, Default)]
pub struct Ledger {
    counters: Mutex<BTreeMap<String, BTreeMap<i64, Told>>>,
}

impl Ledger {
    /// Writes down what became of an increment.
    pub fn note(&self, counter: &str, number: i64, told: Told) {
        let mut counters = self.lock();
        counters
            .entry(counter.to_owned())
            .or_default()
            .insert(number, told);
    }

    /// The counters of which something is known.
    pub fn counters(&self) -> Vec<String> {
        self.lock().keys().cloned().collect()
    }

    /// The update that applies increment `number`.
    pub fn update(counter: &str, number: i64) -> Document {
        let change = doc! { "$inc": { "n": 1 }, "$push": { "applied": number } };
        doc! { "q": { "_id": counter }, "u": change }
    }

    /// A counter before its first increment.
    pub fn counter(counter: &str) -> Document {
        doc! { "_id": counter, "n": 0, "applied": [] }
    }

    /// Holds the server's counters against the books. Returns what does not fit.
    ///
    /// # Errors
    /// When a counter is no counter.
    pub fn check<'a>(
        &self,
        found: impl IntoIterator<Item = &'a Document>,
    ) -> Result<(Tally, Vec<String>)> {
        let books = self.lock();
        let mut tally = Tally::default();
        let mut wrong = Vec::new();
        let mut missing: Vec<&String> = books.keys().collect();
        for counter in found {
            let name = counter.get_str("_id")?;
            missing.retain(|wanted| *wanted != name);
            let Some(told) = books.get(name) else {
                wrong.push(format!("{name}: nobody made this counter"));
                continue;
            };
            compare(name, counter, told, &mut tally, &mut wrong)?;
        }
        wrong.extend(missing.iter().map(|name| format!("{name}: lost")));
        Ok((tally, wrong))
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<String, BTreeMap<i64, Told>>> {
        self.counters.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn compare(
    name: &str,
    counter: &Document,
    told: &BTreeMap<i64, Told>,
    tally: &mut Tally,
    wrong: &mut Vec<String>,
) -> Result<()> {
    let mut applied: BTreeMap<i64, usize> = BTreeMap::new();
    for number in counter.get_array("applied")? {
        // Drivers choose the width of a number themselves.
        let narrow = number.as_i32().map(i64::from);
        let number = number.as_i64().or(narrow).context("a number")?;
        *applied.entry(number).or_default() += 1;
    }
    let sum: usize = applied.values().sum();
    if usize::try_from(counter.get_i32("n")?)? != sum {
        wrong.push(format!(
            "{name}: counted {} of {sum}",
            counter.get_i32("n")?
        ));
    }
    for (number, told) in told {
        let times = applied.remove(number).unwrap_or(0);
        tally.doubled += usize::from(times > 1);
        tally.lost += usize::from(*told == Told::Done && times == 0);
        let fits = match told {
            Told::Done => {
                tally.done += 1;
                times == 1
            }
            Told::Refused => {
                tally.refused += 1;
                times == 0
            }
            Told::Unknown => {
                tally.unknown += 1;
                tally.found += times.min(1);
                times <= 1
            }
        };
        if !fits {
            wrong.push(format!(
                "{name}: {number} was {told:?} and is there {times} times"
            ));
        }
    }
    wrong.extend(
        applied
            .keys()
            .map(|number| format!("{name}: {number} out of nowhere")),
    );
    Ok(())
}
