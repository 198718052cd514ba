//! A limit on the bytes of messages that Weir keeps in memory.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering},
};

/// Counts the bytes of messages in memory against a limit, over all listeners.
#[derive(Debug)]
pub struct Budget {
    limit: usize,
    used: AtomicUsize,
}

/// A part of the budget. Dropping it gives it back.
#[derive(Debug)]
pub struct Reserved {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// A budget of `limit` bytes.
    #[must_use]
    pub const fn new(limit: usize) -> Self {
        Self {
            limit,
            used: AtomicUsize::new(0),
        }
    }

    /// Reserves `bytes` before they are allocated. `None`: they would pass the limit.
    #[must_use]
    pub fn try_reserve(self: &Arc<Self>, bytes: usize) -> Option<Reserved> {
        let fits = |used: usize| used.checked_add(bytes).filter(|sum| *sum <= self.limit);
        let added = self
            .used
            .fetch_update(Ordering::AcqRel, Ordering::Relaxed, fits);
        added.ok().map(|_| Reserved {
            budget: Arc::clone(self),
            bytes,
        })
    }

    /// Reserves `bytes` beyond the limit if need be. For small shares, one for each connection.
    #[must_use]
    pub fn reserve(self: &Arc<Self>, bytes: usize) -> Reserved {
        self.used.fetch_add(bytes, Ordering::AcqRel);
        Reserved {
            budget: Arc::clone(self),
            bytes,
        }
    }

    /// Whether `bytes` more could be reserved now.
    #[must_use]
    pub fn has_room(&self, bytes: usize) -> bool {
        bytes <= self.limit.saturating_sub(self.used())
    }

    /// Bytes in use now.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// The limit, bytes.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub const fn limit(&self) -> usize {
        self.limit
    }
}

impl Drop for Reserved {
    fn drop(&mut self) {
        self.budget.used.fetch_sub(self.bytes, Ordering::AcqRel);
    }
}
