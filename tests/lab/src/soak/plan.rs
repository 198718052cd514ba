//! What a client does, as it follows from the seed.

use weir_tests::random::Random;

/// Where a client leaves in the middle of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// After a part of the request.
    InRequest,
    /// When the request is out.
    BeforeReply,
    /// With the reply's first bytes read.
    InReply,
}

/// How an increment is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Write {
    /// With `lsid` and `txnNumber`; asked again until it is acknowledged.
    Retryable,
    /// Without; asked once.
    Plain,
    /// `w: 0`: nobody says what became of it.
    Unacknowledged,
}

/// One thing to do; most are one command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// A find whose reply must carry this step's own payload of so many bytes.
    Echo(usize),
    /// An increment.
    Increment(Write),
    /// A cursor of so many batches; `kill`: it is killed before its end.
    Cursor {
        /// How many batches there are.
        batches: u64,
        /// Whether it is killed after half of them.
        kill: bool,
    },
    /// A transaction of so many increments.
    Transaction {
        /// How many.
        statements: u64,
        /// Commit it, or abort.
        commit: bool,
    },
    /// A find that cannot keep its `maxTimeMS`.
    TooSlow,
    /// A find whose reply comes after everybody has stopped waiting for it.
    TooLate,
}

/// The steps of one client, in order.
#[derive(Clone, Debug)]
pub struct Plan {
    random: Random,
}

impl Plan {
    /// The plan of client `number`.
    pub fn new(seed: u64, number: u64) -> Self {
        Self {
            random: Random::new(seed, number + 1),
        }
    }

    /// What comes next.
    pub fn step(&mut self) -> Step {
        let random = &mut self.random;
        match random.below(1_000) {
            0..350 => Step::Echo(usize::try_from(random.below(400)).unwrap_or(0)),
            // Beyond 256 KiB replies are passed on in pieces.
            350..352 => Step::Echo(usize::try_from(100_000 + random.below(600_000)).unwrap_or(0)),
            352..650 => Step::Increment(Write::Retryable),
            650..800 => Step::Increment(Write::Plain),
            800..840 => Step::Increment(Write::Unacknowledged),
            840..920 => Step::Cursor {
                batches: 2 + random.below(12),
                kill: random.per_mille(250),
            },
            920..997 => Step::Transaction {
                statements: 1 + random.below(4),
                commit: random.per_mille(700),
            },
            _ => Step::TooSlow,
        }
    }

    /// Whether and where the client leaves during its next command.
    pub fn leave(&mut self) -> Option<Leave> {
        match self.random.below(1_000) {
            0..2 => Some(Leave::InRequest),
            2..6 => Some(Leave::BeforeReply),
            6..8 => Some(Leave::InReply),
            _ => None,
        }
    }
}
