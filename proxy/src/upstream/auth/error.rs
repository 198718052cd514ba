//! Why Weir's own login failed.

use thiserror::Error;

use crate::scram::ScramError;

/// Why Weir's own login failed. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The server answered with an error. With `code` 18 (AuthenticationFailed) the password is
    /// wrong. Any other code is a problem of the server.
    #[error("the server refused the login: {message} (code {code})")]
    Refused {
        /// The server's `code`; 0: the reply has none.
        code: i32,
        /// The server's `errmsg`, at most 300 characters of it.
        message: String,
    },
    /// Weir ended the SCRAM conversation.
    #[error("Weir ended the login: {0}")]
    Scram(#[from] ScramError),
    /// The reply is not a valid reply to the login command.
    #[error("the server's reply to the login is not valid: {0}")]
    Reply(&'static str),
}
