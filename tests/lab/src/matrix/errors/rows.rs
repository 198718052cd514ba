//! The rows of the table, and what a client is sent in each.

use bson::{Document, doc};
use weir::error::{Class, ErrorReply, Failure, Labels, executed_perhaps, reply};

use weir_tests::scripted::Act;

/// What Weir's own back-off suggestion is set to here.
const BASE_BACKOFF_MS: u32 = 50;

/// How a row reaches the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An error of Weir's own.
    Own(Failure),
    /// A state change of the upstream, rewritten.
    StateChange,
    /// Refused by policy.
    Denied,
    /// The upstream's own overload, passed on.
    Overload,
    /// Weir leaves: monitors are closed first.
    Leaving,
    /// The socket is closed: what a proxy's crash looks like.
    Close,
    /// A state change that was not rewritten.
    Raw(i32, &'static str),
    /// The code of a rewritten one, left in the `writeConcernError` of a reply that says `ok`.
    InReply,
}

/// One row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// Its letter.
    pub name: &'static str,
    /// What happened.
    pub event: &'static str,
    /// What is sent.
    pub fault: Fault,
    /// Tried in both faces.
    pub differs_by_face: bool,
}

const fn row(name: &'static str, event: &'static str, fault: Fault) -> Row {
    Row {
        name,
        event,
        fault,
        differs_by_face: matches!(
            fault,
            Fault::Leaving | Fault::Close | Fault::Raw(..) | Fault::Own(Failure::Interrupted)
        ),
    }
}

const fn overloaded(backpressure: bool) -> Fault {
    Fault::Own(Failure::Overloaded {
        backpressure,
        base_backoff_ms: BASE_BACKOFF_MS,
    })
}

/// All rows that reach a client, and four that show why they are as they are.
pub const ROWS: [Row; 17] = [
    row(
        "A2",
        "upstream refuses Weir's login",
        Fault::Own(Failure::LoginRefused),
    ),
    row(
        "B",
        "upstream connection broke, bytes were out",
        Fault::Own(Failure::Interrupted),
    ),
    row(
        "C",
        "Weir's reply timeout",
        Fault::Own(Failure::ReplyTimeout),
    ),
    row(
        "D",
        "upstream changed its role, rewritten",
        Fault::StateChange,
    ),
    row(
        "E",
        "deadline passed while queued",
        Fault::Own(Failure::DeadlinePassed),
    ),
    row(
        "E'",
        "the function's time is nearly over (Lambda)",
        Fault::Own(Failure::WorkEnds { sent: true }),
    ),
    row(
        "F",
        "no connection free, client with back-pressure",
        overloaded(true),
    ),
    row("F'", "no connection free, older client", overloaded(false)),
    row(
        "G",
        "no suitable node when the hold ends",
        Fault::Own(Failure::NoNode),
    ),
    row(
        "I",
        "Weir leaves, its monitors closed first",
        Fault::Leaving,
    ),
    row(
        "J",
        "cursor found on no node",
        Fault::Own(Failure::CursorNotFound),
    ),
    row("K", "denied by policy", Fault::Denied),
    row(
        "L",
        "upstream overload, passed to those who know it",
        Fault::Overload,
    ),
    row(
        "close",
        "the client's socket is closed (for comparison)",
        Fault::Close,
    ),
    row(
        "raw 91",
        "91 not rewritten (for comparison)",
        Fault::Raw(91, "ShutdownInProgress"),
    ),
    row(
        "raw 10107",
        "10107 not rewritten (for comparison)",
        Fault::Raw(10_107, "NotWritablePrimary"),
    ),
    row(
        "in a reply",
        "6 in the writeConcernError of a reply that says ok (for comparison)",
        Fault::InReply,
    ),
];

impl Row {
    /// Whether this row can happen to a class.
    #[must_use]
    pub fn happens_to(&self, class: &str) -> bool {
        match self.fault {
            Fault::Own(Failure::CursorNotFound) => matches!(class, "GM" | "CS"),
            // It says that a write was applied here, and perhaps nowhere else.
            Fault::InReply => class == "RW",
            _ => true,
        }
    }

    /// Whether Weir sends it to clients of this kind; the two forms of overload exclude
    /// each other.
    #[must_use]
    pub fn is_sent_to(&self, backpressure: bool) -> bool {
        match self.fault {
            Fault::Own(Failure::Overloaded {
                backpressure: form, ..
            }) => form == backpressure,
            Fault::Overload => backpressure,
            _ => true,
        }
    }

    /// For comparison only: nothing is expected.
    #[must_use]
    pub fn is_comparison(&self) -> bool {
        matches!(self.fault, Fault::Raw(..) | Fault::InReply)
    }

    /// Whether a cleared pool and an Unknown address are part of it.
    #[must_use]
    pub fn moves_the_client(&self) -> bool {
        matches!(self.fault, Fault::Leaving | Fault::Close | Fault::Raw(..))
    }

    /// The error document, if there is one.
    #[must_use]
    pub fn error(&self, class: &str) -> Option<ErrorReply> {
        let class = class_of(class);
        Some(match self.fault {
            Fault::Own(failure) => reply(failure, class),
            Fault::StateChange | Fault::InReply => labelled(
                ErrorReply::new(6, "HostUnreachable", "the node changed its role"),
                executed_perhaps(class),
            ),
            Fault::Denied => ErrorReply::unauthorized("not allowed through Weir"),
            Fault::Overload => labelled(
                ErrorReply::new(462, "IngressRequestRateLimitExceeded", "too many requests"),
                Labels::OVERLOAD,
            ),
            Fault::Leaving => reply(Failure::Draining, class),
            Fault::Close => return None,
            // As mongod labels it itself.
            Fault::Raw(code, name) => labelled(
                ErrorReply::new(code, name, "the node changed its role"),
                executed_perhaps(class),
            ),
        })
    }

    /// What the face does.
    #[must_use]
    pub fn act(&self, class: &str) -> Act {
        let document = self.error(class).map(|error| decoded(&error));
        match (self.fault, document) {
            (Fault::Leaving, Some(document)) => Act::Leave(document),
            (Fault::InReply, Some(document)) => Act::Reply(in_reply(&document)),
            (_, Some(document)) => Act::Reply(document),
            (_, None) => Act::Close,
        }
    }
}

fn labelled(mut error: ErrorReply, labels: Labels) -> ErrorReply {
    error.labels = labels;
    error
}

fn decoded(error: &ErrorReply) -> Document {
    Document::try_from(error.document()).unwrap_or_default()
}

/// The error as a part of a reply to a write that was applied.
fn in_reply(error: &Document) -> Document {
    let mut reply = doc! { "ok": 1, "n": 1, "nModified": 1 };
    let mut concern = error.clone();
    concern.remove("ok");
    if let Some(labels) = concern.remove("errorLabels") {
        reply.insert("errorLabels", labels);
    }
    reply.insert("writeConcernError", concern);
    reply
}

/// Weir's class of a program's class.
fn class_of(class: &str) -> Class {
    match class {
        "RD" => Class::Read,
        "RW" => Class::RetryableWrite,
        "NW" => Class::Write,
        "TX" | "TXW" => Class::InTransaction,
        "CM" | "CMW" => Class::Commit,
        "AB" => Class::Abort,
        _ => Class::GetMore,
    }
}
