//! Why an operation goes no further.

use crate::error::ErrorReply;

/// Why an operation goes no further.
#[derive(Debug)]
pub(crate) enum Stop {
    /// The client gets this error.
    Error(ErrorReply),
    /// The client has left; nobody is there to be told.
    Abandoned,
    /// The client's socket must be closed: it holds half a reply.
    Hangup,
}

impl From<ErrorReply> for Stop {
    fn from(error: ErrorReply) -> Self {
        Self::Error(error)
    }
}
