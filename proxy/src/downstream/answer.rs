//! What happens to one request: answered here, refused, or relayed.

use std::sync::Arc;

use crate::{
    buffer,
    command::{Facts, FactsError, Treatment, kind::allowed_before_login},
    downstream::{
        Client, ClientLimit, Next, drain,
        failpoint::Planned,
        local,
        read::{Envelope, ReadError},
        test_commands,
    },
    error::{Class, ErrorReply},
    relay::{Reply, Request, error_message, fresh_id, sessions},
    wire::{
        WireError,
        build::DocumentBuilder,
        legacy::Query,
        op_msg::{EXHAUST_ALLOWED, MORE_TO_COME, OpMsg},
        raw::elements,
        reply,
    },
};

impl Client {
    /// Answers a whole OP_MSG.
    pub(crate) async fn answer(&mut self, envelope: Envelope, message: Vec<u8>) -> Next {
        let facts = match facts_of(&message) {
            Ok(facts) => facts,
            Err(error) => return Box::pin(self.refuse_facts(&envelope, &error)).await,
        };
        let mut request = Request::new(facts, message, envelope.id, envelope.started);
        let next = self.dispatch(&envelope, &mut request).await;
        self.reply_bytes = None;
        buffer::give(request.message);
        next
    }

    /// Answers a large OP_MSG of which only the first part has arrived.
    pub(crate) async fn pass_on(
        &mut self,
        envelope: Envelope,
        message: Vec<u8>,
        missing: usize,
    ) -> Next {
        let total = message.len() + missing;
        let facts = OpMsg::parse_prefix(&message, total).map_err(FactsError::from);
        let facts = facts.and_then(|msg| match msg {
            Some(msg) => Facts::read(&message, &msg),
            None => Err(FactsError::NoCommand),
        });
        let facts = match facts {
            Ok(facts) => facts,
            Err(error) => {
                if self.skip(missing).await.is_err() {
                    return Next::Close;
                }
                return self.refuse_facts(&envelope, &error).await;
            }
        };
        let request = Request::new(facts, message, envelope.id, envelope.started);
        let mut request = request.with_missing(missing);
        let next = if request.facts.treatment.is_answered_here() {
            let text = "a message of this size cannot belong to this command";
            let error = ErrorReply::new(10334, "BSONObjectTooLarge", text);
            self.refuse(&envelope, &request, &error).await
        } else {
            self.dispatch(&envelope, &mut request).await
        };
        self.reply_bytes = None;
        // The bytes that were not passed on come before the client's next request.
        if next == Next::Continue && self.skip(request.missing).await.is_err() {
            return Next::Close;
        }
        next
    }

    /// Refuses a message for which there is no memory now.
    pub(crate) async fn turn_away(
        &mut self,
        envelope: Envelope,
        class: Class,
        missing: usize,
    ) -> Next {
        if self.skip(missing).await.is_err() {
            return Next::Close;
        }
        let error = self.frontend.relay().overloaded(self.traits, class);
        if envelope.silent {
            return Next::Continue;
        }
        self.send(&envelope, error_message(envelope.id, &error))
            .await
    }

    /// Answers an OP_QUERY. Older drivers send handshake and login commands in it. Other commands
    /// are refused.
    pub(crate) async fn answer_query(&mut self, envelope: Envelope, message: Vec<u8>) -> Next {
        let Ok(query) = Query::parse(&message) else {
            return Next::Close;
        };
        let namespace = message.get(query.namespace.clone()).unwrap_or_default();
        let database = namespace.strip_suffix(b".$cmd").unwrap_or(b"admin");
        let body = message.get(query.body.clone()).unwrap_or_default();
        let Some(translated) = as_op_msg(envelope.id, database, body) else {
            return Next::Close;
        };
        let facts = match facts_of(&translated) {
            Ok(facts) => facts,
            Err(error) => return self.refuse_facts(&envelope, &error).await,
        };
        let accepted = matches!(
            facts.treatment,
            Treatment::Hello | Treatment::Login | Treatment::BuildInfo
        );
        if !accepted || !namespace.ends_with(b".$cmd") {
            let text = "Unsupported OP_QUERY command; the client driver may require an upgrade";
            let error = ErrorReply::new(352, "UnsupportedOpQueryCommand", text);
            return self
                .send(&envelope, error_message(envelope.id, &error))
                .await;
        }
        let mut request = Request::new(facts, translated, envelope.id, envelope.started);
        self.dispatch(&envelope, &mut request).await
    }

