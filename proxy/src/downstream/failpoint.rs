//! `failCommand`, carried out where clients see it.
//!
//! On an upstream node the fail point would hit Weir's own connections, and Weir would
//! hide it. Drivers' test suites want their own socket to fail, so with test commands
//! enabled the fail point acts here. Shape and meaning are those of a server
//! (`unified-test-format`, "failCommand").

use std::{
    sync::atomic::{AtomicBool, Ordering},
    time::Duration,
};

use parking_lot::Mutex;

use crate::{
    error::{Class, ErrorReply, Labels},
    relay::{Request, fresh_id},
    wire::{
        build::DocumentBuilder,
        header::Header,
        op_msg::OpMsg,
        raw::{Element, elements, find},
        reply,
    },
};

/// How often a fail point acts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Mode {
    Off,
    Always,
    Times(u64),
    /// Passes so many by, then acts always.
    Skip(u64),
}

#[derive(Debug)]
struct FailCommand {
    mode: Mode,
    commands: Vec<Vec<u8>>,
    app_name: Option<String>,
    close: bool,
    pause: Duration,
    code: Option<i32>,
    labels: Option<Vec<String>>,
    /// The `writeConcernError` document.
    concern: Option<Vec<u8>>,
}

/// The fail points of one listener.
#[derive(Debug, Default)]
pub struct FailPoints {
    active: AtomicBool,
    state: Mutex<Option<FailCommand>>,
}

/// What is to go wrong with one request.
#[derive(Debug)]
pub struct Planned {
    /// Wait first.
    pub pause: Duration,
    /// Close the client's socket instead of answering.
    pub close: bool,
    /// Answer with this.
    pub error: Option<ErrorReply>,
    /// Serve it, and add this `writeConcernError` to the reply.
    concern: Option<Vec<u8>>,
    labels: Vec<String>,
}

impl FailPoints {
    /// Takes a `configureFailPoint` command. `None`: it is another fail point, for the
    /// upstream.
    pub fn configure(&self, body: &[u8]) -> Option<Result<(), ErrorReply>> {
        let named = find(body, b"configureFailPoint")?;
        if named.as_str() != Some(b"failCommand") {
            return None;
        }
        let mode = find(body, b"mode").and_then(|mode| read_mode(&mode));
        let Some(mode) = mode else {
            return Some(Err(ErrorReply::new(
                2,
                "BadValue",
                "unknown fail point mode",
            )));
        };
        let data = find(body, b"data");
        let data = data
            .as_ref()
            .and_then(Element::as_document)
            .unwrap_or_default();
        let fail = (mode != Mode::Off).then(|| FailCommand::read(mode, data));
        self.active.store(fail.is_some(), Ordering::Release);
        *self.state.lock() = fail;
        Some(Ok(()))
    }

    /// What is to happen to `request`; `None`: nothing.
    pub(crate) fn plan(&self, request: &Request, app_name: Option<&str>) -> Option<Planned> {
        if !self.active.load(Ordering::Acquire) {
            return None;
        }
        let mut state = self.state.lock();
        let fail = state.as_mut()?;
        let name = request.facts.name.of(&request.message);
        let meant = fail.commands.iter().any(|command| command == name)
            && fail
                .app_name
                .as_deref()
                .is_none_or(|app| app_name == Some(app));
        if !meant || !fail.acts() {
            return None;
        }
        let planned = fail.plan(request.facts.class);
        if fail.mode == Mode::Off {
            self.active.store(false, Ordering::Release);
            *state = None;
        }
        Some(planned)
    }
}

impl FailCommand {
    fn read(mode: Mode, data: &[u8]) -> Self {
        let list = |key: &[u8]| -> Option<Vec<Vec<u8>>> {
            let list = find(data, key)?;
            let items = elements(list.as_array()?).map_while(Result::ok);
            Some(
                items
                    .filter_map(|item| item.as_str().map(<[u8]>::to_vec))
                    .collect(),
            )
        };
        let flag = |key: &[u8]| find(data, key).is_some_and(|f| f.as_truthy());
        let number = |key: &[u8]| find(data, key).and_then(|f| f.as_number_i64());
        let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
        let app = find(data, b"appName").and_then(|f| f.as_str().map(<[u8]>::to_vec));
        let pause = number(b"blockTimeMS").filter(|_| flag(b"blockConnection"));
        let concern = find(data, b"writeConcernError");
        Self {
            mode,
            commands: list(b"failCommands").unwrap_or_default(),
            app_name: app.map(text),
            close: flag(b"closeConnection"),
            pause: Duration::from_millis(pause.and_then(|ms| ms.try_into().ok()).unwrap_or(0)),
            code: number(b"errorCode").and_then(|code| code.try_into().ok()),
            labels: list(b"errorLabels").map(|names| names.into_iter().map(text).collect()),
            concern: concern.and_then(|f| f.as_document().map(<[u8]>::to_vec)),
        }
    }

