//! Why Weir could not log in.

use thiserror::Error;

use crate::scram::ScramError;

/// A login of Weir's own that failed. Never holds a secret.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoginError {
    /// The server's answer was an error: the password is wrong when `code` is
    /// 18 AuthenticationFailed, anything else is the server's trouble.
    #[error("the server refused the login: {message} (code {code})")]
    Refused {
        /// The server's `code`, 0 when it gave none.
        code: i32,
        /// The server's `errmsg`, cut to a readable length.
        message: String,
    },
    /// The SCRAM conversation broke, on Weir's side of it.
    #[error("the login was broken off: {0}")]
    Scram(#[from] ScramError),
    /// The reply is not what the command's reply should be.
    #[error("the server's reply to the login makes no sense: {0}")]
    Reply(&'static str),
}
