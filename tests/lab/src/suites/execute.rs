//! The programs of an edition along one endpoint.

use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use weir_kit::process::{Process, Scratch};

use super::Endpoint;
use super::edition::{Built, Program};
use super::judge::{Fate, Fates, Ran, compare};
use super::stage::Stage;
use super::verbose;
use weir_tests::paths::{blocking, paths};

/// Ends the output of a program that had to be killed.
const OUT_OF_TIME: &str = "\nkilled: out of time\n";

/// The programs end themselves a little earlier.
const LIMIT: Duration = Duration::from_secs(1_500);

/// A lost test is run again alone: a busy machine fails tests that measure time.
const MORE_TRIES: usize = 2;

/// Which tests, and what becomes of the programs' output.
#[derive(Clone, Debug, Default)]
pub struct Choice {
    /// `-test.run` instead of a program's own.
    pub tests: Option<String>,
    /// Only the program of this package.
    pub package: Option<String>,
    /// Every output is kept in this folder.
    pub keep: Option<PathBuf>,
    /// What is kept there already is not run again.
    pub resume: bool,
}

impl Choice {
    /// The same programs, this test alone.
    fn only(&self, test: &str) -> Self {
        Self {
            tests: Some(exactly(test)),
            ..self.clone()
        }
    }

    /// A file for the output of one run.
    fn file(&self, built: &Built, program: &Program, endpoint: Endpoint) -> Option<PathBuf> {
        let tests = self.tests.as_deref().unwrap_or_default();
        let (edition, endpoint) = (built.edition.name, endpoint.name());
        let name = format!("{edition}-{}-{endpoint}-{tests}", program.package);
        let plain = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
        let name: String = name.chars().map(plain).take(200).collect();
        Some(self.keep.as_ref()?.join(name))
    }
}

/// What is run: programs of `built` on `stage`, or, without one, outputs that were kept.
#[derive(Clone, Copy)]
pub struct Runner<'a> {
    /// The compiled tests.
    pub built: &'a Built,
    /// The servers; `None`: the kept outputs are judged again.
    pub stage: Option<&'a Stage>,
}

impl Runner<'_> {
    /// One program along one endpoint.
    ///
    /// # Errors
    /// When it cannot be started, ends without having run anything, or was not kept.
    pub async fn run(&self, program: &Program, endpoint: Endpoint, choice: &Choice) -> Result<Ran> {
        let file = choice.file(self.built, program, endpoint);
        let kept = file.as_ref().filter(|_| choice.resume);
        let kept = kept.and_then(|file| fs::read_to_string(file).ok());
        let output = match (self.stage, file) {
            _ if kept.is_some() => kept.unwrap_or_default(),
            (Some(stage), file) => {
                let output = start(self.built, program, stage, endpoint, choice).await?;
                if let Some(file) = file {
                    fs::write(&file, &output).with_context(|| file.display().to_string())?;
                }
                output
            }
            (None, _) => bail!("{}: nothing was kept", program.package),
        };
        let results = verbose::read(&output);
        let last = output.lines().last().unwrap_or_default();
        ensure!(
            !results.is_empty() || output.contains("PASS"),
            "{}: {last}",
            program.package
        );
        let broke = ["\npanic: ", "\nfatal error: ", OUT_OF_TIME].map(|sign| output.contains(sign));
        let whole = !broke.contains(&true);
        Ok(Ran { results, whole })
    }
}

async fn start(
    built: &Built,
    program: &Program,
    stage: &Stage,
    endpoint: Endpoint,
    choice: &Choice,
) -> Result<String> {
    let binary = built.binary(program);
    let mut command = Command::new(&binary);
    command
        .arg("-test.v=test2json")
        .args([
            "-test.run",
            choice.tests.as_deref().unwrap_or(program.tests),
        ])
        .args(["-test.skip", program.skip])
        .arg(format!("-test.timeout={}s", LIMIT.as_secs() - 60))
        .current_dir(built.source().join(program.package))
        .env("PROJECT_DIRECTORY", built.source())
        // The expected client metadata has no container in it.
        .env("DOCKER_RUNNING", "true")
        .envs(stage.environment(endpoint))
        .stdin(Stdio::null());
    blocking(move || to_its_end(&mut command)).await?
}