    /// Counts one hit down; whether it acts.
    fn acts(&mut self) -> bool {
        match self.mode {
            Mode::Off => false,
            Mode::Always => true,
            Mode::Times(left) => {
                self.mode = if left <= 1 {
                    Mode::Off
                } else {
                    Mode::Times(left - 1)
                };
                left > 0
            }
            Mode::Skip(0) => true,
            Mode::Skip(left) => {
                self.mode = Mode::Skip(left - 1);
                false
            }
        }
    }

    fn plan(&self, class: Class) -> Planned {
        let error = self.code.map(|code| {
            let mut error = ErrorReply::new(
                code,
                code_name(code),
                "Failing command via 'failCommand' failpoint",
            );
            error.labels = match &self.labels {
                Some(names) => names.iter().fold(Labels::NONE, |all, name| {
                    all.and(Labels::named(name.as_bytes()))
                }),
                None => labels_of_a_server(code, class),
            };
            error
        });
        Planned {
            pause: self.pause,
            close: self.close,
            error,
            concern: self.concern.clone(),
            labels: self.labels.clone().unwrap_or_default(),
        }
    }
}

impl Planned {
    /// The reply with the planned `writeConcernError`.
    #[must_use]
    pub fn add_concern(&self, message: &[u8]) -> Option<Vec<u8>> {
        let concern = self.concern.as_ref()?;
        let body = message.get(OpMsg::parse(message).ok()?.body)?;
        let header = Header::decode(message, usize::MAX).ok()??;
        let mut out = DocumentBuilder::with_capacity(body.len() + concern.len() + 64);
        for field in elements(body).map_while(Result::ok) {
            out.element(&field);
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

fn read_mode(mode: &Element<'_>) -> Option<Mode> {
    match mode.as_str() {
        Some(b"off") => return Some(Mode::Off),
        Some(b"alwaysOn") => return Some(Mode::Always),
        _ => {}
    }
    let document = mode.as_document()?;
    let number = |key: &[u8]| {
        find(document, key)
            .and_then(|f| f.as_number_i64())
            .and_then(|n| u64::try_from(n).ok())
    };
    match (number(b"times"), number(b"skip")) {
        (Some(0), _) => Some(Mode::Off),
        (Some(times), _) => Some(Mode::Times(times)),
        (None, Some(skip)) => Some(Mode::Skip(skip)),
        (None, None) => None,
    }
}

/// The labels that a server adds by itself when the fail point names none.
fn labels_of_a_server(code: i32, class: Class) -> Labels {
    const RETRYABLE: [i32; 13] = [
        6, 7, 89, 91, 134, 189, 262, 9001, 10_107, 11_600, 11_602, 13_435, 13_436,
    ];
    let retryable = RETRYABLE.contains(&code);
    match class {
        Class::RetryableWrite | Class::Commit | Class::Abort if retryable => {
            Labels::RETRYABLE_WRITE
        }
        Class::InTransaction if retryable || matches!(code, 24 | 112 | 246 | 251) => {
            Labels::TRANSIENT_TRANSACTION
        }
        _ => Labels::NONE,
    }
}

const fn code_name(code: i32) -> &'static str {
    match code {
        6 => "HostUnreachable",
        7 => "HostNotFound",
        11 => "UserNotFound",
        13 => "Unauthorized",
        18 => "AuthenticationFailed",
        43 => "CursorNotFound",
        50 => "MaxTimeMSExpired",
        59 => "CommandNotFound",
        64 => "WriteConcernFailed",
        89 => "NetworkTimeout",
        91 => "ShutdownInProgress",
        112 => "WriteConflict",
        133 => "FailedToSatisfyReadPreference",
        134 => "ReadConcernMajorityNotAvailableYet",
        189 => "PrimarySteppedDown",
        251 => "NoSuchTransaction",
        262 => "ExceededTimeLimit",
        391 => "ReauthenticationRequired",
        462 => "IngressRequestRateLimitExceeded",
        9001 => "SocketException",
        10_107 => "NotWritablePrimary",
        11_600 => "InterruptedAtShutdown",
        11_601 => "Interrupted",
        11_602 => "InterruptedDueToReplStateChange",
        13_435 => "NotPrimaryNoSecondaryOk",
        13_436 => "NotPrimaryOrSecondary",
        _ => "Error",
    }
}
