//! Why the demo could not be shown.

use super::client::ClientError;
use super::mongod::MongodError;
use crate::config::Problems;
use crate::proxy::StartError;

/// Why there is no table.
#[derive(Debug, thiserror::Error)]
pub(super) enum DemoError {
    /// No server of our own.
    #[error(transparent)]
    Mongod(#[from] MongodError),
    /// The server did not do what the demo needs.
    #[error("{doing} failed: {source}")]
    Server {
        /// What was asked of it.
        doing: &'static str,
        /// What came of it.
        source: ClientError,
    },
    /// The connection string does not suit Weir.
    #[error(transparent)]
    Settings(#[from] Problems),
    /// Weir did not start.
    #[error(transparent)]
    Start(#[from] StartError),
    /// The database that would be dropped holds something else.
    #[error(
        "the database {database} holds the collection {collection}, which is not the demo's: \
         nothing was changed"
    )]
    Stranger {
        /// The database's name.
        database: &'static str,
        /// The first such collection.
        collection: String,
    },
    /// The system refused something.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Says what was being done when a command failed.
pub(super) trait Doing<T> {
    /// `doing` as in "seeding the quiz".
    fn doing(self, doing: &'static str) -> Result<T, DemoError>;
}

impl<T> Doing<T> for Result<T, ClientError> {
    fn doing(self, doing: &'static str) -> Result<T, DemoError> {
        self.map_err(|source| DemoError::Server { doing, source })
    }
}
