//! What applications see while something happens to the set or to Weir, directly and through
//! Weir, by command. With `--write` it makes docs/results/reliability.md.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use weir_lab::matrix::document::{place, today};
use weir_lab::matrix::program::prepare_all;
use weir_lab::reliability::event::Event;
use weir_lab::reliability::goals::TIMES;
use weir_lab::reliability::stage::CAP;
use weir_lab::reliability::{Options, report, run};
use weir_tests::drivers::{self, Driver};
use weir_tests::skip::skip;
use weir_tests::weir::program;

const USAGE: &str = "\
weir-reliability [--event NAME]... [--driver NAME]... [--times N] [--workers N] [--write]
NAME of an event: stepdown, kill, freeze, cut, remove, rolling, password, weir-kill,
weir-term, weir-list, weir-balancer.
NAME of a driver: python, node, go, java; only the newest of each. Default: all.
--times: stepdowns and kills of the primary, 20 unless said; everything else happens once.
--write makes docs/results/reliability.md; only with everything chosen.";

/// Those whose programs have a load.
const LANGUAGES: [&str; 4] = ["python", "node", "go", "java"];
/// One Weir of the list after the other.
const BOTH: usize = 2;

/// What the command line asks for.
struct Wanted {
    events: Vec<Event>,
    drivers: Vec<String>,
    times: usize,
    workers: usize,
    write: bool,
}

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut wanted = Self {
            events: Vec::new(),
            drivers: Vec::new(),
            times: TIMES,
            workers: 2,
            write: false,
        };
        while let Some(argument) = arguments.next() {
            if argument == "--write" {
                wanted.write = true;
                continue;
            }
            let value = arguments
                .next()
                .with_context(|| format!("{argument} needs a value\n{USAGE}"))?;
            match argument.as_str() {
                "--event" => wanted.events.push(event(&value)?),
                "--driver" => wanted.drivers.push(value),
                "--times" => wanted.times = value.parse()?,
                "--workers" => wanted.workers = value.parse()?,
                _ => bail!("unknown: {argument}\n{USAGE}"),
            }
        }
        let whole = wanted.events.is_empty() && wanted.drivers.is_empty() && wanted.times >= TIMES;
        if wanted.write && !whole {
            bail!("--write goes with everything\n{USAGE}");
        }
        Ok(wanted)
    }

    fn options(&self) -> Options {
        let events = if self.events.is_empty() {
            Event::ALL.to_vec()
        } else {
            self.events.clone()
        };
        let often = |event| match event {
            Event::StepDown | Event::Kill => self.times,
            Event::WeirList => BOTH,
            _ => 1,
        };
        Options {
            events: events.into_iter().map(|each| (each, often(each))).collect(),
            workers: self.workers,
            pause: Duration::from_millis(100),
        }
    }

    fn drivers(&self) -> Result<Vec<Driver>> {
        let mut chosen = drivers::chosen(&self.drivers);
        chosen.retain(|driver| driver.newest && LANGUAGES.contains(&driver.language));
        if chosen.is_empty() {
            bail!("no such driver\n{USAGE}");
        }
        Ok(chosen)
    }
}

fn event(name: &str) -> Result<Event> {
    let found = Event::ALL.into_iter().find(|event| event.name() == name);
    found.with_context(|| format!("no event {name}\n{USAGE}"))
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let wanted = Wanted::read(std::env::args().skip(1))?;
    let drivers = wanted.drivers()?;
    let prepared = tokio::task::spawn_blocking(move || prepare_all(&drivers));
    let (programs, missing) = prepared.await??;
    for (driver, reason) in &missing {
        skip(&driver.title(), reason);
    }
    let outcomes = run(&wanted.options(), &programs, |line| println!("{line}")).await?;
    let body = report::markdown(&outcomes);
    println!("\n{body}");
    if wanted.write {
        let file = place("reliability.md");
        let titles: Vec<String> = programs.iter().map(|each| each.driver.title()).collect();
        let mut text = preface(&titles.join(", "), &wanted, &build(program().await?));
        for (driver, reason) in &missing {
            text.push_str(&format!("\n- skipped: {}: {reason}\n", driver.title()));
        }
        std::fs::write(&file, format!("{text}\n{body}"))?;
        println!("written: {}", file.display());
    }
    let violated = outcomes.iter().any(|each| !each.violations().is_empty());
    Ok(if violated {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// The profile that the tried Weir was built with: cargo's folder has its name.
fn build(weir: &Path) -> String {
    let folder = weir.parent().and_then(Path::file_name);
    match folder.and_then(|name| name.to_str()) {
        Some("debug") => "debug build".to_owned(),
        Some(profile @ ("release" | "quick")) => format!("optimised build, profile `{profile}`"),
        _ => format!("build of its own: {}", weir.display()),
    }
}

fn preface(drivers: &str, wanted: &Wanted, build: &str) -> String {
    format!(
        "# Reliability\n\n\
         What applications see when a node of the database or a Weir fails, directly and through \
         Weir. Generated by `weir-reliability`; do not edit.\n\n\
         {} · Weir {} ({build}) · {drivers} · `cargo run --release -p weir-lab --bin \
         weir-reliability -- --write`\n\n\
         ## How to read this\n\n\
         A real replica set of three nodes runs on one machine with few cores. Each node stands \
         behind a relay that can cut its network. The election timeout is 2 s. A node that is told \
         to end waits 2 s for its clients. Two copies of each driver's program work at the same \
         time: one connects directly, the other through Weir. Weir may open {CAP} connections to \
         each node. All use their drivers' defaults. Then an event happens, once or several times, \
         while they work.\n\n\
         A program has {} workers for each *class of work*. Each pauses for 100 ms after every \
         operation:\n\n\
         | class | operation | repeated by the driver, once |\n|---|---|---|\n\
         | plain read | a find by `runCommand` | no |\n\
         | retryable read | findOne | yes |\n\
         | retryable write | updateOne | yes |\n\
         | non-retryable write | updateMany | no |\n\
         | withTransaction | findOne and updateOne | yes: the whole transaction |\n\
         | open cursor | 50 documents in batches of ten, with pauses | no |\n\
         | change stream | insertOne, then its event in an open stream | yes: it resumes |\n\n\
         *Retryable work* is every class with *yes*. Its applications must see no error through \
         Weir. The other classes may see an error for an operation that was running on the part that \
         failed: only the application can know whether it may be repeated.\n\n\
         | column | meaning |\n|---|---|\n\
         | writes acknowledged, lost, applied twice | every write adds a number of its own to a \
         list in the database; at the end the acknowledged numbers are compared with those lists |\n\
         | saw | operations that succeeded, and what the application got instead of a result, in \
         its driver's words: `9 ok, 1 × NetworkError 6` |\n\
         | recovery | the longest time in which no operation of that class succeeded, pauses \
         included; for an event that happened several times, the median and the longest |\n\
         | worst | the longest single operation |\n\
         | pools cleared, connections made | how often drivers closed all their connections, and \
         how many they opened after the first time: a storm of reconnects shows here |\n\
         | most sockets to a node | of one Weir, counted from outside |\n",
        today(),
        env!("CARGO_PKG_VERSION"),
        wanted.workers,
    )
}
