//! hello and its older spellings, answered from memory in both faces.
//!
//! The answer waits only for the very first contact with the upstream. A late hello makes a driver
//! drop its whole pool. A client that asks with `topologyVersion` and `maxAwaitTimeMS` gets its
//! answer when something has changed or its time is over. With the exhaust flag more answers
//! follow by themselves.
//! Sources: `mongodb-handshake/handshake.md`, `load-balancers.md`,
//! `server-discovery-and-monitoring/server-monitoring.md`.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

use bson::{DateTime, RawArrayBuf, RawDocumentBuf, oid::ObjectId, raw::cstr};
use tokio::time::{Instant, sleep, sleep_until};

use crate::{
    command::Facts,
    downstream::{Client, Next, drain, read::Envelope, test_commands},
    error::ErrorReply,
    random,
    relay::{ClientSide, error_message, fresh_id},
    scram::Nonce,
    wire::{
        compressed::Compressor,
        op_msg::MORE_TO_COME,
        raw::{Element, elements, find},
        reply,
    },
};

mod question;

use question::{Question, check_wait, version_of};

/// Most client metadata that a server accepts, bytes.
const LONGEST_METADATA: usize = 512;

/// Time between two hellos of a stream from a Weir that seems far. Several drivers use a measured
/// round trip only when the next hello comes.
const REMINDER: Duration = Duration::from_secs(1);

impl Client {
    /// Answers a hello.
    pub(crate) async fn answer_hello(
        &mut self,
        envelope: &Envelope,
        facts: &Facts,
        message: &[u8],
    ) -> Next {
        let body = facts.body.of(message);
        let question = match self.read_question(facts, body) {
            Ok(question) => question,
            Err((error, next)) => {
                self.send(envelope, error_message(envelope.id, &error))
                    .await;
                return next;
            }
        };
        let legacy_name = facts.name.of(message) != b"hello";
        if question.wait.is_some() {
            return self
                .answer_awaitable(envelope, facts, message, &question)
                .await;
        }
        drain::seem_far(self).await;
        let document = self.hello_document(body, &question, legacy_name).await;
        let message = reply::op_msg(fresh_id(), envelope.id, 0, document.as_bytes());
        let next = self.send(envelope, message).await;
        self.frontend.metrics.greeted(envelope.started);
        next
    }

    fn read_question(
        &mut self,
        facts: &Facts,
        body: &[u8],
    ) -> Result<Question, (ErrorReply, Next)> {
        let mut question = Question::default();
        let mut backpressure = self.traits.backpressure;
        for field in elements(body).map_while(Result::ok) {
            match field.key {
                b"client" => self
                    .take_metadata(&field)
                    .map_err(|e| (e, Next::Continue))?,
                b"topologyVersion" => question.known = version_of(&field),
                b"maxAwaitTimeMS" => {
                    let ms = field.as_number_i64().and_then(|ms| u64::try_from(ms).ok());
                    question.wait = ms.map(Duration::from_millis);
                }
                b"helloOk" => question.hello_ok = field.as_truthy(),
                b"loadBalanced" => question.load_balanced = field.as_truthy(),
                b"backpressure" => backpressure = true,
                _ => {}
            }
        }
        check_wait(&question, facts).map_err(|e| (e, Next::Continue))?;
        if !self.has_greeted() {
            self.traits.load_balanced = question.load_balanced;
            if self.frontend.presentation.load_balanced_only && !question.load_balanced {
                let text = "this address serves only clients with loadBalanced=true in their \
                            connection string";
                return Err((
                    ErrorReply::new(354, "LoadBalancerSupportMismatch", text),
                    Next::Close,
                ));
            }
        }
        self.traits.backpressure = backpressure;
        self.hellos = self.hellos.saturating_add(1);
        Ok(question)
    }

