//! A migration by percentage over whole environments, and the way back.
//!
//! A change of a function's variables reaches the environments that start after it; Lambda
//! replaces the others. So each step starts all of them anew, by their own names.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures_util::future::join_all;
use tokio::time::Instant;

use weir_tests::cluster::Cluster;
use weir_tests::lambda::environment::{Environment, Programs, Setting, VARIABLE};
use weir_tests::weir::WeirProcess;

/// The steps, in percent.
pub const STEPS: [usize; 4] = [10, 25, 50, 100];
/// The way back must not take longer.
pub const WAY_BACK: Duration = Duration::from_secs(300);
/// Environments that start at the same time.
const AT_ONCE: usize = 20;

/// What a step came to.
#[derive(Clone, Debug)]
pub struct Step {
    /// The variables that were changed.
    pub change: String,
    /// The share that was asked for, in percent.
    pub wanted: usize,
    /// For each environment, whether its function went through its extension.
    pub moved: Vec<bool>,
    /// Environments that had moved before and came back.
    pub returned: usize,
    /// What went wrong.
    pub errors: Vec<String>,
    /// Until every environment had answered with the new variables.
    pub took: Duration,
}

impl Step {
    /// Environments that moved.
    #[must_use]
    pub fn count(&self) -> usize {
        self.moved.iter().filter(|moved| **moved).count()
    }

    /// The share that was observed, in percent.
    #[must_use]
    pub fn observed(&self) -> f64 {
        let all = self.moved.len().max(1);
        self.count() as f64 * 100.0 / all as f64
    }
}

/// All steps, and the way back as the last one.
///
/// # Errors
/// When something does not start, or a step is not what it must be: an error of a function, an
/// environment that came back, a share that is off by more than chance, a way back that is too
/// long.
pub async fn run(environments: usize, mut say: impl FnMut(&Step)) -> Result<Vec<Step>> {
    let programs = Programs::find().await?;
    let cluster = Cluster::builder().login().start().await?;
    let weir = WeirProcess::builder().upstream(cluster.uri());
    let weir = weir.start().await?;
    let own = BTreeMap::from([
        (VARIABLE.to_owned(), cluster.uri()),
        ("WEIR_SERVICE".to_owned(), weir.address().to_string()),
    ]);
    let mut steps: Vec<Step> = Vec::new();
    let forth = STEPS.map(|percent| {
        let variables = vec![("WEIR_SHIM_PERCENT", percent.to_string())];
        (percent, variables)
    });
    let one = || "1".to_owned();
    let back = vec![("WEIR_EXTENSION_OFF", one()), ("WEIR_SHIM_OFF", one())];
    for (wanted, changed) in forth.into_iter().chain([(0, back)]) {
        let mut variables = own.clone();
        let change = changed.iter();
        let change: Vec<_> = change
            .map(|(name, value)| format!("{name}={value}"))
            .collect();
        variables.extend(
            changed
                .iter()
                .map(|(name, value)| ((*name).to_owned(), value.clone())),
        );
        let mut step = start_all(&programs, &variables, environments).await;
        (step.change, step.wanted) = (change.join(" "), wanted);
        if let Some(before) = steps.last() {
            let pairs = before.moved.iter().zip(&step.moved);
            step.returned = pairs.filter(|(old, new)| **old && !**new).count();
        }
        say(&step);
        judge(&step)?;
        steps.push(step);
    }
    Ok(steps)
}

/// Starts every environment by its name, some at a time; each ends when it has answered.
async fn start_all(
    programs: &Programs,
    variables: &BTreeMap<String, String>,
    environments: usize,
) -> Step {
    let mut step = Step {
        change: String::new(),
        wanted: 0,
        moved: Vec::new(),
        returned: 0,
        errors: Vec::new(),
        took: Duration::ZERO,
    };
    let settings = (0..environments).map(|number| Setting {
        name: name(number),
        layer: true,
        variables: variables.clone(),
    });
    let settings: Vec<Setting> = settings.collect();
    let began = Instant::now();
    for some in settings.chunks(AT_ONCE) {
        let started = some
            .iter()
            .map(|setting| Environment::start(programs, setting));
        for one in join_all(started).await {
            let moved = one.as_ref().is_ok_and(Environment::is_moved);
            step.moved.push(moved);
            match one {
                Ok(environment) => step.errors.extend(environment.first.error.clone()),
                Err(error) => step.errors.push(format!("{error:#}")),
            }
        }
    }
    step.took = began.elapsed();
    step
}

/// As Lambda names the log stream of an environment.
fn name(number: usize) -> String {
    format!("2026/11/21/[$LATEST]{:032x}", number * 0x9e37_79b9)
}

/// What must hold at every step.
fn judge(step: &Step) -> Result<()> {
    let change = &step.change;
    ensure!(step.errors.is_empty(), "{change}: {:?}", step.errors);
    let off = (step.observed() - step.wanted as f64).abs();
    // Three standard deviations of so many draws.
    let share = step.wanted as f64 / 100.0;
    let chance = (share * (1.0 - share) / step.moved.len() as f64).sqrt() * 300.0;
    ensure!(off <= chance, "{change}: {:.1} % moved", step.observed());
    if step.wanted > 0 {
        ensure!(step.returned == 0, "{change}: {} came back", step.returned);
    } else {
        ensure!(step.took < WAY_BACK, "the way back took {:?}", step.took);
    }
    Ok(())
}
