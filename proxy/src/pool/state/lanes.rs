//! How the slots of a pool are shared, so that no work can starve the work that would free it.
//!
//! Of D slots, R are kept for finishing work: commit, abort, later statements of a transaction,
//! getMore, killCursors. Plain writes may wait for a transaction's locks. Because of R they can
//! never keep its commit from running. GetMores that wait for data use at most K slots, out of
//! those of normal work.

/// Which share of the slots an operation may use.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Lane {
    /// Everything else: at most D − R slots, together with [`Lane::Awaiting`].
    #[default]
    Normal,
    /// Commands that let others proceed: any slot.
    Finishing,
    /// GetMores that wait for data on the server: at most K slots.
    Awaiting,
}

impl Lane {
    /// In the order of [`Lane`]'s declaration.
    pub const ALL: [Self; 3] = [Self::Normal, Self::Finishing, Self::Awaiting];
}

/// The entry of `lane`.
pub(super) const fn at<T>(all: &[T; 3], lane: Lane) -> &T {
    let [normal, finishing, awaiting] = all;
    match lane {
        Lane::Normal => normal,
        Lane::Finishing => finishing,
        Lane::Awaiting => awaiting,
    }
}

/// The entry of `lane`, mutable.
pub(super) const fn at_mut<T>(all: &mut [T; 3], lane: Lane) -> &mut T {
    let [normal, finishing, awaiting] = all;
    match lane {
        Lane::Normal => normal,
        Lane::Finishing => finishing,
        Lane::Awaiting => awaiting,
    }
}

/// The shares of a pool of a given size, and how much of each is in use.
#[derive(Clone, Debug)]
pub struct Lanes {
    /// D: all data slots.
    slots: usize,
    /// R: slots that only finishing work may use.
    reserve: usize,
    /// K: slots that waiting getMores may use.
    awaiting: usize,
    /// Checked-out connections by lane, in the order of [`Lane::ALL`].
    used: [usize; 3],
}

impl Lanes {
    /// Shares for `slots` data slots: R = 1 below 8, else max(2, 20 %); K = max(1, 20 %).
    #[must_use]
    pub fn new(slots: usize) -> Self {
        let fifth = slots / 5;
        let reserve = if slots < 8 { 1 } else { fifth.max(2) };
        Self {
            slots,
            reserve,
            awaiting: fifth.max(1),
            used: [0; 3],
        }
    }

    /// Slots that only finishing work may use.
    #[cfg(any(test, feature = "internals"))]
    #[must_use]
    pub const fn reserve(&self) -> usize {
        self.reserve
    }

    /// Slots that waiting getMores may use.
    #[must_use]
    pub const fn awaiting_share(&self) -> usize {
        self.awaiting
    }

    /// Whether waiting getMores may take every slot that normal work has.
    #[must_use]
    pub const fn awaiting_takes_all(&self) -> bool {
        self.slots.saturating_sub(self.reserve) <= self.awaiting
    }

    /// Checked-out connections of `lane`.
    #[must_use]
    pub const fn used(&self, lane: Lane) -> usize {
        *at(&self.used, lane)
    }

    /// Checked-out connections of all lanes.
    #[must_use]
    pub fn total(&self) -> usize {
        self.used.iter().sum()
    }

    /// How many more connections `lane` may check out now.
    #[must_use]
    pub fn room(&self, lane: Lane) -> usize {
        let common = self.slots.saturating_sub(self.reserve);
        let shared = common
            .saturating_sub(self.used(Lane::Normal) + self.used(Lane::Awaiting))
            .min(self.slots.saturating_sub(self.total()));
        match lane {
            Lane::Finishing => self.slots.saturating_sub(self.total()),
            Lane::Normal => shared,
            Lane::Awaiting => shared.min(self.awaiting.saturating_sub(self.used(Lane::Awaiting))),
        }
    }

    /// Whether finishing work has not used up its reserve. It goes before older normal work then.
    #[must_use]
    pub fn reserve_is_free(&self) -> bool {
        self.used(Lane::Finishing) < self.reserve && self.room(Lane::Finishing) > 0
    }

    /// How many of the waiting operations could check out a connection now, if enough were idle.
    #[must_use]
    pub fn servable(&self, waiting: [usize; 3]) -> usize {
        let [normal, finishing, awaiting] = waiting;
        let shared = self.room(Lane::Normal);
        let normal = normal.min(shared);
        let awaiting = awaiting.min(self.room(Lane::Awaiting)).min(shared - normal);
        (normal + awaiting + finishing).min(self.room(Lane::Finishing))
    }

    pub(super) const fn enter(&mut self, lane: Lane) {
        *at_mut(&mut self.used, lane) += 1;
    }

    pub(super) const fn leave(&mut self, lane: Lane) {
        let used = at_mut(&mut self.used, lane);
        *used = used.saturating_sub(1);
    }
}
