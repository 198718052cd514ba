//! The calls of Lambda's Extensions API.
//!
//! Each call opens a connection of its own. The calls go over loopback, one for each invocation. A
//! connection that is kept open would be shared by the copies of an environment.

use std::collections::BTreeMap;

use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use lambda_extension::NextEvent;
use serde_json::{Value, json};
use tokio::net::TcpStream;

const REGISTER: &str = "/2020-01-01/extension/register";
const NEXT: &str = "/2020-01-01/extension/event/next";
const TELEMETRY: &str = "/2022-07-01/telemetry";
/// The version of the telemetry schema. All kinds of Lambda accept it.
const SCHEMA: &str = "2025-01-29";
const NAME: &str = "Lambda-Extension-Name";
const IDENTIFIER: &str = "Lambda-Extension-Identifier";

/// The Extensions API of this environment.
#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// `host:port`.
    address: String,
    /// The beginning of each path. Empty on Lambda.
    prefix: String,
    /// The extension's file name.
    name: String,
}

/// The identifier that Lambda gave to this extension.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Registered(String);

#[cfg(test)]
impl Registered {
    pub(crate) fn known_as(id: &str) -> Self {
        Self(id.to_owned())
    }
}

/// Why a call failed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    /// There is no answer, or none that is HTTP.
    #[error("{address} does not answer: {error}")]
    Io {
        /// The API's `host:port`.
        address: String,
        /// The cause.
        error: String,
    },
    /// Lambda refuses the call.
    #[error("Lambda answered {code}: {text}")]
    Refused {
        /// The HTTP status.
        code: u16,
        /// The body.
        text: String,
    },
    /// Lambda accepts the registration, but its answer has no identifier.
    #[error("Lambda's answer has no identifier")]
    Nameless,
}

impl ApiError {
    /// Whether Lambda does not report invocations here: this is a Managed Instance.
    pub(crate) fn is_invalid_event(&self) -> bool {
        matches!(self, Self::Refused { code: 400..=499, text } if text.contains("InvalidEventType"))
    }
}

/// An event of Lambda.
#[derive(Debug)]
pub(crate) enum News {
    /// An invocation begins.
    Invoke {
        /// Its id.
        request_id: String,
        /// Its deadline, in milliseconds since the Unix epoch. 0: not known.
        deadline_ms: u64,
    },
    /// The environment ends.
    Shutdown {
        /// The reason, in Lambda's words.
        reason: String,
    },
    /// An event that this version does not know: its first 200 characters.
    Unknown(String),
}

impl Api {
    /// `api` is `host:port`, as on Lambda, or a URL, as under `cargo lambda watch`.
    pub(crate) fn new(api: &str, name: &str) -> Self {
        let bare = api.strip_prefix("http://").unwrap_or(api);
        let bare = bare.trim_end_matches('/');
        let (address, prefix) = bare.find('/').map_or((bare, ""), |at| bare.split_at(at));
        Self {
            address: address.to_owned(),
            prefix: prefix.to_owned(),
            name: name.to_owned(),
        }
    }

    /// Registers for these events.
    pub(crate) async fn register(&self, events: &[&str]) -> Result<Registered, ApiError> {
        let body = json!({ "events": events }).to_string();
        let headers = BTreeMap::from([(NAME, self.name.as_str())]);
        let answer = self.call(Method::POST, REGISTER, &headers, body).await?;
        let identifier = answer.headers().get(IDENTIFIER);
        let identifier = identifier.and_then(|value| value.to_str().ok());
        let registered = identifier.map(|text| Registered(text.to_owned()));
        self.body(answer).await?;
        registered.ok_or(ApiError::Nameless)
    }

    /// Reports that the extension has finished its work, and waits for the next event without a
    /// time limit. Lambda may freeze the environment meanwhile.
    pub(crate) async fn next(&self, registered: &Registered) -> Result<News, ApiError> {
        let headers = BTreeMap::from([(IDENTIFIER, registered.0.as_str())]);
        let answer = self
            .call(Method::GET, NEXT, &headers, String::new())
            .await?;
        Ok(news(&self.body(answer).await?))
    }

    /// Asks Lambda to send events of the platform to `port`. `false`: it does not send them here.
    pub(crate) async fn subscribe(
        &self,
        registered: &Registered,
        port: u16,
    ) -> Result<bool, ApiError> {
        let body = json!({
            "schemaVersion": SCHEMA,
            "types": ["platform"],
            "buffering": { "maxItems": 1_000, "maxBytes": 262_144, "timeoutMs": 25 },
            "destination": {
                "protocol": "HTTP",
                "URI": format!("http://sandbox.localdomain:{port}"),
            },
        });
        let headers = BTreeMap::from([(IDENTIFIER, registered.0.as_str())]);
        let answer = self
            .call(Method::PUT, TELEMETRY, &headers, body.to_string())
            .await?;
        // AWS's emulator accepts the call, and says in the body that it will send no events.
        let body = self.body(answer).await?;
        Ok(!String::from_utf8_lossy(&body).contains("NotSupported"))
    }

