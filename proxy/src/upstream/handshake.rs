//! Weir's own hello and login on a new connection.
//!
//! Every server that Weir supports understands the legacy name `isMaster` with `helloOk: true`.
//! A load-balanced one requires `hello`.
//! Sources: `mongodb-handshake/handshake.md`, `load-balancers.md`.

use std::sync::Arc;

use bson::{RawArrayBuf, RawDocumentBuf, raw::cstr, rawdoc};

use crate::{
    random,
    scram::Nonce,
    upstream::{
        Connection, Connector, Received,
        auth::{Next, Speculation, role::AwsCredentials},
        connect::{AskError, ConnectError},
    },
    wire::{
        compressed::Compressor,
        header::MAX_MESSAGE_LEN,
        op_msg::OpMsg,
        raw::{elements, find},
        reply,
    },
};

/// A server's reply to the first hello of a connection.
#[derive(Clone, Debug, Default)]
pub struct ServerHello {
    /// The reply document, byte for byte.
    pub document: Arc<[u8]>,
    /// `serviceId` of a load-balanced server.
    pub service_id: Option<[u8; 12]>,
}

impl ServerHello {
    fn read(document: &[u8]) -> Self {
        Self {
            document: Arc::from(document),
            service_id: find(document, b"serviceId").and_then(|f| f.as_object_id()),
        }
    }
}

impl Connector {
    /// Sends hello and logs in. `credentials` are for MONGODB-AWS.
    pub(super) async fn shake_hands(
        &self,
        conn: &mut Connection,
        credentials: Option<AwsCredentials>,
    ) -> Result<(), ConnectError> {
        let nonce = || Nonce::from_random(random::secret());
        let login = self
            .principal
            .as_ref()
            .map(|p| Speculation::new(Arc::clone(p), [nonce(), nonce()], credentials));
        let hello = self.hello(login.as_ref());
        let reply = conn.ask(&hello).await.map_err(ConnectError::in_handshake)?;
        if let Some(refusal) = refusal(&reply) {
            return Err(ConnectError::Refused(refusal));
        }
        conn.hello = ServerHello::read(&reply);
        if find(&reply, b"weirProcess").and_then(|f| f.as_object_id()) == Some(self.process_id) {
            return Err(ConnectError::Itself);
        }
        if self.load_balanced && conn.hello.service_id.is_none() {
            return Err(ConnectError::NotLoadBalanced);
        }
        conn.compressor = self.agreed_compressor(&reply);
        match login {
            Some(login) => log_in(conn, login, &reply).await,
            None => Ok(()),
        }
    }

    fn hello(&self, login: Option<&Speculation>) -> RawDocumentBuf {
        let mut hello = RawDocumentBuf::new();
        let name = if self.load_balanced {
            cstr!("hello")
        } else {
            cstr!("isMaster")
        };
        hello.append(name, 1);
        hello.append(cstr!("helloOk"), true);
        if self.load_balanced {
            hello.append(cstr!("loadBalanced"), true);
        }
        hello.append(cstr!("client"), self.metadata());
        let mut codecs = RawArrayBuf::new();
        self.compressors
            .iter()
            .for_each(|codec| codecs.push(codec.name()));
        hello.append(cstr!("compression"), codecs);
        hello.append(cstr!("backpressure"), true);
        if let Some(login) = login {
            if let Some(user) = login.sasl_supported_mechs() {
                hello.append(cstr!("saslSupportedMechs"), user);
            }
            if let Some(document) = login.document() {
                hello.append(cstr!("speculativeAuthenticate"), document);
            }
        }
        hello.append(cstr!("$db"), "admin");
        hello
    }

    /// The client metadata document, well under the 512 bytes that a server accepts.
    fn metadata(&self) -> RawDocumentBuf {
        let name = self.app_name.as_deref().unwrap_or("weir");
        let name: String = name.chars().take(64).collect();
        rawdoc! {
            "application": { "name": name },
            "driver": { "name": "weir", "version": env!("CARGO_PKG_VERSION") },
            "os": { "type": std::env::consts::OS, "architecture": std::env::consts::ARCH },
        }
    }

    /// The first of our codecs that the server accepted.
    fn agreed_compressor(&self, reply: &[u8]) -> Option<Compressor> {
        let accepted = find(reply, b"compression")?;
        let names: Vec<_> = elements(accepted.as_array()?)
            .map_while(Result::ok)
            .collect();
        let accepts = |codec: &&Compressor| {
            names
                .iter()
                .any(|name| name.as_str() == Some(codec.name().as_bytes()))
        };
        self.compressors.iter().find(accepts).copied()
    }
}

/// Finishes the login that the hello began. The commands must never be logged.
async fn log_in(
    conn: &mut Connection,
    login: Speculation,
    hello: &[u8],
) -> Result<(), ConnectError> {
    let mut next = login.after_hello(hello)?;
    while let Next::Send(command, login) = next {
        let reply = conn.ask(&command).await.map_err(ConnectError::in_login)?;
        next = login.step(&reply)?;
    }
    Ok(())
}

impl Connection {
    /// Runs one small command of Weir's own, uncompressed, and reads the reply whole.
    pub(crate) async fn ask(&mut self, command: &RawDocumentBuf) -> Result<Vec<u8>, AskError> {
        let id = self.request_id();
        self.send(&reply::op_msg(id, 0, 0, command.as_bytes()))
            .await?;
        let mut buf = Vec::new();
        if let Received::Head(header) = self.receive(&mut buf, id, MAX_MESSAGE_LEN).await? {
            self.receive_rest(&mut buf, &header).await?;
        }
        let msg = OpMsg::parse(&buf)?;
        Ok(buf.get(msg.body).unwrap_or_default().to_vec())
    }
}

/// The message of a reply with `ok: 0`; `None`: the command succeeded.
fn refusal(reply: &[u8]) -> Option<String> {
    let ok = find(reply, b"ok").is_some_and(|field| field.as_truthy());
    let message = || find(reply, b"errmsg").and_then(|m| m.as_str().map(<[u8]>::to_vec));
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    if ok {
        None
    } else {
        Some(message().map_or_else(|| "no reason given".to_owned(), text))
    }
}
