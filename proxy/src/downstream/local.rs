//! Commands that Weir answers or refuses without an operation of the upstream's.

use std::time::Duration;

use bson::{RawDocumentBuf, raw::cstr, rawdoc};
use tokio::time::Instant;

use crate::{
    command::Treatment,
    downstream::Client,
    error::ErrorReply,
    random,
    relay::{Reply, Request, client::NoClient, sessions::refuse_kill_sessions},
    scram::Nonce,
    wire::{
        build::DocumentBuilder,
        op_msg::OpMsg,
        raw::{elements, find},
    },
};

/// How long the upstream's buildInfo is believed: a rolling upgrade shows soon.
const BUILD_INFO_AGE: Duration = Duration::from_secs(60);

/// Server 6.1.
const LAST_WIRE_VERSION_WITH_NONCE: i32 = 18;

type Answer = Option<Result<Vec<u8>, ErrorReply>>;

impl Client {
    /// The answer to a request that is not relayed; `None`: relay it.
    pub(crate) async fn local(&mut self, request: &Request) -> Answer {
        let facts = &request.facts;
        let name = facts.name.of(&request.message);
        match facts.treatment {
            Treatment::Login => Some(self.log_in(request)),
            Treatment::Identity if name == b"getnonce" => Some(self.nonce().await),
            Treatment::Identity => Some(Ok(self.identity(name))),
            Treatment::BuildInfo => Some(self.build_info().await),
            Treatment::NotFound => Some(Err(ErrorReply::command_not_found(name))),
            Treatment::EndSessions => Some(Ok(ok(RawDocumentBuf::new()))),
            Treatment::KillSessions => refuse_kill_sessions(request).map(Err),
            Treatment::Denied => Some(Err(denied(name))),
            Treatment::TestOnly => self.test_command(request),
            _ => None,
        }
    }

    fn log_in(&mut self, request: &Request) -> Result<Vec<u8>, ErrorReply> {
        let (facts, message) = (&request.facts, &request.message);
        let name = facts.name.of(message);
        let db = String::from_utf8_lossy(facts.db.of(message)).into_owned();
        let authenticator = std::sync::Arc::clone(&self.frontend.authenticator);
        let nonce = || Nonce::from_random(random::secret());
        let body = facts.body.of(message);
        match self.login.command(name, &db, body, &authenticator, nonce) {
            Some(Ok(document)) => Ok(ok(document)),
            Some(Err(error)) => {
                self.frontend.metrics.login_refused();
                tracing::info!(peer = %self.peer.name, %error, "a client's login was refused");
                Err(ErrorReply::new(
                    error.code(),
                    error.code_name(),
                    error.to_string(),
                ))
            }
            None => Err(ErrorReply::command_not_found(name)),
        }
    }

    fn identity(&self, name: &[u8]) -> Vec<u8> {
        match name {
            b"whatsmyuri" => ok(rawdoc! { "you": self.peer.name.as_str() }),
            _ => ok(self.login.connection_status()),
        }
    }

    /// A nonce for a mechanism that no server offers any more; the command itself was
    /// there up to server 6.1, and drivers' suites send it to see it redacted.
    async fn nonce(&self) -> Result<Vec<u8>, ErrorReply> {
        if self.frontend.wire_version(false).await > LAST_WIRE_VERSION_WITH_NONCE {
            return Err(ErrorReply::command_not_found(b"getnonce"));
        }
        let nonce = u64::from_le_bytes(random::secret());
        Ok(ok(rawdoc! { "nonce": format!("{nonce:016x}") }))
    }

    /// The upstream's buildInfo: drivers and tools read the server's version there.
    async fn build_info(&self) -> Result<Vec<u8>, ErrorReply> {
        let cached = self.frontend.build_info.lock().clone();
        if let Some((_, document)) = cached.filter(|(at, _)| at.elapsed() < BUILD_INFO_AGE) {
            return Ok(document);
        }
        let command = rawdoc! { "buildInfo": 1, "$db": "admin" };
        let Ok(mut request) = Request::own(command.as_bytes()) else {
            return Err(ErrorReply::command_not_found(b"buildInfo"));
        };
        request.facts.treatment = Treatment::Read;
        match self.frontend.relay().run(&mut NoClient, &mut request).await {
            Reply::Message(answer) => {
                let body = OpMsg::parse(&answer).ok().and_then(|m| answer.get(m.body));
                let document = without_times(body.unwrap_or_default());
                if find(&document, b"ok").is_some_and(|f| f.as_truthy()) {
                    *self.frontend.build_info.lock() = Some((Instant::now(), document.clone()));
                }
                Ok(document)
            }
            _ => Err(ErrorReply::new(
                6,
                "HostUnreachable",
                "the database did not answer",
            )),
        }
    }

    fn test_command(&self, request: &Request) -> Answer {
        let facts = &request.facts;
        let name = facts.name.of(&request.message);
        if !self.frontend.presentation.test_commands {
            return Some(Err(denied(name)));
        }
        if name != b"configureFailPoint" {
            return None;
        }
        let (database, body) = (
            facts.db.of(&request.message),
            facts.body.of(&request.message),
        );
        self.frontend
            .fail_points
            .configure(database, body)
            .map(|done| done.map(|acted| ok(rawdoc! { "count": acted })))
    }
}

/// Why a command that targets a node, or everybody, is not passed on.
fn denied(name: &[u8]) -> ErrorReply {
    let name = String::from_utf8_lossy(name);
    ErrorReply::unauthorized(format!(
        "{name} is not allowed through Weir: it acts on a database node or on every client of it; \
         connect to the database directly for it"
    ))
}

fn ok(mut document: RawDocumentBuf) -> Vec<u8> {
    document.append(cstr!("ok"), 1.0);
    document.as_bytes().to_vec()
}

/// Cached replies must not carry the times of the moment they were made.
fn without_times(body: &[u8]) -> Vec<u8> {
    let mut out = DocumentBuilder::with_capacity(body.len());
    for field in elements(body).map_while(Result::ok) {
        if !matches!(field.key, b"$clusterTime" | b"operationTime") {
            out.element(&field);
        }
    }
    out.finish()
}
