//! What has been done and what went wrong.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// So many violations are kept in full; all are counted.
const KEPT: usize = 40;

/// Shared by all clients.
#[derive(Debug, Default)]
pub struct Report {
    /// Nodes come and go: what only they can cause is no violation.
    pub disastrous: bool,
    over: AtomicBool,
    operations: AtomicUsize,
    counts: Mutex<BTreeMap<String, usize>>,
    violations: Mutex<Vec<String>>,
    violated: AtomicUsize,
}

impl Report {
    /// Of a load in which nodes come and go.
    #[must_use]
    pub fn of_disasters() -> Self {
        Self {
            disastrous: true,
            ..Self::default()
        }
    }

    /// The load shall end.
    pub fn end(&self) {
        self.over.store(true, Ordering::Relaxed);
    }

    /// Whether it shall.
    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::Relaxed)
    }

    /// One command more was sent.
    pub fn operation(&self) {
        self.operations.fetch_add(1, Ordering::Relaxed);
    }

    /// Commands sent.
    pub fn operations(&self) -> usize {
        self.operations.load(Ordering::Relaxed)
    }

    /// One more of something that is allowed to happen.
    pub fn count(&self, what: &str) {
        let mut counts = lock(&self.counts);
        match counts.get_mut(what) {
            Some(count) => *count += 1,
            None => {
                counts.insert(what.to_owned(), 1);
            }
        }
    }

    /// How often that happened.
    pub fn counted(&self, what: &str) -> usize {
        lock(&self.counts).get(what).copied().unwrap_or(0)
    }

    /// Everything that was counted.
    pub fn counts(&self) -> BTreeMap<String, usize> {
        lock(&self.counts).clone()
    }

    /// Something that must never happen has happened.
    pub fn violation(&self, what: impl Display) {
        self.violated.fetch_add(1, Ordering::Relaxed);
        let mut violations = lock(&self.violations);
        if violations.len() < KEPT {
            let text = what.to_string();
            println!("VIOLATION {text}");
            violations.push(text);
        }
    }

    /// How many violations there were, and the first of them.
    pub fn violations(&self) -> (usize, Vec<String>) {
        let first = lock(&self.violations).clone();
        (self.violated.load(Ordering::Relaxed), first)
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
