//! What takes minutes: the short forms of the laboratory's programs, and whole drivers.
//!
//! | module | its long form |
//! |---|---|
//! | `drivers` | `weir-drivers`: every driver, every feature, every error |
//! | `soak` | `weir-soak`: a load with faults, and a ledger that checks it |
//! | `reliability` | `weir-reliability`: what elections and kills cost an application |
//! | `suites` | `weir-suites`: the Go driver's own tests |
//! | `storm`, `drill`, `numbers` | `weir-lambda`: environments that start at once, a migration, a page |
//! | `shim` | every string of the shim's corpus, with every driver |

mod drill;
mod drivers;
mod numbers;
mod reliability;
mod shim;
mod soak;
mod storm;
mod suites;

use tokio::sync::{Mutex, MutexGuard};

/// Each of these tests fills the machine with programs. They run one after the other, because two
/// of them at once would measure each other.
async fn turn() -> MutexGuard<'static, ()> {
    static TURN: Mutex<()> = Mutex::const_new(());
    TURN.lock().await
}
