//! Every error Weir makes of its own, with the code and the labels that tell a
//! driver what is safe.
//!
//! One pure function, [`reply`], maps an event and the class of the operation to
//! an error document. Drivers act on exactly three things: the code (reads), the
//! labels (writes, transactions, cursors) and the socket, which therefore stays
//! open. Sources: the driver specifications `retryable-writes.md`,
//! `retryable-reads.md`, `transactions.md`, `change-streams.md` and
//! `client-backpressure.md`.

use std::borrow::Cow;

use bson::{RawArrayBuf, RawDocumentBuf, raw::cstr};

mod labels;

#[cfg(test)]
mod tests;

pub use labels::Labels;

/// What kind of operation failed; decides which retry its driver may make.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// A read outside a transaction.
    Read,
    /// A write that carries `txnNumber` without `autocommit`: the server applies it once.
    RetryableWrite,
    /// Any other write, and every command Weir does not know.
    Write,
    /// A statement inside a transaction, neither commit nor abort.
    InTransaction,
    /// `commitTransaction`.
    Commit,
    /// `abortTransaction`.
    Abort,
    /// `getMore`.
    GetMore,
}

impl Class {
    /// Every class, in the order of the variants: `class as usize` is its place.
    pub const ALL: [Self; 7] = [
        Self::Read,
        Self::RetryableWrite,
        Self::Write,
        Self::InTransaction,
        Self::Commit,
        Self::Abort,
        Self::GetMore,
    ];

    /// Its name in the metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::RetryableWrite => "retryable_write",
            Self::Write => "write",
            Self::InTransaction => "transaction",
            Self::Commit => "commit",
            Self::Abort => "abort",
            Self::GetMore => "get_more",
        }
    }
}

/// What went wrong, as far as the driver's next step is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The connection broke after at least one byte of the operation was sent.
    Interrupted,
    /// Weir gave up waiting for the reply and destroyed the connection.
    ReplyTimeout,
    /// The upstream refused Weir's own login and no logged-in connection is left.
    LoginRefused,
    /// The client's deadline passed before anything was sent.
    DeadlinePassed,
    /// The work that the operation is part of ends in a moment (a function's invocation):
    /// there is time to report this error and none to try again.
    WorkEnds {
        /// The operation was sent: it may have been carried out.
        sent: bool,
    },
    /// No connection became free in time, or the queue is full; nothing was sent.
    Overloaded {
        /// The client announced `backpressure` in its handshake.
        backpressure: bool,
        /// Suggested first back-off, milliseconds; 0 leaves it to the driver.
        base_backoff_ms: u32,
    },
    /// No node suits the operation and the hold is over; nothing was sent.
    NoNode,
    /// Weir is leaving; nothing was sent.
    Draining,
    /// No node knows the cursor.
    CursorNotFound,
}

impl Failure {
    /// Every cause, as the metrics name it.
    pub const CAUSES: [&str; 9] = [
        "interrupted",
        "reply_timeout",
        "login_refused",
        "deadline",
        "overloaded",
        "no_node",
        "draining",
        "cursor_not_found",
        "work_ends",
    ];

    /// The place of its cause in [`Failure::CAUSES`].
    #[must_use]
    pub const fn cause(self) -> usize {
        match self {
            Self::Interrupted => 0,
            Self::ReplyTimeout => 1,
            Self::LoginRefused => 2,
            Self::DeadlinePassed => 3,
            Self::Overloaded { .. } => 4,
            Self::NoNode => 5,
            Self::Draining => 6,
            Self::CursorNotFound => 7,
            Self::WorkEnds { .. } => 8,
        }
    }
}

/// An error document in the making.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ErrorReply {
    /// The server error code.
    pub code: i32,
    /// The name that servers give that code.
    pub name: &'static str,
    /// For a person; must not contain "not master" or "node is recovering", by which
    /// old drivers detect a state change.
    pub message: Cow<'static, str>,
    /// Empty: no `errorLabels` field.
    pub labels: Labels,
    /// `baseBackoffMS` for drivers with client backpressure; 0 leaves it out.
    pub base_backoff_ms: u32,
}

