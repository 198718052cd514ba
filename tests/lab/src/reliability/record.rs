//! One operation, as its application saw it.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use anyhow::{Context, Result, bail};
use serde_json::Value;

use weir_tests::drivers::Driver;

/// A class of work: `tests/drivers/README.md` says what the programs do for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Class {
    /// A read that its driver does not retry.
    PlainRead,
    /// A read.
    Read,
    /// A retryable write.
    Write,
    /// A write that no server would know again.
    PlainWrite,
    /// The convenient API.
    Transaction,
    /// A cursor of several batches.
    Cursor,
    /// A change stream, and the inserts that it shows.
    Stream,
}

impl Class {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::PlainRead,
        Self::Read,
        Self::Write,
        Self::PlainWrite,
        Self::Transaction,
        Self::Cursor,
        Self::Stream,
    ];

    /// As programs call it.
    #[must_use]
    pub const fn key(self) -> &'static str {
        match self {
            Self::PlainRead => "PR",
            Self::Read => "RD",
            Self::Write => "RW",
            Self::PlainWrite => "NW",
            Self::Transaction => "TX",
            Self::Cursor => "CU",
            Self::Stream => "CS",
        }
    }

    /// As tables call it.
    #[must_use]
    pub const fn title(self) -> &'static str {
        match self {
            Self::PlainRead => "plain read",
            Self::Read => "retryable read",
            Self::Write => "retryable write",
            Self::PlainWrite => "non-retryable write",
            Self::Transaction => "withTransaction",
            Self::Cursor => "open cursor",
            Self::Stream => "change stream",
        }
    }

    /// Whether its driver can repeat it by itself: then the application shall see no error.
    #[must_use]
    pub const fn is_retryable(self) -> bool {
        !matches!(self, Self::PlainRead | Self::PlainWrite | Self::Cursor)
    }

    /// Whether its operations are in the ledger.
    #[must_use]
    pub const fn is_counted(self) -> bool {
        matches!(self, Self::Write | Self::PlainWrite | Self::Transaction)
    }
}

/// A endpoint to the replica set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Endpoint {
    /// As a replica set.
    Direct,
    /// Through one Weir.
    Weir,
}

impl Endpoint {
    /// Both.
    pub const ALL: [Self; 2] = [Self::Direct, Self::Weir];

    /// As tables and names of counters have it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Direct => "direct",
            Self::Weir => "weir",
        }
    }
}

/// One operation.
#[derive(Clone, Debug)]
pub struct Record {
    /// Its class.
    pub class: Class,
    /// When it began: ms since 1970.
    pub at: f64,
    /// How long it took, ms.
    pub ms: f64,
    /// What the application saw instead of a result.
    pub error: Option<String>,
    /// The driver's words.
    pub message: String,
    /// Counter and number of a write.
    pub written: Option<(String, i64)>,
}

impl Record {
    /// When it ended.
    #[must_use]
    pub fn ended(&self) -> f64 {
        self.at + self.ms
    }
}

/// What happened to a driver's connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pool {
    /// One was made.
    Created,
    /// All were given up.
    Cleared,
}

/// A line of a load program.
#[derive(Clone, Debug)]
pub enum Line {
    /// An operation.
    Record(Record),
    /// Connections, and when.
    Pool(Pool, f64),
}

impl Line {
    /// Reads it.
    ///
    /// # Errors
    /// When it is no such line.
    pub fn read(line: &Value) -> Result<Self> {
        let text = |name: &str| line.get(name).and_then(Value::as_str);
        let number = |name: &str| line.get(name).and_then(Value::as_f64);
        let at = number("at").with_context(|| format!("no time in {line}"))?;
        match text("pool") {
            Some("created") => return Ok(Self::Pool(Pool::Created, at)),
            Some("cleared") => return Ok(Self::Pool(Pool::Cleared, at)),
            Some(other) => bail!("a pool cannot be {other}"),
            None => {}
        }
        let class = Class::ALL
            .into_iter()
            .find(|class| Some(class.key()) == text("class"))
            .with_context(|| format!("no class in {line}"))?;
        let written = match (text("counter"), line.get("number").and_then(Value::as_i64)) {
            (Some(counter), Some(number)) => Some((counter.to_owned(), number)),
            _ if class.is_counted() => bail!("a write without its number: {line}"),
            _ => None,
        };
        Ok(Self::Record(Record {
            class,
            at,
            ms: number("ms").with_context(|| format!("no time in {line}"))?,
            error: text("error").map(ToOwned::to_owned),
            message: text("message").unwrap_or_default().to_owned(),
            written,
        }))
    }
}

/// Everything that one program said.
#[derive(Clone, Debug)]
pub struct Heard {
    /// Its driver.
    pub driver: Driver,
    /// The endpoint it took.
    pub endpoint: Endpoint,
    /// Its operations.
    pub records: Vec<Record>,
    /// Its connections.
    pub pools: Vec<(Pool, f64)>,
}

/// Now, as programs tell time.
#[must_use]
pub fn now_ms() -> f64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH);
    now.unwrap_or(Duration::ZERO).as_secs_f64() * 1_000.0
}
