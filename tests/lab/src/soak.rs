//! A long load with unique payloads, faults of every kind, and checks of everything.
//!
//! | module | does |
//! |---|---|
//! | [`plan`] | what each client does, from a seed |
//! | `client`, `cursor`, `transaction` | carry it out and check each reply |
//! | `link` | one client's connection, which may leave at any moment |
//! | `cap` | the sockets to each node, counted from outside |
//! | [`ledger`] | what clients were told, held against what the server has |
//! | `saboteur` | breaks upstream connections |
//! | `place` | where a Weir is; under disasters there are two, which are drained and killed too |
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

use anyhow::Result;
use bson::{Document, doc};
use futures_util::TryStreamExt;
use futures_util::future::join_all;
use tokio::task::JoinSet;

use weir_tests::cluster::Cluster;

mod cap;
mod client;
mod cursor;
pub mod disaster;
pub mod ledger;
pub mod levels;
mod link;
mod place;
pub mod plan;
pub mod report;
mod saboteur;
mod transaction;

use self::client::{Client, ROWS};
use self::disaster::{Disaster, Scene, Silence};
use self::ledger::Ledger;
use self::levels::Levels;
use self::link::{DATABASE, Link};
use self::place::Place;
use self::report::Report;

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

/// A replica set behind relays, Weirs, and what has been seen of them.
struct Soak {
    options: Options,
    cluster: Cluster,
    places: Arc<[Place]>,
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
    let before = soak.levels(&[]).await?;
    let nodes = soak.cluster.addresses().iter();
    let ports: Vec<u16> = nodes.map(SocketAddr::port).collect();
    for place in soak.places.iter() {
        place.watch(ports.clone()).await?;
    }
    let began = Instant::now();
    let silences = soak.load().await?;
    let took = began.elapsed();
    cap::check(&soak.places, &silences, &soak.report, began)?;
    soak.cluster.settled().await?;
    let after = soak.levels(&before).await?;
    for (after, before) in after.iter().zip(&before) {
        for leak in after.above(Some(before)) {
            soak.report.violation(format!("left behind: {leak}"));
        }
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
        // Two in the clients' list, so that one can go.
        let mut places = Vec::new();
        for _ in 0..1 + usize::from(options.disasters > 0) {
            places.push(Place::start(&cluster).await?);
        }
        cluster.settled().await?;
        let report = match options.disasters {
            0 => Report::default(),
            _ => Report::of_disasters(),
        };
        Ok(Self {
            newcomer: AtomicU64::new(options.clients),
            options,
            cluster,
            places: places.into(),
            report: Arc::new(report),
            ledger: Arc::default(),
        })
    }

    /// What each Weir holds now, when nothing is above `before` any more.
    async fn levels(&self, before: &[Levels]) -> Result<Vec<Levels>> {
        let mut levels = Vec::new();
        for (at, place) in self.places.iter().enumerate() {
            let weir = place.weir().await;
            levels.push(Levels::settled(&weir, &self.cluster, before.get(at)).await?);
        }
        Ok(levels)
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

    /// Returns which node was silent when.
    async fn load(&self) -> Result<Vec<Silence>> {
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
            let ((), silences) = tokio::try_join!(clients, self.disasters())?;
            anyhow::Ok(silences)
        };
        let silences = tokio::select! {
            ended = work => ended?,
            () = self.sabotage() => Vec::new(),
            () = self.progress() => Vec::new(),
        };
        // Faults that hit nobody yet must not hit the checks.
        for index in 0..self.cluster.members().len() {
            self.cluster.relay(index)?.heal();
            self.cluster.relay(index)?.reset_all();
        }
        Ok(silences)
    }

    /// Hurts connections to every node, until it is dropped.
    async fn sabotage(&self) {
        let indices = 0..self.cluster.members().len();
        let relays = indices.filter_map(|index| self.cluster.relay(index).ok());
        join_all(relays.map(|relay| saboteur::sabotage(relay, &self.options, &self.report))).await;
    }

    /// Ends the load when the last disaster is over.
    async fn disasters(&self) -> Result<Vec<Silence>> {
        if self.options.disasters == 0 {
            return Ok(Vec::new());
        }
        let sequence = self.sequence();
        let burst = || async {
            let many = self.options.clients * BURST;
            let first = self.newcomer.fetch_add(many, Ordering::Relaxed);
            self.run_clients(first..first + many, OF_BURST, &self.report, false)
                .await
        };
        let scene = Scene {
            cluster: &self.cluster,
            places: &self.places,
            report: &self.report,
            seed: self.options.seed,
            began: Instant::now(),
        };
        let struck = scene.strike(&sequence, burst).await;
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
        for number in numbers {
            let places = Arc::clone(&self.places);
            // Each face at each Weir.
            let link = Link::new(places, number / 2, number % 2 == 1, Arc::clone(report));
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
