//! The set behind relays, the Weirs before it, and what is counted from outside.

use std::collections::BTreeMap;
use std::time::Duration;

use anyhow::{Context, Result};
use bson::{Document, doc};
use futures_util::TryStreamExt;

use super::event::Event;
use super::front::{Departure, Front};
use super::load::{self, Pace};
use super::record::{Class, Endpoint, Heard};
use crate::matrix::program::Program;
use crate::soak::ledger::{Ledger, Tally, Told};
use weir_tests::cluster::Cluster;
use weir_tests::skip::skip;
use weir_tests::sockets::{Maxima, Sampler, can_count};
use weir_tests::wait::LIMIT;
use weir_tests::weir::WeirProcess;

/// The database of all loads.
pub const DATABASE: &str = "load";
/// Sockets to each node.
pub const CAP: usize = 20;
/// Counters of each worker of a class of writes.
pub(super) const COUNTERS: usize = 20;
/// Documents that are read.
const ROWS: i32 = 50;
/// The applications' user, and Weir's.
pub(super) const APPLICATION: &str = "application";
/// Its password.
pub(super) const SECRET: &str = "in-use-for-years";
/// How long a node that got SIGTERM waits for its clients to go elsewhere. The server's own
/// default is 15 s.
const QUIESCE: &str = "shutdownTimeoutMillisForSignaledShutdown=2000";
/// How long the set waits for a lost primary.
const ELECTION: Duration = Duration::from_secs(2);

/// What the ledger says of one endpoint: how often, and what does not fit.
pub type Books = (Tally, Vec<String>);

/// Everything that is not a load program.
pub struct Stage {
    /// Three nodes.
    pub cluster: Cluster,
    /// The Weirs before them.
    pub(super) front: Front,
    /// The server's version.
    pub version: String,
    /// Count the sockets of every Weir.
    samplers: Vec<Sampler>,
}

impl Stage {
    /// Starts it.
    ///
    /// # Errors
    /// When a part does not come up.
    pub async fn start() -> Result<Self> {
        let cluster = Cluster::builder()
            .members(3)
            .login()
            .relays()
            .election_timeout(ELECTION)
            .arguments(&["--setParameter", QUIESCE])
            .start()
            .await?;
        let primary = cluster.settled().await?;
        cluster
            .add_user(APPLICATION, SECRET, &["SCRAM-SHA-256"])
            .await?;
        let direct = cluster.direct(primary).await?;
        let rows = (0..ROWS).map(|id| doc! { "_id": id });
        let database = direct.database(DATABASE);
        database
            .collection::<Document>("rows")
            .insert_many(rows)
            .await?;
        database.create_collection("counters").await?;
        direct.shutdown().await;
        let build = cluster.admin(primary, doc! { "buildInfo": 1 }).await?;
        Ok(Self {
            front: Front::start(&cluster, Event::StepDown).await?,
            version: build.get_str("version")?.to_owned(),
            cluster,
            samplers: Vec::new(),
        })
    }

    /// Weirs of its own for the next event.
    pub(super) async fn stand_before(&mut self, event: Event) -> Result<()> {
        self.front = Front::start(&self.cluster, event).await?;
        Ok(())
    }

    /// SIGKILL of Weir, and another one at its addresses.
    pub(super) async fn replace_weir(&mut self) -> Result<()> {
        self.front.replace(LIMIT).await?;
        self.watch_newest()?;
        self.front.weir.ready().await
    }

    /// SIGTERM of one of two Weirs, and another one in its place.
    pub(super) async fn relieve(&mut self, limit: Duration) -> Result<Departure> {
        let departure = self.front.relieve(limit).await?;
        self.watch_newest()?;
        Ok(departure)
    }

    /// The application's string.
    pub(super) fn uri(&self, endpoint: Endpoint) -> String {
        match endpoint {
            Endpoint::Direct => login(&hosts(&self.cluster), "&replicaSet=rs0"),
            Endpoint::Weir => self.front.uri(),
        }
    }