    /// Relays an ordinary request. Other requests are served on the heap: a future is moved once
    /// for each function that passes it on, so its size costs time.
    async fn dispatch(&mut self, envelope: &Envelope, request: &mut Request) -> Next {
        if !self.is_simply_relayed(request) {
            return Box::pin(self.serve_unusual(envelope, request)).await;
        }
        self.worked = true;
        let frontend = Arc::clone(&self.frontend);
        let _working = frontend.metrics.work();
        let reply = frontend.relay().run(self, request).await;
        self.deliver(envelope, request, reply, None).await
    }

    /// Whether a request can be relayed without further questions.
    fn is_simply_relayed(&self, request: &Request) -> bool {
        request.facts.treatment.is_relayed()
            && !(self.peer.must_log_in && self.is_anonymous())
            && self.peer.over_limit.is_none()
            && self.hello_only.is_none()
            && !self.frontend.fail_points.are_set()
            && !self.frontend.drain.may_refuse()
    }

    async fn serve_unusual(&mut self, envelope: &Envelope, request: &mut Request) -> Next {
        match test_commands::planned(self, &request.facts, &request.message) {
            None => self.serve_request(envelope, request, None).await,
            Some(planned) => self.act_as_planned(envelope, request, planned).await,
        }
    }

    /// Does to a request what its fail point says.
    async fn act_as_planned(
        &mut self,
        envelope: &Envelope,
        request: &mut Request,
        mut planned: Planned,
    ) -> Next {
        tokio::time::sleep(planned.pause).await;
        if planned.close {
            // No abort of Weir's may overtake a commit. The client sends the commit again on
            // another connection.
            self.pins.before(&request.facts);
            return Next::Close;
        }
        if let Some(error) = planned.error.take() {
            return self.send_document(envelope, request, &error).await;
        }
        self.serve_request(envelope, request, Some(planned)).await
    }

    async fn serve_request(
        &mut self,
        envelope: &Envelope,
        request: &mut Request,
        planned: Option<Planned>,
    ) -> Next {
        let treatment = request.facts.treatment;
        if self.peer.must_log_in && self.is_anonymous() && !allowed_before_login(treatment) {
            let name = request.facts.name.of(&request.message);
            let name = String::from_utf8_lossy(name).into_owned();
            let error = ErrorReply::unauthorized(format!("Command {name} requires authentication"));
            return self.refuse(envelope, request, &error).await;
        }
        if treatment != Treatment::Hello {
            self.worked = true;
            if treatment != Treatment::Login
                && let Some(hello_only) = self.hello_only.take()
            {
                hello_only.works();
            }
        }
        if treatment.is_relayed() {
            self.relay_request(envelope, request, planned).await
        } else {
            self.serve_here(envelope, request, planned).await
        }
    }

    /// Answers or refuses a request that is not an ordinary one.
    async fn serve_here(
        &mut self,
        envelope: &Envelope,
        request: &mut Request,
        planned: Option<Planned>,
    ) -> Next {
        let treatment = request.facts.treatment;
        if treatment == Treatment::Hello {
            return self
                .answer_hello(envelope, &request.facts, &request.message)
                .await;
        }
        match local::answer(self, request).await {
            Some(Ok(document)) => {
                let answered = self.send_document(envelope, request, &document).await;
                if treatment == Treatment::EndSessions {
                    sessions::end_later(self.frontend.relay(), request.take());
                }
                answered
            }
            Some(Err(error)) => self.refuse(envelope, request, &error).await,
            None => self.relay_request(envelope, request, planned).await,
        }
    }