fn to_its_end(command: &mut Command) -> Result<String> {
    let scratch = Scratch::new(&paths().temporary, "weir-suites")?;
    let path = scratch.path().join("output");
    let out = fs::File::create(&path)?;
    command.stdout(out.try_clone()?).stderr(out);
    let process = Process::spawn(command, &scratch)?;
    let ended = process.wait(LIMIT)?;
    if ended.is_none() {
        process.kill()?;
    }
    let mut output = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    if ended.is_none() {
        output.push_str(OUT_OF_TIME);
    }
    Ok(output)
}

/// What one program's tests became through one face.
#[derive(Debug, Default)]
pub struct Judged {
    /// By test.
    pub fates: Fates,
    /// Kept or gained only when run again alone.
    pub second_tries: Vec<String>,
}

/// All programs of an edition along all endpoints.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By face.
    pub faces: BTreeMap<&'static str, Judged>,
    /// Seconds by endpoint.
    pub took: BTreeMap<&'static str, u64>,
}

/// Runs an edition directly and through `faces`.
///
/// # Errors
/// When a program cannot be run at all.
pub async fn all(runner: Runner<'_>, faces: &[Endpoint], choice: &Choice) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    let chosen = |program: &&Program| {
        let package = choice.package.as_deref();
        package.is_none_or(|package| package == program.package)
    };
    for program in runner.built.edition.programs.iter().filter(chosen) {
        eprintln!("{} {}", program.package, Endpoint::Direct.name());
        let started = Instant::now();
        let direct = runner.run(program, Endpoint::Direct, choice).await?;
        *outcome.took.entry(Endpoint::Direct.name()).or_default() += started.elapsed().as_secs();
        for face in faces {
            let started = Instant::now();
            eprintln!("{} {}", program.package, face.name());
            let through = runner.run(program, *face, choice).await?;
            let mut fates = compare(&direct, &through);
            let again = try_again(runner, program, *face, choice, &direct, &mut fates).await?;
            let judged = outcome.faces.entry(face.name()).or_default();
            judged.second_tries.extend(again);
            judged.fates.extend(fates);
            *outcome.took.entry(face.name()).or_default() += started.elapsed().as_secs();
        }
    }
    Ok(outcome)
}

/// Runs lost tests once more, each alone; returns those that then pass.
async fn try_again(
    runner: Runner<'_>,
    program: &Program,
    face: Endpoint,
    choice: &Choice,
    direct: &Ran,
    fates: &mut Fates,
) -> Result<Vec<String>> {
    let mut passed = Vec::new();
    for _ in 0..MORE_TRIES {
        let lost: Vec<String> = fates
            .iter()
            .filter(|(_, fate)| matches!(fate, Fate::Lost(_)))
            .map(|(test, _)| test.clone())
            .collect();
        for test in lost {
            let ran = match runner.run(program, face, &choice.only(&test)).await {
                // Among kept outputs there are only the tries that were made.
                Err(_) if runner.stage.is_none() => continue,
                ran => ran?,
            };
            let judged = compare(direct, &ran);
            if let Some(fate @ (Fate::Kept | Fate::Gained)) = judged.get(&test) {
                fates.insert(test.clone(), fate.clone());
                passed.push(test);
            }
        }
    }
    Ok(passed)
}

/// `-test.run` for this test alone.
fn exactly(test: &str) -> String {
    let escape = |part: &str| {
        let mut out = String::from("^");
        for c in part.chars() {
            if !c.is_alphanumeric() && c != '_' {
                out.push('\\');
            }
            out.push(c);
        }
        out.push('$');
        out
    };
    test.split('/').map(escape).collect::<Vec<_>>().join("/")
}
