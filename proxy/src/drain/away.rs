//! Which clients are sent away with which of their operations. Pure.

use super::Phase;
use crate::error::Class;

/// What of an operation decides whether its client can be sent away with it.
#[derive(Clone, Copy, Debug)]
pub struct Work {
    /// Its class.
    pub class: Class,
    /// It opens a transaction.
    pub starts_transaction: bool,
    /// A read that drivers try again by themselves.
    pub retried_read: bool,
    /// Its client connected with `loadBalanced=true`.
    pub load_balanced: bool,
    /// Its connection has a cursor or a transaction open that would end with it.
    pub pinned: bool,
    /// Its driver tries anything again whose error says that it was overload.
    pub backpressure: bool,
}

/// Whether the client of this work is sent away in this phase.
#[must_use]
pub const fn sends_away(phase: Phase, work: Work) -> bool {
    let has_monitors = !work.load_balanced;
    match phase {
        Phase::Serving | Phase::Unready | Phase::ResumeStreams => false,
        Phase::CloseMonitors if has_monitors => false,
        Phase::CloseMonitors | Phase::RedirectWriters | Phase::RedirectReaders if work.pinned => {
            false
        }
        Phase::CloseMonitors | Phase::RedirectWriters | Phase::RedirectReaders => {
            match work.class {
                // Its transaction number proves that the driver tries again.
                Class::RetryableWrite => true,
                // Whether its driver tries again is not to be seen: not one that the application
                // made with runCommand. Most clients write too, and have left by then.
                Class::Read => work.retried_read && matches!(phase, Phase::RedirectReaders),
                // Without monitors this is the only way to tell such a client.
                Class::Write => !has_monitors && work.backpressure,
                Class::InTransaction | Class::Commit | Class::Abort | Class::GetMore => false,
            }
        }
        Phase::Final => match work.class {
            Class::Read | Class::RetryableWrite | Class::Write => true,
            Class::InTransaction => work.starts_transaction,
            Class::Commit | Class::Abort | Class::GetMore => false,
        },
    }
}