    /// Relays a request and writes the reply.
    async fn relay_request(
        &mut self,
        envelope: &Envelope,
        request: &mut Request,
        planned: Option<Planned>,
    ) -> Next {
        // The driver keeps the connection, so the client is served as soon as there is room.
        self.peer.over_limit = self.peer.over_limit.take().filter(ClientLimit::is_exceeded);
        if self.peer.over_limit.is_some() {
            let class = request.facts.class;
            let error = self.frontend.relay().overloaded(self.traits, class);
            return self.refuse(envelope, request, &error).await;
        }
        if let Some(error) = drain::sent_away(self, request) {
            return self.refuse(envelope, request, &error).await;
        }
        let frontend = Arc::clone(&self.frontend);
        let _working = frontend.metrics.work();
        let relay = frontend.relay();
        let reply = if request.facts.treatment == Treatment::TestOnly {
            relay.broadcast(self, request).await
        } else {
            relay.run(self, request).await
        };
        self.deliver(envelope, request, reply, planned.as_ref())
            .await
    }

    /// Writes the reply to a relayed request.
    async fn deliver(
        &mut self,
        envelope: &Envelope,
        request: &Request,
        reply: Reply,
        planned: Option<&Planned>,
    ) -> Next {
        match reply {
            Reply::Message(message) => {
                let message = if self.frontend.presentation.test_commands {
                    test_commands::amended(&request.facts, planned, message)
                } else {
                    message
                };
                self.send(envelope, message).await
            }
            Reply::Nothing => Next::Continue,
            // TLS may not have sent the end of it yet.
            Reply::Sent => self.write(&[]).await,
            Reply::Hangup => Next::Close,
        }
    }

    async fn send_document(
        &mut self,
        envelope: &Envelope,
        request: &Request,
        document: &[u8],
    ) -> Next {
        if request.facts.is_unacknowledged() {
            return Next::Continue;
        }
        let id = fresh_id();
        self.send(envelope, reply::op_msg(id, envelope.id, 0, document))
            .await
    }

    async fn refuse(&mut self, envelope: &Envelope, request: &Request, error: &ErrorReply) -> Next {
        if request.facts.is_unacknowledged() {
            return Next::Continue;
        }
        self.send(envelope, error_message(envelope.id, error)).await
    }

    /// Refuses a message with a correct frame whose content is no command.
    async fn refuse_facts(&mut self, envelope: &Envelope, error: &FactsError) -> Next {
        let reply = match error {
            FactsError::InternalSession => ErrorReply::unauthorized(error.to_string()),
            FactsError::NoDatabase => ErrorReply::new(40571, "Location40571", error.to_string()),
            FactsError::NoCommand => ErrorReply::new(9, "FailedToParse", error.to_string()),
            FactsError::Wire(_) => {
                self.frontend.metrics.malformed();
                tracing::warn!(peer = %self.peer.name, %error, "closed a client connection");
                let reply = ErrorReply::new(22, "InvalidBSON", error.to_string());
                if !envelope.silent {
                    self.send(envelope, error_message(envelope.id, &reply))
                        .await;
                }
                return Next::Close;
            }
        };
        if envelope.silent {
            return Next::Continue;
        }
        self.send(envelope, error_message(envelope.id, &reply))
            .await
    }

    /// Tells a client what was wrong with its bytes, where the protocol allows an answer.
    pub(crate) async fn explain(&mut self, error: &ReadError) {
        let reply = match error {
            ReadError::Torn | ReadError::Io(_) => return,
            ReadError::Wire(WireError::Checksum { .. }) => {
                ErrorReply::new(288, "ChecksumMismatch", error.to_string())
            }
            _ => ErrorReply::new(17, "ProtocolError", error.to_string()),
        };
        self.write(&error_message(0, &reply)).await;
    }
}

/// The facts of a whole message whose flag bits Weir knows.
fn facts_of(message: &[u8]) -> Result<Facts, FactsError> {
    let msg = OpMsg::parse(message)?;
    if msg.flags & !(MORE_TO_COME | EXHAUST_ALLOWED) & 0xffff != 0 {
        return Err(FactsError::NoCommand);
    }
    Facts::read(message, &msg)
}

/// The OP_MSG form of an OP_QUERY command: the same fields, and its database as `$db`.
fn as_op_msg(id: i32, database: &[u8], body: &[u8]) -> Option<Vec<u8>> {
    let mut out = DocumentBuilder::with_capacity(body.len() + 32);
    for field in elements(body) {
        let field = field.ok()?;
        if field.key != b"$db" {
            out.element(&field);
        }
    }
    out.str("$db", &String::from_utf8_lossy(database));
    Some(reply::op_msg(id, 0, 0, &out.finish()))
}