impl ErrorReply {
    /// An error without labels.
    pub fn new(code: i32, name: &'static str, message: impl Into<Cow<'static, str>>) -> Self {
        let labels = Labels::NONE;
        Self {
            code,
            name,
            message: message.into(),
            labels,
            base_backoff_ms: 0,
        }
    }

    /// 13 Unauthorized.
    pub fn unauthorized(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(13, "Unauthorized", message)
    }

    /// 59 CommandNotFound, as a server words it.
    #[must_use]
    pub fn command_not_found(name: &[u8]) -> Self {
        let name = String::from_utf8_lossy(name);
        Self::new(59, "CommandNotFound", format!("no such command: '{name}'"))
    }

    /// The reply document: `ok: 0`, `errmsg`, `code`, `codeName` and what else applies.
    #[must_use]
    pub fn document(&self) -> RawDocumentBuf {
        let mut document = RawDocumentBuf::new();
        document.append(cstr!("ok"), 0.0);
        document.append(cstr!("errmsg"), self.message.as_ref());
        document.append(cstr!("code"), self.code);
        document.append(cstr!("codeName"), self.name);
        if !self.labels.is_empty() {
            let mut labels = RawArrayBuf::new();
            self.labels.names().for_each(|name| labels.push(name));
            document.append(cstr!("errorLabels"), labels);
        }
        if self.base_backoff_ms > 0 {
            document.append(
                cstr!("baseBackoffMS"),
                i32::try_from(self.base_backoff_ms).unwrap_or(i32::MAX),
            );
        }
        document
    }
}

/// The reply for `failure` of an operation of `class`: the table of the project's
/// error contract, and the only place where labels are chosen.
///
/// Two rules shape it. A label that permits a retry appears only where a second
/// execution cannot apply anything twice; and `commitTransaction` never carries
/// `TransientTransactionError`, because it may have happened and the driver would
/// run the whole transaction again.
#[must_use]
pub fn reply(failure: Failure, class: Class) -> ErrorReply {
    let (code, name) = code(failure);
    let mut reply = ErrorReply::new(code, name, text(failure));
    reply.labels = labels(failure, class);
    if let Failure::Overloaded {
        backpressure: true,
        base_backoff_ms,
    } = failure
    {
        reply.base_backoff_ms = base_backoff_ms;
    }
    reply
}

/// The server's own code and name that come nearest.
const fn code(failure: Failure) -> (i32, &'static str) {
    match failure {
        Failure::Interrupted
        | Failure::Overloaded {
            backpressure: false,
            ..
        } => (6, "HostUnreachable"),
        Failure::ReplyTimeout => (89, "NetworkTimeout"),
        Failure::LoginRefused => (18, "AuthenticationFailed"),
        Failure::DeadlinePassed | Failure::WorkEnds { .. } => (50, "MaxTimeMSExpired"),
        Failure::Overloaded {
            backpressure: true, ..
        } => (462, "IngressRequestRateLimitExceeded"),
        Failure::NoNode => (133, "FailedToSatisfyReadPreference"),
        Failure::Draining => (91, "ShutdownInProgress"),
        Failure::CursorNotFound => (43, "CursorNotFound"),
    }
}

/// What people read.
const fn text(failure: Failure) -> &'static str {
    match failure {
        Failure::Interrupted => "Weir lost its connection to the database during this operation",
        Failure::ReplyTimeout => "Weir received no reply from the database in time",
        Failure::LoginRefused => {
            "the database refuses Weir's own login: correct user and password, or the role, in its \
             upstream string (Weir's log has the database's words)"
        }
        Failure::DeadlinePassed => {
            "the operation's time limit passed while it waited in Weir; nothing was sent"
        }
        Failure::WorkEnds { sent: true } => {
            "the function's time is nearly over and the database has not answered; the \
             operation may have been carried out"
        }
        Failure::WorkEnds { sent: false } => {
            "the function's time is nearly over; the operation waited in Weir and nothing was \
             sent"
        }
        Failure::Overloaded { .. } => "no connection became free in time in Weir; nothing was sent",
        Failure::NoNode => "no database node suited this operation for the whole hold time of Weir",
        Failure::Draining => "this Weir is leaving; nothing was sent",
        Failure::CursorNotFound => "no database node knows this cursor",
    }
}

