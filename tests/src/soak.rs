//! A long load with unique payloads, faults of every kind, and checks of everything.
//!
//! | module | does |
//! |---|---|
//! | [`plan`] | what each client does, from a seed |
//! | `client`, `cursor`, `transaction` | carry it out over a `link` and check each reply |
//! | [`ledger`] | what clients were told, held against what the server has |
//! | `saboteur` | breaks upstream connections |
//! | [`disaster`] | elections, kills, silence and bursts: the soak becomes a chaos test |
//! | [`levels`] | slots, cursors, memory and files before and after |
//! | [`report`] | counts and violations |
//!
//! The same seed gives every client the same plan and the saboteur the same faults. How
//! they interleave is up to the machine, and a command that is asked again takes its
//! chances of leaving from the same numbers: two runs are alike, not the same.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use bson::{Document, doc};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use tokio::task::JoinSet;

use crate::cluster::Cluster;
use crate::skip::skip;
use crate::sockets::{Sampler, can_count};
use crate::weir::WeirProcess;

mod client;
mod cursor;
pub mod disaster;
pub mod ledger;
pub mod levels;
mod link;
pub mod plan;
pub mod report;
mod saboteur;
mod transaction;

use self::client::{Client, ROWS};
use self::disaster::Disaster;
use self::ledger::Ledger;
use self::levels::Levels;
use self::link::{DATABASE, Link};
use self::report::Report;

/// Sockets to the server.
const CAP: usize = 10;
/// Commands of one step, on average, as counted.
const COMMANDS_PER_STEP: f64 = 1.63;
/// One client of so many does something that takes ten seconds.
const LATE_ONES: u64 = 20;
/// Clients of a burst, for each one that is always there.
const BURST: u64 = 6;
/// Steps of each of them.
const OF_BURST: usize = 3;
/// Between two lines of progress.
const PROGRESS: Duration = Duration::from_secs(10);

/// What to run.
#[derive(Clone, Debug)]
pub struct Options {
    /// Commands, about; never fewer.
    pub operations: usize,
    /// Clients at once.
    pub clients: u64,
    /// The seed of all plans.
    pub seed: u64,
    /// An upstream connection is hurt about so often.
    pub hurt_every: Duration,
    /// So many disasters: then there are three nodes, and the load goes on until they are
    /// over, however many operations that takes.
    pub disasters: usize,
}

/// A replica set behind a relay, a Weir, and what has been seen of them.
struct Soak {
    options: Options,
    cluster: Cluster,
    weir: WeirProcess,
    report: Arc<Report>,
    ledger: Arc<Ledger>,
    /// The number of the next client of a burst.
    newcomer: AtomicU64,
}

/// Runs it; returns the violations.
///
/// # Errors
/// When it cannot be run or judged.
pub async fn run(options: Options) -> Result<Vec<String>> {
    println!("{options:?}; again with --seed {}", options.seed);
    let soak = Soak::start(options).await?;
    soak.warm_up().await?;
    let before = Levels::settled(&soak.weir, &soak.cluster, None).await?;
    let ports: Vec<u16> = soak
        .cluster
        .addresses()
        .iter()
        .map(SocketAddr::port)
        .collect();
    let sampler = can_count()
        .then(|| Sampler::start(soak.weir.pid(), ports))
        .transpose()?;
    let began = Instant::now();
    soak.load().await?;
    let took = began.elapsed();
    match sampler {
        Some(sampler) => soak.check_cap(sampler)?,
        None => skip("the cap", "this system has no /proc/net/tcp"),
    }
    soak.cluster.settled().await?;
    let after = Levels::settled(&soak.weir, &soak.cluster, Some(&before)).await?;
    for leak in after.above(Some(&before)) {
        soak.report.violation(format!("left behind: {leak}"));
    }
    soak.check_ledger().await?;
    soak.check_coverage();
    let (violated, first) = soak.report.violations();
    let done = soak.report.operations();
    for (what, count) in soak.report.counts() {
        println!("{count:>9} {what}");
    }
    println!("before {before:?}\nafter  {after:?}");
    let speed = f64::from(u32::try_from(done)?) / took.as_secs_f64();
    println!("{done} operations in {took:.1?}, {speed:.0} a second; {violated} violations");
    Ok(first)
}

impl Soak {
    async fn start(options: Options) -> Result<Self> {
        // What a lost reply leaves open on the server ends soon, not after ten minutes.
        let cluster = Cluster::builder()
            .members(if options.disasters > 0 { 3 } else { 1 })
            .relays()
            .arguments(&[
                "--setParameter",
                "cursorTimeoutMillis=20000",
                "--setParameter",
                "clientCursorMonitorFrequencySecs=1",
            ])
            .start()
            .await?;
        let weir = WeirProcess::builder()
            .upstream(cluster.uri())
            .args(&["--max-connections", &CAP.to_string()])
            .start()
            .await?;
        cluster.settled().await?;
        let report = match options.disasters {
            0 => Report::default(),
            _ => Report::of_disasters(),
        };
        Ok(Self {
            newcomer: AtomicU64::new(options.clients),
            options,
            cluster,
            weir,
            report: Arc::new(report),
            ledger: Arc::default(),
        })
    }

