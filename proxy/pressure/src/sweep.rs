//! Every clients × pool in turn.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::args::Scenario;
use crate::cell::{Cell, Glances, Percentiles, Seen, ratio};
use crate::connection::Endpoint;
use crate::dataset::Dataset;
use crate::load::{Clients, Load};
use crate::outcome::Outcome;
use crate::plan::{Plan, START_LIMIT, WARM_LIMIT};
use crate::proxy::Weir;
use crate::workload::Workload;
use crate::{PressureArgs, Target, Trouble};
use weir::config::units::show_duration;
use weir_kit::numbers::count;
use weir_kit::screen::Screen;

/// Time between two samples of Weir's state.
const SAMPLE_INTERVAL: Duration = Duration::from_millis(20);
/// Samples between two updates of the progress line.
const SHOW_EVERY: u32 = 5;

/// What all measurements share.
pub(super) struct Sweep<'a> {
    pub(super) args: &'a PressureArgs,
    pub(super) plan: &'a Plan,
    pub(super) screen: &'a Screen,
    pub(super) began: Instant,
}

/// One measurement's place in the sweep.
struct Place {
    number: usize,
    title: String,
}

impl Sweep<'_> {
    /// Measures every number of clients on every pool; `outcome` grows on the way.
    ///
    /// # Errors
    /// A Weir does not start or reaches nothing.
    pub(super) async fn pools(
        &self,
        target: &Target,
        dataset: &Dataset,
        outcome: &mut Outcome,
    ) -> Result<(), Trouble> {
        let workload = Arc::new(Workload::new(self.args.scenario, dataset));
        for &pool in &self.plan.pools {
            let config = Target::load(&target.uri, Some(pool)).await;
            let config = config.map_err(|problems| Trouble(problems.to_string()))?;
            let weir = Weir::start(config, START_LIMIT).await?;
            for &clients in &self.plan.clients {
                let place = Place {
                    number: outcome.cells.len() + 1,
                    title: format!("pool {pool:>3}"),
                };
                let load = self.load(Endpoint::Weir(weir.address), &workload, clients);
                let mut glances = Glances::default();
                let (seen, account) = self.play(load, Some((&weir, &mut glances)), &place).await;
                outcome
                    .cells
                    .push(Cell::new(pool, seen, &account, &glances));
            }
            let stopped = weir.stop().await;
            stopped.map_err(|error| Trouble(format!("a Weir did not end: {error}")))?;
        }
        Ok(())
    }

    /// Runs the same load straight against `compare`.
    ///
    /// # Errors
    /// Its TLS files cannot be used.
    pub(super) async fn compare(
        &self,
        compare: &Target,
        dataset: &Dataset,
        outcome: &mut Outcome,
    ) -> Result<(), Trouble> {
        let workload = Arc::new(Workload::new(self.args.scenario, dataset));
        let direct = compare.direct()?;
        for (at, &clients) in self.plan.compared.iter().enumerate() {
            let place = Place {
                number: outcome.cells.len() + at + 1,
                title: "compare ".to_owned(),
            };
            let load = self.load(Endpoint::Direct(Arc::clone(&direct)), &workload, clients);
            let (seen, _) = self.play(load, None, &place).await;
            if let Some(comparison) = &mut outcome.compare {
                comparison.cells.push(seen);
            }
        }
        Ok(())
    }

    fn load(&self, endpoint: Endpoint, workload: &Arc<Workload>, clients: u32) -> Load {
        let each = (self.plan.duration, self.args.seed);
        Load::new(endpoint, Arc::clone(workload), clients, each)
    }

    /// Warms up, measures, ends.
    async fn play(
        &self,
        load: Load,
        mut weir: Option<(&Weir, &mut Glances)>,
        place: &Place,
    ) -> (Seen, crate::proxy::Account) {
        let number = load.clients;
        let clients = load.start();
        // The burst of an exam is what is measured: nothing is warmed up.
        if self.args.scenario != Scenario::Exam {
            warm_up(&clients).await;
        }
        let before = weir.as_ref().map(|(weir, _)| weir.account());
        let busy = Busy::now();
        clients.measure();
        let began = Instant::now();
        let mut ticks = interval(SAMPLE_INTERVAL);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut samples = 0_u32;
        while began.elapsed() < self.plan.duration {
            ticks.tick().await;
            let mut queued = None;
            if let Some((weir, glances)) = &mut weir {
                let glance = weir.glance();
                queued = Some(glance.queued);
                glances.add(glance);
            }
            if samples.is_multiple_of(SHOW_EVERY) {
                self.show(place, number, queued, rate(clients.done(), began.elapsed()));
            }
            samples += 1;
        }
        let elapsed = began.elapsed();
        let load_busy = busy.since();
        let after = weir.as_ref().map(|(weir, _)| weir.account());
        let (times, failed, first_error) = clients.end().await;
        let seen = Seen {
            clients: number,
            operations: times.len() as u64,
            operations_per_second: rate(times.len() as u64, elapsed),
            latency_ms: Percentiles::of_micros(&times),
            failed,
            first_error,
            load_busy,
        };
        let account = after
            .zip(before)
            .map(|(after, before)| after.since(&before));
        (seen, account.unwrap_or_default())
    }

    fn show(&self, place: &Place, clients: u32, queued: Option<u64>, rate: f64) {
        let left = self.plan.usual().saturating_sub(self.began.elapsed());
        let queued = queued.map_or(String::new(), |n| format!("  queued {}", count(n)));
        self.screen.show(&format!(
            "  {} of {}  {}  clients {:>5}  {:>7} op/s{queued}  about {} left",
            place.number,
            self.plan.cells(),
            place.title,
            count(clients.into()),
            count(whole(rate)),
            show_duration(Duration::from_secs(left.as_secs())),
        ));
    }
}

/// Until every client has had an answer, or not for longer than a plan allows.
async fn warm_up(clients: &Clients) {
    let began = Instant::now();
    let mut ticks = interval(SAMPLE_INTERVAL);
    while !clients.all_answered() && began.elapsed() < WARM_LIMIT {
        ticks.tick().await;
    }
}

fn rate(operations: u64, elapsed: Duration) -> f64 {
    ratio(operations, 1) / elapsed.as_secs_f64().max(0.001)
}

/// To the nearest whole number, for people.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "rates are small"
)]
pub(super) fn whole(number: f64) -> u64 {
    number.round().max(0.0) as u64
}

/// How busy the threads of this process have been.
struct Busy {
    threads: Duration,
    at: Instant,
}

impl Busy {
    fn now() -> Self {
        let metrics = Handle::current().metrics();
        let threads = 0..metrics.num_workers();
        Self {
            threads: threads.map(|n| metrics.worker_total_busy_duration(n)).sum(),
            at: Instant::now(),
        }
    }

    /// The share of their time since then.
    fn since(&self) -> f64 {
        let now = Self::now();
        let threads = Handle::current().metrics().num_workers();
        let busy = now.threads.saturating_sub(self.threads);
        let all = (now.at - self.at) * u32::try_from(threads).unwrap_or(1);
        (busy.as_secs_f64() / all.as_secs_f64().max(0.001)).min(1.0)
    }
}
