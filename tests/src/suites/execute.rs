//! The programs of an edition along one road.

use std::collections::BTreeMap;
use std::fs;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use weir::demo::process::{Process, Scratch};

use super::Road;
use super::edition::{Built, Program};
use super::judge::{Fate, Fates, Ran, compare};
use super::stage::Stage;
use super::verbose;
use crate::surroundings::{blocking, surroundings};

/// The programs end themselves a little earlier.
const LIMIT: Duration = Duration::from_secs(1_500);

/// A lost test is run again alone: a busy machine fails tests that measure time.
const MORE_TRIES: usize = 2;

/// Runs one program. `tests` narrows what it runs.
///
/// # Errors
/// When it cannot be started, or ends without having run anything.
pub async fn run(
    built: &Built,
    program: &Program,
    stage: &Stage,
    road: Road,
    tests: Option<&str>,
) -> Result<Ran> {
    let binary = built.binary(program);
    let mut command = Command::new(&binary);
    command
        .arg("-test.v=test2json")
        .args(["-test.run", tests.unwrap_or(program.tests)])
        .args(["-test.skip", program.skip])
        .arg(format!("-test.timeout={}s", LIMIT.as_secs() - 60))
        .current_dir(built.source().join(program.package))
        .env("PROJECT_DIRECTORY", built.source())
        // The expected client metadata has no container in it.
        .env("DOCKER_RUNNING", "true")
        .envs(stage.environment(road))
        .stdin(Stdio::null());
    let (output, whole) = blocking(move || to_its_end(&mut command)).await??;
    let results = verbose::read(&output);
    let last = || output.lines().last().unwrap_or_default().to_owned();
    ensure!(
        !results.is_empty() || output.contains("PASS"),
        "{}: {}",
        binary.display(),
        last()
    );
    Ok(Ran { results, whole })
}

fn to_its_end(command: &mut Command) -> Result<(String, bool)> {
    let scratch = Scratch::new(&surroundings().temporary, "weir-suites")?;
    let path = scratch.path().join("output");
    let out = fs::File::create(&path)?;
    command.stdout(out.try_clone()?).stderr(out);
    let process = Process::spawn(command, &scratch)?;
    let ended = process.wait(LIMIT)?;
    if ended.is_none() {
        process.kill()?;
    }
    let output = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    let broke = output.contains("\npanic: ") || output.contains("\nfatal error: ");
    Ok((output, ended.is_some() && !broke))
}

/// What one program's tests became through one face.
#[derive(Debug, Default)]
pub struct Judged {
    /// By test.
    pub fates: Fates,
    /// Kept or gained only when run again alone.
    pub second_tries: Vec<String>,
}

/// All programs of an edition along all roads.
#[derive(Debug, Default)]
pub struct Outcome {
    /// By face.
    pub faces: BTreeMap<&'static str, Judged>,
    /// Seconds by road.
    pub took: BTreeMap<&'static str, u64>,
}

/// Runs an edition directly and through `faces`.
///
/// # Errors
/// When a program cannot be run at all.
pub async fn all(
    built: &Built,
    stage: &Stage,
    faces: &[Road],
    tests: Option<&str>,
) -> Result<Outcome> {
    let mut outcome = Outcome::default();
    for program in built.edition.programs {
        let started = Instant::now();
        let direct = run(built, program, stage, Road::Direct, tests).await?;
        *outcome.took.entry(Road::Direct.name()).or_default() += started.elapsed().as_secs();
        for face in faces {
            let started = Instant::now();
            eprintln!("{} {}", program.package, face.name());
            let through = run(built, program, stage, *face, tests).await?;
            let mut fates = compare(&direct, &through);
            let again = try_again(built, program, stage, *face, &direct, &mut fates).await?;
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
    built: &Built,
    program: &Program,
    stage: &Stage,
    face: Road,
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
            let ran = run(built, program, stage, face, Some(&exactly(&test))).await?;
            let judged = compare(direct, &ran);
            let fate = judged.get(&test).context("a test that is gone")?;
            if matches!(fate, Fate::Kept | Fate::Gained) {
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
