//! Reads the fields of the login commands from a client's untrusted bytes.

use bson::raw::RawBsonRef;
use bson::spec::BinarySubtype;
use bson::{Binary, RawDocument};

use super::error::LoginError;

/// The fields of `saslStart`, as a command or inside a hello.
#[derive(Debug)]
pub(super) struct SaslStart<'a> {
    pub(super) mechanism: &'a str,
    pub(super) payload: &'a [u8],
    /// The client asks to skip the empty exchange at the end.
    pub(super) skip_empty_exchange: bool,
}

impl<'a> SaslStart<'a> {
    pub(super) fn parse(body: &'a [u8]) -> Result<Self, LoginError> {
        let body = parse(body)?;
        let skip_empty_exchange = match get(body, "options")? {
            Some(RawBsonRef::Document(options)) => get(options, "skipEmptyExchange")?
                .and_then(RawBsonRef::as_bool)
                .unwrap_or(false),
            _ => false,
        };
        Ok(Self {
            mechanism: mechanism(body)?,
            payload: payload(body)?,
            skip_empty_exchange,
        })
    }
}

/// The error of `authenticate`. The command serves X.509 and the removed MONGODB-CR, which Weir
/// does not offer.
pub(super) fn authenticate(body: &[u8]) -> LoginError {
    match parse(body).and_then(mechanism) {
        Ok(name) => LoginError::mechanism(name),
        Err(error) => error,
    }
}

pub(super) fn parse(document: &[u8]) -> Result<&RawDocument, LoginError> {
    RawDocument::from_bytes(document).map_err(|_| LoginError::InvalidBson)
}

pub(super) fn first_key(document: &RawDocument) -> Result<&str, LoginError> {
    match document.iter().next() {
        Some(Ok((key, _))) => Ok(key.as_str()),
        Some(Err(_)) => Err(LoginError::InvalidBson),
        None => Err(LoginError::Missing("saslStart")),
    }
}

pub(super) fn payload(body: &RawDocument) -> Result<&[u8], LoginError> {
    match get(body, "payload")? {
        Some(RawBsonRef::Binary(binary)) => Ok(binary.bytes),
        Some(_) => Err(LoginError::Payload),
        None => Err(LoginError::Missing("payload")),
    }
}

/// Checks `conversationId`, which may have any numeric type.
pub(super) fn conversation_id(body: &RawDocument, expected: i32) -> Result<(), LoginError> {
    let matches = match get(body, "conversationId")? {
        Some(RawBsonRef::Int32(id)) => id == expected,
        Some(RawBsonRef::Int64(id)) => id == i64::from(expected),
        Some(RawBsonRef::Double(id)) => id == f64::from(expected),
        Some(_) => return Err(LoginError::WrongType("conversationId")),
        None => return Err(LoginError::Missing("conversationId")),
    };
    if matches {
        Ok(())
    } else {
        Err(LoginError::OtherConversation)
    }
}

pub(super) fn binary(bytes: Vec<u8>) -> Binary {
    Binary {
        subtype: BinarySubtype::Generic,
        bytes,
    }
}

fn mechanism(body: &RawDocument) -> Result<&str, LoginError> {
    match get(body, "mechanism")? {
        Some(RawBsonRef::String(name)) => Ok(name),
        Some(_) => Err(LoginError::WrongType("mechanism")),
        None => Err(LoginError::Missing("mechanism")),
    }
}

fn get<'a>(body: &'a RawDocument, key: &str) -> Result<Option<RawBsonRef<'a>>, LoginError> {
    body.get(key).map_err(|_| LoginError::InvalidBson)
}