    /// Rows to read, and one connection of every client: memory that stays.
    async fn warm_up(&self) -> Result<()> {
        let direct = self.cluster.direct(self.cluster.primary().await?).await?;
        let database = direct.database(DATABASE);
        let rows = (0..ROWS).map(|id| doc! { "_id": i64::try_from(id).unwrap_or(0) });
        database
            .collection::<Document>("rows")
            .insert_many(rows)
            .await?;
        database.create_collection("counters").await?;
        direct.shutdown().await;
        let quiet = Arc::new(Report::default());
        let clients = self.options.clients;
        // Other numbers than those of the load, so other counters and sessions.
        let first = u64::from(u32::MAX);
        self.run_clients(first..first + clients, 20, &quiet, false)
            .await?;
        let (violated, _) = quiet.violations();
        anyhow::ensure!(violated == 0, "{violated} violations before any fault");
        Ok(())
    }

    async fn load(&self) -> Result<()> {
        let clients = self.options.clients;
        let share = self.options.operations.div_ceil(usize::try_from(clients)?);
        #[expect(
            clippy::cast_precision_loss,
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss
        )]
        let mut share = (share as f64 / COMMANDS_PER_STEP).ceil() as usize;
        let calm = self.options.disasters == 0;
        if calm {
            saboteur::hold_back(self.cluster.relay(0)?);
        } else {
            share = usize::MAX;
        }
        let work = async {
            let clients = self.run_clients(0..clients, share, &self.report, calm);
            tokio::try_join!(clients, self.disasters()).map(drop)
        };
        tokio::select! {
            ended = work => ended?,
            ended = self.sabotage() => ended?,
            () = self.progress() => {}
        }
        // Faults that hit nobody yet must not hit the checks.
        for index in 0..self.cluster.members().len() {
            self.cluster.relay(index)?.heal();
            self.cluster.relay(index)?.reset_all();
        }
        Ok(())
    }

    /// Hurts connections to every node, until it is dropped.
    async fn sabotage(&self) -> Result<()> {
        let relays: Result<Vec<_>> = (0..self.cluster.members().len())
            .map(|index| self.cluster.relay(index))
            .collect();
        let each = relays?.into_iter();
        join_all(each.map(|relay| saboteur::sabotage(relay, &self.options, &self.report))).await;
        Ok(())
    }

    /// Ends the load when the last disaster is over.
    async fn disasters(&self) -> Result<()> {
        if self.options.disasters == 0 {
            return Ok(());
        }
        let sequence = self.sequence();
        let burst = || async {
            let many = self.options.clients * BURST;
            let first = self.newcomer.fetch_add(many, Ordering::Relaxed);
            self.run_clients(first..first + many, OF_BURST, &self.report, false)
                .await
        };
        let (cluster, seed) = (&self.cluster, self.options.seed);
        let struck = disaster::strike(cluster, &sequence, seed, &self.report, burst).await;
        self.report.end();
        struck
    }

    fn sequence(&self) -> Vec<Disaster> {
        Disaster::sequence(self.options.seed, self.options.disasters)
    }

    async fn run_clients(
        &self,
        numbers: std::ops::Range<u64>,
        share: usize,
        report: &Arc<Report>,
        late_ones: bool,
    ) -> Result<()> {
        let mut tasks = JoinSet::new();
        let address: SocketAddr = self.weir.address();
        for number in numbers {
            let link = Link::new(address, number % 2 == 1, Arc::clone(report));
            let ledger = Arc::clone(&self.ledger);
            let client = Client::new(self.options.seed, number, link, ledger);
            tasks.spawn(client.run(share, late_ones && number % LATE_ONES == 3));
        }
        while let Some(ended) = tasks.join_next().await {
            ended??;
        }
        Ok(())
    }

    async fn progress(&self) {
        let mut last = 0;
        loop {
            tokio::time::sleep(PROGRESS).await;
            let now = self.report.operations();
            let (violated, _) = self.report.violations();
            let speed = (now - last) / usize::try_from(PROGRESS.as_secs()).unwrap_or(1);
            println!("{now} operations, {speed} a second, {violated} violations");
            last = now;
        }
    }

    fn check_cap(&self, sampler: Sampler) -> Result<()> {
        let maxima = sampler.finish()?;
        // Nodes talk to each other: what they leave behind is not Weir's.
        let of_weir = match self.options.disasters {
            0 => maxima.together.values().copied().max(),
            _ => maxima.most.values().map(|count| count.held).max(),
        };
        let most = of_weir.context("no look")?;
        println!("at most {most} sockets of {CAP}, in {} looks", maxima.looks);
        if most > CAP {
            self.report.violation(format!("{most} sockets: {maxima:?}"));
        }
        Ok(())
    }

    async fn check_ledger(&self) -> Result<()> {
        let direct = self.cluster.direct(self.cluster.primary().await?).await?;
        let counters = direct.database(DATABASE).collection::<Document>("counters");
        let found: Vec<Document> = counters.find(doc! {}).await?.try_collect().await?;
        direct.shutdown().await;
        let (tally, wrong) = self.ledger.check(&found)?;
        println!("{} counters: {tally:?}", found.len());
        for wrong in wrong {
            self.report.violation(wrong);
        }
        Ok(())
    }

    /// A run in which nothing happened proves nothing.
    fn check_coverage(&self) {
        let mut wanted = vec![
            "clients left in a command",
            "upstream resets",
            "writes asked again",
            "transactions committed",
            "transactions aborted",
            "errors 6",
        ];
        if self.options.disasters == 0 {
            wanted.extend(["errors 50", "errors 89"]);
        }
        wanted.extend(self.sequence().into_iter().map(Disaster::name));
        for what in wanted {
            if self.report.counted(what) == 0 {
                self.report.violation(format!("not tried: {what}"));
            }
        }
        let done = self.report.operations();
        if self.options.disasters == 0 && done < self.options.operations {
            self.report.violation(format!("only {done} operations"));
        }
    }
}
