//! The quick start: a real server, 1,500 clients, one table.
//!
//! | module | its part |
//! |---|---|
//! | `args` | the options of `weir demo` |
//! | `words`, `screen`, `paint`, `numbers` | what the user reads |
//! | `show` | the show from its introduction to its end |
//! | `stage` | what was started and must end |
//! | [`mongod`], [`process`], [`parts`] | a real server, found or fetched |
//! | [`python`], [`emulator`] | Python with PyMongo and AWS's emulator, fetched once |
//! | `layer` | extension and shim, found or built |
//! | `endpoint`, `sidecar` | the Weir that is shown, in this process or as others |
//! | `exam`, `random` | who arrives when and does what, the same in both phases |
//! | `students`, `driver`, `monitor` | one simulated Lambda environment |
//! | `client`, `messages`, `seed` | bytes on sockets |
//! | `fleet` | worker processes with a real driver |
//! | `functions` | emulated Lambda environments with a real driver |
//! | `outage` | the death of the database, and its return |
//! | `phase`, `tally`, `observer` | playing one phase and counting it |
//! | `report`, `table`, `verdict` | what came of it |

use tokio::signal::unix::{Signal, SignalKind, signal};

pub mod emulator;
pub mod mongod;
pub mod parts;
pub mod process;
pub mod python;

pub(crate) mod client;
pub(crate) mod messages;
pub(crate) mod numbers;
pub(crate) mod paint;
pub(crate) mod random;
pub(crate) mod screen;
pub(crate) mod words;

mod args;
mod driver;
mod endpoint;
mod error;
mod exam;
mod fleet;
mod functions;
mod layer;
mod monitor;
mod observer;
mod outage;
mod phase;
mod report;
mod seed;
mod show;
mod sidecar;
mod stage;
mod students;
mod table;
mod tally;
mod verdict;

pub use args::{DemoArgs, Monitoring, Road};

pub use crate::config::env::DemoSetting as Setting;

use error::DemoError;
use paint::Style;
use screen::Screen;
use show::show;
use stage::Stage;

/// Shows the demo and returns the exit code: 0, 1 when there is no table, 130
/// when interrupted before it. Wants a runtime with several threads.
pub async fn run(args: DemoArgs, setting: Setting) -> u8 {
    let screen = Screen::new(setting.plain);
    let mut stage = Stage::default();
    let code = match Interrupts::listen() {
        Ok(mut interrupts) => {
            let shown = tokio::select! {
                biased;
                () = interrupts.next() => None,
                shown = show(&args, &setting, &screen, &mut stage) => Some(shown),
            };
            match shown {
                None => 130,
                Some(Err(error)) => failed(&screen, &error),
                Some(Ok(())) if args.exit => 0,
                Some(Ok(())) => {
                    screen.remark("Ctrl-C ends it and removes what it made.");
                    interrupts.next().await;
                    0
                }
            }
        }
        Err(error) => failed(&screen, &error.into()),
    };
    screen.remark("Cleaning up.");
    stage.clear(&screen).await;
    code
}

fn failed(screen: &Screen, error: &DemoError) -> u8 {
    screen.say(&screen.paint.apply(Style::Bad, &format!("  {error}")));
    1
}

/// Ctrl-C, and what service managers and closing terminals send.
pub(crate) struct Interrupts([Signal; 3]);

impl Interrupts {
    /// From here on these signals no longer end the process by themselves.
    ///
    /// # Errors
    /// When the system refuses a handler.
    pub(crate) fn listen() -> std::io::Result<Self> {
        Ok(Self([
            signal(SignalKind::interrupt())?,
            signal(SignalKind::terminate())?,
            signal(SignalKind::hangup())?,
        ]))
    }

    /// Waits for the next one.
    pub(crate) async fn next(&mut self) {
        let [interrupt, terminate, hangup] = &mut self.0;
        tokio::select! {
            _ = interrupt.recv() => {}
            _ = terminate.recv() => {}
            _ = hangup.recv() => {}
        }
    }
}
