//! Signature Version 4, for the one request of MONGODB-AWS: `GetCallerIdentity`.
//!
//! Source: "Create a signed AWS API request" of the IAM User Guide.

use base64::{Engine, engine::general_purpose::STANDARD};
use bson::DateTime;
use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest, Sha256};

use super::credentials::AwsCredentials;
use crate::upstream::auth::error::LoginError;

const ALGORITHM: &str = "AWS4-HMAC-SHA256";
const SERVICE: &str = "sts";
const BODY: &str = "Action=GetCallerIdentity&Version=2011-06-15";
/// The region of the global host, and of hosts that name no region.
const COMMON_REGION: &str = "us-east-1";

/// What a server wants to be signed.
pub(super) struct SigningRequest<'a> {
    /// The STS host that it will ask.
    pub(super) host: &'a str,
    /// Its nonce.
    pub(super) nonce: &'a [u8],
    /// The time, from [`moment`].
    pub(super) at: String,
}

/// The time as AWS writes it, as in `20261121T170220Z`.
pub(super) fn moment(now: DateTime) -> Result<String, LoginError> {
    let text = now.try_to_rfc3339_string();
    let text = text.map_err(|_| LoginError::Reply("this machine's clock is out of range"))?;
    let seconds = text.chars().take("2026-11-21T17:02:20".len());
    let compact: String = seconds.filter(|c| !matches!(c, '-' | ':')).collect();
    Ok(compact + "Z")
}

/// The value of the header `Authorization`.
pub(super) fn authorization(credentials: &AwsCredentials, request: &SigningRequest<'_>) -> String {
    let day: String = request.at.chars().take("20261121".len()).collect();
    let region = region(request.host);
    let scope = format!("{day}/{region}/{SERVICE}/aws4_request");
    let headers = headers(credentials, request);
    let names: Vec<&str> = headers.iter().map(|(name, _)| *name).collect();
    let names = names.join(";");
    let lines: String = headers
        .iter()
        .map(|(name, value)| format!("{name}:{value}\n"))
        .collect();
    let canonical = format!("POST\n/\n\n{lines}\n{names}\n{}", hash(BODY));
    let text = format!("{ALGORITHM}\n{}\n{scope}\n{}", request.at, hash(&canonical));
    let key = signing_key(credentials.secret(), &day, region);
    let signature = hex(&hmac(&key, &text));
    let id = credentials.id();
    format!("{ALGORITHM} Credential={id}/{scope}, SignedHeaders={names}, Signature={signature}")
}

/// The headers, in the order of their names, as they are signed.
fn headers(
    credentials: &AwsCredentials,
    request: &SigningRequest<'_>,
) -> Vec<(&'static str, String)> {
    let mut headers = vec![
        ("content-length", BODY.len().to_string()),
        (
            "content-type",
            "application/x-www-form-urlencoded".to_owned(),
        ),
        ("host", request.host.to_owned()),
        ("x-amz-date", request.at.clone()),
    ];
    if let Some(token) = credentials.token() {
        headers.push(("x-amz-security-token", token.to_owned()));
    }
    headers.push(("x-mongodb-gs2-cb-flag", "n".to_owned()));
    headers.push(("x-mongodb-server-nonce", STANDARD.encode(request.nonce)));
    headers
}

/// The second label, as in `sts.eu-central-1.amazonaws.com`.
fn region(host: &str) -> &str {
    match host.split('.').nth(1) {
        Some(region) if host != "sts.amazonaws.com" => region,
        _ => COMMON_REGION,
    }
}

pub(super) fn signing_key(secret: &str, day: &str, region: &str) -> [u8; 32] {
    let first = hmac(format!("AWS4{secret}").as_bytes(), day);
    let parts = [region, SERVICE, "aws4_request"];
    parts.into_iter().fold(first, |key, part| hmac(&key, part))
}

fn hmac(key: &[u8], text: &str) -> [u8; 32] {
    // A key of any length will do.
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(key) else {
        return [0; 32];
    };
    mac.update(text.as_bytes());
    mac.finalize().into_bytes().into()
}

fn hash(text: &str) -> String {
    hex(&Sha256::digest(text.as_bytes()))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