/// Labels by row (failure) and column (class).
///
/// `NoWritesPerformed` never comes without `RetryableWriteError`: at an error that has only
/// the former, the Go driver 1 returns the error of the attempt before, and where there was
/// none it returns nothing, so that the application takes the write for done.
const fn labels(failure: Failure, class: Class) -> Labels {
    use Class as C;
    use Labels as L;
    let commit_unknown = L::RETRYABLE_WRITE.and(L::UNKNOWN_COMMIT);
    match (failure, class) {
        (Failure::Interrupted | Failure::ReplyTimeout, class) => executed_perhaps(class),
        (Failure::LoginRefused, C::Commit) => L::UNKNOWN_COMMIT,
        (Failure::DeadlinePassed | Failure::NoNode, C::InTransaction) => L::TRANSIENT_TRANSACTION,
        // No label invites another try: it would take the time that is left to report this.
        (Failure::DeadlinePassed | Failure::WorkEnds { .. }, C::Commit) => L::UNKNOWN_COMMIT,
        (
            Failure::Overloaded {
                backpressure: true, ..
            },
            class,
        ) => match class {
            C::Read | C::Write => L::OVERLOAD,
            C::RetryableWrite => L::OVERLOAD.and(L::RETRYABLE_WRITE).and(L::NO_WRITES),
            C::InTransaction => L::OVERLOAD.and(L::TRANSIENT_TRANSACTION),
            C::Commit | C::Abort => L::OVERLOAD.and(L::RETRYABLE_WRITE),
            C::GetMore => L::OVERLOAD.and(L::RESUMABLE),
        },
        (
            Failure::Overloaded {
                backpressure: false,
                ..
            },
            C::RetryableWrite,
        ) => L::RETRYABLE_WRITE.and(L::NO_WRITES),
        (
            Failure::Overloaded {
                backpressure: false,
                ..
            },
            class,
        ) => executed_perhaps(class),
        (Failure::NoNode, C::Commit) => commit_unknown,
        (Failure::NoNode, C::GetMore) => L::RESUMABLE,
        (Failure::Draining, C::RetryableWrite) => L::RETRYABLE_WRITE.and(L::NO_WRITES),
        (Failure::Draining, C::Write) => L::OVERLOAD,
        (Failure::Draining, C::InTransaction) => L::TRANSIENT_TRANSACTION,
        (Failure::Draining, C::Commit | C::Abort) => L::RETRYABLE_WRITE,
        (Failure::Draining, C::GetMore) => L::RESUMABLE,
        _ => L::NONE,
    }
}

/// What may be retried when the operation may have run: the rows of a broken
/// connection, and of a state change that the upstream reported.
#[must_use]
pub const fn executed_perhaps(class: Class) -> Labels {
    match class {
        Class::Read | Class::Write => Labels::NONE,
        Class::RetryableWrite | Class::Abort => Labels::RETRYABLE_WRITE,
        Class::InTransaction => Labels::TRANSIENT_TRANSACTION,
        Class::Commit => Labels::RETRYABLE_WRITE.and(Labels::UNKNOWN_COMMIT),
        Class::GetMore => Labels::RESUMABLE,
    }
}

/// Codes by which a node says that its role changed or that it is leaving. Drivers
/// that see one mark the whole address Unknown, so Weir never passes one on.
#[must_use]
pub const fn is_state_change(code: i32) -> bool {
    matches!(
        code,
        10_107 | 13_435 | 10_058 | 11_600 | 11_602 | 13_436 | 189 | 91
    )
}
