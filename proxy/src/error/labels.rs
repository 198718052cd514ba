//! Error labels, by which drivers learn what they may do again.

use std::fmt;

/// A set of error labels.
#[derive(Clone, Copy, PartialEq, Eq, Default)]
pub struct Labels(u8);

impl Labels {
    /// No labels.
    pub const NONE: Self = Self(0);
    /// `RetryableWriteError`.
    pub const RETRYABLE_WRITE: Self = Self(1);
    /// `TransientTransactionError`.
    pub const TRANSIENT_TRANSACTION: Self = Self(1 << 1);
    /// `UnknownTransactionCommitResult`.
    pub const UNKNOWN_COMMIT: Self = Self(1 << 2);
    /// `ResumableChangeStreamError`.
    pub const RESUMABLE: Self = Self(1 << 3);
    /// `SystemOverloadedError`.
    pub const OVERLOADED: Self = Self(1 << 4);
    /// `RetryableError`.
    pub const RETRYABLE: Self = Self(1 << 5);
    /// `NoWritesPerformed`.
    pub const NO_WRITES: Self = Self(1 << 6);
    /// Both labels of the client-backpressure specification.
    pub const OVERLOAD: Self = Self(Self::OVERLOADED.0 | Self::RETRYABLE.0);

    const NAMES: [(Self, &'static str); 7] = [
        (Self::RETRYABLE_WRITE, "RetryableWriteError"),
        (Self::TRANSIENT_TRANSACTION, "TransientTransactionError"),
        (Self::UNKNOWN_COMMIT, "UnknownTransactionCommitResult"),
        (Self::RESUMABLE, "ResumableChangeStreamError"),
        (Self::OVERLOADED, "SystemOverloadedError"),
        (Self::RETRYABLE, "RetryableError"),
        (Self::NO_WRITES, "NoWritesPerformed"),
    ];

    /// Both sets together.
    #[must_use]
    pub const fn and(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    /// Whether every label of `other` is in this set.
    #[must_use]
    pub const fn contains(self, other: Self) -> bool {
        self.0 & other.0 == other.0
    }

    /// The labels of this set that `other` lacks.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// Whether the set is empty.
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0 == 0
    }

    /// The set that holds the one label of this name, empty for a name Weir does not use.
    #[must_use]
    pub fn named(name: &[u8]) -> Self {
        let known = Self::NAMES
            .iter()
            .find(|(_, known)| known.as_bytes() == name);
        known.map_or(Self::NONE, |(label, _)| *label)
    }

    /// The names, as they stand in `errorLabels`.
    pub fn names(self) -> impl Iterator<Item = &'static str> {
        Self::NAMES
            .into_iter()
            .filter(move |(label, _)| self.contains(*label))
            .map(|(_, n)| n)
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.names()).finish()
    }
}
