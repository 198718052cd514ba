//! The fields of a server's replies to login commands and hello.

use bson::raw::RawBsonRef;
use bson::{RawBson, RawDocument};

use super::error::LoginError;

/// The longest `errmsg` that is kept, in characters.
const LONGEST_MESSAGE: usize = 300;

/// The reply to `saslStart` and `saslContinue`, and its copy inside a hello's.
pub(super) struct Reply<'a> {
    /// Sent back unchanged, with its own type.
    pub(super) conversation_id: RawBson,
    pub(super) done: bool,
    pub(super) payload: &'a [u8],
}

impl<'a> Reply<'a> {
    pub(super) fn of_sasl(reply: &'a RawDocument) -> Result<Self, LoginError> {
        let conversation_id = match get(reply, "conversationId")? {
            Some(id @ (RawBsonRef::Int32(_) | RawBsonRef::Int64(_) | RawBsonRef::Double(_))) => {
                RawBson::from(id)
            }
            _ => return Err(LoginError::Reply("it has no conversationId")),
        };
        let done = match get(reply, "done")? {
            Some(RawBsonRef::Boolean(done)) => done,
            _ => return Err(LoginError::Reply("it does not say whether it is done")),
        };
        let payload = match get(reply, "payload")? {
            Some(RawBsonRef::Binary(binary)) => binary.bytes,
            _ => return Err(LoginError::Reply("it has no payload")),
        };
        Ok(Self {
            conversation_id,
            done,
            payload,
        })
    }
}

pub(super) fn parse(reply: &[u8]) -> Result<&RawDocument, LoginError> {
    RawDocument::from_bytes(reply).map_err(|_| INVALID)
}

/// An `ok: 0` reply becomes [`LoginError::Refused`].
pub(super) fn check_ok(reply: &RawDocument) -> Result<(), LoginError> {
    let ok = match get(reply, "ok")? {
        Some(RawBsonRef::Double(ok)) => ok == 1.0,
        Some(RawBsonRef::Int32(ok)) => ok == 1,
        Some(RawBsonRef::Int64(ok)) => ok == 1,
        Some(RawBsonRef::Boolean(ok)) => ok,
        _ => return Err(LoginError::Reply("it has no ok")),
    };
    if ok {
        return Ok(());
    }
    let code = get(reply, "code")?
        .and_then(RawBsonRef::as_i32)
        .unwrap_or_default();
    let message = get(reply, "errmsg")?
        .and_then(RawBsonRef::as_str)
        .unwrap_or("no errmsg");
    Err(LoginError::Refused {
        code,
        message: message.chars().take(LONGEST_MESSAGE).collect(),
    })
}

/// An optional sub-document.
pub(super) fn document<'a>(
    reply: &'a RawDocument,
    key: &str,
) -> Result<Option<&'a RawDocument>, LoginError> {
    Ok(get(reply, key)?.and_then(RawBsonRef::as_document))
}

/// The strings of an array; none when the field is absent.
pub(super) fn strings<'a>(reply: &'a RawDocument, key: &str) -> Result<Vec<&'a str>, LoginError> {
    let Some(array) = get(reply, key)?.and_then(RawBsonRef::as_array) else {
        return Ok(Vec::new());
    };
    let names = array
        .into_iter()
        .filter_map(|name| name.map(RawBsonRef::as_str).transpose());
    names.collect::<Result<_, _>>().map_err(|_| INVALID)
}

const INVALID: LoginError = LoginError::Reply("it is not valid BSON");

fn get<'a>(reply: &'a RawDocument, key: &str) -> Result<Option<RawBsonRef<'a>>, LoginError> {
    reply.get(key).map_err(|_| INVALID)
}
