//! How many clients Weir has, and how many it may have.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Clients beyond the limit that are accepted nevertheless, where the limit comes from the number
/// of open files. They get an error instead of silence.
const ACCEPTED_BEYOND: usize = 32;

/// The number of clients over all listeners, and its limits.
#[derive(Clone, Debug)]
pub struct ClientLimit {
    /// Clients now, over all listeners.
    pub now: Arc<AtomicUsize>,
    /// Most clients that are served.
    pub most: usize,
    /// Most clients that are accepted: there are no open files for more. Those beyond `most` get
    /// an error.
    pub files: usize,
}

impl ClientLimit {
    /// A limit of `most` clients, or fewer if `files` does not suffice for so many.
    #[must_use]
    pub fn new(now: &Arc<AtomicUsize>, most: usize, files: usize) -> Self {
        Self {
            now: Arc::clone(now),
            most: most.min(files.saturating_sub(ACCEPTED_BEYOND).max(1)),
            files,
        }
    }

    /// Whether no more clients can be accepted now.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// How many more clients can be accepted now.
    #[must_use]
    pub fn room(&self) -> usize {
        self.files.saturating_sub(self.now.load(Ordering::Relaxed))
    }

    /// Whether there are more clients than may be served.
    #[must_use]
    pub fn is_exceeded(&self) -> bool {
        self.now.load(Ordering::Relaxed) > self.most
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_the_setting_or_what_the_files_allow() {
        let now = Arc::new(AtomicUsize::new(0));
        assert_eq!(ClientLimit::new(&now, 100, 1_000).most, 100);
        assert_eq!(ClientLimit::new(&now, 100, 100).most, 100 - ACCEPTED_BEYOND);
        assert_eq!(ClientLimit::new(&now, 100, 3).most, 1);
    }

    #[test]
    fn clients_beyond_the_limit_are_accepted_while_files_last() {
        let now = Arc::new(AtomicUsize::new(68));
        let limit = ClientLimit::new(&now, 100, 100);
        assert!(!limit.is_exceeded() && !limit.is_full());
        now.store(69, Ordering::Relaxed);
        assert!(limit.is_exceeded() && !limit.is_full());
        assert_eq!(limit.room(), 31);
        now.store(100, Ordering::Relaxed);
        assert!(limit.is_full());
    }
}
