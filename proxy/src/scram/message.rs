//! Parses and builds the text of the four messages (RFC 5802 §7).
//!
//! Parsing is strict: attributes in their order, numbers of digits only, canonical base64. Optional
//! extensions after the known attributes are ignored, as the RFC requires. A mandatory one (`m=`)
//! is refused.

use std::str;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::{MAX_PAYLOAD, MessageName, ScramError};

/// `n,,n=user,r=nonce`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFirst<'a> {
    /// `n,,`, which the final message must repeat in base64.
    pub(super) gs2_header: &'a str,
    /// The rest, which both sides sign.
    pub(super) bare: &'a str,
    pub(super) user: String,
    pub(super) nonce: &'a str,
}

impl<'a> ClientFirst<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, ScramError> {
        let malformed = ScramError::Malformed(MessageName::ClientFirst);
        let text = text(payload, malformed)?;
        let (flag, rest) = text.split_once(',').ok_or(malformed)?;
        let (identity, bare) = rest.split_once(',').ok_or(malformed)?;
        match flag {
            "n" | "y" => {}
            _ if flag.starts_with("p=") => return Err(ScramError::ChannelBinding),
            _ => return Err(malformed),
        }
        if !identity.is_empty() {
            return Err(ScramError::AuthorisationIdentity);
        }
        let gs2_header = text.strip_suffix(bare).ok_or(malformed)?;
        let mut attributes = bare.split(',');
        let user = attribute(&mut attributes, "n=")
            .and_then(unescape)
            .ok_or(malformed)?;
        let nonce = attribute(&mut attributes, "r=")
            .filter(|it| is_nonce(it))
            .ok_or(malformed)?;
        Ok(Self {
            gs2_header,
            bare,
            user,
            nonce,
        })
    }
}

/// `n=user,r=nonce`, the part of the client-first message that is signed.
pub(super) fn client_first_bare(user: &str, nonce: &str) -> String {
    format!("n={},r={nonce}", escape(user))
}

/// `r=nonce,s=salt,i=iterations`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ServerFirst<'a> {
    /// The message itself, which both sides sign.
    pub(super) text: &'a str,
    pub(super) nonce: &'a str,
    pub(super) salt: Vec<u8>,
    pub(super) iterations: u32,
}

impl<'a> ServerFirst<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, ScramError> {
        let malformed = ScramError::Malformed(MessageName::ServerFirst);
        let text = text(payload, malformed)?;
        let mut attributes = text.split(',');
        let nonce = attribute(&mut attributes, "r=")
            .filter(|it| is_nonce(it))
            .ok_or(malformed)?;
        let salt = attribute(&mut attributes, "s=")
            .and_then(decode)
            .ok_or(malformed)?;
        let iterations = attribute(&mut attributes, "i=")
            .and_then(number)
            .ok_or(malformed)?;
        if salt.is_empty() {
            return Err(malformed);
        }
        Ok(Self {
            text,
            nonce,
            salt,
            iterations,
        })
    }
}

pub(super) fn server_first(nonce: &str, salt: &[u8], iterations: u32) -> String {
    format!("r={nonce},s={},i={iterations}", STANDARD.encode(salt))
}

/// `c=header,r=nonce,p=proof`.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ClientFinal<'a> {
    /// The message up to its proof, which both sides sign.
    pub(super) without_proof: &'a str,
    /// The header of the client-first message, decoded.
    pub(super) gs2_header: Vec<u8>,
    pub(super) nonce: &'a str,
    pub(super) proof: Vec<u8>,
}

impl<'a> ClientFinal<'a> {
    pub(super) fn parse(payload: &'a [u8]) -> Result<Self, ScramError> {
        let malformed = ScramError::Malformed(MessageName::ClientFinal);
        let text = text(payload, malformed)?;
        let (without_proof, proof) = text.rsplit_once(",p=").ok_or(malformed)?;
        let mut attributes = without_proof.split(',');
        let gs2_header = attribute(&mut attributes, "c=")
            .and_then(decode)
            .ok_or(malformed)?;
        let nonce = attribute(&mut attributes, "r=").ok_or(malformed)?;
        let proof = decode(proof).ok_or(malformed)?;
        Ok(Self {
            without_proof,
            gs2_header,
            nonce,
            proof,
        })
    }
}

pub(super) fn client_final_without_proof(gs2_header: &str, nonce: &str) -> String {
    format!("c={},r={nonce}", STANDARD.encode(gs2_header))
}

pub(super) fn client_final(without_proof: &str, proof: &[u8]) -> String {
    format!("{without_proof},p={}", STANDARD.encode(proof))
}

/// The signature of `v=signature`, or [`ScramError::ServerError`] for `e=`.
pub(super) fn parse_server_final(payload: &[u8]) -> Result<Vec<u8>, ScramError> {
    let malformed = ScramError::Malformed(MessageName::ServerFinal);
    let text = text(payload, malformed)?;
    if text.starts_with("e=") {
        return Err(ScramError::ServerError);
    }
    attribute(&mut text.split(','), "v=")
        .and_then(decode)
        .ok_or(malformed)
}

pub(super) fn server_final(signature: &[u8]) -> String {
    format!("v={}", STANDARD.encode(signature))
}

fn text(payload: &[u8], malformed: ScramError) -> Result<&str, ScramError> {
    if payload.len() > MAX_PAYLOAD {
        return Err(ScramError::TooLong(payload.len()));
    }
    str::from_utf8(payload).map_err(|_| malformed)
}

/// The value of the next attribute, which must have this name.
fn attribute<'a>(attributes: &mut str::Split<'a, char>, name: &str) -> Option<&'a str> {
    attributes.next()?.strip_prefix(name)
}

/// `1*(%x21-2B / %x2D-7E)`.
fn is_nonce(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic())
}

fn decode(text: &str) -> Option<Vec<u8>> {
    STANDARD.decode(text).ok()
}

/// `posit-number`: digits, the first of them not zero.
fn number(text: &str) -> Option<u32> {
    let digits = text.bytes().all(|byte| byte.is_ascii_digit());
    if digits && !text.starts_with('0') {
        text.parse().ok()
    } else {
        None
    }
}

/// `saslname`: a comma or an equals sign would end the attribute.
fn escape(user: &str) -> String {
    user.replace('=', "=3D").replace(',', "=2C")
}

fn unescape(user: &str) -> Option<String> {
    let mut parts = user.split('=');
    let mut plain = String::from(parts.next()?);
    for part in parts {
        let (character, rest) = match part.split_at_checked(2)? {
            ("2C", rest) => (',', rest),
            ("3D", rest) => ('=', rest),
            _ => return None,
        };
        plain.push(character);
        plain.push_str(rest);
    }
    if plain.is_empty() || plain.contains('\0') {
        None
    } else {
        Some(plain)
    }
}
