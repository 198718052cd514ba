//! The extension in numbers: what it costs, a storm of environments, a migration by percentage.

use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use weir_lab::lambda::numbers::{self, Section};
use weir_lab::lambda::{drill, overhead, storm};

const USAGE: &str = "\
weir-lambda [overhead|storm|drill|all] [--environments N] [--write]
overhead: start, invocations, end, memory, operations (unless something else is asked for).
storm: N environments start at once (200), directly and with the layer.
drill: N environments (100) move over at 10, 25, 50 and 100 %, and back.
--write puts the tables into docs/results/lambda-numbers.md and their short form into the README.
$WEIR_PROGRAMS names a folder with weir, weir-extension and weir-shim; else those of this build.";

/// What the command line asks for.
struct Wanted {
    parts: Vec<String>,
    environments: Option<usize>,
    write: bool,
}

impl Wanted {
    fn read(mut arguments: impl Iterator<Item = String>) -> Result<Self> {
        let mut wanted = Self {
            parts: Vec::new(),
            environments: None,
            write: false,
        };
        let all = ["overhead", "storm", "drill"].map(str::to_owned);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--write" => wanted.write = true,
                "--environments" => {
                    let number = arguments.next().context(USAGE)?;
                    wanted.environments = Some(number.parse().context(USAGE)?);
                }
                "all" => wanted.parts.extend(all.clone()),
                part if all.iter().any(|known| known == part) => wanted.parts.push(argument),
                _ => bail!("unknown: {argument}\n{USAGE}"),
            }
        }
        if wanted.parts.is_empty() {
            wanted.parts.push("overhead".into());
        }
        Ok(wanted)
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let wanted = Wanted::read(std::env::args().skip(1))?;
    let mut failed = false;
    for part in &wanted.parts {
        let section = match part.as_str() {
            "storm" => {
                let endpoints = storm::both(wanted.environments.unwrap_or(200)).await?;
                failed |= report(&endpoints);
                numbers::storm(&endpoints)
            }
            "drill" => drilled(wanted.environments.unwrap_or(100)).await?,
            _ => numbers::overhead(&overhead::measure().await?),
        };
        println!("{}\n", section.text());
        if wanted.write {
            println!("written: {}", section.write()?.display());
        }
    }
    Ok(if failed {
        ExitCode::FAILURE
    } else {
        ExitCode::SUCCESS
    })
}

/// Prints the first errors of a storm, and whether the layer broke its promise.
fn report(endpoints: &[storm::Outcome; 2]) -> bool {
    for (endpoint, outcome) in ["directly", "with the layer"].iter().zip(endpoints) {
        for error in outcome.errors.iter().take(5) {
            println!("{endpoint}: {error}");
        }
    }
    let [_, weir] = endpoints;
    let kept = weir.keeps_its_promises();
    if let Err(why) = &kept {
        println!("FAILED: {why:#}");
    }
    kept.is_err()
}

async fn drilled(environments: usize) -> Result<Section> {
    let steps = drill::run(environments, |step| {
        let (count, all) = (step.count(), step.moved.len());
        println!("{}: {count} of {all} in {:?}", step.change, step.took);
    });
    Ok(numbers::drill(&steps.await?))
}
