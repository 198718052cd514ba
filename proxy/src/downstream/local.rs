//! Commands that Weir answers or refuses itself.

use std::time::Duration;

use bson::{RawDocumentBuf, raw::cstr, rawdoc};
use tokio::time::Instant;

use crate::{
    command::Treatment,
    downstream::{Client, Frontend},
    error::ErrorReply,
    random,
    relay::{Reply, Request, client::NoClient, sessions::refuse_kill_sessions},
    scram::Nonce,
    wire::{
        build::DocumentBuilder,
        op_msg,
        raw::{elements, find},
    },
};

/// How long Weir keeps the upstream's buildInfo. A rolling upgrade must show soon.
const BUILD_INFO_AGE: Duration = Duration::from_secs(60);

/// Server 6.1.
const LAST_WIRE_VERSION_WITH_NONCE: i32 = 18;

/// A reply document or an error. `None`: relay the request.
type Answer = Option<Result<Vec<u8>, ErrorReply>>;

/// The answer to a request that is not relayed. `None`: relay it.
pub(super) async fn answer(client: &mut Client, request: &Request) -> Answer {
    let facts = &request.facts;
    let name = facts.name.of(&request.message);
    match facts.treatment {
        Treatment::Login => Some(log_in(client, request)),
        Treatment::Identity if name == b"getnonce" => Some(nonce(&client.frontend).await),
        Treatment::Identity => Some(Ok(identity(client, name))),
        Treatment::BuildInfo => Some(build_info(&client.frontend).await),
        Treatment::NotFound => Some(Err(ErrorReply::command_not_found(name))),
        Treatment::EndSessions => Some(Ok(ok(RawDocumentBuf::new()))),
        Treatment::KillSessions => refuse_kill_sessions(request).map(Err),
        Treatment::Denied => Some(Err(denied(name))),
        Treatment::TestOnly => test_command(&client.frontend, request),
        _ => None,
    }
}

fn log_in(client: &mut Client, request: &Request) -> Result<Vec<u8>, ErrorReply> {
    let (facts, message) = (&request.facts, &request.message);
    let name = facts.name.of(message);
    let db = String::from_utf8_lossy(facts.db.of(message));
    let nonce = || Nonce::from_random(random::secret());
    let (body, authenticator) = (facts.body.of(message), &client.frontend.authenticator);
    match client.login.command(name, &db, body, authenticator, nonce) {
        Some(Ok(document)) => Ok(ok(document)),
        Some(Err(error)) => {
            client.frontend.metrics.login_refused();
            tracing::info!(peer = %client.peer.name, %error, "a client's login was refused");
            Err(ErrorReply::new(
                error.code(),
                error.code_name(),
                error.to_string(),
            ))
        }
        None => Err(ErrorReply::command_not_found(name)),
    }
}

fn identity(client: &Client, name: &[u8]) -> Vec<u8> {
    match name {
        b"whatsmyuri" => ok(rawdoc! { "you": client.peer.name.as_str() }),
        _ => ok(client.login.connection_status()),
    }
}

/// A nonce for a mechanism that no server offers any more. Servers up to 6.1 had the command, and
/// drivers' suites send it to see it redacted.
async fn nonce(frontend: &Frontend) -> Result<Vec<u8>, ErrorReply> {
    if frontend.wire_version(false).await > LAST_WIRE_VERSION_WITH_NONCE {
        return Err(ErrorReply::command_not_found(b"getnonce"));
    }
    let nonce = u64::from_le_bytes(random::secret());
    Ok(ok(rawdoc! { "nonce": format!("{nonce:016x}") }))
}

/// The upstream's buildInfo. Drivers and tools read the server's version there.
async fn build_info(frontend: &Frontend) -> Result<Vec<u8>, ErrorReply> {
    let cached = frontend.build_info.lock().clone();
    if let Some((_, document)) = cached.filter(|(at, _)| at.elapsed() < BUILD_INFO_AGE) {
        return Ok(document);
    }
    let command = rawdoc! { "buildInfo": 1, "$db": "admin" };
    let Ok(mut request) = Request::own(command.as_bytes()) else {
        return Err(ErrorReply::command_not_found(b"buildInfo"));
    };
    request.facts.treatment = Treatment::Read;
    match frontend.relay().run(&mut NoClient, &mut request).await {
        Reply::Message(answer) => {
            let document = without_times(op_msg::body(&answer).unwrap_or_default());
            if find(&document, b"ok").is_some_and(|field| field.as_truthy()) {
                *frontend.build_info.lock() = Some((Instant::now(), document.clone()));
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

fn test_command(frontend: &Frontend, request: &Request) -> Answer {
    let (facts, message) = (&request.facts, &request.message);
    let name = facts.name.of(message);
    if !frontend.presentation.test_commands {
        return Some(Err(denied(name)));
    }
    if name != b"configureFailPoint" {
        return None;
    }
    let (database, body) = (facts.db.of(message), facts.body.of(message));
    let configured = frontend.fail_points.configure(database, body)?;
    Some(configured.map(|acted| ok(rawdoc! { "count": acted })))
}

/// The error for a command that acts on one node, or on every client.
fn denied(name: &[u8]) -> ErrorReply {
    let name = String::from_utf8_lossy(name);
    ErrorReply::unauthorized(format!(
        "{name} is not allowed through Weir: it acts on one database node or on all its clients; \
         connect to the database directly to run it"
    ))
}

fn ok(mut document: RawDocumentBuf) -> Vec<u8> {
    document.append(cstr!("ok"), 1.0);
    document.as_bytes().to_vec()
}

/// A cached reply without the cluster times of its own moment.
fn without_times(body: &[u8]) -> Vec<u8> {
    let mut out = DocumentBuilder::with_capacity(body.len());
    for field in elements(body).map_while(Result::ok) {
        if !matches!(field.key, b"$clusterTime" | b"operationTime") {
            out.element(&field);
        }
    }
    out.finish()
}
