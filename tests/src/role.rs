//! The server's side of MONGODB-AWS, which only Atlas has. It believes every signature: whether
//! they are right is for a comparison with the Python driver's (`upstream::auth::role`).

use std::sync::Arc;

use bson::spec::BinarySubtype;
use bson::{Binary, Document, doc};

use crate::scripted::{Act, Answerer};

/// The STS host that it names.
const HOST: &str = "sts.eu-central-1.amazonaws.com";

/// Lets in whoever signs with the key called `id`, and carries out everything.
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