    async fn call(
        &self,
        method: Method,
        path: &str,
        headers: &BTreeMap<&'static str, &str>,
        body: String,
    ) -> Result<Response<Incoming>, ApiError> {
        let io = |error: &dyn std::fmt::Display| ApiError::Io {
            address: self.address.clone(),
            error: error.to_string(),
        };
        let socket = TcpStream::connect(&self.address)
            .await
            .map_err(|e| io(&e))?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(socket))
            .await
            .map_err(|e| io(&e))?;
        let mut request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.prefix))
            .header(HOST, &self.address)
            .header(CONTENT_TYPE, "application/json");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request
            .body(Full::new(Bytes::from(body)))
            .map_err(|e| io(&e))?;
        // This task ends with the answer. The body comes through it.
        tokio::spawn(connection);
        sender.send_request(request).await.map_err(|e| io(&e))
    }

    /// The body of a successful answer.
    async fn body(&self, answer: Response<Incoming>) -> Result<Bytes, ApiError> {
        let status = answer.status();
        let body = answer.into_body().collect().await;
        let body = body.map_err(|error| ApiError::Io {
            address: self.address.clone(),
            error: error.to_string(),
        })?;
        let body = body.to_bytes();
        if status.is_success() {
            return Ok(body);
        }
        let text = String::from_utf8_lossy(&body).trim().to_owned();
        let code = status.as_u16();
        Err(ApiError::Refused { code, text })
    }
}

/// Reads an event. Fields that are missing or have another type are accepted.
fn news(body: &[u8]) -> News {
    match serde_json::from_slice(body) {
        Ok(NextEvent::Invoke(invoke)) => News::Invoke {
            request_id: invoke.request_id,
            deadline_ms: invoke.deadline_ms,
        },
        Ok(NextEvent::Shutdown(shutdown)) => News::Shutdown {
            reason: shutdown.shutdown_reason,
        },
        Err(_) => odd_news(body),
    }
}

fn odd_news(body: &[u8]) -> News {
    let event: Value = serde_json::from_slice(body).unwrap_or_default();
    let text = |name: &str| event.get(name).and_then(Value::as_str).map(str::to_owned);
    match text("eventType").as_deref() {
        Some("INVOKE") => News::Invoke {
            request_id: text("requestId").unwrap_or_default(),
            deadline_ms: event
                .get("deadlineMs")
                .and_then(Value::as_u64)
                .unwrap_or_default(),
        },
        Some("SHUTDOWN") => News::Shutdown {
            reason: text("shutdownReason").unwrap_or_default(),
        },
        _ => News::Unknown(String::from_utf8_lossy(body).chars().take(200).collect()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_read_and_odd_ones_forgiven() {
        let invoke = br#"{"eventType":"INVOKE","deadlineMs":1700000000123,"requestId":"r-1",
            "invokedFunctionArn":"arn:aws:lambda:x","tracing":{"type":"X-Amzn-Trace-Id","value":"v"}}"#;
        assert!(
            matches!(news(invoke), News::Invoke { request_id, deadline_ms: 1_700_000_000_123 }
            if request_id == "r-1")
        );
        let bare = br#"{"eventType":"INVOKE","requestId":"r-2"}"#;
        assert!(
            matches!(news(bare), News::Invoke { request_id, deadline_ms: 0 } if request_id == "r-2")
        );
        let shutdown = br#"{"eventType":"SHUTDOWN","shutdownReason":"spindown","deadlineMs":1}"#;
        assert!(matches!(news(shutdown), News::Shutdown { reason } if reason == "spindown"));
        let bare = br#"{"eventType":"SHUTDOWN"}"#;
        assert!(matches!(news(bare), News::Shutdown { reason } if reason.is_empty()));
        assert!(matches!(news(br#"{"eventType":"THAW"}"#), News::Unknown(_)));
        assert!(matches!(news(b"\xff"), News::Unknown(_)));
    }

    #[test]
    fn the_api_may_have_a_path() {
        let read = |api| {
            let Api {
                address, prefix, ..
            } = Api::new(api, "weir-extension");
            (address, prefix)
        };
        let expected = |address: &str, prefix: &str| (address.to_owned(), prefix.to_owned());
        assert_eq!(read("127.0.0.1:9001"), expected("127.0.0.1:9001", ""));
        assert_eq!(
            read("http://[::1]:9000/.rt"),
            expected("[::1]:9000", "/.rt")
        );
        assert_eq!(
            read("http://localhost:9000/"),
            expected("localhost:9000", "")
        );
    }

    #[test]
    fn only_a_refused_event_is_one() {
        let refused = |code, text: &str| ApiError::Refused {
            code,
            text: text.to_owned(),
        };
        let managed = r#"{"errorType":"Extension.InvalidEventType"}"#;
        assert!(refused(403, managed).is_invalid_event());
        assert!(!refused(403, "Extension.AlreadyRegistered").is_invalid_event());
        assert!(!refused(500, managed).is_invalid_event());
    }
}