    /// Takes the client's metadata from its first hello.
    fn take_metadata(&mut self, field: &Element<'_>) -> Result<(), ErrorReply> {
        if self.has_greeted() {
            let text = "The client metadata document may only be sent in the first hello";
            return Err(ErrorReply::new(186, "ClientMetadataCannotBeMutated", text));
        }
        let Some(document) = field.as_document() else {
            return Err(ErrorReply::new(
                14,
                "TypeMismatch",
                "client metadata must be a document",
            ));
        };
        if document.len() > LONGEST_METADATA {
            let text = "The client metadata document must be less then or equal to 512 bytes";
            return Err(ErrorReply::new(2, "BadValue", text));
        }
        let text = |path: [&[u8]; 2]| {
            let [outer, inner] = path;
            let outer = find(document, outer)?;
            let inner = find(outer.as_document()?, inner)?;
            Some(String::from_utf8_lossy(inner.as_str()?).into_owned())
        };
        let app = text([b"application", b"name"]);
        if app.as_ref().is_some_and(|name| name.len() > 128) {
            let text = "'application.name' must be at most 128 bytes long";
            return Err(ErrorReply::new(2, "BadValue", text));
        }
        let driver = text([b"driver", b"name"]).unwrap_or_default();
        self.is_weir = driver.contains("weir");
        self.hello_only =
            self.frontend
                .hello_only_sources
                .arrived(&self.peer, &driver, app.as_deref());
        self.app_name = app.map(String::into_boxed_str);
        Ok(())
    }

    async fn hello_document(
        &mut self,
        body: &[u8],
        question: &Question,
        legacy_name: bool,
    ) -> RawDocumentBuf {
        // Another Weir asks again soon. A Weir whose upstream is itself would wait for itself.
        let wire = self.frontend.wire_version(!self.is_weir).await;
        let mut out = RawDocumentBuf::new();
        let writable = if legacy_name {
            cstr!("ismaster")
        } else {
            cstr!("isWritablePrimary")
        };
        out.append(writable, true);
        out.append(cstr!("msg"), "isdbgrid");
        if question.hello_ok {
            out.append(cstr!("helloOk"), true);
        }
        // After an error a driver that polls checks immediately, and one that streams does not.
        // So a Weir that sends clients away does not offer streaming.
        let streaming =
            self.frontend.presentation.streaming && !self.frontend.drain.closes_monitors();
        if streaming && !self.traits.load_balanced {
            out.append(cstr!("topologyVersion"), self.topology_version());
        }
        self.append_limits(&mut out);
        out.append(cstr!("localTime"), now());
        out.append(cstr!("connectionId"), self.connection_id);
        out.append(cstr!("minWireVersion"), 0);
        out.append(cstr!("maxWireVersion"), wire);
        if self.traits.load_balanced {
            out.append(
                cstr!("serviceId"),
                ObjectId::from_bytes(self.frontend.process_id),
            );
        }
        self.append_negotiated(&mut out, body);
        out.append(cstr!("weir"), env!("CARGO_PKG_VERSION"));
        out.append(
            cstr!("weirProcess"),
            ObjectId::from_bytes(self.frontend.process_id),
        );
        out.append(cstr!("ok"), 1.0);
        out
    }

    /// The smallest of the upstream nodes' limits, or a server's defaults.
    fn append_limits(&self, out: &mut RawDocumentBuf) {
        let snapshot = self.frontend.relay().cluster().snapshot();
        let limits = || snapshot.nodes.iter().filter_map(|node| node.limits);
        let smallest = |default: i32, of: fn(&crate::topology::Limits) -> i32| {
            limits().map(|l| of(&l)).min().unwrap_or(default)
        };
        out.append(
            cstr!("maxBsonObjectSize"),
            smallest(16 * 1024 * 1024, |l| l.max_bson),
        );
        out.append(
            cstr!("maxMessageSizeBytes"),
            smallest(48_000_000, |l| l.max_message),
        );
        out.append(
            cstr!("maxWriteBatchSize"),
            smallest(100_000, |l| l.max_batch),
        );
        let minutes = snapshot.session_timeout_minutes().unwrap_or(30);
        let minutes = i32::try_from(minutes).unwrap_or(30);
        out.append(cstr!("logicalSessionTimeoutMinutes"), minutes);
    }

