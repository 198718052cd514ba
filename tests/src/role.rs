//! The server's side of MONGODB-AWS, which only Atlas has. It believes every signature: whether
//! they are right is for a comparison with the Python driver's (`upstream::auth::role`).

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use anyhow::Result;
use bson::spec::BinarySubtype;
use bson::{Binary, Document, doc};

use crate::scripted::{Act, Answerer};

/// The STS host that it names.
const HOST: &str = "sts.eu-central-1.amazonaws.com";

/// Lets in every client that signs with the key called `id`, and carries out everything.
pub fn lets_in(id: &'static str) -> Answerer {
    Arc::new(move |received| {
        let body = &received.message.body;
        if body.contains_key("saslStart") {
            let ours = payload(body)?.get_binary_generic("r").ok()?.clone();
            let nonce = [ours, vec![7; 32]].concat();
            let challenge = doc! { "s": binary(nonce), "h": HOST };
            return Some(said(challenge.to_vec().ok()?, false));
        }
        if !body.contains_key("saslContinue") {
            return Some(Act::Reply(doc! { "ok": 1.0, "n": 1 }));
        }
        let header = payload(body)?.get_str("a").ok()?.to_owned();
        match header.contains(&format!("Credential={id}/")) {
            true => Some(said(Vec::new(), true)),
            false => Some(Act::error(18, "AuthenticationFailed", &[])),
        }
    })
}

/// What a command of SASL carries.
pub fn payload(body: &Document) -> Option<Document> {
    let payload = body.get_binary_generic("payload").ok()?;
    Document::from_reader(payload.as_slice()).ok()
}

fn said(payload: Vec<u8>, done: bool) -> Act {
    let payload = binary(payload);
    Act::Reply(doc! { "ok": 1, "conversationId": 1, "done": done, "payload": payload })
}

fn binary(bytes: Vec<u8>) -> Binary {
    let subtype = BinarySubtype::Generic;
    Binary { subtype, bytes }
}

/// What [`gives_keys`] answers.
#[derive(Clone, Copy, Debug)]
pub enum Given {
    /// Keys with this id, for an hour.
    Keys(&'static str),
    /// A status of HTTP without keys.
    Status(u16),
    /// Nothing; the connection stays open.
    Silence,
}

/// Stands for the endpoint of a container: answers these one after the other, and the last one
/// from then on. Ends with the process.
///
/// # Errors
/// When there is no port.
pub fn gives_keys(answers: &'static [Given]) -> Result<SocketAddr> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?;
    std::thread::spawn(move || {
        let last = answers.last().copied().into_iter().cycle();
        let mut held = Vec::new();
        for given in answers.iter().copied().chain(last) {
            let Ok((stream, _)) = listener.accept() else {
                return;
            };
            held.extend(answer(stream, given));
        }
    });
    Ok(address)
}

/// The connection, if it is to stay open.
fn answer(mut stream: TcpStream, given: Given) -> Option<TcpStream> {
    let mut request = [0; 4096];
    let _ = stream.read(&mut request);
    let (status, body) = match given {
        Given::Silence => return Some(stream),
        Given::Status(status) => (status, String::new()),
        Given::Keys(id) => (
            200,
            format!(
                r#"{{"AccessKeyId":"{id}","SecretAccessKey":"s","Token":"t","Expiration":"2999-01-01T00:00:00Z"}}"#
            ),
        ),
    };
    let length = body.len();
    let _ = write!(
        stream,
        "HTTP/1.1 {status} So\r\nContent-Length: {length}\r\n\r\n{body}"
    );
    None
}
