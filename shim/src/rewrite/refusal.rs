//! Why a string stays as it is, and what to write instead.

use std::fmt;

use crate::uri::Malformed;

/// Never quotes the string: it holds a password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// It is not understood.
    Malformed(&'static str),
    /// The login cannot be made through Weir.
    Login {
        /// Which one.
        what: &'static str,
        /// The string to write.
        instead: String,
    },
    /// The client proves itself with a certificate, which Weir on the same machine can do for it.
    Certificate {
        /// The string to write.
        instead: String,
    },
    /// A role of AWS, and a Weir elsewhere: that one cannot log in with this function's role, and
    /// wants a login from its clients.
    RoleElsewhere {
        /// The string to write.
        instead: String,
    },
    /// Another string of the same cluster has another user.
    OtherUser {
        /// The variable with the user that Weir serves.
        served: String,
    },
}

impl From<Malformed> for Refusal {
    fn from(Malformed(why): Malformed) -> Self {
        Self::Malformed(why)
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Malformed(why) => write!(f, "it is not understood: {why}"),
            Self::Login { what, instead } => write!(
                f,
                "its login ({what}) cannot pass through Weir; set it to {instead}, with a \
                 database user that has a password (SCRAM)"
            ),
            Self::Certificate { instead } => write!(
                f,
                "its client certificate cannot pass through Weir; set it to {instead}, and \
                 WEIR_UPSTREAM to the string with the certificate: Weir presents it"
            ),
            Self::OtherUser { served } => write!(
                f,
                "it logs in as another user than {served}, and one Weir works as one user; name \
                 the variables of one user in WEIR_SHIM_VARS"
            ),
            Self::RoleElsewhere { instead } => write!(
                f,
                "its login (MONGODB-AWS) is made by a Weir on the same machine, and \
                 WEIR_SHIM_TARGET is elsewhere; set it to {instead}, with a database user that \
                 has a password (SCRAM)"
            ),
        }
    }
}
