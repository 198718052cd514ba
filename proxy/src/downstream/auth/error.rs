//! Why a login command failed, with a server's codes.

use thiserror::Error;

use crate::scram::ScramError;

/// The longest part of a client's `mechanism` that an error repeats.
const SHOWN: usize = 32;

/// A refused login command. `Display` is the `errmsg` for the client.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum LoginError {
    /// Wrong password, unknown user or a broken conversation. The text is the same for all, so that
    /// it shows no cause.
    #[error("Authentication failed.")]
    Failed(ScramError),
    /// There is no user to log in as. The text says so, because it shows nothing about users and
    /// no password would help.
    #[error(
        "Authentication failed: the upstream connection string given to Weir has no user name and \
         password, so its clients cannot log in. Leave user name and password out of the client's \
         connection string, or put them into Weir's."
    )]
    NoUser,
    /// The mechanism is not SCRAM.
    #[error(
        "Received authentication for mechanism {0} which Weir does not offer; use SCRAM-SHA-256 or \
         SCRAM-SHA-1 with the user name and password of its upstream connection string"
    )]
    Mechanism(String),
    /// A `saslContinue` without a conversation.
    #[error("No SASL session state found")]
    NoConversation,
    /// A `saslContinue` of another conversation.
    #[error("SASL conversation id does not match the conversation in progress")]
    OtherConversation,
    /// A required field is missing.
    #[error("BSON field '{0}' is missing but a required field")]
    Missing(&'static str),
    /// A field has the wrong type.
    #[error("BSON field '{0}' is the wrong type")]
    WrongType(&'static str),
    /// A `payload` that is not binary. The base64 text of old shells is not supported.
    #[error("Invalid SASLPayload type. Expected BinData")]
    Payload,
    /// The document is not BSON.
    #[error("the command document is not valid BSON")]
    InvalidBson,
}

impl LoginError {
    /// An unknown mechanism's name, cut and cleaned for the message.
    pub(super) fn mechanism(name: &str) -> Self {
        let shown = |character: char| {
            if character.is_ascii_graphic() {
                character
            } else {
                '?'
            }
        };
        Self::Mechanism(name.chars().take(SHOWN).map(shown).collect())
    }

    /// The server's error code.
    pub const fn code(&self) -> i32 {
        self.code_and_name().0
    }

    /// The name that belongs to the code.
    pub const fn code_name(&self) -> &'static str {
        self.code_and_name().1
    }

    const fn code_and_name(&self) -> (i32, &'static str) {
        match self {
            Self::Failed(_) | Self::NoUser => (18, "AuthenticationFailed"),
            Self::Mechanism(_) => (334, "MechanismUnavailable"),
            Self::NoConversation | Self::OtherConversation => (17, "ProtocolError"),
            Self::Missing(_) => (40414, "Location40414"),
            Self::Payload => (2, "BadValue"),
            Self::WrongType(_) => (14, "TypeMismatch"),
            Self::InvalidBson => (22, "InvalidBSON"),
        }
    }
}