    /// Appends compression, mechanisms and the speculative login, if the client asked for them.
    fn append_negotiated(&mut self, out: &mut RawDocumentBuf, body: &[u8]) {
        if let Some(codecs) =
            find(body, b"compression").and_then(|f| f.as_array().map(shared_codecs))
            && !codecs.is_empty()
        {
            out.append(cstr!("compression"), codecs);
        }
        if find(body, b"saslSupportedMechs").is_some() {
            out.append(
                cstr!("saslSupportedMechs"),
                self.frontend.authenticator.supported_mechanisms(),
            );
        }
        let speculative = find(body, b"speculativeAuthenticate");
        if let Some(document) = speculative.as_ref().and_then(Element::as_document) {
            let authenticator = std::sync::Arc::clone(&self.frontend.authenticator);
            let nonce = || Nonce::from_random(random::secret());
            if let Ok(answer) = self.login.speculate(document, &authenticator, nonce) {
                out.append(cstr!("speculativeAuthenticate"), answer);
            }
        }
    }

    fn topology_version(&self) -> RawDocumentBuf {
        let mut version = RawDocumentBuf::new();
        version.append(
            cstr!("processId"),
            ObjectId::from_bytes(self.frontend.process_id),
        );
        version.append(cstr!("counter"), *self.frontend.version.borrow());
        version
    }

    /// Answers an awaitable hello when something has changed or the wait is over: once, or again
    /// and again if the client allows it.
    async fn answer_awaitable(
        &mut self,
        envelope: &Envelope,
        facts: &Facts,
        asked: &[u8],
        question: &Question,
    ) -> Next {
        let legacy_name = facts.name.of(asked) != b"hello";
        let wait = question.wait.unwrap_or_default();
        let mut responds_to = envelope.id;
        let mut known = question.known;
        loop {
            if self.wait_for_change(known, wait).await.is_err() {
                return Next::Close;
            }
            let document = self.hello_document(&[], question, legacy_name).await;
            known = Some((self.frontend.process_id, *self.frontend.version.borrow()));
            let goes_on = facts.allows_exhaust() && !envelope.legacy && envelope.codec.is_none();
            let flags = if goes_on { MORE_TO_COME } else { 0 };
            let id = fresh_id();
            let message = reply::op_msg(id, responds_to, flags, document.as_bytes());
            if self.send(envelope, message).await == Next::Close {
                return Next::Close;
            }
            if !goes_on {
                return Next::Continue;
            }
            responds_to = id;
            // For the fail points of a server each answer of the stream is a command.
            if let Some(planned) = test_commands::planned(self, facts, asked) {
                sleep(planned.pause).await;
                if planned.close {
                    return Next::Close;
                }
                if let Some(error) = planned.error {
                    let message = reply::op_msg(fresh_id(), responds_to, 0, &error);
                    return self.send(envelope, message).await;
                }
            }
        }
    }

    /// Waits for a reason to answer. `Err`: the client has left, or Weir closes its socket.
    async fn wait_for_change(
        &self,
        known: Option<([u8; 12], i64)>,
        wait: Duration,
    ) -> Result<(), ()> {
        let drain = &self.frontend.drain;
        let leaving = drain.monitors_closing();
        let mut version = self.frontend.version.subscribe();
        let current = (self.frontend.process_id, *version.borrow_and_update());
        if known != Some(current) && !drain.closes_monitors() {
            return Ok(());
        }
        let far = drain.delays_hello();
        let wait = if far { wait.min(REMINDER) } else { wait };
        tokio::select! {
            biased;
            () = leaving => Err(()),
            () = drain.hello_delayed(), if !far => Ok(()),
            () = sleep_until(Instant::now() + wait) => Ok(()),
            _ = version.changed() => Ok(()),
            () = self.departed() => Err(()),
        }
    }
}

/// The codecs that both sides know, in the client's order.
fn shared_codecs(asked: &[u8]) -> RawArrayBuf {
    let mut shared = RawArrayBuf::new();
    let names = elements(asked).map_while(Result::ok);
    let names = names.filter_map(|f| f.as_str().and_then(|n| std::str::from_utf8(n).ok()));
    for name in names
        .filter_map(Compressor::from_name)
        .map(|codec| codec.name())
    {
        shared.push(name);
    }
    shared
}

fn now() -> DateTime {
    let since = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .unwrap_or_default();
    DateTime::from_millis(i64::try_from(since.as_millis()).unwrap_or(i64::MAX))
}
