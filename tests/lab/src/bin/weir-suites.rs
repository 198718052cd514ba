//! `weir-suites go`: the Go driver's own integration tests, directly and through Weir.
//!
//! See `docs/testing.md`. Exit 1: a test is lost without a reason, or a reason fits nothing.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use weir_lab::suites::edition::{Edition, V1, V2, build};
use weir_lab::suites::stage::Stage;
use weir_lab::suites::{Endpoint, execute, judge, known, report};
use weir_tests::paths::blocking;

const USAGE: &str = "weir-suites go [--edition v1|v2] [--face mongos|load-balanced] \
                     [--package FOLDER] [--run PATTERN] [--members N] [--keep FOLDER [--resume | --judge]] \
                     [--write]";

/// A whole run's page.
const PAGE: &str = "../../docs/results/suites.md";

const HEAD: &str = "# The Go driver's own tests through Weir

Made by `cargo run -p weir-lab --bin weir-suites -- go --write`; do not edit. [testing.md](../testing.md)
says what the columns mean and how the tests are run. The server is mongod 6.0.5, a replica set of
three. Two Weirs stand before it with `--enable-test-commands` and `--no-probe`.
";

struct Wanted {
    editions: Vec<Edition>,
    faces: Vec<Endpoint>,
    choice: execute::Choice,
    members: usize,
    /// Judge the outputs in the folder again, run nothing.
    judge: bool,
    write: bool,
}

impl Wanted {
    fn read(mut words: impl Iterator<Item = String>) -> Result<Self> {
        if words.next().as_deref() != Some("go") {
            bail!("{USAGE}");
        }
        let mut wanted = Self {
            editions: vec![V1, V2],
            faces: Endpoint::FACES.to_vec(),
            choice: execute::Choice::default(),
            members: 3,
            judge: false,
            write: false,
        };
        while let Some(word) = words.next() {
            let mut value = || {
                words
                    .next()
                    .with_context(|| format!("{word} needs a value"))
            };
            match word.as_str() {
                "--edition" => {
                    let name = value()?;
                    wanted.editions.retain(|edition| edition.name == name);
                }
                "--face" => {
                    let name = value()?;
                    wanted.faces.retain(|face| face.name() == name);
                }
                "--run" => wanted.choice.tests = Some(value()?),
                "--package" => wanted.choice.package = Some(value()?),
                "--keep" => wanted.choice.keep = Some(value()?.into()),
                "--resume" => wanted.choice.resume = true,
                "--judge" => (wanted.judge, wanted.choice.resume) = (true, true),
                "--members" => wanted.members = value()?.parse()?,
                "--write" => wanted.write = true,
                _ => bail!("{word}? {USAGE}"),
            }
        }
        if wanted.write && !(wanted.is_whole() && wanted.has_all_faces()) {
            bail!("--write needs all tests and faces of an edition");
        }
        if wanted.editions.is_empty() || wanted.faces.is_empty() {
            bail!("no such edition or face: {USAGE}");
        }
        Ok(wanted)
    }

    /// Nothing of an edition is left out.
    fn is_whole(&self) -> bool {
        self.choice.tests.is_none() && self.choice.package.is_none()
    }

    fn has_all_faces(&self) -> bool {
        self.faces.len() == Endpoint::FACES.len()
    }
}

#[tokio::main]
async fn main() -> ExitCode {
    match Box::pin(run()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("{error:#}");
            ExitCode::from(2)
        }
    }
}

async fn run() -> Result<bool> {
    let wanted = Wanted::read(std::env::args().skip(1))?;
    let mut sections = Vec::new();
    let mut good = true;
    for edition in &wanted.editions {
        let edition = *edition;
        eprintln!("{} {}", edition.module, edition.version);
        let built = blocking(move || build(edition)).await??;
        let stage = match wanted.judge {
            false => Some(Stage::start(wanted.members).await?),
            true => None,
        };
        let runner = execute::Runner {
            built: &built,
            stage: stage.as_ref(),
        };
        let mut outcome = execute::all(runner, &wanted.faces, &wanted.choice).await?;
        good &= excuse(&wanted, edition, &mut outcome)?;
        sections.push(report::section(&edition, &outcome));
        println!(
            "{}: seconds by endpoint {:?}",
            edition.version, outcome.took
        );
    }
    if wanted.write {
        let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(PAGE);
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        let page = report::page(HEAD, &old, &sections);
        std::fs::write(&path, &page).with_context(|| path.display().to_string())?;
    } else {
        println!("{}", report::page(HEAD, "", &sections));
    }
    Ok(good)
}

/// Applies the known losses and says what is left.
fn excuse(wanted: &Wanted, edition: Edition, outcome: &mut execute::Outcome) -> Result<bool> {
    let known = known::of(edition.name)?;
    let mut good = true;
    for face in &wanted.faces {
        let Some(judged) = outcome.faces.get_mut(face.name()) else {
            continue;
        };
        for entry in judge::excuse(&mut judged.fates, &known, *face, wanted.is_whole()) {
            good = false;
            eprintln!(
                "known.json: fits no loss any more: {} {}",
                face.name(),
                entry.test
            );
        }
        for (test, said) in report::losses(judged) {
            good = false;
            eprintln!("LOST {} {test}\n{said}", face.name());
        }
        println!(
            "{} {}: {:?}",
            edition.version,
            face.name(),
            report::count(judged)
        );
    }
    Ok(good)
}
