//! What a fail point does to the requests that it selects.

use std::time::Duration;

use crate::{
    downstream::failpoint::{Asked, codes, strings},
    error::Labels,
    relay::fresh_id,
    wire::{
        build::DocumentBuilder,
        header::Header,
        op_msg::OpMsg,
        raw::{elements, find},
        reply,
    },
};

/// The `data` of a `failCommand`.
#[derive(Debug)]
pub(super) struct Fault {
    commands: Vec<Vec<u8>>,
    app_name: Option<Vec<u8>>,
    /// `database.collection`.
    namespace: Option<Vec<u8>>,
    close: bool,
    pause: Duration,
    code: Option<i32>,
    /// `errorExtraInfo`: more fields of the error document.
    extra: Option<Vec<u8>>,
    labels: Option<Vec<String>>,
    /// The `writeConcernError` document.
    concern: Option<Vec<u8>>,
}

/// What happens to one request.
#[derive(Debug)]
pub struct Planned {
    /// The pause before anything else.
    pub pause: Duration,
    /// Close the client's socket instead of answering.
    pub close: bool,
    /// Answer with this document.
    pub error: Option<Vec<u8>>,
    /// Serve it, and add this `writeConcernError` to the reply.
    concern: Option<Vec<u8>>,
    labels: Vec<String>,
}

impl Fault {
    pub(super) fn read(data: &[u8]) -> Self {
        let flag = |key: &[u8]| find(data, key).is_some_and(|f| f.as_truthy());
        let number = |key: &[u8]| find(data, key).and_then(|f| f.as_number_i64());
        let text = |key: &[u8]| find(data, key).and_then(|f| f.as_str().map(<[u8]>::to_vec));
        let document =
            |key: &[u8]| find(data, key).and_then(|f| f.as_document().map(<[u8]>::to_vec));
        let pause = number(b"blockTimeMS").filter(|_| flag(b"blockConnection"));
        let readable = |name: Vec<u8>| String::from_utf8_lossy(&name).into_owned();
        Self {
            commands: strings(data, b"failCommands").unwrap_or_default(),
            app_name: text(b"appName"),
            namespace: text(b"namespace"),
            close: flag(b"closeConnection"),
            pause: Duration::from_millis(pause.and_then(|ms| ms.try_into().ok()).unwrap_or(0)),
            code: number(b"errorCode").and_then(|code| code.try_into().ok()),
            extra: document(b"errorExtraInfo"),
            labels: strings(data, b"errorLabels")
                .map(|names| names.into_iter().map(readable).collect()),
            concern: document(b"writeConcernError"),
        }
    }

    pub(super) fn is_meant(&self, asked: Asked<'_>) -> bool {
        // Two spellings of one command differ in case only: isMaster, findAndModify.
        self.commands
            .iter()
            .any(|name| name.eq_ignore_ascii_case(asked.name))
            && self
                .app_name
                .as_deref()
                .is_none_or(|app| asked.app_name.map(str::as_bytes) == Some(app))
            && self
                .namespace
                .as_deref()
                .is_none_or(|namespace| is_in(namespace, asked))
    }

    pub(super) fn plan(&self, asked: Asked<'_>) -> Planned {
        let or_given = |by_itself: Labels| match &self.labels {
            Some(given) => given.clone(),
            None => by_itself.names().map(str::to_owned).collect(),
        };
        let concern = self.concern.as_deref();
        let concern_labels = concern.map_or(Labels::NONE, |concern| {
            let code = find(concern, b"code").and_then(|code| code.as_number_i64());
            codes::labels_of_a_concern(code.unwrap_or_default(), asked.class)
        });
        Planned {
            pause: self.pause,
            close: self.close,
            error: self.code.map(|code| {
                let labels = or_given(codes::labels_of_a_server(code, asked.class));
                self.error(code, &labels)
            }),
            concern: self.concern.clone(),
            labels: or_given(concern_labels),
        }
    }

    /// The error document, with its fields in a server's order.
    fn error(&self, code: i32, labels: &[String]) -> Vec<u8> {
        let mut out = DocumentBuilder::new();
        if !labels.is_empty() {
            out.strings("errorLabels", labels.iter().map(String::as_str));
        }
        out.f64("ok", 0.0)
            .str("errmsg", "Failing command via 'failCommand' failpoint")
            .i32("code", code)
            .str("codeName", &codes::name(code));
        let extra = self.extra.as_deref().unwrap_or_default();
        for field in elements(extra).map_while(Result::ok) {
            out.element(&field);
        }
        out.finish()
    }
}

impl Planned {
    /// The reply with the planned `writeConcernError`. `None`: none is planned.
    #[must_use]
    pub fn add_concern(&self, message: &[u8]) -> Option<Vec<u8>> {
        let concern = self.concern.as_ref()?;
        let body = message.get(OpMsg::parse(message).ok()?.body)?;
        let header = Header::decode(message, usize::MAX).ok()??;
        let mut out = DocumentBuilder::with_capacity(body.len() + concern.len() + 64);
        for field in elements(body).map_while(Result::ok) {
            let replaced = field.key == b"writeConcernError"
                || (field.key == b"errorLabels" && !self.labels.is_empty());
            if !replaced {
                out.element(&field);
            }
        }
        out.document("writeConcernError", concern);
        if !self.labels.is_empty() {
            out.strings("errorLabels", self.labels.iter().map(String::as_str));
        }
        Some(reply::op_msg(
            fresh_id(),
            header.response_to,
            0,
            &out.finish(),
        ))
    }
}

/// Whether the command is about this collection. Its first value names the collection. A getMore
/// names it in the field `collection`.
fn is_in(namespace: &[u8], asked: Asked<'_>) -> bool {
    let first = elements(asked.body).next().and_then(Result::ok);
    let collection = first
        .and_then(|field| field.as_str())
        .or_else(|| find(asked.body, b"collection").and_then(|field| field.as_str()));
    collection.is_some_and(|collection| {
        let rest = namespace.strip_prefix(asked.database);
        rest.and_then(|rest| rest.strip_prefix(b".")) == Some(collection)
    })
}
