//! The quick start: a real server, 1,500 clients, one table.
//!
//! | module | its part |
//! |---|---|
//! | `args` | the options of `weir demo` |
//! | `words` | what the user reads |
//! | `show` | the show from its introduction to its end |
//! | `stage` | what was started and must end |
//! | `layer` | extension and shim, found or built |
//! | `endpoint`, `sidecar` | the Weir that is shown, in this process or as others |
//! | `exam` | who arrives when and does what, the same in both phases |
//! | `students`, `driver`, `monitor` | one simulated Lambda environment |
//! | `link`, `world` | what its operations and monitor share, and what all environments share |
//! | `seed` | the data of the exam |
//! | `fleet` | worker processes with a real driver |
//! | `functions` | emulated Lambda environments with a real driver |
//! | `outage` | the death of the database, and its return |
//! | `phase`, `tally`, `observer` | playing one phase and counting it |
//! | `report`, `table`, `verdict` | what came of it |
//! | `error` | why there is nothing to show |

mod args;
mod driver;
mod endpoint;
mod error;
mod exam;
mod fleet;
mod functions;
mod layer;
mod link;
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
mod words;
mod world;

pub use args::{DemoArgs, Monitoring, Scenario};

use error::DemoError;
use show::show;
use stage::Stage;
use weir_kit::{Interrupts, Paths, paint::Style, screen::Screen};

/// What the environment decides.
#[derive(Clone, Debug)]
pub struct Setting {
    /// Where a `mongod` may be found or put.
    pub paths: Paths,
    /// No colour.
    pub plain: bool,
}

impl Setting {
    /// The environment of this process.
    #[must_use]
    pub fn of_this_process() -> Self {
        Self {
            paths: Paths::of_this_process(),
            plain: weir_kit::screen::is_plain(),
        }
    }
}

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
