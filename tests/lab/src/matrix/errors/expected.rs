//! What a driver is meant to do with each row: the intent of the table.
//!
//! Work that the server applies once is tried again exactly once; nothing else is sent
//! again; a transaction runs its body again only when nothing of it can have been
//! committed; a change stream resumes; a plain cursor ends.

use weir::error::Failure;

use super::rows::{Fault, Row};

/// What the driver is meant to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Send the command once more, and succeed.
    Retry,
    /// Give the error to the application, and send nothing again.
    Surface,
    /// Run the whole transaction again, and succeed.
    BodyAgain,
    /// Resume the change stream, and lose nothing.
    Resume,
    /// Resume it or send the getMore again, and lose nothing.
    GoOn,
    /// Pass over it: an abort that failed is an abort.
    PassOver,
    /// Anything: the row is there for comparison.
    Anything,
}

impl Expected {
    /// In a table.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Retry => "retry once",
            Self::Surface => "surface",
            Self::BodyAgain => "whole transaction again",
            Self::Resume => "resume",
            Self::GoOn => "resume or ask again",
            Self::PassOver => "pass over",
            Self::Anything => "(comparison)",
        }
    }
}

/// What a driver that announced back-pressure, or did not, is meant to do.
#[must_use]
pub fn expected(row: &Row, class: &str, backpressure: bool) -> Expected {
    match row.fault {
        Fault::Raw(..) | Fault::InReply => Expected::Anything,
        Fault::Own(Failure::Interrupted | Failure::ReplyTimeout)
        | Fault::StateChange
        | Fault::Close
        | Fault::Own(Failure::Overloaded {
            backpressure: false,
            ..
        }) => interrupted(class),
        Fault::Own(Failure::Overloaded {
            backpressure: true, ..
        })
        | Fault::Overload => overloaded(class),
        Fault::Own(Failure::NoNode) => no_node(class),
        Fault::Own(Failure::DeadlinePassed) => deadline_passed(class),
        Fault::Own(Failure::LoginRefused) => login_refused(class),
        Fault::Own(Failure::CursorNotFound) => cursor_gone(class),
        Fault::Leaving | Fault::Own(Failure::Draining) => leaving(class, backpressure),
        Fault::Denied | Fault::Own(Failure::WorkEnds { .. }) => final_answer(class),
    }
}

/// It may have been executed: only what the server applies once goes again.
fn interrupted(class: &str) -> Expected {
    match class {
        "RD" | "RW" | "CM" | "CMW" | "AB" => Expected::Retry,
        "TXW" => Expected::BodyAgain,
        "CS" => Expected::Resume,
        _ => Expected::Surface,
    }
}

/// Nothing was executed, and the labels say so: everything may go again.
fn overloaded(class: &str) -> Expected {
    match class {
        "CS" => Expected::GoOn,
        _ => Expected::Retry,
    }
}

/// The client has already waited for a whole hold: reads and writes surface, a commit may
/// always be tried again.
fn no_node(class: &str) -> Expected {
    match class {
        "CM" | "CMW" => Expected::Retry,
        "TXW" => Expected::BodyAgain,
        "CS" => Expected::Resume,
        "AB" => Expected::PassOver,
        _ => Expected::Surface,
    }
}

/// The application's own limit: `withTransaction` does not try that commit again either.
fn deadline_passed(class: &str) -> Expected {
    match class {
        "TXW" => Expected::BodyAgain,
        "AB" => Expected::PassOver,
        _ => Expected::Surface,
    }
}

/// Only the convenient API goes on, because a commit of unknown result may be repeated.
fn login_refused(class: &str) -> Expected {
    match class {
        "CMW" => Expected::Retry,
        "AB" => Expected::PassOver,
        _ => Expected::Surface,
    }
}

fn cursor_gone(class: &str) -> Expected {
    match class {
        "CS" => Expected::Resume,
        _ => Expected::Surface,
    }
}

/// Nothing was sent, and another Weir serves: what its driver retries moves there.
fn leaving(class: &str, backpressure: bool) -> Expected {
    match class {
        "NW" if backpressure => Expected::Retry,
        other => interrupted(other),
    }
}

fn final_answer(class: &str) -> Expected {
    match class {
        "AB" => Expected::PassOver,
        _ => Expected::Surface,
    }
}
