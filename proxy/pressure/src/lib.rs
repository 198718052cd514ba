//! Pool pressure, measured on somebody's own deployment.
//!
//! A Weir runs in this process with one pool size after the other; clients of our own drive
//! reads through it; what they and Weir saw makes a table, and the table a recommendation.
//!
//! | module | its part |
//! |---|---|
//! | [`args`] | the options of `weir bench pressure` |
//! | `find_target`, `target` | the deployment as it was found |
//! | `plan` | which clients and pools are tried, and how long that takes; pure |
//! | `dataset` | where the load reads, and the database of our own for `--write` |
//! | `workload` | the messages that clients send |
//! | `connection` | one client's connection: to Weir, or straight to a server |
//! | `load` | many clients at once, counted |
//! | `proxy` | the Weir under pressure, watched from inside |
//! | `sweep` | every clients × pool in turn |
//! | `cell`, `outcome` | what came of it; the shape of `--json` |
//! | `knee` | which pool is enough; pure |
//! | `text` | what people read |

pub mod args;

mod cell;
mod connection;
mod dataset;
mod find_target;
mod knee;
mod load;
mod outcome;
mod plan;
mod proxy;
mod sweep;
mod target;
mod text;
mod workload;

pub use args::PressureArgs;

use std::time::Duration;

use tokio::time::timeout;

use dataset::Dataset;
use outcome::Outcome;
use plan::Plan;
use sweep::Sweep;
use target::Target;
use weir::limits;
use weir_kit::Interrupts;
use weir_kit::paint::Style;
use weir_kit::screen::{self, Screen};

/// Longest wait for a server to drop our database.
const DROP_LIMIT: Duration = Duration::from_secs(15);
/// Interrupted by a signal.
const INTERRUPTED: u8 = 130;

/// Why there is nothing, or not everything, to show. The sentence says what to change.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(pub String);

/// Measures, prints, and tells how it went: 0 done, 1 it failed, 2 the command line is wrong,
/// 130 interrupted. Wants a runtime with several threads.
pub async fn run(args: &PressureArgs) -> u8 {
    let plain = screen::is_plain();
    let screen = match args.json {
        true => Screen::aside(plain),
        false => Screen::new(plain),
    };
    screen.heading("Weir bench: pressure");
    match find_target::targets(args, &screen).await {
        Ok((target, compare)) => run_against(args, &target, compare.as_ref(), &screen).await,
        Err(failure) => {
            eprintln!("weir: {}", failure.text);
            failure.code
        }
    }
}

async fn run_against(
    args: &PressureArgs,
    target: &Target,
    compare: Option<&Target>,
    screen: &Screen,
) -> u8 {
    let mut interrupts = match Interrupts::listen() {
        Ok(interrupts) => interrupts,
        Err(error) => return failed(screen, &Trouble(error.to_string())),
    };
    let plan = match Plan::new(args, target, compare, limits::raise_open_files()) {
        Ok(plan) => plan,
        Err(trouble) => return failed(screen, &trouble),
    };
    let mut outcome = Outcome::new(args, target, compare, &plan);
    let ended = tokio::select! {
        biased;
        () = interrupts.next() => None,
        ended = measure(args, target, compare, &plan, screen, &mut outcome) => Some(ended),
    };
    outcome.conclude(args.wait_bound, matches!(ended, Some(Ok(()))));
    for server in [Some(target), compare].into_iter().flatten() {
        clear(args, server, screen).await;
    }
    if !outcome.is_empty() {
        if args.json {
            println!("{}", outcome.to_json());
        } else {
            screen.say(&text::results(&outcome, screen.paint));
        }
    }
    match ended {
        Some(Ok(())) => 0,
        Some(Err(trouble)) => failed(screen, &trouble),
        None => {
            screen.remark("Interrupted: what is missing above was not measured.");
            INTERRUPTED
        }
    }
}

/// Says what is going to happen, and makes it happen.
async fn measure(
    args: &PressureArgs,
    target: &Target,
    compare: Option<&Target>,
    plan: &Plan,
    screen: &Screen,
    outcome: &mut Outcome,
) -> Result<(), Trouble> {
    screen.step("Looking for something to read");
    let dataset = Dataset::find(args, target).await?;
    outcome.reads = dataset.reads();
    outcome.remarks.extend(dataset.remarks.clone());
    outcome.said = outcome.remarks.len();
    screen.say(&text::introduction(args, target, compare, plan, &dataset));
    let sweep = Sweep {
        args,
        plan,
        screen,
        began: tokio::time::Instant::now(),
    };
    sweep.pools(target, &dataset, outcome).await?;
    if let Some(compare) = compare {
        // Its data may be elsewhere; the same collection must be there.
        let dataset = Dataset::again(args, compare, &dataset).await?;
        sweep.compare(compare, &dataset, outcome).await?;
    }
    Ok(())
}

/// Drops what `--write` made.
async fn clear(args: &PressureArgs, target: &Target, screen: &Screen) {
    if !args.write {
        return;
    }
    let what = format!("the database {} of {}", dataset::DATABASE, target.shown);
    match timeout(DROP_LIMIT, dataset::drop_own(target)).await {
        Ok(Ok(true)) => screen.remark(&format!("Dropped {what}.")),
        Ok(Ok(false)) => {}
        Ok(Err(_)) | Err(_) => {
            screen.remark(&format!("Could not drop {what}: please drop it yourself."));
        }
    }
}

fn failed(screen: &Screen, trouble: &Trouble) -> u8 {
    let text = format!("  {trouble}");
    screen.say(&screen.paint.apply(Style::Bad, &text));
    1
}