    /// Makes the counters and the collections of the streams of a load.
    pub(super) async fn prepare(
        &self,
        event: &str,
        programs: &[Program],
        pace: Pace,
    ) -> Result<()> {
        let mut counters = Vec::new();
        let mut streams = Vec::new();
        for program in programs {
            for endpoint in Endpoint::ALL {
                let name = load::name(event, program, endpoint);
                for worker in 0..pace.workers {
                    streams.push(format!("events-{name}-{worker}"));
                    let counted = Class::ALL.into_iter().filter(|class| class.is_counted());
                    for class in counted {
                        let of =
                            |at| Ledger::counter(&format!("{name}-{}-{worker}-{at}", class.key()));
                        counters.extend((0..COUNTERS).map(of));
                    }
                }
            }
        }
        let client = self.cluster.client().await?;
        let database = client.database(DATABASE);
        database
            .collection::<Document>("counters")
            .insert_many(counters)
            .await?;
        for stream in streams {
            database.create_collection(stream).await?;
        }
        client.shutdown().immediate(true).await;
        Ok(())
    }

    /// Counts every Weir's sockets from now on.
    pub(super) fn watch(&mut self) -> Result<()> {
        if !can_count() {
            skip("the cap", "this system has no /proc/net/tcp");
            return Ok(());
        }
        for pid in self.front.weirs().map(WeirProcess::pid) {
            self.samplers.push(Sampler::start(pid, self.ports())?);
        }
        Ok(())
    }

    fn watch_newest(&mut self) -> Result<()> {
        if can_count() {
            let sampler = Sampler::start(self.front.newest().pid(), self.ports())?;
            self.samplers.push(sampler);
        }
        Ok(())
    }

    fn ports(&self) -> Vec<u16> {
        let addresses = self.cluster.addresses().iter();
        addresses.map(std::net::SocketAddr::port).collect()
    }

    /// The most sockets that a Weir had to any node.
    pub(super) fn most_sockets(&mut self) -> Result<Option<usize>> {
        let samplers = std::mem::take(&mut self.samplers);
        if samplers.is_empty() {
            return Ok(None);
        }
        let (mut highest, mut looked) = (0, 0);
        for sampler in samplers {
            let Maxima { most, looks, .. } = sampler.finish()?;
            looked += looks;
            highest = most.values().map(|it| it.held).fold(highest, usize::max);
        }
        anyhow::ensure!(looked > 0, "nobody looked at the sockets");
        Ok(Some(highest))
    }

    /// Compares what the applications heard about their writes with the server's counters.
    pub(super) async fn check(&self, heard: &[Heard]) -> Result<BTreeMap<Endpoint, Books>> {
        self.cluster.settled().await?;
        let client = self.cluster.client().await?;
        let counters = client.database(DATABASE).collection::<Document>("counters");
        let found: Vec<Document> = counters
            .find(doc! {})
            .await?
            .try_collect()
            .await
            .context("the counters")?;
        client.shutdown().immediate(true).await;
        let mut books = BTreeMap::new();
        for endpoint in Endpoint::ALL {
            let ledger = Ledger::default();
            let of_road = heard.iter().filter(|each| each.endpoint == endpoint);
            for record in of_road.flat_map(|each| &each.records) {
                if let Some((counter, number)) = &record.written {
                    let told = match record.error {
                        None => Told::Done,
                        Some(_) => Told::Unknown,
                    };
                    ledger.note(counter, *number, told);
                }
            }
            let known = ledger.counters();
            let of_road = found.iter().filter(|counter| {
                let name = counter.get_str("_id").unwrap_or_default();
                known
                    .binary_search_by(|each| each.as_str().cmp(name))
                    .is_ok()
            });
            books.insert(endpoint, ledger.check(of_road)?);
        }
        Ok(books)
    }
}

pub(super) fn hosts(cluster: &Cluster) -> String {
    let hosts: Vec<String> = cluster
        .addresses()
        .iter()
        .map(ToString::to_string)
        .collect();
    hosts.join(",")
}

pub(super) fn login(hosts: &str, options: &str) -> String {
    format!("mongodb://{APPLICATION}:{SECRET}@{hosts}/?authSource=admin{options}")
}
