//! The options of `weir bench pressure`.

use std::fmt;
use std::time::Duration;

use clap::{Args, ValueEnum};
use serde::Serialize;

use weir::config::units;

/// The longest a cell may take.
const LONGEST: Duration = Duration::from_secs(600);

/// Finds the pool size that your own deployment needs: starts a Weir in this process with one
/// pool after the other, drives clients through it, and shows who waited how long. Reads only,
/// unless --write is given.
#[derive(Args, Clone)]
pub struct PressureArgs {
    /// The deployment, as the connection string a driver would get.
    #[arg(long, value_name = "URI")]
    pub target: String,

    /// Runs the same load without a Weir of this process, each client on a connection of its own,
    /// against this: another deployment, another Weir, or the target itself.
    #[arg(long, value_name = "URI")]
    pub compare: Option<String>,

    /// What the clients do.
    #[arg(long, value_enum, value_name = "NAME", default_value_t = Scenario::Steady)]
    pub scenario: Scenario,

    /// Numbers of clients to try, separated by commas.
    #[arg(long, value_name = "LIST", value_delimiter = ',', default_values_t = [16, 64, 256],
          value_parser = clap::value_parser!(u32).range(1..=20_000))]
    pub clients: Vec<u32>,

    /// Values of --max-connections to try, separated by commas, the sockets that watch each node
    /// counted in. [default: 5,10,20,40,80, as far as a quarter of what the server still accepts]
    #[arg(long, value_name = "LIST", value_delimiter = ',',
          value_parser = clap::value_parser!(u32).range(3..=10_000))]
    pub pools: Vec<u32>,

    /// How long each number of clients is measured on each pool, with its unit.
    #[arg(long, value_name = "DURATION", default_value = "3s", value_parser = duration)]
    pub duration: Duration,

    /// Reads this collection instead of the largest one that the user may read.
    #[arg(long, value_name = "DB.COLLECTION", value_parser = namespace)]
    pub collection: Option<Namespace>,

    /// Writes too: one operation in four is an update. Everything happens in a database named
    /// `weir_bench`, which is dropped at the end.
    #[arg(long)]
    pub write: bool,

    /// Longest 99th percentile of the wait for a connection that is still good, with its unit.
    #[arg(long, value_name = "DURATION", default_value = "100ms", value_parser = duration)]
    pub wait_bound: Duration,

    /// Prints one JSON document; progress goes to standard error.
    #[arg(long)]
    pub json: bool,

    /// Seed of pauses and choices.
    #[arg(long, default_value_t = 1)]
    pub seed: u64,
}

/// There are connection strings in it.
impl fmt::Debug for PressureArgs {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("PressureArgs")
    }
}

/// What the clients do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Scenario {
    /// Every client asks again as soon as it has its answer: the most that so many clients can ask.
    Steady,
    /// Clients pause 10 ms between operations, and one in ten reads the _id of 200 documents in two batches.
    Mixed,
    /// An exam starts: everybody arrives within half the time, most of them at once, connects,
    /// does eight operations with pauses, and stays.
    Exam,
}

/// A collection and its database.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Namespace {
    /// The database.
    pub database: String,
    /// The collection.
    pub collection: String,
}

impl fmt::Display for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{}", self.database, self.collection)
    }
}

fn namespace(text: &str) -> Result<Namespace, String> {
    match text.split_once('.') {
        Some((database, collection)) if !database.is_empty() && !collection.is_empty() => {
            Ok(Namespace {
                database: database.to_owned(),
                collection: collection.to_owned(),
            })
        }
        _ => Err("write DATABASE.COLLECTION, as in shop.orders".to_owned()),
    }
}

fn duration(text: &str) -> Result<Duration, String> {
    let duration = units::positive_duration(text);
    let duration = duration.map_err(|error| format!("{error}; {}", error.hint()))?;
    if duration > LONGEST {
        return Err(format!("at most {}", units::show_duration(LONGEST)));
    }
    Ok(duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_collection_is_named_with_its_database() {
        let named = namespace("shop.orders.old").unwrap();
        assert_eq!(
            (named.database.as_str(), named.collection.as_str()),
            ("shop", "orders.old")
        );
        for wrong in ["orders", ".orders", "shop."] {
            assert!(namespace(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_cell_has_an_end() {
        assert_eq!(duration("250ms"), Ok(Duration::from_millis(250)));
        for wrong in ["0s", "3", "11m"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }
}
