//! What applications see of a bad minute: official drivers at work on one replica set,
//! directly and through Weir at the same time, while something happens to it.
//!
//! | module | does |
//! |---|---|
//! | [`record`] | one operation, as its application saw it |
//! | `load` | the drivers' load programs, running |
//! | [`stage`] | the set behind relays, and what is counted from outside |
//! | `front` | the Weirs that applications meet, and their replacement |
//! | [`event`] | what happens, and when it is over |
//! | [`verdict`] | the records and the server's counters, held against each other |
//! | [`goals`] | what was wanted, and whether it was so |
//! | [`report`] | the tables |
//!
//! Each event has a load of its own: the programs begin, every class of work succeeds once
//! on each endpoint, the event happens so often as is asked, every class has succeeded again
//! after each time, the programs end, and the books are checked.

use std::time::Duration;

use anyhow::{Context, Result};

use crate::matrix::program::Program;

pub mod event;
mod front;
pub mod goals;
mod load;
pub mod record;
pub mod report;
pub mod stage;
pub mod verdict;

use self::event::Event;
use self::load::{Load, Pace};
use self::stage::Stage;
use self::verdict::Outcome;

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// What happens, and how often each.
    pub events: Vec<(Event, usize)>,
    /// Workers of each class and program.
    pub workers: usize,
    /// A worker's pause after each operation.
    pub pause: Duration,
}

/// Runs it with these programs; one outcome for each event.
///
/// # Errors
/// When it cannot be run or judged. What an application saw is no error.
pub async fn run(
    options: &Options,
    programs: &[Program],
    tell: impl Fn(&str),
) -> Result<Vec<Outcome>> {
    let mut stage = Stage::start().await?;
    let mut outcomes = Vec::new();
    for (event, times) in &options.events {
        tell(&format!("{}, {times} times", event.title()));
        let outcome = one(&mut stage, *event, *times, options, programs, &tell).await;
        let outcome = outcome.with_context(|| event.title())?;
        for line in outcome.in_short() {
            tell(&line);
        }
        outcomes.push(outcome);
    }
    Ok(outcomes)
}

async fn one(
    stage: &mut Stage,
    event: Event,
    times: usize,
    options: &Options,
    programs: &[Program],
    tell: &impl Fn(&str),
) -> Result<Outcome> {
    let pace = Pace {
        workers: options.workers,
        pause: options.pause,
    };
    stage.stand_before(event).await?;
    stage.prepare(event.name(), programs, pace).await?;
    let load = Load::start(stage, event.name(), programs, pace)?;
    load.all_succeed_after(0.0).await?;
    stage.watch()?;
    let mut windows = Vec::new();
    for time in 1..=times {
        let window = event.happen(stage, &load).await;
        let window = window.with_context(|| format!("time {time}"))?;
        let took = (window.to - window.from) / 1_000.0;
        tell(&format!(
            "  {time} of {times}: all worked again after {took:.1} s"
        ));
        windows.push(window);
    }
    let heard = load.finish().await?;
    event.afterwards(stage, &mut windows).await?;
    let mut outcome = Outcome::new(event, windows, heard);
    outcome.sockets = stage.most_sockets()?;
    outcome.ledgers = stage.check(&outcome.heard).await?;
    Ok(outcome)
}
