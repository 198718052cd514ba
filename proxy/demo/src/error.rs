//! Why the demo could not be shown.

use std::path::PathBuf;

use weir::config::Problems;
use weir::proxy::StartError;
use weir_kit::client::ClientError;
use weir_kit::mongod::MongodError;

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
    /// No PyMongo.
    #[error(
        "this deployment is shown with Python processes, and PyMongo could not be had ({0}): \
         install Python 3.9 or newer with venv and pip (Debian: apt install python3-venv)"
    )]
    Python(String),
    /// A worker process did not start.
    #[error("a worker process did not start: {0}")]
    Worker(String),
    /// A Weir process did not start.
    #[error("a Weir ended at start: {0}")]
    Sidecar(String),
    /// No extension or no shim.
    #[error("--as lambda needs the layer: {0}")]
    Layer(String),
    /// This user or system has no name spaces.
    #[error(
        "--as lambda gives every environment an /opt of its own, and this system does not let \
         it ({0}): run it on Linux with util-linux' unshare, as root or where users may have \
         name spaces"
    )]
    Isolation(String),
    /// A part lies where Lambda has its layers.
    #[error(
        "{} lies in /opt, which is every environment's own: put Python and this program \
         elsewhere", .0.display()
    )]
    Hidden(PathBuf),
    /// AWS's emulator is not to be had.
    #[error(
        "AWS's emulator of Lambda could not be fetched from PyPI ({0}): install Python 3.9 or \
         newer with pip (Debian: apt install python3-pip), or go online for once"
    )]
    EmulatorMissing(String),
    /// An emulator does not listen.
    #[error("AWS's emulator did not start: {0}")]
    Emulator(String),
    /// The shim has not sent a function to its extension.
    #[error(
        "{0} answers came from functions that had not gone to their extension: nothing that \
         was measured is valid; please report this"
    )]
    Strays(String),
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
